"""The error of a training that diverges."""

import contextlib
import math
import os
from collections.abc import Sequence

from rnn.errors import UserError
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory


class DivergedError(UserError):
  """A loss, gradient, parameter or perplexity is not finite.

  A perplexity overflows above 709 nats per word.
  """


def error(position: str, what: str, learning_rate: float, good_norm: float,
          bad_norm: float | None, run: RunDirectory | None) -> DivergedError:
  """Returns the error to raise.

  Args:
    position: the epoch and the step.
    what: the fault, such as "a parameter is not finite".
    good_norm: the gradient norm of the last good step; NaN if there was none.
    bad_norm: the gradient norm of the step that diverged; None if this step is
      not known.
    run: it has the checkpoints to resume from.
  """
  before = ("" if bad_norm is None or math.isnan(good_norm)
            else f", {good_norm:g} one step before")
  norm = good_norm if bad_norm is None else bad_norm
  checkpoints: Sequence[Checkpoint] = []
  if run:
    with contextlib.suppress(RunError):  # divergence is the news
      checkpoints = run.checkpoints()
  return DivergedError(
      f"diverged at {position}: {what} (learning rate {learning_rate:g}, "
      f"gradient norm {norm:g}{before}); lower learning_rate or "
      "max_grad_norm, then " + (
          f"resume {run.path}, from its checkpoint "
          f"{os.path.basename(checkpoints[0].path)}"
          if run and checkpoints else "start again"), "config_override")
