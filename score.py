"""Scores a text with a trained model, or with the average of several.

    python score.py --save_path=runs/small --text=my.txt
    python score.py --save_path=A,B --text=ptb.test.txt --state=carry

Standard output gets one line per line of the text, standard error a summary.
"""

from absl import flags

from rnn.cli import definitions, scripts
from rnn.text import encodings

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script; only `main` reads them."""
  definitions.trained_model(several=True)
  flags.DEFINE_string("text", "-", "The text to score, one sentence per line: "
                      "a file, which may be compressed, a folder of files, or "
                      "a pattern; - is standard input.")
  flags.register_validator("text", bool, "no name; - is standard input")
  flags.DEFINE_string("encoding", None, encodings.HELP)
  flags.DEFINE_enum("state", "reset", ["reset", "carry"],
                    "reset: score each line by itself, after <eos>. carry: "
                    "score the text as one stream, as the test at the end of "
                    "training does.")
  flags.DEFINE_enum("output", "tsv", ["tsv", "json"],
                    "The format: columns, or one JSON object per line.")
  flags.DEFINE_bool("header", True,
                    "Start the columns with a line of their names.")
  flags.DEFINE_bool("per_word", False, "Print the score of each word.")
  flags.DEFINE_bool("with_ids", False,
                    "Take the first word of each line as its id, which is "
                    "printed, but not scored.")
  flags.DEFINE_enum("log_base", "e", ["e", "2", "10"],
                    "The base of the logarithms.")
  flags.DEFINE_string(
      "dynamic", None, "Score also by dynamic evaluation, with this learning "
      "rate, or with \"default\", 0.14. Needs --state=carry.")
  flags.DEFINE_string(
      "cache", None, "Score also with a cache of hidden states: "
      "SIZE,THETA,LAMBDA, or \"default\", 700,0.4,0.15. Needs --state=carry.")


scripts.parse_first(__name__, define_flags)

import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import tqdm

import reader
from rnn import memory, terminal
from rnn.errors import DataError, UserError, escaped
from rnn.text.vocabulary import UNK, Characters
from trained import adaptation, model_flags
from trained.model import TrainedModel
from trained.scoring import (
  Estimate,
  Line,
  Totals,
  lines_of,
  list_estimates,
  perplexity_or_nan,
  score_sentences,
  score_stream,
)

_log = logging.getLogger(__name__)


class Adaptations(TypedDict):
  """How models adapt to the text: arguments of an `adaptation.Stream`."""

  dynamic: float | None
  cache: adaptation.Cache | None


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

  Args:
    name: the name of the text.
    seconds: the time that scoring took.
  """
  width = max(len(estimate.label) for estimate in estimates) + 2
  return "\n".join([
      f"{name}: {totals.lines:,} lines, {totals.tokens:,} tokens, "
      f"{totals.unk:,} of them {UNK} ({totals.unknown:,} not in the "
      f"vocabulary); {totals.tokens / seconds:.0f} words/s",
      f"{'perplexity':<{width}}{'all':>12}{'without <unk>':>15}",
      *(f"{estimate.label:<{width}}{_format(of_all):>12}{_format(of_known):>15}"
        for estimate, (of_all, of_known) in zip(
            estimates, totals.perplexities(), strict=True))])


def _format(perplexity: float) -> str:
  return f"{perplexity:.3f}" if perplexity < 1e6 else f"{perplexity:.3g}"


