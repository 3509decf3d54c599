"""TensorBoard's curves within an epoch."""

from typing import Any

from rnn.runs.training_run import TrainingRun
from rnn.training.metrics import Metric
from rnn.training.passes import Sums


class StepCurves:
  """The curves of one epoch, with one or two hundred points."""

  def __init__(self, run: TrainingRun, metric: Metric, rate: float, size: int,
               first: int, sums: Sums) -> None:
    """Adds no point yet.

    Args:
      run: the run directory.
      rate: the learning rate of the epoch.
      size: windows per epoch.
      first, sums: the windows that are done already, and the sums after them.
    """
    self._run, self._metric, self._rate = run, metric, rate
    self._distance = max(size // 100, 1)  # windows between two points
    self._logged = first, sums

  def add(self, step: int, done: int, sums: Sums, per_second: float) -> None:
    """Adds a point if it is due.

    Args:
      step: of training, in all epochs.
      done, sums: the windows that are done, and the sums after them.
      per_second: targets per second.

    Raises:
      RunError: the run cannot be written.
    """
    logged, logged_sums = self._logged
    steps = done - logged
    if steps < self._distance:
      return
    new = difference(sums, logged_sums)
    self._run.log(step, {
        f"steps/train_{self._metric.name}": self._metric.compute(new),
        "steps/learning_rate": self._rate,
        "steps/grad_norm": new["grad_norm"] / steps,
        "steps/clip_rate": new["clipped"] / steps,
        f"steps/{self._metric.unit}_per_second": per_second})
    self._logged = done, sums


def difference(sums: Sums, before: Sums) -> dict[str, Any]:
  """Returns what was added to the sums since an earlier point."""
  return {name: sums[name] - value for name, value in before.items()}
