"""Scores text with a trained model, or with the average of several.

    python score.py --save_path=runs/small --text=my.txt
    python score.py --save_path=A,B --text=ptb.test.txt --state=carry

A line of output for each line of the text; a summary on standard error.
"""

import collections
import contextlib
import dataclasses
import itertools
import json
import logging
import math
import os
import sys
import time

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
import tqdm
from absl import app, flags

import adaptation
import errors
import model_flags
import reader
import training

_log = logging.getLogger(__name__)

FLAGS = flags.FLAGS
STEPS, BATCH = 4, 64  # of the windows in which sentences are scored
_AT_ONCE = 4096, 1 << 18  # lines and tokens that are read, sorted by length


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of text.

  Attributes:
    key: what it is called in the output: its number from 1, or its id.
    words: list of str, with `<eos>` at the end.
    ids: int32 array, of these words.
  """

  key: object
  words: list
  ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A way in which words are given probabilities.

  Attributes:
    label: as in the summary.
    column: of the log-probability, in the output.
  """

  label: str
  column: str


def lines_of(texts, vocabulary, with_ids=False):
  """Generates a Line for each list of words.

  Args:
    texts: as `reader.read_lines` generates.
    with_ids: whether the first word of a line is the line's id.

  Raises:
    errors.UserError: a line has no id.
  """
  for number, words in enumerate(texts, 1):
    if with_ids and not words:
      raise errors.UserError(f"line {number} is blank: with --with_ids, each "
                             "line starts with an id")
    key, words = (words[0], words[1:]) if with_ids else (number, words)
    words = [*words, reader.EOS]
    yield Line(key, words, vocabulary.encode(words))


def estimates(models, kinds=("",)):
  """The list of Estimate that scores are given for, in that order.

  Args:
    models: TrainedModels; of several, first comes the average of their
      probabilities.
    kinds: as of `adaptation.kinds`.
  """
  labels = [model.name for model in models]
  if len(models) > 1:
    labels.insert(0, f"average of {len(models)}")
  return [
      Estimate(label + (f", {kind.replace('_', ' and ')}" if kind else ""),
               "_".join(filter(None, ["log_prob", kind, str(number or "")])))
      for kind in kinds for number, label in enumerate(labels)]


def combine(log_probs):
  """Adds to the models' log-probabilities that of their average.

  Args:
    log_probs: [models, kinds, N].

  Returns:
    [estimates, N], in the order of `estimates`. The probability of the average
    is the mean of the models' probabilities.
  """
  log_probs = np.asarray(log_probs, np.float64)
  if len(log_probs) > 1:
    with np.errstate(invalid="ignore"):  # of NaN, where there is no score
      mean = np.logaddexp.reduce(log_probs) - math.log(len(log_probs))
    log_probs = np.concatenate([mean[None], log_probs])
  return log_probs.swapaxes(0, 1).reshape(-1, log_probs.shape[-1])


def score_sentences(models, lines):
  """Scores each line by itself, as a sentence after `<eos>`.

  Args:
    models: TrainedModels with the same words.
    lines: iterable of Line; a few thousand are held at a time.

  Yields:
    line, log_probs: in the order of `lines`; natural logarithms, [estimates,
    words of the line].
  """
  with contextlib.ExitStack() as stack:
    windows = [stack.enter_context(m.open(STEPS)) for m in models]
    for chunk in _chunks(lines):
      found = [None] * len(chunk)
      by_length = sorted(range(len(chunk)), key=lambda i: len(chunk[i].ids))
      for start in range(0, len(chunk), BATCH):
        batch = by_length[start:start + BATCH]
        log_probs = _score_batch(
            windows, models[0].vocabulary.eos, [chunk[i].ids for i in batch])
        for i, line_log_probs in zip(batch, log_probs, strict=True):
          found[i] = line_log_probs
      yield from zip(chunk, found, strict=True)


def _chunks(lines):
  """Generates lists of lines, of a bounded number of words together."""
  chunk, tokens = [], 0
  for line in lines:
    chunk.append(line)
    tokens += len(line.ids)
    if len(chunk) >= _AT_ONCE[0] or tokens >= _AT_ONCE[1]:
      yield chunk
      chunk, tokens = [], 0
  if chunk:
    yield chunk