def main(argv: Sequence[str]) -> None:
  """Scores a text as the flags say."""
  with scripts.error_lines(argv[0], stdout_is_data=True):
    adaptations = _parse_adaptations()
    models = model_flags.load_several()
    _check_memory(models, **adaptations)
    vocabulary = models[0].vocabulary
    if FLAGS.with_ids and isinstance(vocabulary, Characters):
      raise UserError("--with_ids: this is a model of characters, but an id is "
                      "a word; leave it out")
    lines = lines_of(
        reader.read_lines(FLAGS.text, vocabulary.split, FLAGS.encoding),
        vocabulary, FLAGS.with_ids)
    if FLAGS.state == "carry":
      estimates = list_estimates(
          models, adaptation.list_methods(**adaptations))
      scores = score_stream(models, lines, **adaptations)
    else:
      estimates = list_estimates(models)
      scores = score_sentences(models, lines)
    output = Output(
        [estimate.column for estimate in estimates], vocabulary.unk,
        math.e if FLAGS.log_base == "e" else int(FLAGS.log_base),
        FLAGS.output == "json", FLAGS.per_word, FLAGS.with_ids, FLAGS.header,
        escapes=isinstance(vocabulary, Characters))
    totals = Totals(vocabulary, len(estimates))
    start = time.perf_counter()
    with tqdm.tqdm(unit=" words", unit_scale=True, leave=False,
                   file=terminal.controllable(sys.stderr), dynamic_ncols=True,
                   disable=not sys.stderr.isatty() or sys.stdout.isatty()
                   ) as progress:
      for line, log_probs in scores:
        output.write(line, log_probs)
        totals.add(line, log_probs)
        progress.update(len(line.ids))
    sys.stdout.flush()
    name = "standard input" if FLAGS.text == "-" else FLAGS.text
    if not totals.tokens:
      raise DataError(f"{name}: has no word to score, because --state=carry "
                      "only reads the first one; use --state=reset")
    if adaptations["dynamic"] and not all(
        math.isfinite(of_all) for of_all, _ in totals.perplexities()):
      _log.warning("dynamic evaluation diverged; lower --dynamic")
    _log.info("%s", summary(
        totals, estimates, name, time.perf_counter() - start))


def _parse_adaptations() -> Adaptations:
  """Returns the values of --dynamic and --cache."""
  for name in "dynamic", "cache":
    if FLAGS[name].value is not None and FLAGS.state != "carry":
      raise UserError(f"--{name}: adapts to a text from line to line, which "
                      "needs --state=carry")
  return {"dynamic": _parse_dynamic(FLAGS.dynamic),
          "cache": _parse_cache(FLAGS.cache)}


def _parse_dynamic(text: str | None) -> float | None:
  """Returns the learning rate of dynamic evaluation; None without the flag."""
  if text is None:
    return None
  if text == "default":
    return adaptation.DYNAMIC
  try:
    rate = float(text)
    if not 0 < rate <= 1e6:
      raise ValueError
    return rate
  except ValueError:
    raise UserError(f"--dynamic={text}: must be a learning rate above 0 and at "
                    'most 1e6, or "default"') from None


def _parse_cache(text: str | None) -> adaptation.Cache | None:
  """Returns the settings of the cache; None without the flag."""
  if text is None:
    return None
  if text == "default":
    return adaptation.CACHE
  try:
    size, theta, lambda_ = text.split(",")
    settings = adaptation.Cache(int(size), float(theta), float(lambda_))
    if not (1 <= settings.size <= 10**12 and 0 <= settings.theta <= 1e6
            and 0 <= settings.lambda_ < 1):
      raise ValueError
    return settings
  except ValueError:
    raise UserError(
        f"--cache={text}: must be SIZE,THETA,LAMBDA (SIZE, a number of words "
        "from 1 to 10**12; THETA, from 0 to 1e6; LAMBDA, a share from 0 to "
        'below 1) or "default"') from None


def _check_memory(models: Sequence[TrainedModel], dynamic: float | None,
                  cache: adaptation.Cache | None) -> None:
  """Raises a UserError if the caches need more memory than is available."""
  if not cache:
    return
  # Dynamic evaluation fills a second cache, with its own hidden states.
  memory.check([memory.Part(
      (2 if dynamic else 1) * sum(
          adaptation.cache_bytes(cache, model.config) for model in models),
      f"{cache.size:,} words in the cache", "lower SIZE of --cache")])


if __name__ == "__main__":
  scripts.run(main, define_flags)
