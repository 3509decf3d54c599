"""Progress of a pass on the screen, and the summary at the end of a run."""

import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tqdm

from reader import SPLITS
from rnn import terminal
from rnn.tf1 import tf
from rnn.training import passes
from rnn.training.metrics import PERPLEXITY, Metric


class Progress:
  """Progress within an epoch: a bar on a terminal, else the classic lines."""

  def __init__(self, title: str, size: int, first: int = 0,
               lines: bool = False, metric: Metric = PERPLEXITY) -> None:
    """Starts at window `first` of `size`.

    Args:
      title: the text in front of the bar.
      lines: whether to print lines if standard output is no terminal.
    """
    self._size, self._metric = size, metric
    self._bar = tqdm.tqdm(
        total=size, initial=first, desc=title, leave=False,
        file=terminal.controllable(sys.stdout), dynamic_ncols=True,
        bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}",
        disable=not sys.stdout.isatty())
    self._prints = lines and self._bar.disable
    # As in the classic script: after ten windows of each tenth of an epoch.
    self._every = max(size // 10, 1)
    self._first = min(10, self._every - 1)

  def report(self, window: int, sums: passes.Sums, per_second: float) -> None:
    """Shows the arguments that `passes.run_pass` reports."""
    label, figure = self._metric.label, self._metric.compute(sums)
    self._bar.set_postfix_str(
        f"{label} {figure:.3f}, {per_second:.0f} {self._metric.unit}/s",
        refresh=False)
    self._bar.update()
    if self._prints and window % self._every == self._first:
      print(f"{window / self._size:.3f} {label}: {figure:.3f} "
            f"speed: {self._metric.format_speed(per_second)}", flush=True)

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, *_: object) -> None:
    self._bar.close()


def run_with_progress(session: tf.Session, title: str,
                      split_pass: passes.SplitPass,
                      check_stop: Callable[[], None] = lambda: None,
                      metric: Metric = PERPLEXITY) -> passes.PassResult:
  """Evaluates a split and shows the progress.

  Args:
    check_stop: called after each window; may raise `signals.Stopped`.
  """
  with Progress(title, split_pass.size, metric=metric) as progress:
    def report(window: int, sums: passes.Sums, per_second: float) -> None:
      progress.report(window, sums, per_second)
      check_stop()
    return passes.run_pass(session, split_pass, report)


def summary(rows: Sequence[Mapping[str, Any]], tests: Mapping[int, float],
            published: Mapping[str, Sequence[float | None]] | None = None,
            metric: Metric = PERPLEXITY) -> str:
  """Returns the closing lines: warnings, this run, published results.

  Args:
    rows, tests: as `loop.run_training` returns them.
    published: a dict, name -> (train, valid, test); None stands for unknown.
  """
  figures: dict[str, Sequence[float | None]] = {}
  for number in tests or [len(rows)]:
    row = rows[number - 1]
    name = ("this run" if number == len(rows)
            else f"this run, epoch {number}, best by valid")
    figures[name] = (row[f"train_{metric.name}"],
                     row.get(f"valid_{metric.name}"), tests.get(number))
  warnings = [f"{name}: {warning}" for name, row in figures.items()
              if (warning := metric.worse_than_uniform(
                  dict(zip(SPLITS, row, strict=True))))]
  figures.update(published or {})
  speeds = [row[f"{metric.unit}_per_second"] for row in rows
            if not math.isnan(row[f"{metric.unit}_per_second"])]
  minutes, seconds = divmod(round(sum(row["seconds"] for row in rows)), 60)
  return "\n".join([
      *warnings,
      *table(SPLITS, figures, metric),
      f"{statistics.median(speeds or [math.nan]):.0f} {metric.unit}/s in "
      f"training (median of {len(speeds)} epochs), {minutes} min {seconds} s "
      f"in all {len(rows)} epochs"])


def table(columns: Sequence[str],
          rows: Mapping[str, Sequence[float | None]],
          metric: Metric = PERPLEXITY) -> Iterator[str]:
  """Generates the lines of a table of a metric, one row per name."""
  yield f"{metric.label:<38}" + "".join(f"{name:>9}" for name in columns)
  for name, figures in rows.items():
    texts = ("-" if figure is None else
             f"{figure:.2f}" if 1 <= figure < 1e5 else f"{figure:.2g}"
             for figure in figures)
    yield f"{name:<38}" + "".join(f"{text:>9}" for text in texts)
