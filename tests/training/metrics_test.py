"""Perplexity and bits as metrics, and what guessing uniformly gives."""

import math

import pytest

from rnn.training import metrics
from tasks import char_lm


def test_a_perplexity_beyond_the_range_of_a_float_is_infinite():
  assert metrics.perplexity(1e6, 10) == math.inf
  assert metrics.perplexity(0, 10) == 1


def test_guessing_uniformly_among_some_words():
  perplexity = metrics.PERPLEXITY.with_limit(10_000)
  assert perplexity.uniform == pytest.approx(10_000)
  assert char_lm.BITS.with_limit(64).uniform == pytest.approx(6)
  unknown = metrics.PERPLEXITY
  assert not unknown.worse_than_uniform({"train": 1e300, "valid": math.inf})
  assert not perplexity.worse_than_uniform(
      {"train": 9999, "valid": 9999.9, "test": None})
  assert perplexity.worse_than_uniform(
      {"train": 1e196, "valid": 9999, "test": math.inf}) == (
          "perplexity above 10,000 on train, test: worse than guessing "
          "uniformly; change learning_rate or max_grad_norm")
  sampled = metrics.PERPLEXITY.with_limit(10_000, num_sampled=5)
  assert not sampled.worse_than_uniform({"train": math.inf, "valid": 9999})
  assert "10,000 on valid: " in sampled.worse_than_uniform(
      {"train": math.inf, "valid": 10_001})
  assert char_lm.BITS.with_limit(27).worse_than_uniform(
      {"train": 4.7, "valid": 4.8}) == (
          "bits per character above 4.75 on valid: worse than guessing "
          "uniformly; train for fewer epochs, or lower keep_prob or "
          "hidden_size")
