"""Event files, from which TensorBoard draws its curves."""

import os
import socket
import time

from rnn.tf1 import tf


class EventFile:
  """An event file of this process, created at the first event.

  It is a file of records, each of them an Event; the first has the version.
  `tf.summary.FileWriter` is not used: it writes from a thread of its own, which
  ends in a traceback when the disk is full.
  """

  def __init__(self, folder: str) -> None:
    self._folder = folder
    self._writer: tf.io.TFRecordWriter | None = None

  def add(self, step: int, **content: object) -> None:
    """Writes an event, and flushes the file.

    Args:
      content: a field of TensorFlow's Event, such as `summary`.
    """
    if self._writer is None:
      writer = tf.io.TFRecordWriter(os.path.join(
          self._folder, f"events.out.tfevents.{int(time.time())}."
          f"{socket.gethostname()}.{os.getpid()}"))
      writer.write(tf.Event(
          wall_time=time.time(), file_version="brain.Event:2"
      ).SerializeToString())
      self._writer = writer  # only now: a file without a version is useless
    self._writer.write(tf.Event(
        wall_time=time.time(), step=step, **content).SerializeToString())
    self._writer.flush()

  def add_figures(self, step: int, figures: dict[str, float]) -> None:
    """Adds a point to curves: a dict, name -> number."""
    self.add(step, summary=tf.Summary(value=[
        tf.Summary.Value(tag=name, simple_value=figure)
        for name, figure in figures.items()]))

  def restart_at(self, step: int) -> None:
    """Tells TensorBoard to drop what another process logged from a step on."""
    self.add(step, session_log=tf.SessionLog(status=tf.SessionLog.START))
