"""Tables with a header: CSV, or text with tabs or semicolons as separators."""

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from typing import IO, Any

from rnn.errors import DataError

_MAX_ROW = 1_000_000  # characters
_SEPARATORS = "\t", ",", ";"


@dataclasses.dataclass(frozen=True)
class Table:
  """A table that is open for reading.

  Attributes:
    path: its name for errors.
    columns: the names in the header.
  """

  path: str
  columns: Sequence[str]
  _file: IO[str]
  _separator: str

  @classmethod
  def read(cls, path: str, file: IO[str]) -> "Table":
    """Reads the header. The first line shows what separates the columns.

    Args:
      file: an open text, see `files.open_text`.

    Raises:
      DataError: there is no header.
    """
    line = file.readline(_MAX_ROW)
    if not line.strip():
      raise DataError(f"{path}: has no header with the names of the columns in "
                      "its first line; add one")
    separator = max(_SEPARATORS, key=line.count)  # tabs, if equal
    try:
      columns = [name.strip() for name in next(csv.reader(
          [line], delimiter=separator, strict=True))]
    except csv.Error as error:
      raise DataError(f"{path}: line 1: {error}; correct it") from None
    return cls(path, columns, file, separator)

  def rows(self) -> Iterator[tuple[int, list[str]]]:
    """Generates the rows below the header, see `rows`."""
    return rows(self.path, self._file, delimiter=self._separator)


def rows(path: str, file: IO[str],
         **options: Any) -> Iterator[tuple[int, list[str]]]:
  """Generates the rows below a header: a line number, and the values.

  A quoted value may contain line ends; then the last line of the row counts.
  Blank lines are skipped.

  Args:
    path: the name of the file for errors.
    file: an open text, whose first line has been read.
    options: keyword arguments of `csv.reader`.

  Raises:
    DataError: a row has more than 1,000,000 characters, or is not CSV.
  """
  length, number = 0, 1  # of a row so far; of the line
  first = 2  # line of the row

  def lines() -> Iterator[str]:
    nonlocal length, number
    while line := file.readline(_MAX_ROW + 1):
      length, number = length + len(line), number + 1
      if length > _MAX_ROW:
        raise DataError(
            f"{path}: line {number:,} belongs to a row of more than "
            f"{_MAX_ROW:,} characters; close the quote in front of it, or "
            "shorten the row")
      yield line

  csv.field_size_limit(_MAX_ROW)
  try:
    # If not strict, a quote at the beginning of a value could take in the next
    # rows.
    for row in csv.reader(lines(), strict=True, **options):
      length, first = 0, number + 1
      if row:
        yield number, row
  except csv.Error as error:
    raise DataError(
        f"{path}: line {first:,}: {error}; correct it, or put the value into "
        "quotes and double the quotes within it") from None
