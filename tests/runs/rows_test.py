"""Which epoch of a run is the best."""

from rnn.runs import rows

ROWS = [{"epoch": epoch, "valid_bits": figure, "valid_known_bits": -epoch}
        for epoch, figure in enumerate([3, 2, 4, 2, 5], 1)]


def test_the_lowest_and_earliest_is_the_best():
  figures = rows.valid_figures(ROWS, "bits")
  assert rows.ranking(figures) == [2, 4, 1, 3, 5]
  assert figures == rows.valid_figures(ROWS)  # the first of the columns


def test_epochs_since_the_best_are_counted():
  assert [rows.epochs_since_best(ROWS[:n], "bits") for n in range(6)] == [
      0, 0, 0, 1, 2, 3]
  assert rows.epochs_since_best([{"epoch": 1}], "bits") == 0