def _score_batch(windows, eos, sentences):
  """Scores sentences, the shortest first: a list of [estimates, words]."""
  scores = [_score_columns(model_windows, eos, sentences)
            for model_windows in windows]
  return [combine([log_probs[None] for log_probs in of_models])
          for of_models in zip(*scores, strict=True)]


def _score_columns(windows, eos, sentences):
  """Scores sentences with one model: a list of [words].

  Each is a column, here of two windows; it is left out once it has ended:

      <eos> <eos> <eos>        cat   sat
      .     no    the      ->  <eos> on
      <eos> .     cat           -    it
       -    <eos> ...           -    <eos>
  """
  scores = [[] for _ in sentences]
  state = None
  for start in range(0, len(sentences[-1]), STEPS):
    columns = [i for i, ids in enumerate(sentences) if len(ids) > start]
    words = np.full([STEPS + 1, len(columns)], reader.NO_TARGET, np.int32)
    for place, i in enumerate(columns):
      before = sentences[i][start - 1] if start else eos
      targets = sentences[i][start:start + STEPS]
      words[:len(targets) + 1, place] = [before, *targets]
    if state:  # the last columns are those that go on
      state = [type(layer)(*(part[-len(columns):] for part in layer))
               for layer in state]
    found = windows.run(
        ["losses", "final_state"], words[:-1], words[1:], state)
    state = found["final_state"]
    for place, i in enumerate(columns):
      size = len(sentences[i]) - start
      scores[i].append(-found["losses"][:size, place])
  return [np.concatenate(log_probs) for log_probs in scores]


def score_stream(models, lines, dynamic=None, cache=None):
  """Scores the lines as one stream, the state carried from line to line.

  The first word of all is read, but not scored, as in the test of a training.

  Args:
    models: TrainedModels with the same words.
    lines: iterable of Line; those of a window are held at a time.
    dynamic, cache: see `adaptation.Stream`; these add kinds of estimates.

  Yields:
    line, log_probs: as `score_sentences`; NaN for the very first word.
  """
  with contextlib.ExitStack() as stack:
    streams = [stack.enter_context(adaptation.Stream(model, dynamic, cache))
               for model in models]
    # Of words that were read, the first of all left unscored; by model.
    scored = [np.full([len(streams[0].kinds), 1], math.nan)] * len(streams)
    unfinished = collections.deque()
    for line in itertools.chain(lines, [None]):
      if line:
        unfinished.append(line)
      scored = [
          np.concatenate([before, stream.read(line and line.ids)], axis=1)
          for before, stream in zip(scored, streams, strict=True)]
      ready = min(log_probs.shape[1] for log_probs in scored)
      while unfinished and len(unfinished[0].ids) <= ready:
        size = len(unfinished[0].ids)
        yield unfinished.popleft(), combine([s[:, :size] for s in scored])
        scored = [log_probs[:, size:] for log_probs in scored]
        ready -= size


class Totals:
  """What the lines of a text come to.

  Attributes:
    lines, tokens, unk, unknown: how many lines; words that are scored, with
      every <eos>; of these, <unk>, and words that the vocabulary lacks.
  """

  def __init__(self, vocabulary):
    self._vocabulary = vocabulary
    self.lines = self.tokens = self.unk = self.unknown = 0
    self._nats = self._unk_nats = 0  # by estimate

  def add(self, line, log_probs):
    """Adds what `score_sentences` or `score_stream` yields."""
    scored = ~np.isnan(log_probs[0])
    unk = scored & (line.ids == self._vocabulary.unk)
    self.lines += 1
    self.tokens += int(scored.sum())
    self.unk += int(unk.sum())
    self.unknown += sum(
        word not in self._vocabulary
        for word in itertools.compress(line.words, scored))
    self._nats -= log_probs[:, scored].sum(axis=1)
    self._unk_nats -= log_probs[:, unk].sum(axis=1)

  def perplexities(self):
    """[estimates, 2]: of all tokens, and of those that are not <unk>."""
    return [(perplexity(nats, self.tokens),
             perplexity(nats - unk_nats, self.tokens - self.unk))
            for nats, unk_nats in zip(
                self._nats, self._unk_nats, strict=True)]


