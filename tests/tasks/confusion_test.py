"""The text of a confusion matrix."""

import numpy as np

from tasks import confusion


def test_a_small_matrix_is_shown_whole():
  matrix = np.array([[12_345, 2], [0, 30]])
  assert list(confusion.lines(matrix, ["no", "perhaps"])) == [
      "label    predicted as",
      "             no  perhaps",
      "no       12,345        2",
      "perhaps       0       30"]


def test_of_many_labels_the_confusions_are_listed():
  matrix = np.diag(np.arange(1, 12))
  matrix[3, 4], matrix[10, 0] = 5, 7
  assert list(confusion.lines(matrix, [*"abcdefghij", "k" * 30])) == [
      f"{'k' * 17}... predicted as a: 7 of 18", "d predicted as e: 5 of 9"]


def test_a_label_stays_on_one_line():
  matrix = np.array([[1, 0], [0, 1]])
  assert list(confusion.lines(matrix, ["a\nb", "c\td"]))[2].startswith("a\\nb ")
