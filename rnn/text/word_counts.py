"""Adds up how often words occur in the pieces of a text, in bounded memory."""

import numpy as np

from rnn.text import word_arrays
from rnn.text.vocabulary import UNK, Choice, Vocabulary

_BATCH = 32 << 20  # bytes of words that are added at once


class WordCounts:
  """How often each word occurs.

  Attributes:
    most: the different words that are kept. If there are more, the rarer half
      is dropped.
    pruned: the highest count that was dropped; 0 if none was.
  """

  def __init__(self, most: int = 10_000_000) -> None:
    """Begins without any word."""
    self.most, self.pruned = most, 0
    self._words = b""  # as in `WordArrays.words`
    self._counts = np.zeros(0, np.int64)
    self._total = 0
    self._waiting: list[tuple[bytes, np.ndarray]] = []

  def add(self, words: bytes, counts: np.ndarray) -> None:
    """Adds the counts of a piece.

    Args:
      words: the different words, as in `WordArrays.words`.
      counts: how often each occurs.
    """
    self._total += int(counts.sum())
    self._waiting.append((words, counts))
    # Adding up takes time for all words there are, so it is not done often.
    if sum(len(words) for words, _ in self._waiting) > max(
        _BATCH, len(self._words)):
      self._add_up()

  def _add_up(self) -> None:
    """Adds the pieces that wait."""
    blocks, counts = zip((self._words, self._counts), *self._waiting,
                         strict=True)
    self._waiting.clear()
    arrays = word_arrays.number(b"".join(blocks), eos=False)
    # Floating-point numbers, in which bincount adds, are exact up to 2**53.
    self._words = arrays.words
    self._counts = np.bincount(
        arrays.indices, np.concatenate(counts)).astype(np.int64)
    self._prune()

  def _prune(self) -> None:
    """Drops the rarer half of the words if there are too many."""
    size = len(self._counts)
    if size <= self.most:
      return
    limit = int(np.partition(self._counts, size - self.most // 2 - 1)[
        size - self.most // 2 - 1])
    self._keep(self._counts > limit)
    self.pruned = max(self.pruned, limit)

  def _keep(self, chosen: np.ndarray) -> None:
    self._words = word_arrays.select(self._words, chosen)
    self._counts = self._counts[chosen]

  def vocabulary(self, choice: Choice) -> Vocabulary:
    """Returns the vocabulary of the text.

    Words that were dropped count as `<unk>`.

    Raises:
      DataError: no word is frequent enough.
    """
    self._add_up()
    if choice.given:
      return choice.given
    # Only what may be chosen becomes a word of its own, with more memory.
    limit = choice.min_count
    if choice.size is not None and choice.size < len(self._counts):
      limit = max(limit, int(np.partition(self._counts, -choice.size)[
          -choice.size]))
    chosen = self._counts >= limit
    chosen[:len(Vocabulary.MARKS) + 1] = True  # for the error if none is
    for mark in Vocabulary.MARKS:
      if (number := word_arrays.place(self._words, mark)) is not None:
        chosen[number] = True
    chosen &= self._counts > 0
    counts = dict(zip(
        word_arrays.select(self._words, chosen).decode().split("\n"),
        self._counts[chosen].tolist(), strict=False))
    if rest := self._total - sum(counts.values()):
      counts[UNK] = counts.get(UNK, 0) + rest
    return choice.vocabulary(counts)
