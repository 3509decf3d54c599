"""Which checkpoints of a run to use: the last, the best, or an average."""

import contextlib
import logging
import os
from collections.abc import Sequence

import numpy as np

from rnn.errors import SettingError
from rnn.files import DamagedError
from rnn.runs.checkpoints import Checkpoint, RunError, average, check_finite
from rnn.runs.directory import RunDirectory
from rnn.runs.rows import valid_figures
from rnn.tf1 import tf

# The last epoch gets a warning if its validation metric is worse than the best
# by more than this share.
_FAR_BEHIND = 0.05

_log = logging.getLogger(__name__)


def find(path: str, checkpoint: str = "last", average_last: int = 1
         ) -> tuple[RunDirectory, str | Checkpoint]:
  """Returns the run that a path names, and which of its checkpoints to use.

  Args:
    path: the folder of a run, or one of its checkpoints, such as
      RUN/checkpoints/step-900-epoch-3.
    checkpoint, average_last: see `read`; for a path that is no checkpoint.

  Returns:
    run, checkpoint: the checkpoint that the path names, or else the argument.

  Raises:
    RunError: the run has no such checkpoint.
    SettingError: the path is a checkpoint, and the arguments name another.
  """
  folder, name = os.path.split(path.rstrip(os.sep))
  if name.startswith("model.ckpt"):  # a file in the folder of a checkpoint
    folder, name = os.path.split(folder)
  run_path, parent = os.path.split(folder)
  if parent != "checkpoints" or not os.path.exists(
      os.path.join(run_path, "config.json")):
    return RunDirectory(path), checkpoint
  run = RunDirectory(run_path or os.curdir)
  named = {os.path.basename(c.path): c for c in run.checkpoints()}
  if name not in named:
    raise RunError(f"{path}: no such checkpoint; the run has "
                   f"{', '.join(named) or 'none yet'}")
  for setting, value, default in (("checkpoint", checkpoint, "last"),
                                  ("average_last", average_last, 1)):
    if value != default:
      raise SettingError(
          setting, f"{path} is a checkpoint itself; leave out one of the two",
          value)
  return run, named[name]


def read(run: RunDirectory, variables: Sequence[tf.Variable],
         checkpoint: str | Checkpoint = "last", average_last: int = 1
         ) -> tuple[str, dict[str, np.ndarray]]:
  """Reads the parameters of a run.

  A warning says if the last epoch is far behind the best one.

  Args:
    variables: the parameters of the model.
    checkpoint: "last", "best" (by validation), or one of the run.
    average_last: the number of last epochs whose parameters are averaged.

  Returns:
    name, values: the run with its epochs, as shown to the user, and a dict,
    variable name -> array.

  Raises:
    RunError: there is no checkpoint, or it cannot be used.
    SettingError: there are no such checkpoints.
  """
  used, values = _read(run, variables, checkpoint, average_last)
  if checkpoint == "last" and average_last == 1:
    _warn_if_behind(run, used[0])
  epochs = ", ".join(f"epoch {c.epoch}" if c.epoch else f"step {c.step}"
                     for c in used)
  name = f"{run.path} ({epochs})"
  check_finite(name, values)
  return name, values


def _read(run: RunDirectory, variables: Sequence[tf.Variable],
          checkpoint: str | Checkpoint, average_last: int
          ) -> tuple[list[Checkpoint], dict[str, np.ndarray]]:
  """Returns the checkpoints to use, and the average of their parameters."""
  used = _select(run, checkpoint, average_last)
  while used:
    try:
      return used, average(run.read(c, variables)[1] for c in used)
    except DamagedError as error:
      before, used = used, _select(run, checkpoint, average_last)
      if isinstance(checkpoint, Checkpoint):
        raise RunError(f"damaged checkpoint: {error}; use another one"
                       ) from None
      if used == before:  # else training has replaced them in the meantime
        setting, value = (("average_last", average_last) if average_last > 1
                          else ("checkpoint", checkpoint))
        raise SettingError(
            setting, f"damaged checkpoint: {error}; leave it out to use the "
            "newest readable checkpoint", value) from None
  newest = run.read_newest(variables)
  if not newest:
    raise RunError(f"{run.path}: has no checkpoint yet")
  return [newest[0]], newest[2]


def _select(run: RunDirectory, checkpoint: str | Checkpoint,
            average_last: int) -> list[Checkpoint]:
  """Returns the checkpoints to average.

  An empty list means the newest readable checkpoint. An average is taken over
  the ends of epochs, without the copy of the best.
  """
  if isinstance(checkpoint, Checkpoint):
    return [checkpoint]
  if checkpoint not in ("last", "best"):
    raise SettingError("checkpoint", "must be last or best", checkpoint)
  if average_last < 1:
    raise SettingError("average_last", "must be at least 1", average_last)
  if average_last > 1:
    if checkpoint != "last":
      raise SettingError(
          "checkpoint", f"average_last={average_last} averages the last "
          "epochs; leave out one of the two", checkpoint)
    epochs = [c for c in run.checkpoints() if c.epoch and not c.best]
    if len(epochs) < average_last:
      raise SettingError(
          "average_last", f"{run.path} has the checkpoints of only "
          f"{len(epochs)} epoch{'s' * (len(epochs) != 1)}; lower it, or train "
          f"with keep={average_last} or more", average_last)
    return epochs[:average_last]
  if checkpoint == "last":
    return []
  if best := run.best():
    return [best]
  if checkpoints := run.checkpoints():
    problem = (f"{run.path} has no checkpoint of a best epoch by validation"
               if any(c.epoch for c in checkpoints) else
               f"no epoch of {run.path} has ended yet")
    raise SettingError("checkpoint", f"{problem}; leave it out", checkpoint)
  raise RunError(f"{run.path}: has no checkpoint yet")


def _warn_if_behind(run: RunDirectory, last: Checkpoint) -> None:
  """Warns if the last epoch is much worse than the best by validation."""
  with contextlib.suppress(DamagedError):  # training may have deleted it
    figures = valid_figures(last.journal()["rows"])
    best = run.best()
    if not best or best.epoch not in figures:
      return
    epoch, lowest = max(figures), figures[best.epoch]
    if figures[epoch] > (1 + _FAR_BEHIND) * lowest:
      _log.warning(
          "%s: on validation, epoch %s, the last, is far behind epoch %s, the "
          "best (%.3f and %.3f; lower is better); checkpoint=best uses that",
          run.path, epoch, best.epoch, figures[epoch], lowest)
