"""Perplexity as a metric."""

import math

from rnn.training import metrics


def test_a_perplexity_beyond_the_range_of_a_float_is_infinite():
  assert metrics.perplexity(1e6, 10) == math.inf
  assert metrics.perplexity(0, 10) == 1
