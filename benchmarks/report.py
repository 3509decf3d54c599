"""The output of `speed.py`: tables, remarks and files."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import chart
from benchmarks.comparison import Comparison, Result
from benchmarks.contenders import EAGER_TORCH

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


def save(folder: str, lines: Iterable[str],
         by_title: Mapping[str, Sequence[Result]]) -> None:
  """Writes speed.txt, speed.csv and speed.png; for a profile, profile.txt.

  Args:
    lines: the printed lines.
    by_title: the results by title, such as "small, 2 cores"; empty for a
      profile.
  """
  name = "speed" if by_title else "profile"
  with open(os.path.join(folder, f"{name}.txt"), "w") as file:
    file.writelines(line + "\n" for line in lines)
  if by_title:
    path = os.path.join(folder, "speed.csv")
    chart.write_figures(path, by_title)
    chart.save(os.path.join(folder, "speed.png"),
               chart.panels(chart.read_figures(path)))
