"""The output of scoring: columns or JSON for each line, and a summary."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn.errors import escaped
from rnn.text.vocabulary import UNK
from trained.scoring import Estimate, Line, Totals, perplexity_or_nan


class Output:
  """Scores on standard output, as TSV or JSON."""

  def __init__(self, columns: Sequence[str], unk: int, base: float = math.e,
               as_json: bool = False, per_word: bool = False,
               with_ids: bool = False, header: bool = True,
               escapes: bool = False) -> None:
    """Prints nothing yet.

    Args:
      columns: the columns of the estimates.
      unk: the id of `<unk>`.
      base: the base of the logarithms.
      per_word: whether to print the scores of each word.
      with_ids: whether the key of a line is an id.
      header: whether TSV starts with the names of the columns.
      escapes: whether words may hold tabs, as characters may. In TSV, what
        cannot be printed is then escaped as in Python, and a backslash is two.
    """
    self._columns, self._unk, self._scale = columns, unk, 1 / math.log(base)
    self._json, self._per_word = as_json, per_word
    self._key = "id" if with_ids else "line"
    self._header = header and not as_json
    self._escapes = escapes

  def write(self, line: Line, log_probs: np.ndarray) -> None:
    """Prints a line as `score_sentences` or `score_stream` yields it."""
    log_probs = log_probs * self._scale
    if self._header:
      first, *others = self._columns
      print(self._key, *(
          ["word", "unk", *self._columns] if self._per_word else
          [first, "tokens", "unk", "perplexity", *others]), sep="\t")
      self._header = False
    if self._json:
      record = _without_nan(self._sums(line, log_probs))
      if self._per_word:
        record["words"] = [
            _without_nan(word) for word in self._words(line, log_probs)]
      print(json.dumps(record, ensure_ascii=False))
    elif self._per_word:
      for columns in self._words(line, log_probs):
        if self._escapes:
          columns["word"] = escaped(columns["word"].replace("\\", "\\\\"))
        self._print_row(line.key, *columns.values())
    else:
      self._print_row(*self._sums(line, log_probs).values())

  def _sums(self, line: Line, log_probs: np.ndarray) -> dict[str, Any]:
    """Returns the columns of a line, by name."""
    scored = ~np.isnan(log_probs[0])
    tokens, sums = int(scored.sum()), log_probs[:, scored].sum(axis=1)
    return {
        self._key: line.key, self._columns[0]: sums[0], "tokens": tokens,
        "unk": int((line.ids[scored] == self._unk).sum()),
        "perplexity": perplexity_or_nan(-sums[0] / self._scale, tokens),
        **dict(zip(self._columns[1:], sums[1:], strict=True))}

  def _words(self, line: Line,
             log_probs: np.ndarray) -> Iterator[dict[str, Any]]:
    """Generates the columns of each word, by name."""
    for word, id_, scores in zip(
        line.words, line.ids, log_probs.T, strict=True):
      yield {"word": word, "unk": int(id_ == self._unk),
             **dict(zip(self._columns, scores, strict=True))}

  def _print_row(self, *values: Any) -> None:
    print(*(f"{value:.6f}" if isinstance(value, float) else value
            for value in values), sep="\t")


def _without_nan(record: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a dict with None, JSON's null, for numbers that JSON lacks."""
  return {key: None if isinstance(value, float) and not math.isfinite(value)
          else value for key, value in record.items()}


def summary(totals: Totals, estimates: Sequence[Estimate], name: str,
            seconds: float) -> str:
  """Returns the closing lines: sizes, speed and perplexities.

  For a model of characters, bits per character follow.

  Args:
    name: the name of the text.
    seconds: the time that scoring took.
  """
  width = max(len(estimate.label) for estimate in estimates) + 2
  if totals.unit == "characters":
    width = max(width, len("bits per character"))
  perplexities = totals.perplexities()
  lines = [
      f"{name}: {totals.lines:,} line{'s' * (totals.lines != 1)}, "
      f"{totals.tokens:,} tokens, "
      f"{totals.unk:,} of them {UNK} ({totals.unknown:,} not in the "
      f"vocabulary); {totals.tokens / seconds:.0f} {totals.unit}/s",
      *_table("perplexity", estimates, perplexities, width)]
  if totals.unit == "characters":
    lines += _table("bits per character", estimates, [
        tuple(map(math.log2, figures)) for figures in perplexities], width)
  return "\n".join(lines)


def _table(title: str, estimates: Sequence[Estimate],
           figures: Sequence[tuple[float, ...]], width: int) -> list[str]:
  """Returns a line of headings, and one line of figures per estimate."""
  return [
      f"{title:<{width}}{'all':>12}{'without <unk>':>15}",
      *(f"{estimate.label:<{width}}{_format(of_all):>12}{_format(of_known):>15}"
        for estimate, (of_all, of_known) in zip(
            estimates, figures, strict=True))]


def _format(figure: float) -> str:
  return f"{figure:.3f}" if figure < 1e6 else f"{figure:.3g}"
