"""The pieces of a large text: which there are, and reading each by itself.

    for piece in pieces.plan(source, 32 << 20):
      for text in piece.texts(): ...

Together, the texts are the source: the same words in the same order.
"""

import codecs
import dataclasses
import os
from collections.abc import Iterator
from typing import IO

from rnn import files
from rnn.text import encodings
from rnn.text.sources import Source, no_archive

_BLOCK = 1 << 20  # bytes
_BLANKS = b" \t\n\r\v\f"


@dataclasses.dataclass(frozen=True)
class Span:
  """A file, or a part of one that is plain UTF-8.

  Attributes:
    source: the file.
    start, stop: the first byte, and the one after the last; stop is None for a
      file that can only be read from its start to its end.
    ends_line: whether another file follows. Then the last line gets a newline
      even if it has only blanks; otherwise, only if it has words.
  """

  source: Source
  start: int = 0
  stop: int | None = None
  ends_line: bool = False


@dataclasses.dataclass(frozen=True)
class Piece:
  """Spans of a text that follow each other.

  Attributes:
    spans: one, unless the files are short.
    most: the bytes of a text, about, if a file is read from start to end.
  """

  spans: tuple[Span, ...]
  most: int

  @property
  def size(self) -> int:
    """The bytes on disk."""
    return sum(
        os.path.getsize(str(span.source.paths[0])) if span.stop is None
        else span.stop - span.start for span in self.spans)

  def texts(self) -> Iterator[bytes]:
    """Generates the text as UTF-8, in one part if the size allows it.

    Each ends after a blank, or where the piece ends.

    Raises:
      DataError: a file cannot be read, or is in another encoding.
    """
    if self.spans[0].stop is None:
      yield from _stream(self.spans[0], self.most)
    else:
      yield b"".join(map(_read, self.spans))


def plan(source: Source, most: int) -> list[Piece]:
  """Returns the pieces of a text, of at most about `most` bytes each.

  Plain files are cut after a line end if there is one within a megabyte, or
  else after a blank. A file that is compressed or in another encoding is one
  piece. Short files share a piece.

  Raises:
    DataError: a file does not exist, or is not a file.
  """
  source.check_are_files()
  result: list[Piece] = []
  short: list[Span] = []  # files that share a piece

  def end() -> None:
    if short:
      result.append(Piece(tuple(short), most))
      short.clear()

  each = list(source.each())
  for part in each:
    path = str(part.paths[0])
    ends_line = part is not each[-1]
    with files.path_errors(path):
      size = os.path.getsize(path)
      if not _is_plain(part):
        end()
        result.append(Piece((Span(part, ends_line=ends_line),), most))
        continue
      if size > most - sum(span.stop or 0 for span in short):
        end()
      cuts = _cuts(path, size, -(-size // most) or 1)
    if len(cuts) == 2:
      short.append(Span(part, 0, size, ends_line))
      continue
    result.extend(
        Piece((Span(part, start, stop, ends_line),), most)
        for start, stop in zip(cuts, cuts[1:], strict=False))
  end()
  return result


def _is_plain(source: Source) -> bool:
  """Returns whether any part of a file can be read as UTF-8."""
  path = str(source.paths[0])
  if files.is_packed(path):
    return False
  with open(path, "rb") as file:
    return encodings.is_utf_8(file.read(4), source.encoding)


def _cuts(path: str, size: int, number: int) -> list[int]:
  """Returns where the parts of a file begin, and the end of the last one."""
  cuts = [0]
  with open(path, "rb") as file:
    for k in range(1, number):
      cut = _next_cut(file, size * k // number)
      if cuts[-1] < cut < size:
        cuts.append(cut)
  return [*cuts, size]


def _next_cut(file: IO[bytes], place: int) -> int:
  """Returns the first good place to cut a file, at or after a place."""
  file.seek(place)
  block = file.read(_BLOCK)
  if b"\n" in block:
    return place + block.index(b"\n") + 1
  while block:
    blanks = [block.index(blank) for blank in _BLANKS if blank in block]
    if blanks:
      return place + min(blanks) + 1
    place += len(block)
    block = file.read(_BLOCK)
  return place


def _read(span: Span) -> bytes:
  """Reads a part of a plain file."""
  path = str(span.source.paths[0])
  assert span.stop is not None
  with files.path_errors(path), files.open_regular(path) as file:
    file.seek(span.start)
    text = file.read(span.stop - span.start)
    is_end = not file.read(1)
    line = _line_before(file, span.start) if b"\n" not in text else b""
  if span.start == 0:
    # Also without the byte order mark, and checked for UTF-16 without one.
    text = b"".join(encodings.to_utf_8(
        no_archive(_blocks(text), path), path))
  elif not _is_utf_8(text):
    for _ in span.source.parts():
      pass  # raises the error, with the place in the file
  return text + _line_end(_tail(line, text), span) if is_end else text


def _line_before(file: IO[bytes], place: int) -> bytes:
  """Returns the `_tail` of a file up to a place."""
  line = b""
  while place and not line.strip():
    start = max(place - _BLOCK, 0)
    file.seek(start)
    block = file.read(place - start)
    place = start
    line = _tail(b"", block) or line
    if b"\n" in block:
      break
  return line


def _blocks(text: bytes) -> Iterator[bytes]:
  """Generates a text in blocks, which may end within a character."""
  for start in range(0, len(text), _BLOCK):
    yield text[start:start + _BLOCK]


def _is_utf_8(text: bytes) -> bool:
  """Returns whether a text is UTF-8."""
  if text.isascii():
    return True
  decoder = codecs.getincrementaldecoder("utf-8")()
  try:
    for block in _blocks(text):
      decoder.decode(block)
    decoder.decode(b"", final=True)
  except UnicodeDecodeError:
    return False
  return True


def _stream(span: Span, most: int) -> Iterator[bytes]:
  """Generates a file that is read from its start, in texts of `most` bytes."""
  held: list[bytes] = []
  size, line = 0, b""
  for block in span.source.blocks():
    if size >= most:
      yield b"".join(held)
      held, size = [], 0
    held.append(block)
    size += len(block)
    line = _tail(line, block)
  yield b"".join([*held, _line_end(line, span)])


def _tail(line: bytes, block: bytes) -> bytes:
  """Returns what matters of the last line of a text.

  Args:
    line: the same of the text before the block.

  Returns:
    A byte of a word; or a blank if the line has only blanks; or nothing.
  """
  _, newline, rest = block.rpartition(b"\n")
  line = rest if newline else line + rest
  return line.strip()[:1] or line[:1]


def _line_end(line: bytes, span: Span) -> bytes:
  """Returns the newline that the last line of a file lacks, or nothing."""
  return b"\n" if (line if span.ends_line else line.strip()) else b""
