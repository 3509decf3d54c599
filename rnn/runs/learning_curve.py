"""The picture of a run: its metric and its learning rate by epoch."""

import logging
import os
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from rnn.errors import escaped

# Hides matplotlib's messages about fonts and caches.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_TITLE_WIDTH = 56  # characters that fit in a line
_TRAIN, _VALID, _REFERENCE = "#9a9a9a", "#1f5fa8", "#c0392b"


def draw(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str],
         title: str = "", reference: tuple[str, float] | None = None,
         metric: str = "perplexity") -> None:
  """Draws a learning curve as a PNG file.

  Args:
    rows: dicts with the keys "epoch", "learning_rate", "train_METRIC" and, if
      there is validation, "valid_METRIC".
    reference: a label and a value, which is drawn as a dashed line.
    metric: the name of the metric, METRIC in the keys.
  """
  from matplotlib import figure, ticker  # slow, so only when it is needed

  epochs = [row["epoch"] for row in rows]
  # Not by pyplot, which keeps every figure in memory and looks for a screen.
  # One line of many settings would leave no place for the axes.
  lines = textwrap.wrap(escaped(title), _TITLE_WIDTH, break_on_hyphens=False)
  picture = figure.Figure(figsize=(7, 5 + 0.2 * max(len(lines) - 1, 0)),
                          layout="constrained", dpi=150)
  above, below = picture.subplots(2, sharex=True, height_ratios=(4, 1))
  for name, color in ("train", _TRAIN), ("valid", _VALID):
    key = f"{name}_{metric}"
    values = [row[key] for row in rows if row.get(key) is not None]
    if len(values) < len(rows):
      continue
    above.plot(epochs, values, "o-", color=color, markersize=3.5,
               label=f"{name}, {_short(values[-1])} after epoch {epochs[-1]}")
  if reference:
    label, value = reference
    above.axhline(value, color=_REFERENCE, linestyle="--", linewidth=1,
                  label=f"{label}, valid {value:g}")
  above.legend(frameon=False)
  if metric == "perplexity":
    above.set_yscale("log")
    above.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    above.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    above.yaxis.set_minor_locator(ticker.NullLocator())
  above.set_ylabel(metric.replace("_", " "))
  # The name of a folder is no formula, even if it is a$_$b.
  above.set_title("\n".join(lines), loc="left", parse_math=False)

  below.step(epochs, [row["learning_rate"] for row in rows], "o-",
             where="mid", color="black", linewidth=1, markersize=2)
  below.set_yscale("log")
  below.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
  below.yaxis.set_minor_locator(ticker.NullLocator())
  below.set_ylabel("learning rate")
  below.set_xlabel("epoch")
  below.set_xlim(0.5, epochs[-1] + 0.5)
  below.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
  for axes in above, below:
    axes.grid(True, color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
  with warnings.catch_warnings():
    # A letter that the font lacks, such as a Chinese one, is drawn as a box.
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    picture.savefig(path, format="png")


def _short(value: float) -> str:
  """Returns a value with about three digits."""
  return (f"{value:.2g}" if value >= 1e5 else
          f"{value:.1f}" if value >= 10 else f"{value:.3g}")
