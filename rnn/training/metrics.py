"""Metrics: the figures that a model is measured by."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence


def perplexity(nats: float, targets: float) -> float:
  """Returns exp(nats / targets); infinity if a float cannot hold it."""
  try:
    return math.exp(nats / targets)
  except OverflowError:
    return math.inf


@dataclasses.dataclass(frozen=True)
class Metric:
  """A metric. Lower values are better.

  Attributes:
    name: a Python name, such as "letter_error".
    compute: a function, the sums of a `SplitPass` -> the metric.
    unit: the targets in the plural, such as "letters".
    speed: the unit of speed as printed; if empty, `unit` followed by "/s".
    uniform: the metric of guessing uniformly, see `with_limit`; infinity if it
      is unknown.
    splits_without_limit: splits on which `uniform` is no limit.
  """

  name: str
  compute: Callable[[Mapping[str, float]], float]
  unit: str
  speed: str = ""
  uniform: float = math.inf
  splits_without_limit: Sequence[str] = ()

  @property
  def label(self) -> str:
    """The name in words, such as "letter error"."""
    return self.name.replace("_", " ")

  @property
  def title(self) -> str:
    """The label with capitals, such as "Letter Error"."""
    return self.label.title()

  def format_speed(self, per_second: float) -> str:
    """Returns a speed in targets per second as text; empty if it is NaN."""
    if math.isnan(per_second):
      return ""
    number = grouped(per_second).replace(",", "")  # as in the classic script
    return f"{number} {self.speed or f'{self.unit}/s'}"

  def with_limit(self, size: int, num_sampled: int = 0) -> "Metric":
    """Returns the metric for targets that are one of `size` words.

    Guessing uniformly gives each of them the probability 1 / size, so a target
    costs log(size) nats. This is no limit for the cost of a sampled softmax.

    Args:
      num_sampled: the candidates in training; 0: all words.
    """
    return dataclasses.replace(self, uniform=self.compute(
        {"nats": math.log(size), "targets": 1}),
        splits_without_limit=["train"] if num_sampled else [])

  def worse_than_uniform(
      self, figures: Mapping[str, float | None]) -> str | None:
    """Returns a warning if some figures are worse than guessing uniformly.

    Args:
      figures: a dict, name of a split -> metric on it; None stands for unknown.
    """
    worse = [name for name, figure in figures.items()
             if figure is not None and figure > self.uniform
             and name not in self.splits_without_limit]
    if not worse:
      return None
    advice = ("change learning_rate or max_grad_norm" if "train" in worse
              else "train for fewer epochs, or lower keep_prob or hidden_size")
    return (f"{self.label} above {round(self.uniform, 2):,.10g} on "
            f"{', '.join(worse)}: worse than guessing uniformly; {advice}")


PERPLEXITY = Metric(
    "perplexity", lambda sums: perplexity(sums["nats"], sums["targets"]),
    "words", "wps")


def grouped(number: float) -> str:
  """Returns a speed as text: "21,831", and "0.52" for a slow one."""
  return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def error_percent(unit: str, name: str = "error_percent") -> Metric:
  """Returns the share of targets, in percent, that are predicted wrongly.

  It computes this from the sum "errors".

  Args:
    unit, name: see `Metric`.
  """
  return Metric(name, lambda sums: 100 * sums["errors"] / sums["targets"], unit)
