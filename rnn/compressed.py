"""Files that gzip, bzip2 or xz has compressed, as streams of bytes."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import IO, Any

_BLOCK_BYTES = 1 << 16


class _Unpacked(io.RawIOBase):
  """The content of a file with one compressed stream, or several in a row.

  Python's own readers take damage at the start of a later stream for the end of
  the file. Only zeros may follow the last stream.
  """

  def __init__(self, file: IO[bytes], make: Callable[[], Any]) -> None:
    """Reads nothing yet.

    Args:
      file: the compressed file, which stays open.
      make: returns a decompressor, which reads one stream.
    """
    self._file, self._make = file, make
    self._stream, self._position = make(), 0

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return self._file.seekable()

  def tell(self) -> int:
    return self._position

  def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
    """Reads up to a position; from the start again, if it was passed."""
    if whence == io.SEEK_CUR:
      position += self._position
    elif whence != io.SEEK_SET:
      raise io.UnsupportedOperation("the size is not known")
    if position < self._position:
      self._file.seek(0)
      self._stream, self._position = self._make(), 0
    while self._position < position and self.read(
        min(position - self._position, _BLOCK_BYTES)):
      pass
    return self._position

  def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
    """Raises EOFError, OSError or LZMAError if the file is damaged."""
    while True:
      packed = b""
      if self._stream.eof:
        packed = self._stream.unused_data.lstrip(b"\0")
        while not packed:
          block = self._file.read(_BLOCK_BYTES)
          if not block:
            return 0
          packed = block.lstrip(b"\0")
        self._stream = self._make()
      elif self._stream.needs_input:
        packed = self._file.read(_BLOCK_BYTES)
        if not packed:
          raise EOFError("unexpected end of data")
      if part := self._stream.decompress(packed, len(buffer)):
        buffer[:len(part)] = part
        self._position += len(part)
        return len(part)


def _reader(make: Callable[[], Any]) -> Callable[[IO[bytes]], IO[bytes]]:
  return lambda file: io.BufferedReader(_Unpacked(file, make), _BLOCK_BYTES)


# The first bytes of a file -> what opens it.
OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": _reader(bz2.BZ2Decompressor),
    b"\xfd7zXZ": _reader(lzma.LZMADecompressor)}
