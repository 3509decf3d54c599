"""The rows of a run, one dict of metrics per epoch: which epoch is the best."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def valid_figures(rows: Sequence[Row],
                  metric: str | None = None) -> dict[int, float]:
  """Returns the metric on the validation split, by epoch.

  Args:
    metric: its name, as in "valid_METRIC". By default the first of this form
      in each row.
  """
  figures = {}
  for row in rows:
    name = f"valid_{metric}" if metric else next(
        (key for key in row if key.startswith("valid_")), "")
    if row.get(name) is not None:
      figures[row["epoch"]] = row[name]
  return figures


def ranking(figures: Mapping[int, float]) -> list[int]:
  """Returns the epochs, the best first: the lowest figure, then the earliest.

  {1: 3.0, 2: 2.5, 3: 2.5} -> [2, 3, 1]
  """
  return sorted(figures, key=lambda epoch: (figures[epoch], epoch))


def epochs_since_best(rows: Sequence[Row], metric: str | None = None) -> int:
  """Returns for how many epochs validation has not improved.

  It is 0 after the best epoch, and without validation.
  """
  figures = valid_figures(rows, metric)
  return max(figures) - ranking(figures)[0] if figures else 0
