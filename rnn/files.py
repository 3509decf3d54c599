"""Files that are written atomically, sealed with a digest, or compressed.

Every file of a run is written under a temporary name, synced, and then renamed.
So a reader never sees half a file, even after a kill.
"""

import codecs
import contextlib
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from rnn.compressed import OPENERS
from rnn.errors import DataError, UserError

if TYPE_CHECKING:
  import numpy as np

# A folder with this ending holds something that is being written or removed, or
# was when its process died.
PARTIAL = ".partial"
BOM = codecs.BOM_UTF8

_PREFIX = 40  # characters of a file's name that its temporary name repeats
_ZIP = b"PK\x03\x04", b"PK\x05\x06"  # the second: an empty archive
_NOT_TEXT = "[Content_Types].xml", "mimetype"  # of office programs, e-books


class DamagedError(Exception):
  """A file is unreadable, or its content is not what was written."""


# Writing


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[str]:
  """Yields a temporary name to write a file or folder under.

  The name is in a new folder beside `path`, so nothing exists under it. At the
  end of the context the file, or the folder with all that is in it, is synced
  and renamed to `path`. After an exception it is removed, and `path` is as it
  was. A killed process leaves the new folder behind, see `is_leftover`.
  """
  folder, name = os.path.split(path)
  temporary = tempfile.mkdtemp(PARTIAL, f"{name[:_PREFIX]}.", folder or ".")
  partial = os.path.join(temporary, name)
  try:
    yield partial
    if os.path.isdir(partial):
      for parent, _, names in os.walk(partial, topdown=False):
        for inside in names:
          _sync(os.path.join(parent, inside))
        _sync(parent)
    else:
      _sync(partial)
    os.replace(partial, path)
    _sync(folder or ".")
  finally:
    remove(temporary)  # this makes room if the disk is full


def is_leftover(leftover: str, name: str) -> bool:
  """Returns whether a name is one that `atomic_write` uses for a time.

  Older versions used the name of the file with the ending.

  Args:
    leftover: the name to judge.
    name: the name of the file.
  """
  return leftover == name + PARTIAL or re.fullmatch(
      rf"{re.escape(name[:_PREFIX])}\.\w{{8}}{re.escape(PARTIAL)}",
      leftover) is not None


def _sync(path: str) -> None:
  """Waits until a file, or a folder's list of names, is on the disk."""
  if os.name == "nt" and os.path.isdir(path):
    return  # Windows opens no folders
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def remove(path: str) -> None:
  """Removes a file, a link, or a folder with its contents, if it exists."""
  with contextlib.suppress(FileNotFoundError):
    if os.path.isdir(path) and not os.path.islink(path):
      shutil.rmtree(path)
    else:
      os.remove(path)


def write_json(path: str, content: object) -> None:
  """Writes JSON atomically, indented by two spaces."""
  with atomic_write(path) as partial, open(partial, "w") as file:
    json.dump(content, file, indent=2)
    file.write("\n")


def write_sealed(path: str, content: object) -> None:
  """Writes JSON together with its digest; `read_sealed` checks it."""
  write_json(path, {"sha256": json_digest(content), "content": content})


def read_sealed(path: str) -> dict:
  """Reads a file that `write_sealed` wrote.

  Raises:
    DamagedError: the file is unreadable, or the digest does not match.
  """
  try:
    with open_regular(path) as file:
      sealed = json.load(file)
    if sealed["sha256"] == json_digest(sealed["content"]):
      return sealed["content"]
    raise DamagedError(f"{path}: checksum does not match")
  except OSError as error:
    raise DamagedError(f"{path}: {error.strerror}") from None
  except (ValueError, KeyError, TypeError, RecursionError):
    raise DamagedError(f"{path}: damaged") from None


def json_digest(content: object) -> str:
  """Returns the SHA-256 of a JSON value, in hexadecimal digits."""
  return hashlib.sha256(
      json.dumps(content, sort_keys=True).encode()).hexdigest()


# Temporary files


@contextlib.contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
  """Yields a file without a name, which vanishes when nothing uses it.

  Raises:
    DataError: the file cannot be created or written.
  """
  try:
    with tempfile.TemporaryFile() as file:
      yield file
  except OSError as error:
    raise DataError(
        f"{tempfile.gettempdir()}: cannot write temporary files: "
        f"{error.strerror}; free some space, or name another folder in the "
        "environment variable TMPDIR") from None


def memory_map(file: IO[bytes], mode: str = "r",
               dtype: Any = "<i4") -> "np.ndarray":
  """Returns the numbers in an open file as a memory-mapped array."""
  import numpy as np  # slow; the scripts in data/ do without it

  if not os.fstat(file.fileno()).st_size:
    return np.zeros(0, dtype)
  return np.memmap(file, dtype, mode)  # type: ignore[call-overload]


# Reading


@contextlib.contextmanager
def path_errors(path: str) -> Iterator[None]:
  """Turns the errors of opening and reading a file into a DataError."""
  try:
    yield
  except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error,
          zipfile.BadZipFile) as error:
    raise DataError(f"{path}: truncated or damaged ({error}); get it again"
                    ) from None
  except OSError as error:  # an OSError from bz2 has no strerror
    raise DataError(f"{path}: " + (
        error.strerror or f"truncated or damaged ({error})")) from None
  except ValueError as error:  # a NUL in the path, or a surrogate
    if isinstance(error, (UserError, UnicodeDecodeError)):
      raise
    raise DataError(f"{path}: not a file name: {error}") from None


