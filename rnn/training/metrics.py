"""Metrics: the figures that a model is measured by."""

import dataclasses
import math
from collections.abc import Callable, Mapping


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
  """

  name: str
  compute: Callable[[Mapping[str, float]], float]
  unit: str
  speed: str = ""

  @property
  def label(self) -> str:
    """The name in words, such as "letter error"."""
    return self.name.replace("_", " ")

  @property
  def title(self) -> str:
    """The label with capitals, such as "Letter Error"."""
    return self.label.title()

  def format_speed(self, per_second: float) -> str:
    """Returns a speed in targets per second as text."""
    return f"{per_second:.0f} {self.speed or f'{self.unit}/s'}"


PERPLEXITY = Metric(
    "perplexity", lambda sums: perplexity(sums["nats"], sums["targets"]),
    "words", "wps")
