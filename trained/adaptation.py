"""Models that adapt to a text while they read it as one stream.

There are two methods, both for use after training. Dynamic evaluation (Mikolov
et al. 2010; Krause et al. 2018, arXiv 1709.07432) takes a step of gradient
descent on each window after scoring it. The continuous cache (Grave, Joulin and
Usunier 2016, arXiv 1612.04426) remembers which words followed hidden states
similar to the present one.
"""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import reader
from trained.model import ModelSession, TrainedModel


class Cache(NamedTuple):
  """The settings of a `NeuralCache`; their meaning is explained there."""

  size: int
  theta: float
  lambda_: float


# The best values on PTB's validation text, for all models in
# results/adaptation/, by the rule of benchmarks/adaptation.py.
DYNAMIC = 0.14
CACHE = Cache(size=700, theta=0.5, lambda_=0.15)

# The T of a float32 model that does not learn from the text. Any T gives the
# same scores, and a long window has fewer calls and larger GEMMs. In 16 bits, a
# window rounds the state at its end, so only the T of training has its scores.
_LONG_WINDOW = 80


def list_methods(dynamic: float | None = None,
                 cache: Cache | None = None) -> list[str]:
  """Returns the methods by which a Stream scores words.

  They are "" (the model does not adapt), "cache", "dynamic", "dynamic_cache".
  The model as it was trained always comes first.
  """
  return ["", *(["cache"] if cache else []),
          *(["dynamic"] if dynamic else []),
          *(["dynamic_cache"] if dynamic and cache else [])]


