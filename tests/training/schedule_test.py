"""The learning rate of lr_schedule=plateau."""

import hypothesis
import pytest
from hypothesis import strategies

from rnn.training import schedule


@pytest.mark.parametrize("figures, epochs, expected", [
    ([], 1, 0), ([5], 1, 0), ([5, 4, 3], 1, 0),
    ([5, 5], 1, 1),  # to be equal is no improvement
    ([5, 6, 4, 4.5, 3], 1, 2),
    ([5, 6, 5.5, 5.2], 1, 3),  # better than the last one, but not than the best
    ([5, 6, 7, 8, 9], 2, 2),  # the second plateau begins after the first
    ([5, 6, 4, 6, 3, 6], 2, 0),
    ([5, 6, 7, 4, 6, 7, 3], 2, 2),
    ([5, 4, 4, 6, 5, 3, 4], 2, 1)])
def test_plateaus(figures, epochs, expected):
  assert schedule.count_plateaus(figures, epochs) == expected


@hypothesis.given(strategies.lists(strategies.integers(1, 9)))
def test_one_epoch_is_the_rule_of_the_example_of_pytorch(figures):
  """Each epoch that does not beat the best one divides the rate."""
  rate, best = 1.0, None
  for figure in figures:
    if not best or figure < best:
      best = figure
    else:
      rate /= 4
  assert 0.25 ** schedule.count_plateaus(figures, 1) == rate


def test_rates_as_text():
  assert [*map(schedule.as_text, (1.0, 0.0, 0.1, 0.0625, 2e-4))] == [
      "1.000", "0.000", "0.100", "0.0625", "0.0002"]
