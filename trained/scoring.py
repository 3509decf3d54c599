"""Scoring: the probabilities that trained models give to a text."""

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

import numpy as np

import reader
from rnn.errors import SettingError
from rnn.text.vocabulary import EOS, Characters, Vocabulary
from rnn.training import metrics
from trained import adaptation
from trained.model import ModelSession, TrainedModel

# T and the largest B of the windows in which sentences are scored.
_NUM_STEPS, _BATCH_SIZE = 4, 128
# Batches that are scored at a time: TensorFlow computes one while Python
# prepares the other.
_NUM_THREADS = 2
# At most this many lines or words are read at a time, and sorted by length.
_CHUNK_LINES, _CHUNK_WORDS = 4096, 1 << 18

_MAX_UNKNOWN = 1000  # unknown words that are remembered

# A line, and the natural logarithms of its words' probabilities.
Scores = Iterator[tuple["Line", np.ndarray]]

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of text.

  Attributes:
    key: the name of the line in the output: its number from 1, or its id.
    words: the words, with `<eos>` at the end.
    ids: int32 array, the ids of these words.
  """

  key: int | str
  words: list[str]
  ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Estimate:
  """One estimate of probabilities: by a model, or by an average of models.

  Attributes:
    label: the name in the summary.
    column: the name of the column of log-probabilities in the output.
  """

  label: str
  column: str


def lines_of(texts: Iterable[Sequence[str]], vocabulary: Vocabulary,
             with_ids: bool = False) -> Iterator[Line]:
  """Generates a Line for each list of words.

  Args:
    texts: the words of each line, as `reader.read_lines` generates them.
    with_ids: whether the first word of a line is the line's id.

  Raises:
    SettingError: a line has no id.
  """
  for number, words in enumerate(texts, 1):
    if with_ids and not words:
      raise SettingError("with_ids", f"line {number} is blank, but each line "
                         "must start with an id")
    key, words = (words[0], words[1:]) if with_ids else (number, words)
    words = [*words, EOS]
    yield Line(key, words, vocabulary.encode(words))


def list_estimates(models: Sequence[TrainedModel],
                   methods: Sequence[str] = ("",)) -> list[Estimate]:
  """Returns the estimates, in the order of the scores.

  If there are several models, the first estimate of each method is the average
  of their probabilities.

  Args:
    methods: as `adaptation.list_methods` returns them.
  """
  labels = [model.name for model in models]
  if len(models) > 1:
    labels.insert(0, f"average of {len(models)}")
  return [
      Estimate(label + (f", {method.replace('_', ' and ')}" if method else ""),
               "_".join(filter(None, ["log_prob", method, str(number or "")])))
      for method in methods for number, label in enumerate(labels)]


def combine(log_probs: Sequence[np.ndarray]) -> np.ndarray:
  """Adds the log-probabilities of the average of several models.

  Args:
    log_probs: [models, methods, N].

  Returns:
    [estimates, N], in the order of `list_estimates`. The probability of the
    average is the mean of the models' probabilities.
  """
  by_model = np.asarray(log_probs, np.float64)
  if len(by_model) > 1:
    with np.errstate(invalid="ignore"):  # a word without a score is NaN
      mean = np.logaddexp.reduce(by_model) - math.log(len(by_model))
    by_model = np.concatenate([mean[None], by_model])
  return by_model.swapaxes(0, 1).reshape(-1, by_model.shape[-1])


def score_sentences(models: Sequence[TrainedModel],
                    lines: Iterable[Line]) -> Scores:
  """Scores each line by itself, as a sentence after `<eos>`.

  If a line has an `<eos>` before its end, models with reset_state start again
  there.

  Args:
    models: models with the same words.
    lines: a few thousand are held in memory at a time.

  Yields:
    line, log_probs: in the order of `lines`; natural logarithms, [estimates,
    words of the line].
  """
  with contextlib.ExitStack() as stack:
    sessions = [stack.enter_context(model.open(_NUM_STEPS, has_padding=True))
               for model in models]
    threads = futures.ThreadPoolExecutor(_NUM_THREADS)
    stack.callback(threads.shutdown, cancel_futures=True)
    score = functools.partial(_score_batch, sessions, models[0].vocabulary.eos)
    # A chunk is scored while the caller uses the scores of the one before.
    for chunk, scores in _one_ahead(
        (chunk, _score_chunk(threads, score, chunk))
        for chunk in _chunks(lines)):
      yield from zip(chunk, scores(), strict=True)


def _one_ahead(items: Iterable[_T]) -> Iterator[_T]:
  """Generates the items. Before it yields one, it makes the next."""
  items = iter(items)
  ahead = collections.deque(itertools.islice(items, 1))
  while ahead:
    ahead.extend(itertools.islice(items, 1))
    yield ahead.popleft()


def _score_chunk(
    threads: futures.Executor,
    score: Callable[[list[np.ndarray]], list[np.ndarray]],
    chunk: Sequence[Line]) -> Callable[[], list[np.ndarray]]:
  """Starts to score lines; returns a function that waits for the scores."""
  order = sorted(range(len(chunk)), key=lambda i: len(chunk[i].ids))
  by_length = [chunk[i].ids for i in order]
  batches = threads.map(score, [
      by_length[start:start + _BATCH_SIZE]
      for start in range(0, len(chunk), _BATCH_SIZE)])

  def wait() -> list[np.ndarray]:
    by_index = dict(zip(
        order, itertools.chain.from_iterable(batches), strict=True))
    return [by_index[i] for i in range(len(chunk))]
  return wait


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
  """Generates lists of lines with a limited number of words."""
  chunk: list[Line] = []
  num_words = 0
  for line in lines:
    chunk.append(line)
    num_words += len(line.ids)
    if len(chunk) >= _CHUNK_LINES or num_words >= _CHUNK_WORDS:
      yield chunk
      chunk, num_words = [], 0
  if chunk:
    yield chunk


def _score_batch(sessions: Sequence[ModelSession], eos: int,
                 sentences: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Scores sentences, the shortest first: a list of [estimates, words]."""
  by_model = [(_score_parts if session.resets else _score_columns)(
      session, eos, sentences) for session in sessions]
  return [combine([log_probs[None] for log_probs in of_sentence])
          for of_sentence in zip(*by_model, strict=True)]


