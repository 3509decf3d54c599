"""Work that several processes share."""

import operator
import os

import pytest

from rnn.errors import UserError
from rnn.text.processes import each


@pytest.mark.parametrize("processes", [
    1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_are_in_order_and_the_progress_is_reported(processes):
  progress = []
  assert each(operator.add, [(k, 10) for k in range(5)], processes,
              [1, 2, 3, 4, 5], lambda *now: progress.append(now)
              ) == [10, 11, 12, 13, 14]
  assert progress == [(1, 15), (3, 15), (6, 15), (10, 15), (15, 15)]


@pytest.mark.parametrize("processes", [
    1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_ends_the_work(processes):
  with pytest.raises(ZeroDivisionError):
    each(operator.floordiv, [(1, 0), (1, 1)], processes, [1, 1],
         lambda *_: None)


@pytest.mark.slow
def test_a_process_that_is_killed_is_reported():
  with pytest.raises(UserError, match="a process was killed.* use fewer"):
    each(os._exit, [(1,), (1,)], 2, [1, 1], lambda *_: None)
