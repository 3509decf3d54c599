"""The output of `speed.py`: tables, remarks, a chart and files."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.comparison import Comparison, Result
from benchmarks.contenders import EAGER_TORCH, PEERS

_MUCH_LOAD = 0.05  # share of the machine for others above which to warn
_SHOWN_OPS = 20


def table(results: Sequence[Result],
          limits: Mapping[str, float]) -> Iterator[str]:
  """Generates the lines of a table, one row per contender, and the limits.

  Args:
    limits: see `gemms.limits`.
  """
  first = results[0]
  yield (f"{'':<18}{'words/s':>9}{'lowest':>9}{'highest':>9}"
         f"{first.name + ' is':>12}{'peak MB':>9}{'first step':>12}"
         f"{'of limit':>10}{'by shape':>10}")
  for result in results:
    yield (f"{result.name:<18}{result.rate:>9.0f}{min(result.rates):>9.0f}"
           f"{max(result.rates):>9.0f}{result.ratio:>11.2f}x"
           f"{result.peak / 1024:>9.0f}{result.first_step:>10.1f} s"
           f"{result.rate / limits['limit']:>10.2f}"
           f"{result.rate / limits['by shape']:>10.2f}")
  yield (f"limit: {limits['limit']:.0f} words/s at {limits['rate'] / 1e9:.0f} "
         f"GFLOP/s, {limits['by shape']:.0f} by shape")
  eager = [result for result in results if result.name in EAGER_TORCH]
  if eager:
    best = min(eager, key=lambda result: result.ratio)
    yield (f"{first.name} is {best.ratio:.2f} times as fast as eager "
           f"PyTorch at its best ({best.name})")


def remarks(comparison: Comparison) -> Iterator[str]:
  """Generates lines that say how reliable a comparison is."""
  for name, error in comparison.failed.items():
    yield f"{name} is left out: {error}"
  share = comparison.other_load.share
  if share is not None:
    yield f"other processes took {share:.0%} of the machine meanwhile" + (
        "; this slows some contenders more than others, above all PyTorch, "
        "and the limit was measured at the best moments: repeat this on an "
        "idle machine" if share > _MUCH_LOAD else "")


def profile(name: str, trace: Mapping[str, Any],
            num_cores: int) -> Iterator[str]:
  """Generates lines that say where the time of a step goes.

  Args:
    trace: see `breakdown.trace_steps`.
  """
  wall, busy = trace["wall"], trace["busy"]
  idle = 1 - busy / wall / num_cores
  idle_of_system = 1 - trace["cpu"] / wall / num_cores
  yield (f"{name}: {wall:.1f} ms per step, traced; {busy:.1f} ms in ops on "
         f"{num_cores} cores, {idle:.0%} idle ({idle_of_system:.0%} according "
         "to the system, which counts all threads of an op, also while they "
         "wait)")
  for kind, (milliseconds, number) in sorted(
      trace["ops"].items(), key=lambda item: -item[1][0])[:_SHOWN_OPS]:
    yield (f"{milliseconds:>9.2f} ms {milliseconds / busy:>6.1%} "
           f"{number:>6.0f}  {kind}")


def draw(path: str, by_title: Mapping[str, Sequence[Result]],
         columns: int) -> None:
  """Draws bar charts of the contenders' words per second.

  Args:
    by_title: the results of each chart, by its title.
    columns: the number of charts side by side.
  """
  import matplotlib
  matplotlib.use("Agg")
  from matplotlib import pyplot

  rows = len(by_title) // columns
  figure, axes = pyplot.subplots(
      rows, columns, figsize=(4 * columns, 3.6 * rows), squeeze=False)
  for ax, (title, results) in zip(axes.flat, by_title.items(), strict=True):
    names = [result.name for result in results][::-1]
    rates = [result.rate for result in results][::-1]
    bars = ax.barh(names, rates, color=[
        "0.7" if name in PEERS else "lightsteelblue" for name in names])
    bars[-1].set_color("tab:blue")
    ax.bar_label(bars, [f" {rate:,.0f}" for rate in rates], fontsize=8)
    ax.set_title(title)
    ax.set_xlim(0, max(rates) * 1.2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.set_xlabel("words per second of training", fontsize=8)
  figure.tight_layout()
  figure.savefig(path, dpi=120)


def save(folder: str, lines: Iterable[str],
         by_title: Mapping[str, Sequence[Result]], columns: int) -> None:
  """Writes speed.txt, speed.csv and speed.png; for a profile, profile.txt.

  Args:
    lines: the printed lines.
    by_title, columns: see `draw`; a profile has no results.
  """
  name = "speed" if by_title else "profile"
  with open(os.path.join(folder, f"{name}.txt"), "w") as file:
    file.writelines(line + "\n" for line in lines)
  if not by_title:
    return
  with open(os.path.join(folder, "speed.csv"), "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["config", "contender", "round", "words_per_second"])
    for title, results in by_title.items():
      for result in results:
        writer.writerows([title, result.name, number, f"{rate:.1f}"]
                         for number, rate in enumerate(result.rates, 1))
  draw(os.path.join(folder, "speed.png"), by_title, columns)
