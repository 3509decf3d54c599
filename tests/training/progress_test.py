"""The progress lines, as in the classic script."""

import math

import pytest

from rnn.training.progress import Progress


@pytest.mark.parametrize("size, num_lines", [
    (1, 1), (2, 2), (3, 3), (9, 9), (10, 10), (19, 19), (20, 10), (25, 12),
    (2323, 10)])
def test_about_ten_progress_lines_are_printed(capsys, size, num_lines):
  with Progress("Epoch 1", size, lines=True) as progress:
    for window in range(size):
      progress.report(window, {"nats": 2 * math.log(100), "targets": 2},
                      math.nan if window == 0 else 4521.4)
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == num_lines
  assert all(" perplexity: 100.000 speed: " in line for line in lines)
  if size == 2323:
    assert lines[1] == "0.104 perplexity: 100.000 speed: 4521 wps"
