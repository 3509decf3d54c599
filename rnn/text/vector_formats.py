"""The formats of word vectors: text, word2vec's binary format, NumPy's arrays.

`vector_files` opens a file in its format.
"""

import codecs
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Protocol

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text.vocabulary import Words

WORDS = ".words.txt"
NPY = re.compile(r"\.npy(\.\w+)?$")
# Limits on what a compressed file can unpack to: characters of a line, bytes of
# a word in the binary format, numbers in a vector.
_MAX_LINE = 10 ** 7
_MAX_WORD = 10_000
_MAX_WIDTH = 10 ** 6
_BLOCK_BYTES = 1 << 20
_HEADER = re.compile(  # Python refuses to convert thousands of digits
    rb"[ \t]*(\d{1,19})[ \t]+(\d{1,19})[ \t]*\r?(?:\n|$)")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_AGAIN = "get the file again"

Wanted = Callable[[str], bool]
Records = Iterator[tuple[str, np.ndarray]]

_log = logging.getLogger(__name__)


class Format(Protocol):
  """An open file of vectors.

  Attributes:
    width: D, the numbers per vector.
  """

  width: int

  def records(self, wanted: Wanted) -> Records:
    """Generates the words that are wanted, with their vectors [D].

    A word may occur twice. The whole file is read. All lines are checked for
    their length; only the numbers of words that are wanted are converted.
    """


def is_binary(start: bytes) -> bool:
  """Returns whether the beginning of a file is word2vec's binary format."""
  header = _HEADER.match(start)
  if not header:
    return False
  rest = start[header.end():]
  width = int(header[2])
  numbers = rest.partition(b"\n")[0].split()[1:]
  if numbers and len(numbers) == width and all(map(_is_number, numbers)):
    return False
  return not _is_text(rest)


def _is_text(content: bytes) -> bool:
  """Returns whether bytes may be UTF-8, perhaps cut within a character."""
  try:
    codecs.getincrementaldecoder("utf-8")().decode(content)
  except UnicodeDecodeError:
    return False
  return not _CONTROL.search(content)


def _is_number(field: str | bytes) -> bool:
  """Returns whether a field of a text is a number."""
  try:
    float(field)
    return True
  except ValueError:
    return False


def _check_size(path: str, size: int, width: int) -> None:
  """Raises a DataError if there are no vectors, or too long ones."""
  if not size or not width:
    raise DataError(f"{path}: line 1 announces {size} words of {width} "
                    "numbers, but at least one of each is needed; export the "
                    "vectors again")
  if width > _MAX_WIDTH:
    raise DataError(f"{path}: line 1 announces vectors of {width:,} numbers; "
                    f"at most {_MAX_WIDTH:,} are read; export the vectors "
                    "again")


