"""Run directories: making, damaging, reading and comparing them."""

import csv
import glob
import os
import signal

from rnn import signals
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.tf1 import tf


class StopAfter:
  """A `check_stop` that stops after some windows, of any split."""

  def __init__(self, windows):
    self._left = windows

  def __call__(self):
    self._left -= 1
    if self._left == 0:
      raise signals.Stopped(signal.SIGTERM)


def training_run(path, vocabulary, **config):
  """Returns the TrainingRun of a folder, with this config.json."""
  return TrainingRun(str(path), config, vocabulary)


def long_run_flags(corpus_folder, epochs):
  """Returns flags of a run with dropout that takes a while."""
  return ["--model=test", f"--data_path={corpus_folder}", "--config_override="
          "hidden_size=24,keep_prob=0.6,learning_rate=0.3,"
          f"max_max_epoch={epochs}"]


def rows_of(run):
  """Returns the rows of metrics.csv without the columns of times."""
  with open(f"{run}/metrics.csv", newline="") as file:
    return [{name: value for name, value in row.items()
             if not name.endswith(("_per_second", "seconds"))}
            for row in csv.DictReader(file)]


def variables_of(checkpoint):
  """Returns all variables of a Checkpoint: a dict, name -> array."""
  saved = tf.train.load_checkpoint(checkpoint.variables)
  return {name: saved.get_tensor(name)
          for name in saved.get_variable_to_shape_map()}


def assert_same_run(one, other):
  """Asserts that two runs have the same bits.

  Compares every variable of the newest and the best checkpoint, the metrics,
  and the last test figure.
  """
  one, other = (RunDirectory(str(run)) for run in (one, other))
  for pair in zip(*([run.checkpoints()[0], run.best()] for run in (one, other)),
                  strict=True):
    assert len({(c.step, c.epoch, c.best) for c in pair}) == 1
    values, others = map(variables_of, pair)
    assert values.keys() == others.keys()
    for name, value in values.items():
      assert value.tobytes() == others[name].tobytes(), name
  assert rows_of(one.path) == rows_of(other.path)
  last = len(rows_of(one.path))
  assert one.tests()[last] == other.tests()[last]


def contents(folder):
  """Returns path -> bytes of all files below a folder, except the lock."""
  return {path: open(path, "rb").read()
          for path in glob.glob(f"{folder}/**", recursive=True)
          if os.path.isfile(path) and not path.endswith("/lock")}


def garble(path):
  """Flips bits in the middle of a file."""
  with open(path, "r+b") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(size // 2)
    part = file.read(8)
    file.seek(size // 2)
    file.write(bytes(byte ^ 0x5a for byte in part))


def truncate(path):
  """Removes the second half of a file."""
  os.truncate(path, os.path.getsize(path) // 2)


def empty(path):
  """Removes the content of a file."""
  os.truncate(path, 0)


def damaged_versions(content, places):
  """Generates damaged versions of a file's content.

  Args:
    places: the number of bytes to change, spread over the content, one in each
      version.
  """
  for position in range(0, len(content), max(len(content) // places, 1)):
    changed = bytearray(content)
    changed[position] ^= 0x41
    yield bytes(changed)
