"""Clearing a run directory: leftovers, old checkpoints, damaged ones.

Only what this suite has written is deleted.
"""

import contextlib
import itertools
import logging
import os
import re
from collections.abc import Iterator

from rnn import files
from rnn.runs.checkpoints import Checkpoint

_FILES = ("config.json", "vocab.txt", "metadata.tsv", "projector_config.pbtxt",
          "metrics.csv", "learning_curve.png", "tests.json", "checkpoint",
          "ids.int32", "ids.json", "page.png", "echo.png", "vectors.npy",
          "vectors.txt", "vectors.words.txt")
_CHECKPOINT = re.compile(
    r"(best-)?step-\d+(-epoch-\d+)?(-old|\.\w{8})?" + re.escape(files.PARTIAL))

_log = logging.getLogger(__name__)


def is_leftover(name: str) -> bool:
  """Returns whether a killed process left a file of a run half-written.

  Args:
    name: an entry of the run directory.
  """
  return any(files.is_leftover(name, file) for file in _FILES)


def delete_leftovers(folder: str) -> None:
  """Deletes what killed processes left half-written or half-deleted."""
  inside = os.path.join(folder, "checkpoints")
  paths = [os.path.join(folder, name) for name in os.listdir(folder)
           if is_leftover(name)]
  with contextlib.suppress(FileNotFoundError):
    paths += [os.path.join(inside, name) for name in os.listdir(inside)
              if _CHECKPOINT.fullmatch(name)]
  for path in paths:
    _delete(path)


def delete_checkpoint(checkpoint: Checkpoint) -> None:
  """Deletes a checkpoint. A failure is a warning, and no reason to stop."""
  name = f"{checkpoint.path}-old{files.PARTIAL}"
  with _warning(checkpoint.path):
    os.rename(checkpoint.path, name)  # so no reader sees half of it
  _delete(name)


def _delete(path: str) -> None:
  with _warning(path):
    files.remove(path)


@contextlib.contextmanager
def _warning(path: str) -> Iterator[None]:
  """A context in which an OSError becomes a warning."""
  try:
    yield
  except OSError as error:
    _log.warning("%s: cannot be deleted: %s; delete it by hand", path,
                 error.strerror)


def move_aside(checkpoint: Checkpoint) -> None:
  """Keeps a checkpoint for the user, under a name that no code reads."""
  folder, name = os.path.split(checkpoint.path)
  names = itertools.chain(
      [f"aside-{name}"], (f"aside-{name}-{i}" for i in itertools.count(2)))
  free = next(path for path in (os.path.join(folder, n) for n in names)
              if not os.path.lexists(path))
  os.rename(checkpoint.path, free)