def perplexity(nats, targets):
  """exp(nats / targets); NaN where there are none."""
  return training.perplexity(nats, targets) if targets else math.nan


class Output:
  """Lines of TSV or JSON on standard output."""

  def __init__(self, columns, unk, base=math.e, as_json=False, per_word=False,
               with_ids=False, header=True):
    """Prints nothing yet; the header of TSV leads.

    Args:
      columns: of the estimates.
      unk: the id of <unk>.
      base: of the logarithms.
      per_word: whether to print what each word has.
      with_ids: whether the key of a line is an id.
    """
    self._columns, self._unk, self._scale = columns, unk, 1 / math.log(base)
    self._json, self._per_word = as_json, per_word
    self._key = "id" if with_ids else "line"
    self._header = header and not as_json

  def write(self, line, log_probs):
    """Prints what `score_sentences` or `score_stream` yields."""
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
      for word in self._words(line, log_probs):
        self._print_row(line.key, *word.values())
    else:
      self._print_row(*self._sums(line, log_probs).values())

  def _sums(self, line, log_probs):
    """The columns of a line, by name."""
    scored = ~np.isnan(log_probs[0])
    tokens, sums = int(scored.sum()), log_probs[:, scored].sum(axis=1)
    return {
        self._key: line.key, self._columns[0]: sums[0], "tokens": tokens,
        "unk": int((line.ids[scored] == self._unk).sum()),
        "perplexity": perplexity(-sums[0] / self._scale, tokens),
        **dict(zip(self._columns[1:], sums[1:], strict=True))}

  def _words(self, line, log_probs):
    """Generates the columns of each word, by name."""
    for word, id_, figures in zip(
        line.words, line.ids, log_probs.T, strict=True):
      yield {"word": word, "unk": int(id_ == self._unk),
             **dict(zip(self._columns, figures, strict=True))}

  def _print_row(self, *values):
    print(*(f"{value:.6f}" if isinstance(value, float) else value
            for value in values), sep="\t")


def _without_nan(record):
  """A dict whose numbers JSON can hold."""
  return {key: None if isinstance(value, float) and not math.isfinite(value)
          else value for key, value in record.items()}


def summary(totals, found, name, seconds):
  """The closing lines: sizes, speed and perplexity.

  Args:
    totals: a Totals.
    found: the list of Estimate.
    name: of the text.
    seconds: what scoring took.
  """
  width = max(len(estimate.label) for estimate in found) + 2
  return "\n".join([
      f"{name}: {totals.lines:,} lines, {totals.tokens:,} tokens, "
      f"{totals.unk:,} of them {reader.UNK} ({totals.unknown:,} not in the "
      f"vocabulary); {totals.tokens / seconds:.0f} words/s",
      f"{'perplexity':<{width}}{'all':>12}{'without <unk>':>15}",
      *(f"{estimate.label:<{width}}{_figure(every):>12}{_figure(known):>15}"
        for estimate, (every, known) in zip(
            found, totals.perplexities(), strict=True))])


def _figure(perplexity_):
  return f"{perplexity_:.3f}" if perplexity_ < 1e6 else f"{perplexity_:.3g}"


def define_flags():
  """The flags of this script; `main` alone reads them."""
  model_flags.define(several=True)
  flags.adopt_module_key_flags(model_flags)  # for --help
  flags.DEFINE_string("text", "-", "The text to score, a sentence a line; - is "
                      "standard input.")
  flags.register_validator("text", bool, "no name; - is standard input")
  flags.DEFINE_enum("state", "reset", ["reset", "carry"],
                    "Score each line by itself, after <eos>, or all as one "
                    "stream, as the test of a training does.")
  flags.DEFINE_enum("output", "tsv", ["tsv", "json"],
                    "The format: columns, or an object of JSON a line.")
  flags.DEFINE_bool("header", True, "Begin the columns with their names.")
  flags.DEFINE_bool("per_word", False, "Give the score of each word.")
  flags.DEFINE_bool("with_ids", False,
                    "The first word of a line is its id, and passed through.")
  flags.DEFINE_enum("log_base", "e", ["e", "2", "10"], "Of the logarithms.")
  flags.DEFINE_string(
      "dynamic", None, "Score also by dynamic evaluation, with this learning "
      f"rate, or \"default\", {adaptation.DYNAMIC:g}. Needs --state=carry.")
  flags.DEFINE_string(
      "cache", None, "Score also with a cache of hidden states: "
      "SIZE,THETA,LAMBDA, or \"default\", "
      f"{','.join(f'{x:g}' for x in adaptation.CACHE)}. Needs --state=carry.")


