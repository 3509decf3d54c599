"""Where text comes from: files, folders, patterns, compressed, in any encoding.

    source = sources.find("books/*.txt.gz", encoding="cp1252")
    for block in source.blocks(): ...  # UTF-8, without a byte order mark

All parts of a source are read as one text. A file whose last line lacks its
newline gets one, if another file follows.
"""

import contextlib
import dataclasses
import functools
import glob
import hashlib
import io
import itertools
import os
import re
from collections.abc import Generator, Iterable, Iterator

from rnn import files
from rnn.errors import DataError
from rnn.text import encodings

# The file that makes a folder an indexed text, see `shards`; and the folder in
# it while the text is being indexed.
INDEX = "text_index.json"
UNFINISHED = "indexing"  # a folder
TASK = "task.json"  # in it

_BLOCK_BYTES = 1 << 20
_BLANKS = tuple(b" \t\n\r\v\f")
_COMMA = "[,]"  # in a pattern: a comma that separates no names


class Digest:
  """The size and the SHA-256 of a text as UTF-8.

  For a plain UTF-8 file, both are the file's own, byte order mark included.

  Attributes:
    size: in bytes.
  """

  def __init__(self) -> None:
    self.size, self._sha256 = 0, hashlib.sha256()

  def update(self, part: bytes) -> None:
    """Appends a part of the text."""
    self.size += len(part)
    self._sha256.update(part)

  def hexdigest(self) -> str:
    """Returns the SHA-256 in hexadecimal digits."""
    return self._sha256.hexdigest()


@dataclasses.dataclass(frozen=True)
class Source:
  """One text, in one or more files.

  Attributes:
    name: the name for messages: what the user named.
    paths: the files, in order; 0 is standard input.
    encoding: the encoding of the files, as `encodings.resolve` returns it, or
      None. A byte order mark in a file counts more.
  """

  name: str
  paths: tuple[str | int, ...]
  encoding: str | None = None

  @property
  def label(self) -> str:
    """The name without folders, if it is one file."""
    return os.path.basename(self.name) if len(self.paths) == 1 else self.name

  def each(self) -> Iterator["Source"]:
    """Generates one source for each of the files."""
    for path in self.paths:
      yield Source(files.name_of(path), (path,), self.encoding)

  def check_are_files(self) -> None:
    """Raises a DataError if there is a pipe or a folder among the files.

    For a text that is read twice: a pipe can be read only once.
    """
    for path in self.paths:
      if path != 0:
        files.check_is_file(str(path))

  def parts(self, digest: Digest | None = None) -> Generator[bytes]:
    """Generates the text as UTF-8, in parts that may end within a character.

    A pipe is read as its bytes come.

    Args:
      digest: is updated with each part before it is generated.

    Raises:
      DataError: a file does not exist, is truncated or damaged, or is not in
        the encoding. The message names the encoding if it can be told.
    """
    last = b""
    for path, member in self._members():
      if last.strip(b"\n"):  # a line without its newline
        if digest:
          digest.update(b"\n")
        yield b"\n"
      last = b""
      name = f"{path}/{member}" if member else files.name_of(path)
      with files.open_binary(path, member) as file:
        read1 = file.read1  # type: ignore[attr-defined]
        encoded = no_archive(
            iter(functools.partial(read1, _BLOCK_BYTES), b""), name)
        for part in encodings.to_utf_8(
            encoded, name, self.encoding, digest.update if digest else None):
          if part:
            last = part[-1:]
            if digest:
              digest.update(part)
            yield part

  def blocks(self, digest: Digest | None = None) -> Iterator[bytes]:
    """Generates the text as UTF-8, in blocks of about a megabyte.

    A block ends after a blank of ASCII, so no word is cut in two. Memory grows
    with the longest word, not with a line.

    Args:
      digest: see `parts`.

    Raises:
      DataError: as in `parts`; also if a file is a pipe.
    """
    self.check_are_files()
    word: list[bytes] = []  # the parts of a word that is not complete
    for part in self.parts(digest):
      end = max(map(part.rfind, _BLANKS)) + 1
      if end:
        yield b"".join([*word, part[:end]])
        word = []
      word.append(part[end:])
    if rest := b"".join(word):
      yield rest

  @contextlib.contextmanager
  def open_text(self, newline: str = "") -> Iterator[io.TextIOWrapper]:
    """Yields the text as a stream of characters.

    Args:
      newline: see `open`. By default a line ends at any kind of line end, which
        stays as it is.

    Raises:
      DataError: as in `parts`, while the context reads.
    """
    with contextlib.closing(self.parts()) as parts:
      yield io.TextIOWrapper(io.BufferedReader(_Stream(parts)), "utf-8",
                             newline=newline)

  def read(self) -> str:
    """Returns the whole text.

    Raises:
      DataError: as in `blocks`.
    """
    return b"".join(self.blocks()).decode()

  def stamp(self) -> list | None:
    """Returns a list that changes with the files, see `files.stamp`.

    It is None if a file does not exist. For a single file without an encoding,
    it is the file's own.
    """
    stamps = [files.stamp(str(path)) for path in self.paths]
    if None in stamps:
      return None
    if len(stamps) == 1 and self.encoding is None:
      return stamps[0]
    return [self.encoding, *stamps]

  def _members(self) -> Iterator[tuple[str | int, str | None]]:
    """Generates the paths, with the name of a file within a zip archive."""
    for path in self.paths:
      yield from ((path, member)
                  for member in files.zip_members(path) or (None,))


