"""The picture of a run: its metric by epoch, and the learning rate."""

import logging

from matplotlib import figure, ticker

# Its notes on fonts and caches are nothing to the user of a language model.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_TRAIN, _VALID, _REFERENCE = "#9a9a9a", "#1f5fa8", "#c0392b"


def draw(rows, path, title="", reference=None, metric="perplexity"):
  """Draws a learning curve, as a PNG file.

  Args:
    rows: dicts with the keys "epoch", "learning_rate", and the metric as
      "train_perplexity" and, if there is one, "valid_perplexity".
    reference: a label and a figure, drawn as a dashed line.
    metric: what takes the place of "perplexity" there.
  """
  epochs = [row["epoch"] for row in rows]
  picture = figure.Figure(figsize=(7, 5), layout="constrained", dpi=150)
  above, below = picture.subplots(2, sharex=True, height_ratios=(4, 1))
  for name, color in ("train", _TRAIN), ("valid", _VALID):
    figures = [row.get(f"{name}_{metric}") for row in rows]
    if None in figures:
      continue
    above.plot(epochs, figures, "o-", color=color, markersize=3.5,
               label=f"{name}, {_short(figures[-1])} after epoch {epochs[-1]}")
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
  above.set_title(title, loc="left")

  below.step(epochs, [row["learning_rate"] for row in rows], "o-",
             where="mid", color="black", linewidth=1, markersize=2)
  below.set_ylim(bottom=0)
  below.set_ylabel("learning rate")
  below.set_xlabel("epoch")
  below.set_xlim(0.5, epochs[-1] + 0.5)
  below.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
  for axes in above, below:
    axes.grid(True, color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
  picture.savefig(path, format="png")


def _short(figure):
  return (f"{figure:.2g}" if figure >= 1e5 else
          f"{figure:.1f}" if figure >= 10 else f"{figure:.3g}")