class Text:
  """The text format of word2vec, or of GloVe."""

  def __init__(self, file: IO[str], path: str) -> None:
    self._path = path
    self._lines = files.limited_lines(file, path, _MAX_LINE)
    self._first, self._size = next(self._lines, ""), None
    fields = _fields(self._first)
    if header := _HEADER.fullmatch(self._first.encode()):
      self._size, self.width = map(int, header.groups())
      self._first = ""
      _check_size(path, self._size, self.width)
    elif (self._first.endswith("\n") and len(fields) > 2
          and all(map(_is_number, fields[1:]))):
      self.width = len(fields) - 1
    else:
      raise DataError(
          f"{path}: line 1 is neither the number of words and the size of the "
          "vectors, as word2vec writes it, nor a word and its numbers, as "
          "GloVe does; convert the file, or get it again if it is truncated")

  def records(self, wanted: Wanted) -> Records:
    """Generates the words that are wanted, see `Format`."""
    number, last = 0, "\n"
    for number, last in enumerate(self._all_lines(), 1):
      word, numbers = self._split(number, last)
      if wanted(word):
        try:
          yield word, np.array(numbers, np.float32)
        except ValueError:
          raise self._error(number, last, "has a field that is not a number"
                            ) from None
    if self._size not in (None, number):
      self._refuse_number(number, self._size or 0)
    if not last.endswith("\n"):
      _log.warning("%s: does not end with a newline; if it is truncated, the "
                   "vector of its last word is wrong", self._path)

  def _all_lines(self) -> Iterator[str]:
    if self._first:
      yield self._first
    yield from self._lines

  def _split(self, number: int, line: str) -> tuple[str, list[str]]:
    """Splits a line into the word and its numbers.

    Args:
      number: of the vectors so far, with this one.
    """
    word, *numbers = _fields(line)
    extra = len(numbers) - self.width
    # A word of GloVe may have blanks, such as ". . .".
    if extra > 0 and not all(map(_is_number, numbers[:extra])):
      word = " ".join([word, *numbers[:extra]])
      numbers = numbers[extra:]
    if len(numbers) != self.width:
      raise self._error(
          number, line, f"has {len(numbers)} numbers, not {self.width} as "
          "line 1 " + ("says" if self._size else "has"))
    return word, numbers

  def _error(self, number: int, line: str, problem: str) -> DataError:
    """Returns the error of a line; the last one may be cut."""
    number += self._size is not None
    if not line.endswith("\n"):
      return DataError(f"{self._path}: truncated: line {number}, the last, "
                       f"{problem}; {_AGAIN}")
    return DataError(f"{self._path}: line {number} {problem}; correct one of "
                     "the two, or export the vectors again")

  def _refuse_number(self, number: int, size: int) -> None:
    if number < size:
      raise DataError(f"{self._path}: truncated: has {number} words, but line "
                      f"1 announces {size}; {_AGAIN}, or else correct line 1")
    raise DataError(f"{self._path}: has {number} words, but line 1 announces "
                    f"{size}; correct line 1, or {_AGAIN}")


def _fields(line: str) -> list[str]:
  """Splits a line at spaces and tabs; a word may have blanks of Unicode."""
  return line.rstrip(" \t\r\n").replace("\t", " ").split(" ")


class Binary:
  """The binary format of word2vec: "N D", then words and float32 [D].

  A space follows each word. A newline may follow each vector: word2vec writes
  it, gensim does not.
  """

  def __init__(self, file: IO[bytes], path: str) -> None:
    self._file, self._path = file, path
    header = _HEADER.match(file.readline(_MAX_WORD))
    assert header  # `is_binary` has found it
    self._size, self.width = map(int, header.groups())
    _check_size(path, self._size, self.width)
    self._bytes = 4 * self.width
    self._buffer, self._at = b"", 0

  def records(self, wanted: Wanted) -> Records:
    """Generates the words that are wanted, see `Format`."""
    for number in range(self._size):
      # This record, and the word of the next.
      self._need(2 * _MAX_WORD + self._bytes)
      self._skip_newline()
      end = self._end_of_word(is_last=number == self._size - 1)
      vector = self._buffer[end + 1:end + 1 + self._bytes]
      if end < 0 and len(self._buffer) - self._at > _MAX_WORD:
        raise DataError(f"{self._path}: word {number + 1:,} has more than "
                        f"{_MAX_WORD:,} bytes, so the file is damaged, or not "
                        f"in word2vec's binary format; {_AGAIN}")
      if end < 0 or len(vector) < self._bytes:
        raise DataError(f"{self._path}: truncated: has {number:,} complete "
                        f"vectors, but line 1 announces {self._size:,}; "
                        f"{_AGAIN}")
      # word2vec may cut a word within a character.
      word = self._buffer[self._at:end].decode(errors="replace")
      self._at = end + 1 + self._bytes
      if wanted(word):
        yield word, np.frombuffer(vector, "<f4").astype(np.float32)
    self._need(_MAX_WORD)
    if self._buffer[self._at:].strip():
      raise DataError(f"{self._path}: goes on after the {self._size:,} vectors "
                      f"of {self.width:,} numbers that line 1 announces, so it "
                      f"is damaged; {_AGAIN}")

  def _need(self, number: int) -> None:
    """Reads on until the buffer has some bytes; fewer at the end."""
    if len(self._buffer) - self._at < number:
      self._buffer = self._buffer[self._at:] + self._file.read(
          max(number, _BLOCK_BYTES))
      self._at = 0

  def _skip_newline(self) -> None:
    if self._buffer.startswith(b"\n", self._at):
      self._at += 1

  def _end_of_word(self, is_last: bool) -> int:
    """Returns the index of the space after the word; -1 if there is none.

    A word may have spaces itself. So the end is the first space after whose
    vector another word begins, or else the first space.
    """
    first = end = self._buffer.find(b" ", self._at, self._at + _MAX_WORD)
    while end >= 0:
      if self._is_word(end + 1 + self._bytes, is_last):
        return end
      end = self._buffer.find(b" ", end + 1, self._at + _MAX_WORD)
    return first

  def _is_word(self, start: int, is_last: bool) -> bool:
    """Returns whether a word begins at an index, or the file ends there."""
    if is_last:
      return not self._buffer[start:].strip()
    word = self._buffer[start:start + _MAX_WORD].partition(b" ")[0]
    word = word.removeprefix(b"\n")
    return word != b"" and _is_text(word)


