"""Scores a text with a trained model, or with the average of several.

    python score.py --save_path=runs/small --text=my.txt
    python score.py --save_path=A,B --text=ptb.test.txt --state=carry

Standard output gets one line per line of the text, standard error a summary.
"""

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.trained_model(several=True)
  flags.DEFINE_string("text", "-", "The text to score, one sentence per line: "
                      "a file, which may be compressed, a folder of files, or "
                      "a pattern; - is standard input.")
  flags.register_validator("text", bool, "no name; - is standard input")
  definitions.encoding()
  flags.DEFINE_enum("state", "reset", ["reset", "carry"],
                    "reset: score each line by itself, after <eos>. carry: "
                    "score the text as one stream, as the test at the end of "
                    "training does.")
  flags.DEFINE_enum("format", "tsv", ["tsv", "json"],
                    "The format: columns, or one JSON object per line.")
  definitions.normalize()
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
      "SIZE,THETA,LAMBDA, or \"default\", 700,0.5,0.15. Needs --state=carry.")


scripts.parse_first(__name__, define_flags)

import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypedDict

import tqdm

import reader
from rnn import memory, terminal
from rnn.errors import DataError, UserError
from rnn.text.preparation import Preparation
from rnn.text.vocabulary import Characters, split_blanks
from trained import adaptation, model_flags
from trained.model import TrainedModel
from trained.score_output import Output, summary
from trained.scoring import (
  Totals,
  lines_of,
  list_estimates,
  score_sentences,
  score_stream,
)

_log = logging.getLogger(__name__)


class Adaptations(TypedDict):
  """How models adapt to the text: arguments of an `adaptation.Stream`."""

  dynamic: float | None
  cache: adaptation.Cache | None


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
    preparation = Preparation(vocabulary, FLAGS.normalize)
    if FLAGS.text == "-" and sys.stdin and sys.stdin.isatty():
      _log.info("reading standard input, one sentence per line; Ctrl-D ends "
                "it (--text names a file)")
    lines = lines_of(
        reader.read_lines(FLAGS.text, _splitter(preparation), FLAGS.encoding),
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
        FLAGS.format == "json", FLAGS.per_word, FLAGS.with_ids, FLAGS.header,
        escapes=isinstance(vocabulary, Characters))
    totals = Totals(vocabulary, len(estimates))
    start = time.perf_counter()
    with tqdm.tqdm(unit=f" {totals.unit}", unit_scale=True, leave=False,
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
    if any(map(preparation.nearest_form, totals.unknown_words)):
      preparation.warn(totals.unknown_words)
    _log.info("%s", summary(
        totals, estimates, name, time.perf_counter() - start))


def _splitter(preparation: Preparation) -> Callable[[str], list[str]]:
  """Returns the function that splits a line into words, the id included."""
  if not (FLAGS.with_ids and FLAGS.normalize):
    return preparation.split

  def split(line: str) -> list[str]:
    id_ = split_blanks(line)[:1]
    return [*id_, *preparation.split("".join(
        line.split(id_[0], maxsplit=1)[1:]) if id_ else "")]
  return split


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
  memory.check([memory.Part(
      sum(adaptation.cache_bytes(cache, model, dynamic) for model in models),
      f"{cache.size:,} words in the cache", "lower SIZE of --cache")])


def command() -> None:
  """Runs the script; `pip install` makes it the command ptb-score."""
  scripts.run(main, define_flags)


if __name__ == "__main__":
  command()
