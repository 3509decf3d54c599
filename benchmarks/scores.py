"""Perplexities in the transcripts of `score.py` and of `adaptation`."""

import math
import re
from collections.abc import Mapping, Sequence

# Split -> label of an estimate -> perplexity.
Scores = dict[str, dict[str, float]]

_TEXT = re.compile(r"^\S*?(valid|test)\.\S*: [\d,]+ lines?, ")
_ROW = re.compile(r"^(\S.*?) +(\d+\.\d+) +\d+\.\d+$")
_SETTING = re.compile(r"^(static|(?:cache|dynamic) \S+) +(\d+\.\d+)$",
                      re.MULTILINE)


def read_scores(text: str) -> Scores:
  """Returns the perplexities of all words, from transcripts of `score.py`.

  The texts that were scored must have "valid" or "test" in their names.
  """
  scores: Scores = {}
  split = ""
  for line in text.splitlines():
    if match := _TEXT.match(line):
      split = match[1]
    elif split and (match := _ROW.match(line)):
      scores.setdefault(split, {})[match[1]] = float(match[2])
  return scores


def by_method(scores: dict[str, float]) -> dict[str, float]:
  """Returns the perplexity by method of adaptation, for a single model.

  The methods are "", "cache", "dynamic", and "dynamic and cache".
  """
  methods = {}
  for label, figure in scores.items():
    match = re.search(", (cache|dynamic|dynamic and cache)$", label)
    methods[match[1] if match else ""] = figure
  return methods


def read_settings(text: str) -> dict[str, float]:
  """Returns the perplexity of each setting that `adaptation` has tried.

  A setting is "static", "dynamic RATE" or "cache SIZE,THETA,LAMBDA".
  """
  return {setting: float(figure) for setting, figure
          in _SETTING.findall(text)}


def best(tried: Sequence[Mapping[str, float]], method: str) -> str | None:
  """Returns the best setting of a method for all of some models.

  It has the lowest mean logarithm of perplexity over the models, among the
  settings that were tried with all of them.

  Args:
    tried: for each model, the perplexity by setting.
    method: "cache" or "dynamic".

  Returns:
    The setting; None if there is none that was tried with all models.
  """
  settings = [setting for setting in tried[0] if setting.startswith(method)
              and all(setting in others for others in tried)]
  return min(settings, default=None, key=lambda setting: sum(
      math.log(figures[setting]) for figures in tried))