def no_archive(parts: Iterable[bytes], name: str) -> Iterator[bytes]:
  """Generates the parts of a text.

  Raises:
    DataError: it is a tar archive, whose headers would be words.
  """
  for number, part in enumerate(parts):
    if number == 0 and part[257:262] == b"ustar":
      raise DataError(f"{name}: a tar archive; unpack it, and name the folder "
                      "of the texts")
    yield part


class _Stream(io.RawIOBase):
  """A stream of bytes from an iterator of nonempty parts."""

  def __init__(self, parts: Iterator[bytes]) -> None:
    self._parts, self._rest = parts, memoryview(b"")

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
    if not self._rest:
      self._rest = memoryview(next(self._parts, b""))
    size = min(len(buffer), len(self._rest))
    buffer[:size] = self._rest[:size]
    self._rest = self._rest[size:]
    return size


def of_file(path: str, encoding: str | None = None) -> Source:
  """Returns the source of one file, whatever its name looks like.

  Raises:
    SettingError: there is no such encoding.
  """
  return Source(path, (path,), encodings.resolve(encoding))


def read_utf_8(source: Source) -> str:
  """Returns a text for which the user cannot name an encoding.

  Raises:
    DataError: as in `Source.blocks`.
  """
  try:
    return source.read()
  except encodings.EncodingError as error:
    raise DataError(f"{error.fault}; convert the file to UTF-8") from None


def standard_input(encoding: str | None = None) -> Source:
  """Returns the source that reads standard input.

  Raises:
    SettingError: there is no such encoding.
  """
  return Source(files.name_of(0), (0,), encodings.resolve(encoding))


def find(name: str | Source, encoding: str | None = None) -> Source:
  """Returns the text that a user names.

  Args:
    name: a file; a folder, whose files are read in the order of their names,
      without hidden files and without its folders; or a pattern such as
      books/*.txt, also in the order of names, where ** is any folders. If there
      is nothing with this name, it may be several of these, separated by
      commas, in that order. A file named twice is read once. A Source is
      returned as it is.
    encoding: of the files, such as "gbk". By default they are UTF-8, or have a
      byte order mark.

  Raises:
    DataError: nothing is found. A single name without a pattern passes: opening
      it gives the better message.
    SettingError: there is no such encoding.
  """
  if isinstance(name, Source):
    return name
  name = os.fspath(name)
  return Source(name, tuple(dict.fromkeys(_find(name))),
                encodings.resolve(encoding))


def _find(name: str) -> Iterable[str]:
  """Generates the files that a name, pattern or list of them stands for."""
  if os.path.isdir(name):
    return _inside(name)
  if not name:
    raise DataError("the name of a text is empty; name a file")
  if os.path.lexists(name):
    return [name]
  if _COMMA in name:  # see `absolute`
    literal = re.sub(r"\[(.)\]", r"\1", name)
    if os.path.lexists(literal):
      return _find(literal)
  if "," in name.replace(_COMMA, ""):
    return itertools.chain.from_iterable(map(_find, _parts_of(name)))
  if not glob.has_magic(name):
    return [name]
  with files.path_errors(name):
    found = sorted(path for path in glob.glob(name, recursive=True)
                   if not os.path.isdir(path))
  if not found:
    raise DataError(f"{name}: no such file, and no file fits it as a pattern")
  return found


def _parts_of(names: str) -> list[str]:
  """Returns the names in a list of them, which commas separate."""
  parts = names.replace(_COMMA, "\0").split(",")
  return [part.strip().replace("\0", _COMMA) for part in parts if part.strip()]


def _inside(folder: str) -> list[str]:
  """Returns the files in a folder, sorted; hidden ones are left out."""
  refuse_index(folder)
  with files.path_errors(folder):
    found = sorted(
        entry.path for entry in os.scandir(folder)
        if not entry.name.startswith(".") and entry.is_file())
  if not found:
    raise DataError(f"{folder}: no files in this folder; name a folder of "
                    f"texts, or {os.path.join(folder, '**')} for the files in "
                    "its folders")
  return found


def is_indexed(path: str) -> bool:
  """Returns whether a path is a folder that `data/index.py` wrote.

  Raises:
    DataError: it has not been finished.
  """
  if os.path.isfile(os.path.join(path, INDEX)):
    return True
  if os.path.isfile(os.path.join(path, UNFINISHED, TASK)):
    raise DataError(f"{path}: data/index.py has not finished this folder; "
                    "repeat its command")
  return False


def refuse_index(path: str) -> None:
  """Raises a DataError if a path is an indexed text."""
  if is_indexed(path):
    raise DataError(f"{path}: an indexed text, which only ptb_word_lm.py "
                    "reads; name the text itself")


def absolute(name: str) -> str:
  """Returns what `find` finds in any working directory."""
  if os.path.lexists(name) or not (glob.has_magic(name) or "," in name):
    return os.path.abspath(name)
  return ",".join(map(_absolute_part, _parts_of(name)))


def _absolute_part(name: str) -> str:
  """Returns the absolute path of a file or pattern in a list of them."""
  if os.path.lexists(name):
    path = os.path.abspath(name)
    return _pattern_of(path) if "," in path else path
  # Only the name is a pattern, not the working directory.
  return os.path.normpath(os.path.join(_pattern_of(os.getcwd()), name))


def _pattern_of(path: str) -> str:
  """Returns a pattern that only a path fits, without commas between names."""
  return glob.escape(path).replace(",", _COMMA)
