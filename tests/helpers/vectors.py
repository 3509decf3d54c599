"""Words with vectors for the tests of word vectors."""

import numpy as np

WORDS = ["oil", "bänk", "of", "<unk>", "1,000"]


def vectors_of(number, width=3):
  """Returns vectors [number, width], which follow from their number."""
  rng = np.random.default_rng(number)
  return rng.normal(size=[number, width]).astype(np.float32)
