"""Stopping between two steps when SIGINT or SIGTERM asks for it."""

import contextlib
import os
import signal
import threading


class Stopped(BaseException):
  """A signal asked the process to stop; `signum` is its number."""

  def __init__(self, signum):
    super().__init__(signal.Signals(signum).name)
    self.signum = signum


@contextlib.contextmanager
def on_signals():
  """Within it, SIGINT and SIGTERM wait for the step in hand.

  A SIGINT that follows on another signal ends the process at once, with status
  130. To be used from the main thread.

  Yields:
    A function to call between steps; it raises Stopped once a signal came.
  """
  received = []
  reader, writer = os.pipe()
  os.set_blocking(writer, False)

  def watch():
    while signum := int.from_bytes(os.read(reader, 1), "big"):
      if received and signum == signal.SIGINT:
        os._exit(128 + signum)
      received.append(signum)

  def check():
    if received:
      raise Stopped(received[0])

  # Python runs handlers in the main thread, once TensorFlow has returned to it
  # at the end of a step; it writes the number to the pipe at once.
  watcher = threading.Thread(target=watch, daemon=True)
  watcher.start()
  before = {signum: signal.signal(signum, lambda *_: None)
            for signum in (signal.SIGINT, signal.SIGTERM)}
  pipe_before = signal.set_wakeup_fd(writer)
  try:
    yield check
  finally:
    signal.set_wakeup_fd(pipe_before)
    for signum, handler in before.items():
      signal.signal(signum, handler)
    os.close(writer)  # which ends the watcher
    watcher.join()
    os.close(reader)
