"""The progress lines, as in the classic script."""

import math
import re
import types

import pytest

from rnn.training import progress
from rnn.training.progress import Progress, duration, summary, table
from tests.helpers.screens import Screen


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
  assert all(" perplexity: 100.000" in line for line in lines)
  assert "nan" not in "".join(lines)
  if size == 2323:
    assert lines[1] == "0.104 perplexity: 100.000 speed: 4521 wps"


def test_a_table_has_small_and_large_figures():
  lines = list(table(("train", "valid"), {
      "small": (0.0483, 0.996), "medium": (1.0, 99999.4),
      "large": (1e5, math.inf), "unknown": (None, 120.666)}))
  assert [line.split() for line in lines] == [
      ["perplexity", "train", "valid"], ["small", "0.048", "1"],
      ["medium", "1.00", "99999.40"], ["large", "1e+05", "inf"],
      ["unknown", "-", "120.67"]]
  assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("tests, names", [
    ({3: 90.0, 2: 80.0}, ["this run", "this run, epoch 2, best by valid"]),
    ({3: 90.0}, ["this run"]), ({}, ["this run"])])
def test_the_summary_has_a_line_per_tested_epoch(tests, names):
  rows = [{"train_perplexity": 100.0 - n, "valid_perplexity": 200.0 - n,
           "words_per_second": speed, "seconds": 30.3}
          for n, speed in enumerate([math.nan, 4000.0, 5000.0], 1)]
  _, *lines, published, last = summary(
      rows, tests, {"the paper": (None, 1.5, 2.5)}).splitlines()
  assert [line[:38].rstrip() for line in lines] == names
  for line, number in zip(lines, tests or [3], strict=True):
    figure = f"{tests[number]:.2f}" if tests else "-"
    assert line[38:].split() == [
        f"{100 - number}.00", f"{200 - number}.00", figure]
  assert published.split() == ["the", "paper", "-", "1.50", "2.50"]
  assert last == ("4,500 words/s in training (median of 2 epochs), 1 min 31 s "
                  "in all 3 epochs")


def test_the_summary_of_one_epoch_has_no_nan_and_no_1_epochs():
  row = {"train_perplexity": 100.0, "valid_perplexity": 200.0, "seconds": 3.2}
  for speed, last in ((math.nan, "3 s in 1 epoch"),
                      (0.123, "0.12 words/s in training, 3 s in 1 epoch")):
    text = summary([row | {"words_per_second": speed}], {1: 90.0})
    assert text.splitlines()[-1] == last and "nan" not in text


@pytest.mark.parametrize("seconds, text", [
    (0.4, "0 s"), (3, "3 s"), (59.6, "1 min"), (65, "1 min 5 s"),
    (3725, "1 h 2 min"), (7200, "2 h"), (90000, "1 d 1 h"),
    (8 * 86400, "8 d")])
def test_durations(seconds, text):
  assert duration(seconds) == text


@pytest.mark.parametrize("columns, shown", [
    (99, "perplexity 100.000, 4521 wps, 2 min left"),
    (60, "perplexity 100.000, 2 min left"), (40, "100, 2 min left")])
def test_the_bar_shows_the_time_left_of_the_run_in_any_width(
    columns, shown, monkeypatch):
  """Ten steps of a second have been done, of 30 and 70 more; then 30 s."""
  times = iter(range(100))
  monkeypatch.setattr(
      progress, "time", types.SimpleNamespace(perf_counter=times.__next__))
  with Screen(columns) as screen:
    with Progress("Epoch 9", 30, more=70, more_seconds=30) as bar:
      for window in range(10):
        bar.report(window, {"nats": 2 * math.log(100), "targets": 2}, 4521.4)
        bar._bar.refresh()
  line = [line for line in re.split("[\r\n]", screen.text) if shown in line][-1]
  assert re.match(r"Epoch 9: +\d+%\|.*\|, ", line), screen.text
  assert len(line) <= columns