class Array:
  """An array of NumPy, with its words in another file."""

  def __init__(self, file: IO[bytes], path: str) -> None:
    self._file, self._path = file, path
    try:
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the header
        # numpy.save writes other versions only for records of many fields.
        if np.lib.format.read_magic(file) != (1, 0):
          raise ValueError
        shape, self._by_columns, self._dtype = (
            np.lib.format.read_array_header_1_0(file))
    except (OSError, EOFError):
      raise
    except Exception:  # the header is Python source, so damage raises anything
      raise DataError(f"{path}: not an array of NumPy, or truncated; save it "
                      "with numpy.save") from None
    if len(shape) != 2 or self._dtype.kind != "f" or not (
        0 < shape[1] <= _MAX_WIDTH and shape[0] > 0):
      raise DataError(f"{path}: {self._dtype} {list(shape)} is not one vector "
                      "of floats for each word; save another array")
    self._size, self.width = shape

  def records(self, wanted: Wanted) -> Records:
    """Generates the words that are wanted, see `Format`."""
    words = self._read_words()
    rows = [i for i, word in enumerate(words) if wanted(word)]
    if self._by_columns:
      vectors = np.empty([len(rows), self.width], np.float32)
      for column in range(self.width):
        vectors[:, column] = self._read(self._size)[rows]
    else:
      # Some rows at a time.
      step = max(_BLOCK_BYTES // (self.width * self._dtype.itemsize), 1)
      is_wanted = np.zeros(self._size, bool)
      is_wanted[rows] = True
      vectors = np.concatenate([
          self._read(len(part) * self.width).reshape(-1, self.width)[part]
          for part in np.split(is_wanted, range(step, self._size, step))])
    self._file.read(1)  # compressed data end in a checksum
    for row, vector in zip(rows, vectors, strict=True):
      yield words[row], vector

  def _read_words(self) -> Sequence[str]:
    """Returns the words of the rows."""
    path = NPY.sub("", self._path) + WORDS
    if not os.path.exists(path):
      raise DataError(f"{path}: No such file, but it must have the words of "
                      f"{self._path}, one per line, in the order of its rows")
    words = Words.load(path).words
    if len(words) != self._size:
      raise DataError(
          f"{self._path}: {self._dtype} {[self._size, self.width]} is not one "
          f"vector for each of the {len(words)} words in {path}; save both "
          "again")
    return words

  def _read(self, number: int) -> np.ndarray:
    """Returns the next numbers as float32.

    Raises:
      DataError: the file ends before them.
    """
    content = self._file.read(number * self._dtype.itemsize)
    if len(content) < number * self._dtype.itemsize:
      raise DataError(
          f"{self._path}: truncated: has fewer numbers than its header "
          f"announces, {[self._size, self.width]}; {_AGAIN}, or save it with "
          "numpy.save again")
    return np.frombuffer(content, self._dtype).astype(np.float32)