def _score_columns(session: ModelSession, eos: int,
                   sentences: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Scores sentences with one model: a list of [words].

  Each sentence is a column of the windows. A sentence that has ended is left
  out of the next window. With T = 4:

      <eos> <eos> <eos>        cat   sat
      .     no    the      ->  <eos> on
      <eos> .     cat           -    it
       -    <eos> ...           -    <eos>
  """
  scores: list[list[np.ndarray]] = [[] for _ in sentences]
  state = None
  for start in range(0, len(sentences[-1]), _NUM_STEPS):
    unfinished = [i for i, ids in enumerate(sentences) if len(ids) > start]
    words = np.full(
        [_NUM_STEPS + 1, len(unfinished)], reader.NO_TARGET, np.int32)
    for column, i in enumerate(unfinished):
      before = sentences[i][start - 1] if start else eos
      targets = sentences[i][start:start + _NUM_STEPS]
      words[:len(targets) + 1, column] = [before, *targets]
    if state:  # sorted by length, so the unfinished sentences are the last ones
      state = [type(layer)(*(part[-len(unfinished):] for part in layer))
               for layer in state]
    result = session.run(
        ["losses", "final_state"], words[:-1], words[1:], state)
    state = result["final_state"]
    for column, i in enumerate(unfinished):
      size = len(sentences[i]) - start
      scores[i].append(-result["losses"][:size, column])
  return [np.concatenate(log_probs) for log_probs in scores]


def _score_parts(session: ModelSession, eos: int,
                 sentences: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Scores as `_score_columns`, but starts again after each `<eos>`."""
  parts = [np.split(ids, np.flatnonzero(ids[:-1] == eos) + 1)
           for ids in sentences]
  flat = [part for of_sentence in parts for part in of_sentence]
  order = sorted(range(len(flat)), key=lambda i: len(flat[i]))
  by_index: dict[int, np.ndarray] = {}
  for start in range(0, len(order), _BATCH_SIZE):
    batch = order[start:start + _BATCH_SIZE]
    by_index.update(zip(batch, _score_columns(
        session, eos, [flat[i] for i in batch]), strict=True))
  scores = iter([by_index[i] for i in range(len(flat))])
  return [np.concatenate([next(scores) for _ in of_sentence])
          for of_sentence in parts]


def score_stream(models: Sequence[TrainedModel], lines: Iterable[Line],
                 dynamic: float | None = None,
                 cache: adaptation.Cache | None = None) -> Scores:
  """Scores the lines as one stream, the state carried from line to line.

  The first word of the text is read, but not scored, as in the test at the end
  of training. Models with reset_state score it, and carry the state only within
  a line.

  Args:
    models: models with the same words.
    lines: about one window is held in memory at a time.
    dynamic, cache: see `adaptation.Stream`; they add estimates.

  Yields:
    line, log_probs: as `score_sentences`; NaN for a word without a score.
  """
  with contextlib.ExitStack() as stack:
    streams = [stack.enter_context(adaptation.Stream(model, dynamic, cache))
               for model in models]
    # Scores of words whose lines are unfinished, one [methods, N] per model.
    # The models may have windows of different lengths, and so different N.
    scored = [np.full([len(stream.methods), stream.num_unscored], math.nan)
              for stream in streams]
    unfinished: collections.deque[Line] = collections.deque()
    for line in itertools.chain(lines, [None]):
      if line:
        unfinished.append(line)
      scored = [
          np.concatenate(
              [before, stream.read(line.ids if line else None)], axis=1)
          for before, stream in zip(scored, streams, strict=True)]
      ready = min(log_probs.shape[1] for log_probs in scored)
      while unfinished and len(unfinished[0].ids) <= ready:
        size = len(unfinished[0].ids)
        yield unfinished.popleft(), combine([s[:, :size] for s in scored])
        scored = [log_probs[:, size:] for log_probs in scored]
        ready -= size


class Totals:
  """Sums over the lines of a text.

  Attributes:
    lines: the number of lines.
    tokens: the number of scored words, with every `<eos>`.
    unk: how many of these are `<unk>`.
    unknown: how many of these the vocabulary lacks.
    unknown_words: some of them, each once, in the order of the text.
    unit: "words" or "characters".
  """

  def __init__(self, vocabulary: Vocabulary, num_estimates: int) -> None:
    self._vocabulary = vocabulary
    self.unit = ("characters" if isinstance(vocabulary, Characters)
                 else "words")
    self.unknown_words: dict[str, None] = {}
    self.lines = self.tokens = self.unk = self.unknown = 0
    self._nats = np.zeros(num_estimates)
    self._unk_nats = np.zeros(num_estimates)

  def add(self, line: Line, log_probs: np.ndarray) -> None:
    """Adds a line as `score_sentences` or `score_stream` yields it."""
    scored = ~np.isnan(log_probs[0])
    unk = scored & (line.ids == self._vocabulary.unk)
    self.lines += 1
    self.tokens += int(scored.sum())
    self.unk += int(unk.sum())
    unknown = [word for word in itertools.compress(line.words, unk)
               if word not in self._vocabulary]
    self.unknown += len(unknown)
    if len(self.unknown_words) < _MAX_UNKNOWN:
      self.unknown_words.update(dict.fromkeys(unknown))
    self._nats -= log_probs[:, scored].sum(axis=1)
    self._unk_nats -= log_probs[:, unk].sum(axis=1)

  def perplexities(self) -> list[tuple[float, float]]:
    """Returns the perplexity on all tokens, and without `<unk>`, by estimate.

    NaN if there is no such token.
    """
    return [(perplexity_or_nan(nats, self.tokens),
             perplexity_or_nan(nats - unk_nats, self.tokens - self.unk))
            for nats, unk_nats in zip(
                self._nats, self._unk_nats, strict=True)]


def perplexity_or_nan(nats: float, targets: int) -> float:
  """Returns exp(nats / targets); NaN if there are no targets."""
  return metrics.perplexity(nats, targets) if targets else math.nan
