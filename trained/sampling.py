"""Sampling: a trained model writes text, word by word."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn.text.vocabulary import EOS, Vocabulary
from trained.model import ModelSession

# Probabilities that are computed at a time, in float64: those of all samples at
# once would take too much memory.
_BLOCK_SIZE = 1 << 22


def distribution(logits: np.ndarray, temperature: float = 1.0, top_k: int = 0,
                 top_p: float = 1.0,
                 banned: Sequence[int] = ()) -> np.ndarray:
  """Returns the probabilities to draw the next word with.

  They are softmax(logits / temperature), limited to the most probable words.

  Args:
    logits: [B, V].
    temperature: 0 gives the most probable word the whole probability.
    top_k: draw from this many of the most probable words; 0 for all.
    top_p: draw from the fewest most probable words whose probabilities add up
      to at least this (Holtzman et al. 2020, arXiv 1904.09751).
    banned: ids that are never drawn.

  Returns:
    [B, V], float64; each row adds up to 1.
  """
  logits = np.array(logits, np.float64)
  logits[:, list(banned)] = -np.inf
  logits -= logits.max(axis=1, keepdims=True)
  if temperature == 0:
    p = np.zeros_like(logits)
    np.put_along_axis(p, logits.argmax(axis=1, keepdims=True), 1, axis=1)
    return p
  # A tiny temperature gives -inf, which exp turns into 0, as it should be.
  with np.errstate(over="ignore"):
    p = np.exp(logits / temperature)
  p /= p.sum(axis=1, keepdims=True)
  if top_k or top_p < 1:
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    # The sum over all more probable words: 0 for the first, which always stays.
    before = np.cumsum(ranked, axis=1) - ranked
    ranked[before >= top_p] = 0
    if top_k:
      ranked[:, top_k:] = 0
    np.put_along_axis(p, order, ranked, axis=1)
    p /= p.sum(axis=1, keepdims=True)
  return p


def draw(p: np.ndarray, u: np.ndarray) -> np.ndarray:
  """Draws a word from each row of probabilities.

  Args:
    p: [B, V], as `distribution` returns.
    u: [B], uniform in [0, 1).

  Returns:
    [B] ids, int32.
  """
  cumulative = np.cumsum(p, axis=1)
  total = cumulative[:, -1:]
  # The first word whose cumulative probability exceeds u * total. This product
  # may round up to the total, which no word exceeds, so it is kept below.
  ids = (cumulative <= np.minimum(
      u[:, None] * total, np.nextafter(total, 0))).sum(axis=1)
  return ids.astype(np.int32)


class Writer:
  """Continues a prompt with a model: several samples at once."""

  def __init__(self, session: ModelSession, vocabulary: Vocabulary,
               num_samples: int) -> None:
    """Reads nothing yet: call `read` before `write`.

    Args:
      session: the model, with T = 1.
    """
    self._session, self._vocabulary = session, vocabulary
    self._num_samples = num_samples
    self._state: Any = None
    self._logits: np.ndarray  # [num_samples, V] of the next word

  def read(self, words: Sequence[str]) -> np.ndarray:
    """Starts again, and reads a prompt.

    Args:
      words: the words after the beginning of a sentence; an unknown word reads
        as `<unk>`.

    Returns:
      [V], the model's probabilities of the next word.
    """
    self._state = None
    for word in [self._vocabulary.eos, *self._vocabulary.encode(words)]:
      self._step(np.full(self._num_samples, word))
    return distribution(self._logits[:1])[0]

  def write(self, num_words: int, rng: np.random.Generator,
            stop_at_eos: bool = False, **kwargs: Any) -> list[list[str]]:
    """Draws words one by one, each given all words before.

    Args:
      rng: determines the samples. Each call spawns new children of it, one per
        sample. So a sample depends on its index, but not on the number of
        samples or words.
      stop_at_eos: whether a sample ends with its first `<eos>`.
      kwargs: arguments of `distribution`.

    Returns:
      The words of each sample, at most `num_words`.
    """
    rngs = rng.spawn(self._num_samples)
    samples = []
    ended = np.zeros(self._num_samples, bool)
    block = max(_BLOCK_SIZE // self._logits.shape[1], 1)  # samples at a time
    for _ in range(num_words):
      u = np.array([sample_rng.random() for sample_rng in rngs])
      ids = np.concatenate([
          draw(distribution(self._logits[i:i + block], **kwargs),
               u[i:i + block])
          for i in range(0, self._num_samples, block)])
      samples.append(ids)
      ended |= ids == self._vocabulary.eos
      if stop_at_eos and ended.all():
        break
      self._step(ids)
    texts = [self._vocabulary.decode(ids) for ids in np.transpose(samples)]
    if stop_at_eos:
      # A sample that has ended goes on until the others end, too.
      texts = [text[:text.index(EOS) + 1] if EOS in text else text
               for text in texts]
    return texts

  def _step(self, ids: np.ndarray) -> None:
    """Feeds one word per sample."""
    result = self._session.run(
        ["logits", "final_state"], ids[None],
        state=self._session.reset(self._state, ids[None]))
    self._logits, self._state = result["logits"][0], result["final_state"]
