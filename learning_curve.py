"""The picture of a run: perplexity by epoch, and the learning rate."""

import logging

from matplotlib import figure, ticker

# Its notes on fonts and caches are nothing to the user of a language model.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_TRAIN, _VALID, _REFERENCE = "#9a9a9a", "#1f5fa8", "#c0392b"


def draw(rows, path, title="", reference=None):
  """Draws a learning curve, as a PNG file.

  Args:
    rows: dicts with the keys "epoch", "train_perplexity", "valid_perplexity"
      and "learning_rate".
    reference: a label and a perplexity, drawn as a dashed line.
  """
  epochs = [row["epoch"] for row in rows]
  picture = figure.Figure(figsize=(7, 5), layout="constrained", dpi=150)
  above, below = picture.subplots(2, sharex=True, height_ratios=(4, 1))
  for name, color in ("train", _TRAIN), ("valid", _VALID):
    figures = [row[f"{name}_perplexity"] for row in rows]
    above.plot(epochs, figures, "o-", color=color, markersize=3.5,
               label=f"{name}, {_short(figures[-1])} after epoch {epochs[-1]}")
  if reference:
    label, value = reference
    above.axhline(value, color=_REFERENCE, linestyle="--", linewidth=1,
                  label=f"{label}, valid {value:g}")
  above.legend(frameon=False)
  above.set_yscale("log")
  above.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
  above.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
  above.yaxis.set_minor_locator(ticker.NullLocator())
  above.set_ylabel("perplexity")
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


def _short(perplexity):
  return f"{perplexity:.1f}" if perplexity < 1e5 else f"{perplexity:.2g}"
