"""Reading a text as one stream, with models that adapt to it on the way.

Two ways, for use after training. Dynamic evaluation (Mikolov et al. 2010;
Krause et al. 2018, arXiv 1709.07432) takes a step of gradient descent on each
window after it was scored. The continuous cache (Grave, Joulin and Usunier
2016, arXiv 1612.04426) remembers what followed on hidden states like the
present one.
"""

import collections
import contextlib

import numpy as np

import reader

Cache = collections.namedtuple("Cache", ["size", "theta", "lambda_"])

# What was best for small on PTB's validation text (benchmarks/adaptation.py).
DYNAMIC = 0.14
CACHE = Cache(size=700, theta=0.4, lambda_=0.15)


def kinds(dynamic=None, cache=None):
  """The ways in which a Stream scores words: "" is the model alone."""
  return ["", *(["cache"] if cache else []),
          *(["dynamic"] if dynamic else []),
          *(["dynamic_cache"] if dynamic and cache else [])]


class Stream(contextlib.ExitStack):
  """A model that reads a text from its first word on; a context.

  Attributes:
    kinds: see `kinds`.
  """

  def __init__(self, trained, dynamic=None, cache=None):
    """Opens sessions; the context closes them.

    Args:
      trained: a trained_model.TrainedModel; its windows have its num_steps.
      dynamic: the learning rate of dynamic evaluation.
      cache: the Cache settings.
    """
    super().__init__()
    self._num_steps = trained.config.num_steps
    self._ids = np.zeros(0, np.int32)  # read; all but the first to be scored
    self._readers = []
    self.kinds = kinds(dynamic, cache)
    for rate in [None] if dynamic is None else [None, dynamic]:
      windows = self.enter_context(trained.open(self._num_steps, rate))
      self._readers.append(_Reader(
          windows, rate, cache and NeuralCache(
              cache, trained.config.layer_sizes[-1], self._num_steps)))

  def read(self, ids):
    """Reads on.

    Args:
      ids: 1-D; None at the end of the text.

    Returns:
      [len(kinds), N], natural logarithms of the probabilities of those words
      whose windows are full, the first of all left out; at the end, of the
      rest.
    """
    self._ids = np.append(self._ids, () if ids is None else ids).astype(
        np.int32)
    found = [np.zeros([len(self.kinds), 0])]
    while len(self._ids) > (self._num_steps if ids is not None else 1):
      rows = self._ids[:self._num_steps + 1]
      self._ids = self._ids[self._num_steps:]
      found.append(np.concatenate(
          [reader_.score(rows) for reader_ in self._readers]))
    return np.concatenate(found, axis=1)


class _Reader:
  """A session that goes through the windows of a text."""

  def __init__(self, windows, learning_rate, cache):
    self._windows, self._cache = windows, cache
    self._num_steps = windows.num_steps
    self._names = ["losses", "outputs", "final_state"] + (
        [] if learning_rate is None else ["train_op"])
    self._state = None

  def score(self, ids):
    """Scores all of the ids but the first: [1 or 2, N]."""
    size = len(ids) - 1
    words = np.full([self._num_steps + 1, 1], reader.NO_TARGET, np.int32)
    words[:len(ids), 0] = ids
    found = self._windows.run(self._names, words[:-1], words[1:], self._state)
    self._state = found["final_state"]
    log_probs = -found["losses"][:size, 0].astype(np.float64)
    if not self._cache:
      return log_probs[None]
    return np.array([log_probs, self._cache.mix(
        log_probs, found["outputs"][:size, 0], ids[1:])])


class NeuralCache:
  """Words by the hidden states that they followed on.

  With p_model of the word w that follows on the hidden state h, and (h_i, w_i)
  those that are remembered, the newest `size` of them:

      p(w)       = (1 - lambda) p_model(w) + lambda p_cache(w)
      p_cache(w) = sum over i of [w_i = w] exp(theta h h_i), over that of all i
  """

  def __init__(self, settings, hidden_size, num_steps):
    """Starts with nothing to remember; `num_steps` is the longest window."""
    self._settings = settings
    # Twice as long as need be, so that it is seldom moved to the front.
    length = 2 * settings.size + num_steps
    self._hidden = np.empty([length, hidden_size], np.float32)
    self._words = np.empty(length, np.int32)
    self._end = 0

  def mix(self, log_probs, hidden, words):
    """Adds the cache's share, and remembers the words.

    Args:
      log_probs: [T], of the words by the model.
      hidden: [T, H], the states that they follow on.
      words: [T] ids.

    Returns:
      [T]; a word for which nothing is remembered keeps the model's.
    """
    size, theta, lambda_ = self._settings
    before, self._end = self._remember(hidden, words)
    start = max(before - size, 0)
    at = np.arange(start, self._end)  # what is remembered, and the window
    now = np.arange(before, self._end)[:, None]
    seen = (at < now) & (at >= now - size)  # (T, remembered)
    scores = theta * (hidden @ self._hidden[start:self._end].T)
    scores = np.where(seen, scores.astype(np.float64), -np.inf)
    top = scores.max(axis=1, keepdims=True)
    exps = np.exp(scores - np.where(np.isfinite(top), top, 0))
    same = self._words[start:self._end] == words[:, None]
    total = exps.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
      log_cache = np.log((exps * same).sum(axis=1) / total)
      mixed = np.logaddexp(np.log1p(-lambda_) + log_probs,
                           np.log(lambda_) + log_cache)
    return np.where(total > 0, mixed, log_probs)

  def _remember(self, hidden, words):
    """Adds to what is remembered: where that begins and ends."""
    start, end = self._end, self._end + len(words)
    if end > len(self._words):
      kept = slice(start - self._settings.size, start)
      for array in self._hidden, self._words:
        array[:self._settings.size] = array[kept].copy()
      start, end = self._settings.size, self._settings.size + len(words)
    self._hidden[start:end], self._words[start:end] = hidden, words
    return start, end


def cache_bytes(settings, config):
  """The memory that a NeuralCache takes once it is full, in bytes."""
  states = (2 * settings.size + config.num_steps) * (
      4 * config.layer_sizes[-1] + 4)
  scores = 24 * settings.size * config.num_steps  # `mix`, of float64
  return states + scores
