"""The confusion matrix: which labels are taken for which, as text."""

from collections.abc import Iterator, Sequence

import numpy as np

from rnn.errors import escaped

_MAX_LABELS = 10  # of a matrix as wide as a terminal
_MAX_NAME = 20  # characters
_MOST = 10  # confusions in a list


def lines(matrix: np.ndarray, labels: Sequence[str]) -> Iterator[str]:
  """Generates the lines of a confusion matrix.

  Of more than ten labels only the most frequent confusions are listed.

  Args:
    matrix: int [K, K], the texts by label (rows) and predicted label.
    labels: the names.
  """
  names = [name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME - 3]}..."
           for name in map(escaped, labels)]
  if len(names) > _MAX_LABELS:
    yield from _list(matrix, names)
    return
  first = max(map(len, [*names, "label"]))
  widths = [max(len(name), len(f"{matrix.max():,}"), 6) for name in names]
  yield f"{'label':<{first}}  predicted as"
  yield " " * first + "".join(
      f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))
  for name, row in zip(names, matrix, strict=True):
    yield f"{name:<{first}}" + "".join(
        f"  {count:>{width},}" for count, width in zip(
            row, widths, strict=True))


def _list(matrix: np.ndarray, names: Sequence[str]) -> Iterator[str]:
  """Generates the most frequent confusions, one per line."""
  wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
  order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST]
  for label, predicted in zip(*np.unravel_index(order, wrong.shape),
                              strict=True):
    if count := wrong[label, predicted]:
      yield (f"{names[label]} predicted as {names[predicted]}: {count:,} of "
             f"{matrix[label].sum():,}")