class Stream(contextlib.ExitStack):
  """A model that reads a text from its first word on; a context.

  With reset_state, it reads a text as in training: each sentence has windows of
  its own, and the text follows an `<eos>`.

  Attributes:
    methods: see `list_methods`.
    num_unscored: the words at the beginning of a text which get no score.
  """

  def __init__(self, model: TrainedModel, dynamic: float | None = None,
               cache: Cache | None = None) -> None:
    """Opens sessions, which the context closes.

    Args:
      model: stays as it is; dynamic evaluation changes a copy.
      dynamic: the learning rate of dynamic evaluation, which takes a step after
        each window of the model's num_steps.
      cache: the settings of the cache.
    """
    super().__init__()
    self._eos = model.vocabulary.eos if model.config.reset_state else None
    self._num_steps = longest_window(model, dynamic)
    # Words that were not run yet. The first one is only read; the others are
    # also scored.
    self._ids = np.array([] if self._eos is None else [self._eos], np.int32)
    self.num_unscored = 1 - len(self._ids)
    self._scorers = []
    self.methods = list_methods(dynamic, cache)
    for rate in [None] if dynamic is None else [None, dynamic]:
      session = self.enter_context(model.open(self._num_steps, rate))
      self._scorers.append(_WindowScorer(
          session, rate is not None, cache and NeuralCache(
              cache, model.config.output_sizes[-1], self._num_steps)))

  def read(self, ids: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Reads the next part of the text.

    Args:
      ids: 1-D, of any length; None at the end of the text.

    Returns:
      [methods, N], natural logarithms of the probabilities of the next N words.
      A word is scored once its window is full or the text has ended. The first
      `num_unscored` words of the text are never scored.
    """
    self._ids = np.append(self._ids, () if ids is None else ids).astype(
        np.int32)
    log_probs = [np.zeros([len(self.methods), 0])]
    while size := self._window_size(has_ended=ids is None):
      # A window's last target is the first input of the next window.
      window, self._ids = self._ids[:size + 1], self._ids[size:]
      log_probs.append(np.concatenate(
          [scorer.score(window) for scorer in self._scorers]))
    return np.concatenate(log_probs, axis=1)

  def _window_size(self, has_ended: bool) -> int:
    """Returns the targets of the next window; 0 if it is not complete."""
    targets = self._ids[1:self._num_steps + 1]
    if self._eos is not None and self._eos in targets:
      return 1 + int(np.argmax(targets == self._eos))
    is_complete = has_ended or len(targets) == self._num_steps
    return len(targets) if is_complete else 0


class _WindowScorer:
  """Scores the windows of a text in one session, with and without a cache."""

  def __init__(self, session: ModelSession, learns: bool,
               cache: "NeuralCache | None") -> None:
    self._session, self._cache = session, cache
    self._num_steps = session.num_steps
    # One call fetches the losses and takes the step. No loss sees the new
    # parameters, because the step follows from the gradient of all losses.
    self._names = ["losses", "final_state", *(["outputs"] if cache else []),
                   *(["train_op"] if learns else [])]
    self._state = None

  def score(self, ids: np.ndarray) -> np.ndarray:
    """Scores all ids except the first: [1, N], or [2, N] with a cache."""
    size = len(ids) - 1
    words = np.full([self._num_steps + 1, 1], reader.NO_TARGET, np.int32)
    words[:len(ids), 0] = ids
    result = self._session.run(
        self._names, words[:-1], words[1:],
        self._session.reset(self._state, words))
    self._state = result["final_state"]
    log_probs = -result["losses"][:size, 0].astype(np.float64)
    if not self._cache:
      return log_probs[None]
    hidden = result["outputs"][:size, 0].astype(np.float32)
    return np.array([log_probs, self._cache.mix(log_probs, hidden, ids[1:])])


class NeuralCache:
  """A cache of hidden states and the words that followed them.

  The model gives a word w after the hidden state h the probability p_model(w).
  The cache remembers the newest `size` pairs (h_i, w_i) and mixes in

      p(w)       = (1 - lambda) p_model(w) + lambda p_cache(w)
      p_cache(w) = sum over i with w_i = w of exp(theta h h_i)
                   / sum over all i of exp(theta h h_i)
  """

  def __init__(self, settings: Cache, hidden_size: int,
               num_steps: int) -> None:
    """Starts with an empty cache; `num_steps` is the longest window."""
    self._settings = settings
    # Twice as long as necessary, so the newest pairs seldom have to be moved to
    # the front.
    length = 2 * settings.size + num_steps
    self._hidden = np.empty([length, hidden_size], np.float32)
    self._words = np.empty(length, np.int32)
    self._end = 0

  def mix(self, log_probs: np.ndarray, hidden: np.ndarray,
          words: np.ndarray) -> np.ndarray:
    """Mixes the cache into the probabilities of words, and remembers the words.

    Args:
      log_probs: [T], natural logarithms of the model's probabilities.
      hidden: [T, H] (P with a projection), the hidden states before the words.
      words: [T] ids.

    Returns:
      [T], natural logarithms of the mixed probabilities. While nothing is
      remembered, a word keeps the model's probability.
    """
    size, theta, lambda_ = self._settings
    begin, self._end = self._remember(hidden, words)
    # R pairs: the remembered ones, then the T pairs of this window.
    start = max(begin - size, 0)
    pairs = np.arange(start, self._end)
    current = np.arange(begin, self._end)[:, None]
    # A word sees the `size` pairs before it, some of them in its own window.
    visible = (pairs < current) & (pairs >= current - size)  # (T, R)
    scores = theta * (hidden @ self._hidden[start:self._end].T)  # (T, R)
    scores = np.where(visible, scores.astype(np.float64), -np.inf)
    # Subtracting the largest score keeps exp from overflowing. It is -inf for a
    # word that sees no pair.
    top = scores.max(axis=1, keepdims=True)
    exps = np.exp(scores - np.where(np.isfinite(top), top, 0))
    same = self._words[start:self._end] == words[:, None]  # (T, R)
    total = exps.sum(axis=1)
    # A word without a match has log_cache -inf; one without any pair, NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
      log_cache = np.log((exps * same).sum(axis=1) / total)
      mixed = np.logaddexp(np.log1p(-lambda_) + log_probs,
                           np.log(lambda_) + log_cache)
    return np.where(total > 0, mixed, log_probs)

  def _remember(self, hidden: np.ndarray,
                words: np.ndarray) -> tuple[int, int]:
    """Appends pairs; returns where the new ones begin and end."""
    size = self._settings.size
    begin, end = self._end, self._end + len(words)
    if end > len(self._words):
      for array in self._hidden, self._words:
        array[:size] = array[begin - size:begin].copy()
      begin, end = size, size + len(words)
    self._hidden[begin:end], self._words[begin:end] = hidden, words
    return begin, end


def longest_window(model: TrainedModel, dynamic: float | None) -> int:
  """Returns T of the windows in which a `Stream` runs a model.

  Args:
    dynamic: see `Stream`.
  """
  num_steps = model.config.num_steps
  if dynamic is None and not model.config.reset_state and (
      model.precision == "float32"):
    return max(num_steps, _LONG_WINDOW)
  return num_steps


def cache_bytes(settings: Cache, model: TrainedModel,
                dynamic: float | None = None) -> int:
  """Returns the memory in bytes that the caches of a `Stream` take when full.

  Args:
    settings, dynamic: see `Stream`. Dynamic evaluation has a second cache, with
      its own hidden states.
  """
  num_steps = longest_window(model, dynamic)
  pairs = (2 * settings.size + num_steps) * (
      4 * model.config.output_sizes[-1] + 4)
  scores = 24 * settings.size * num_steps  # float64 arrays in `mix`
  return (1 if dynamic is None else 2) * (pairs + scores)