@contextlib.contextmanager
def open_binary(path: str | int, member: str | None = None
                ) -> Iterator[IO[bytes]]:
  """Yields the content of a file as a stream of bytes.

  The file may be compressed by gzip, bzip2 or xz, or be a zip archive. Its
  first bytes show the format.

  Args:
    path: the file; 0 is standard input.
    member: which of the files in a zip archive; without it there must be one.

  Raises:
    DataError: the file does not exist, or its compressed data are truncated
      or damaged. Also raised while the context reads.
  """
  name = name_of(path)
  with path_errors(name), open(path, "rb", closefd=path != 0) as file:
    start = file.peek(6)
    opener = next((opener for magic, opener in OPENERS.items()
                   if start.startswith(magic)), None)
    if start.startswith(_ZIP):
      with _open_member(name, file, member) as content:
        yield content
    else:
      with opener(file) if opener else file as content:
        yield content


def is_packed(path: str) -> bool:
  """Returns whether `open_binary` unpacks a file."""
  with open_regular(path) as file:
    return file.read(6).startswith((*OPENERS, *_ZIP))


def name_of(path: str | int) -> str:
  """Returns the name of a file for messages; 0 is standard input."""
  return "standard input" if path == 0 else str(path)


def zip_members(path: str | int) -> list[str] | None:
  """Returns the names of the files in a zip archive, sorted.

  Hidden files are left out. The result is None if this is no zip archive.

  Raises:
    DataError: the archive is damaged, empty, or a document.
  """
  if path == 0 or not os.path.isfile(path):
    return None
  with path_errors(str(path)), open(path, "rb") as file:
    if not file.peek(4).startswith(_ZIP):
      return None
    with _open_archive(str(path), file) as archive:
      return _members(str(path), archive)


@contextlib.contextmanager
def _open_archive(name: str, file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
  """Yields a zip archive.

  Raises:
    DataError: it is of an unknown version, or the names in it are damaged.
  """
  try:
    archive = zipfile.ZipFile(file)
  except (RuntimeError, UnicodeDecodeError) as error:
    raise DataError(f"{name}: cannot be unpacked ({error}); get it again, or "
                    "unpack it with another program") from None
  with archive:
    yield archive


def _members(name: str, archive: zipfile.ZipFile) -> list[str]:
  """Returns the result of `zip_members` for an open archive."""
  found = archive.namelist()
  if any(mark in found for mark in _NOT_TEXT):
    raise DataError(f"{name}: a document of an office program or an e-book; "
                    "save it as plain text first")
  visible = sorted(
      member for member in found if not member.endswith("/") and not any(
          part.startswith((".", "__MACOSX")) for part in member.split("/")))
  if not visible:
    raise DataError(f"{name}: a zip archive without files; choose another one")
  return visible


@contextlib.contextmanager
def _open_member(name: str, file: IO[bytes],
                 member: str | None) -> Iterator[IO[bytes]]:
  """Yields a file in a zip archive; without its name there must be only one."""
  if not file.seekable():
    raise DataError(f"{name}: a zip archive cannot be read from a pipe; unpack "
                    "it")
  with _open_archive(name, file) as archive:
    members = [member] if member else _members(name, archive)
    if len(members) > 1:
      some = ", ".join(members[:5]) + ", ..." * (len(members) > 5)
      raise DataError(f"{name}: the archive has {len(members):,} files: "
                      f"{some}; unpack it, and choose one")
    try:
      content = archive.open(members[0])
    except RuntimeError as error:  # a password, or an unknown compression
      raise DataError(f"{name}: cannot be unpacked ({error}); unpack it with "
                      "another program") from None
    with content:
      yield content


@contextlib.contextmanager
def open_text(path: str) -> Iterator[io.TextIOWrapper]:
  """Yields a UTF-8 file, which may be compressed, as a stream of text.

  Line ends stay as they are.

  Raises:
    DataError: as in `open_binary`; also if the file is not UTF-8.
  """
  with open_binary(path) as content:
    try:
      yield io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError:
      raise DataError(f"{path}: not UTF-8 text; convert the file, or choose "
                      "another one") from None


def open_regular(path: str) -> IO[bytes]:
  """Opens a file to read; a pipe or a device in its place does not block.

  Raises:
    OSError: the file cannot be opened, or is not a regular file.
  """
  file = open(path, "rb", opener=lambda name, mode: os.open(
      name, mode | getattr(os, "O_NONBLOCK", 0)))
  if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", path)
  return file


def check_is_file(path: str) -> None:
  """Raises a DataError if the path is a folder or a pipe.

  A path that does not exist passes: opening it gives the better message.
  """
  if os.path.exists(path) and not os.path.isfile(path):
    raise DataError(f"{path}: not a file")


def stamp(path: str) -> list | None:
  """Returns a list that changes with a file: path, inode, size and times.

  It misses an edit that keeps the size and falls within the same tick of the
  file system's clock (some milliseconds), or that comes with the clock set
  back. The result is None if there is no such file.
  """
  try:
    status = os.stat(path)
  except (OSError, ValueError):  # ValueError: not a file name
    return None
  return [os.path.abspath(path), status.st_ino, status.st_size,
          status.st_mtime_ns, status.st_ctime_ns]


def limited_lines(file: IO[str], path: str, most: int) -> Iterator[str]:
  """Generates the lines of an open text, none of them longer than `most`.

  So memory stays bounded, whatever the file unpacks to.

  Args:
    path: the name of the file for the error.
    most: the longest line, in characters.

  Raises:
    DataError: a line is longer.
  """
  number = 0
  while line := file.readline(most + 1):
    number += 1
    if len(line) > most:
      raise DataError(f"{path}: line {number} has more than {most:,} "
                      "characters; use a file with shorter lines")
    yield line
