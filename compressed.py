"""Opens files that may be compressed: gzip, bzip2 or xz, told by content."""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib

import reader

_OPEN = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


@contextlib.contextmanager
def open_binary(path):
  """A context with the content of a file, read as a stream of bytes.

  Raises:
    reader.DataError: also from within the context: there is no such file, or
      its compression is garbled or cut off.
  """
  try:
    with open(path, "rb") as file:
      start = file.peek(6)
      opener = next((opener for magic, opener in _OPEN.items()
                     if start.startswith(magic)), None)
      with opener(file) if opener else file as content:
        yield content
  except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
    raise reader.DataError(f"{path}: cut off or garbled ({error}); get it "
                           "again") from None
  except OSError as error:  # bzip2's has no strerror
    raise reader.DataError(
        f"{path}: {error.strerror or f'cut off or garbled ({error})'}"
    ) from None
  except ValueError as error:
    if isinstance(error, (reader.DataError, UnicodeError)):
      raise
    raise reader.DataError(f"{path}: not the name of a file: {error}") from None


@contextlib.contextmanager
def open_text(path):
  """A context with the lines of a file, UTF-8, with their ends as they are.

  Raises:
    reader.DataError: as `open_binary`; also for what is not UTF-8.
  """
  with open_binary(path) as content:
    try:
      yield io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError:
      raise reader.DataError(
          f"{path}: not UTF-8 text; convert the file, or name another"
      ) from None
