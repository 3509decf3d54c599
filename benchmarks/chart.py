"""Draws a chart of training speed, from the figures of `speed.py`.

    python -m benchmarks.chart --figures=DIR/speed.csv --output=DIR/speed.png

There is a panel for each model, with its figures on the most cores. It has at
most six contenders, by the names in `CONTENDERS`; speed.txt has all of them.
PyTorch's `nn.LSTM` is shown with the fastest of its optimizers.
"""

import csv
import os
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from benchmarks.comparison import Result
from benchmarks.contenders import EAGER_TORCH
from rnn import files
from rnn.cli import scripts
from rnn.errors import UserError

if TYPE_CHECKING:
  from matplotlib.figure import Figure

FLAGS = flags.FLAGS

# The peers in the chart: label -> names, the fastest of which is shown. Above
# them stand the first contender and the same in bfloat16.
CONTENDERS = {
    "PyTorch, bfloat16": ("torch-bfloat16",),
    "PyTorch": EAGER_TORCH,
    "classic script": ("classic",),
    "Keras 3": ("keras",),
}
_OURS, _OURS_BFLOAT16 = "this suite", "this suite, bfloat16"
_COLORS = {_OURS: "#1f5fa8", _OURS_BFLOAT16: "#8db9e4",
           "PyTorch, bfloat16": "0.82"}
_TITLE = "Words per second in training"
_COLUMNS = ["config", "contender", "round", "words_per_second"]

Results = Mapping[str, Sequence[Result]]  # by title, such as "small, 2 cores"


def write_figures(path: str, by_title: Results) -> None:
  """Writes the words per second of each round to a CSV file."""
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for title, results in by_title.items():
      for result in results:
        writer.writerows([title, result.name, number, f"{rate:.1f}"]
                         for number, rate in enumerate(result.rates, 1))


def read_figures(path: str) -> dict[str, dict[str, list[float]]]:
  """Returns the words per second of each round: title -> contender -> rates.

  Raises:
    UserError: the file cannot be read, or has other columns.
  """
  figures: dict[str, dict[str, list[float]]] = {}
  with files.open_text(path) as file:
    rows = csv.DictReader(file)
    if rows.fieldnames != _COLUMNS:
      raise UserError(f"{path}: the columns are not {', '.join(_COLUMNS)}; "
                      "name a speed.csv of benchmarks.speed")
    for row in rows:
      if not (re.fullmatch(r"\w+, [1-9]\d* cores?", row["config"] or "")
              and re.fullmatch(r"\d+\.\d", row["words_per_second"] or "")):
        raise UserError(f"{path}, line {rows.line_num}: not a figure of "
                        "benchmarks.speed; restore the file")
      figures.setdefault(row["config"], {}).setdefault(
          row["contender"], []).append(float(row["words_per_second"]))
  if not figures:
    raise UserError(f"{path}: has no figures; run benchmarks.speed again")
  return figures


def panels(figures: Mapping[str, Mapping[str, Sequence[float]]]
           ) -> dict[str, dict[str, float]]:
  """Returns the bars of the chart: panel -> label -> words per second.

  Args:
    figures: see `read_figures`.

  Returns:
    By model, in the order of the figures, each with the most cores.
  """
  chosen: dict[str, tuple[int, str]] = {}
  for title in figures:
    model, _, cores = title.partition(", ")
    number = int(cores.split()[0])
    if number > chosen.get(model, (0, ""))[0]:
      chosen[model] = number, title
  return {title: dict(_bars(figures[title])) for _, title in chosen.values()}


def _bars(rates: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
  """Generates the bars of a panel: label, median words per second."""
  first = next(iter(rates))
  names = {_OURS_BFLOAT16: (f"{first}-bfloat16",), _OURS: (first,)} | CONTENDERS
  for label, group in names.items():
    medians = [statistics.median(rates[name]) for name in group
               if name in rates]
    if medians:
      yield label, max(medians)


def save(path: str, bars: Mapping[str, Mapping[str, float]],
         title: str = _TITLE) -> None:
  """Writes the chart to a PNG file; see `draw`."""
  draw(bars, title).savefig(path, dpi=160)


def draw(bars: Mapping[str, Mapping[str, float]],
         title: str = _TITLE) -> "Figure":
  """Returns the chart.

  Args:
    bars: see `panels`.
    title: stands above all panels.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(1 + 3.6 * len(bars), 3.6))
  axes = figure.subplots(1, len(bars), squeeze=False, sharey=True)
  labels = list(dict.fromkeys(
      label for panel in bars.values() for label in panel))[::-1]
  for ax, (name, panel) in zip(axes.flat, bars.items(), strict=True):
    shown = [label for label in labels if label in panel]
    drawn = ax.barh(shown, [panel[label] for label in shown], height=0.72,
                    color=[_COLORS.get(label, "0.65") for label in shown])
    texts = ax.bar_label(drawn, [f"{panel[label]:,.0f}" for label in shown],
                         padding=4, fontsize=12)
    for label, text in zip(shown, texts, strict=True):
      text.set_fontweight("bold" if label == _OURS else "normal")
    ax.set_title(name, fontsize=15, loc="left")
    ax.set_xlim(0, max(panel.values()) * 1.25)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.tick_params(left=False, labelsize=13)
    ax.set_xticks([])
  for tick in axes[0, 0].get_yticklabels():
    tick.set_fontweight("bold" if tick.get_text() == _OURS else "normal")
  figure.suptitle(title, fontsize=17)
  figure.tight_layout(w_pad=2)
  return figure


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_list("figures", None, "Files speed.csv, with commas between. A "
                    "later one replaces the panels that it has, too.")
  flags.DEFINE_string("output", "speed.png", "The picture.")
  flags.DEFINE_string("title", _TITLE, "The line above the panels.")
  flags.mark_flag_as_required("figures")


def main(argv: Sequence[str]) -> None:
  """Draws the chart that the flags describe."""
  with scripts.error_lines(argv[0]):
    figures = {title: rates for path in FLAGS.figures
               for title, rates in read_figures(path).items()}
    try:
      save(FLAGS.output, panels(figures), FLAGS.title)
    except (OSError, ValueError) as error:  # ValueError: an unknown ending
      raise UserError(
          f"--output={FLAGS.output}: {getattr(error, 'strerror', error)}; "
          "choose another file") from None
    print(f"{os.path.relpath(FLAGS.output)}: written", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
