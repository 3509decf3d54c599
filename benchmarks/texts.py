"""Synthetic text, with the word frequencies of real text."""

import numpy as np

_VOCAB_SIZE = 10_000
_NUM_TOKENS = 200_000


def zipf_ids() -> tuple[np.ndarray, int]:
  """Returns word ids, and the size of the vocabulary.

  By Zipf's law, the frequency of a word is proportional to 1 / rank.
  """
  weights = 1 / np.arange(1, _VOCAB_SIZE + 1)
  ids = np.random.default_rng(0).choice(
      _VOCAB_SIZE, size=_NUM_TOKENS, p=weights / weights.sum())
  return ids.astype(np.int32), _VOCAB_SIZE