def main(argv):
  """Scores as the flags say."""
  with command_line.complaints(argv[0], stdout_is_data=True):
    adaptations = _adaptations()
    models = model_flags.load_several()
    _check_memory(models, **adaptations)
    vocabulary = models[0].vocabulary
    if FLAGS.with_ids and isinstance(vocabulary, reader.Characters):
      raise errors.UserError("--with_ids: is for models of words; leave it out")
    lines = lines_of(reader.read_lines(FLAGS.text, vocabulary.split),
                     vocabulary, FLAGS.with_ids)
    if FLAGS.state == "carry":
      found = estimates(models, adaptation.kinds(**adaptations))
      scores = score_stream(models, lines, **adaptations)
    else:
      found = estimates(models)
      scores = score_sentences(models, lines)
    output = Output(
        [estimate.column for estimate in found], vocabulary.unk,
        math.e if FLAGS.log_base == "e" else int(FLAGS.log_base),
        FLAGS.output == "json", FLAGS.per_word, FLAGS.with_ids, FLAGS.header)
    totals = Totals(vocabulary)
    start = time.perf_counter()
    with tqdm.tqdm(unit=" words", unit_scale=True, leave=False,
                   disable=not sys.stderr.isatty() or sys.stdout.isatty()
                   ) as progress:
      for line, log_probs in scores:
        output.write(line, log_probs)
        totals.add(line, log_probs)
        progress.update(len(line.ids))
    sys.stdout.flush()
    name = "standard input" if FLAGS.text == "-" else FLAGS.text
    if not totals.tokens:
      raise reader.DataError(f"{name}: has no word to score; --state=carry "
                             "only reads the first one")
    if adaptations["dynamic"] and not all(
        math.isfinite(figures[0]) for figures in totals.perplexities()):
      _log.warning("dynamic evaluation has diverged; lower --dynamic")
    _log.info("%s", summary(totals, found, name, time.perf_counter() - start))


def _adaptations():
  """What --dynamic and --cache say: arguments of an `adaptation.Stream`."""
  for name in "dynamic", "cache":
    if FLAGS[name].value is not None and FLAGS.state != "carry":
      raise errors.UserError(f"--{name}: adapts to a text from line to line; "
                             "give --state=carry too")
  return {"dynamic": _parse_dynamic(FLAGS.dynamic),
          "cache": _parse_cache(FLAGS.cache)}


def _parse_dynamic(text):
  if text in (None, "default"):
    return text and adaptation.DYNAMIC
  try:
    rate = float(text)
    if not 0 < rate <= 1e6:
      raise ValueError
    return rate
  except ValueError:
    raise errors.UserError(f"--dynamic={text}: must be a learning rate above "
                           '0 and at most 1e6, or "default"') from None


def _parse_cache(text):
  if text in (None, "default"):
    return text and adaptation.CACHE
  try:
    size, theta, lambda_ = text.split(",")
    settings = adaptation.Cache(int(size), float(theta), float(lambda_))
    if not (1 <= settings.size <= 10**12 and 0 <= settings.theta <= 1e6
            and 0 <= settings.lambda_ < 1):
      raise ValueError
    return settings
  except ValueError:
    raise errors.UserError(
        f"--cache={text}: must be SIZE,THETA,LAMBDA: a whole number of "
        "words from 1 to 10**12, a number from 0 to 1e6, and a share from 0 to "
        'below 1; or "default"') from None


def _check_memory(models, dynamic, cache):
  """Refuses a cache that this machine cannot hold."""
  if not cache:
    return
  needed = (2 if dynamic else 1) * sum(
      adaptation.cache_bytes(cache, model.config) for model in models)
  there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  if needed > there:
    raise errors.UserError(
        f"--cache: {cache.size:,} words take {needed / 1e9:,.1f} GB, and there "
        f"are {there / 1e9:,.1f} GB of memory; lower SIZE")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
