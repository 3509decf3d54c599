"""Progress of a pass on the screen, and the summary at the end of a run."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tqdm

from reader import SPLITS
from rnn import terminal
from rnn.tf1 import tf
from rnn.training import passes
from rnn.training.metrics import PERPLEXITY, Metric, grouped

# The columns that a bar has at least. Text that leaves fewer becomes shorter.
_BAR = 6


class Progress:
  """Progress within an epoch: a bar on a terminal, else the classic lines.

  Attributes:
    clock: the `Clock` of the windows.
  """

  def __init__(self, title: str, size: int, first: int = 0,
               lines: bool = False, metric: Metric = PERPLEXITY,
               more: float = 0, more_seconds: float = 0) -> None:
    """Starts at window `first` of `size`.

    Args:
      title: the text in front of the bar.
      lines: whether to print lines if standard output is no terminal.
      more, more_seconds: what follows in the run: windows that take as long as
        these, and seconds.
    """
    self._size, self._metric = size, metric
    self._more, self._more_seconds = more, more_seconds
    self.clock = Clock()
    self._title_width = len(title)
    self._bar = tqdm.tqdm(
        total=size, initial=first, desc=title, leave=False,
        file=terminal.controllable(sys.stdout), dynamic_ncols=True,
        bar_format="{l_bar}{bar}|{postfix}", disable=not sys.stdout.isatty())
    self._prints = lines and self._bar.disable
    # As in the classic script: after ten windows of each tenth of an epoch.
    self._every = max(size // 10, 1)
    self._first = min(10, self._every - 1)

  def report(self, window: int, sums: passes.Sums, per_second: float) -> None:
    """Shows the arguments that `passes.run_pass` reports."""
    label, figure = self._metric.label, self._metric.compute(sums)
    self.clock.tick()
    if not self._bar.disable:
      self._bar.set_postfix_str(
          self._postfix(window, figure, per_second), refresh=False)
      self._bar.update()
    if self._prints and window % self._every == self._first:
      speed = self._metric.format_speed(per_second)
      print(f"{window / self._size:.3f} {label}: {figure:.3f}"
            + f" speed: {speed}" * bool(speed), flush=True)

  def note(self, line: str) -> None:
    """Prints a line, above the bar if there is one."""
    if self._bar.disable:
      print(line, flush=True)
    else:
      self._bar.write(line, file=self._bar.fp)

  def _postfix(self, window: int, figure: float, per_second: float) -> str:
    """Returns the text after the bar, as far as the terminal has room."""
    left = None if self.clock.seconds is None else duration(
        self.clock.seconds * (self._size - window - 1 + self._more)
        + self._more_seconds) + " left"
    speed = self._metric.format_speed(per_second)
    room = ((self._bar.format_dict["ncols"] or 80) - self._title_width
            - len(": 100%||, ") - _BAR)
    named = f"{self._metric.label} {figure:.3f}"
    texts = [", ".join(filter(None, parts)) for parts in (
        (named, speed, left), (named, left), (f"{figure:.5g}", left))]
    return next((text for text in texts if len(text) <= room), texts[-1])

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, *_: object) -> None:
    self._bar.close()


class Clock:
  """The time per window, without the first one, which prepares the graph.

  Attributes:
    seconds: the mean so far; None before the second window.
    elapsed: seconds since the first window.
    ticks: windows so far.
  """

  def __init__(self) -> None:
    self.seconds: float | None = None
    self.ticks, self.elapsed, self._start = 0, 0.0, 0.0

  def tick(self) -> None:
    """Notes that a window has ended."""
    now = time.perf_counter()
    if self.ticks:
      self.elapsed = now - self._start
      self.seconds = self.elapsed / self.ticks
    else:
      self._start = now
    self.ticks += 1


def run_with_progress(session: tf.Session, title: str,
                      split_pass: passes.SplitPass,
                      check_stop: Callable[[], None] = lambda: None,
                      metric: Metric = PERPLEXITY,
                      more_seconds: float = 0) -> passes.PassResult:
  """Evaluates a split and shows the progress.

  Args:
    check_stop: called after each window; may raise `signals.Stopped`.
    more_seconds: see `Progress`.
  """
  with Progress(title, split_pass.size, metric=metric,
                more_seconds=more_seconds) as progress:
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
  seconds = duration(sum(row["seconds"] for row in rows))
  epochs = "1 epoch" if len(rows) == 1 else f"all {len(rows)} epochs"
  speed = [f"{grouped(statistics.median(speeds))} {metric.unit}/s in training"
           + f" (median of {len(speeds)} epochs)" * (len(speeds) > 1)
           ] if speeds else []
  return "\n".join([
      *warnings,
      *table(SPLITS, figures, metric),
      ", ".join([*speed, f"{seconds} in {epochs}"])])


def duration(seconds: float) -> str:
  """Returns a time in words of one or two units, such as "1 min 5 s"."""
  total = round(seconds)
  for size, unit, small, subunit in (
      (86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
    if total >= size:
      rest = total % size // small
      return f"{total // size} {unit}" + f" {rest} {subunit}" * bool(rest)
  return f"{total} s"


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
