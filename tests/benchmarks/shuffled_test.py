"""Sentences against the same words shuffled."""

import numpy as np
import pytest

from benchmarks import shuffled


@pytest.mark.parametrize("words", ["a b", "a a b", "a b c d e f"])
def test_shuffled_words_have_another_order(words):
  words = words.split()
  for seed in range(20):
    other = shuffled.shuffle(words, np.random.default_rng(seed))
    assert other != words and sorted(other) == sorted(words)
  assert shuffled.shuffle(["a", "a"], np.random.default_rng(0)) is None
  assert shuffled.shuffle([], np.random.default_rng(0)) is None
