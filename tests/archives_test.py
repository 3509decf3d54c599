"""Tar archives from anyone: damaged, hostile, or made to take all memory."""

import gzip
import io
import re
import tarfile
import tracemalloc

import fetch_ptb
import pytest

from rnn import archives
from tasks import imdb, skip_grams
from tests.helpers.texts import data_error, write_archive

GIGABYTE = 10 ** 9
NAME = "aclImdb/train/pos/0_9.txt"


def header(name=NAME, kind=tarfile.REGTYPE, size=0, **settings):
  """Returns the headers of a member, which may claim any size.

  Args:
    settings: for an extended header in front, "_" in place of ".".
  """
  member = tarfile.TarInfo(name)
  member.type, member.size = kind, size
  member.pax_headers = {
      name.replace("_", "."): text for name, text in settings.items()}
  return member.tobuf(tarfile.PAX_FORMAT if settings else tarfile.GNU_FORMAT)


def padded(content):
  """Returns a content in whole blocks."""
  return content + bytes(-len(content) % 512)


LONG_NAME = header("@", tarfile.GNUTYPE_LONGNAME, 2) + padded(b"a\0")
GLOBAL = tarfile.TarInfo.create_pax_global_header
SPARSE_1_0 = header(size=9999, GNU_sparse_major="1", GNU_sparse_minor="0")
HEADERS = "the headers of its member number {} take more than 65,536 bytes"

# Archives that Python's tarfile reads whole, by recursion, or without end.
HOSTILE = {
    "long names": (LONG_NAME * 1500, HEADERS.format(1)),
    "settings": (header(comment="a")[:-512] * 1500, HEADERS.format(1)),
    "global settings": (GLOBAL({"comment": "a"}) * 1500, HEADERS.format(1)),
    "the second member": (header() + LONG_NAME * 1500, HEADERS.format(2)),
    "a name of 6 GB": (
        header("@", tarfile.GNUTYPE_LONGNAME, 6 * GIGABYTE), HEADERS.format(1)),
    "settings of 6 GB": (
        header("@", tarfile.XHDTYPE, 6 * GIGABYTE), HEADERS.format(1)),
    "many holes": (
        SPARSE_1_0 + b"99999999\n" + b"0\n" * 99_999, HEADERS.format(1)),
    "a review of 6 GB": (
        header(size=6 * GIGABYTE),
        f"its member '{NAME}' has 6,000,000,000 bytes; the limit is 1,000,"),
    "a review of 20 MB": (
        header(size=20_000_000) + bytes(20_000_000),
        f"its member '{NAME}' has 20,000,000 bytes; at most 10,000,000 are "),
    "another file of 6 GB": (
        header("README", size=6 * GIGABYTE),
        "its member 'README' has 6,000,000,000 bytes; the limit is"),
    "a review of -5,000 bytes": (
        header(size=-5000) + header() + bytes(1024),
        f"its member '{NAME}' has -5,000 bytes; the limit is"),
    "another file of -5,000 bytes": (
        header() + header("README", size=-5000) + bytes(1024),
        "its member 'README' has -5,000 bytes; the limit is"),
    "a review with holes": (
        header(size=5, GNU_sparse_size="9", GNU_sparse_map="0,5")
        + padded(b"a b c") + bytes(1024),
        f"its member '{NAME}' is not a regular file"),
    "many global settings": (
        b"".join(GLOBAL({f"a{i}-{k}": "b" for k in range(60)})
                 + header("README") for i in range(20)),
        "before its member 'README' are more than 1,000 settings"),
}


def write(path, content, compress=gzip.compress):
  path.write_bytes(compress(content))
  return str(path)


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_get_one_line(tmp_path, name):
  """Of reviews, as a text of word2vec, and of the Penn Treebank."""
  content, message = HOSTILE[name]
  path = write(tmp_path / "a.tgz", content)
  tracemalloc.start()
  try:
    for read in imdb.reviews, skip_grams.passages:
      error = data_error(lambda path, read=read: list(read(path)), path)
      assert message in error and "name its folder" in error
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 5e6
  if "review" not in name:
    with pytest.raises(fetch_ptb.FetchError, match=re.escape(message)):
      fetch_ptb._unpack(path, {"ptb.train.txt"}, str(tmp_path))


@pytest.mark.parametrize("limit, value, message", [
    ("MAX_MEMBERS", 4, "it has more than 4 members"),
    ("MAX_ARCHIVE_BYTES", 3000, "it has more than 3,000 bytes, up to its member"
     " number 4"),
    ("MAX_ARCHIVE_BYTES", 99_999, "it has more than 99,999 bytes")])
def test_limits_of_an_archive(tmp_path, monkeypatch, limit, value, message):
  """The last one is exceeded after the last member."""
  path = write_archive(tmp_path / "a", {
      f"train/pos/{i}_9.txt": "a" for i in range(5)}, mode="w")
  write(tmp_path / "a", open(path, "rb").read() + bytes(200_000))
  list(imdb.reviews(path))
  monkeypatch.setattr(archives, limit, value)
  assert message in data_error(lambda path: list(imdb.reviews(path)), path)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_ordinary_headers_are_read(form):
  """Long names, long links, and settings, as from other programs."""
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w", format=form,
                    pax_headers={"comment": "all"}) as archive:
    for i in range(3):
      member = tarfile.TarInfo(f"{'n' * 4000}/{i}")
      member.pax_headers = {"comment": "c" * 4000}
      member.size = 5
      archive.addfile(member, io.BytesIO(b"a b c"))
      member = tarfile.TarInfo(f"{'n' * 4000}/link {i}")
      member.type, member.linkname = tarfile.SYMTYPE, "l" * 4000
      archive.addfile(member)
  file.seek(0)
  assert archives.is_archive(file)
  file.seek(0)
  archive = archives.Archive(file)
  names = []
  for member in archive:
    names.append((member.name[4001:], len(member.linkname)))
    if member.isreg():
      assert archive.read(member, 5) == b"a b c"
  assert names == [("0", 0), ("link 0", 4000), ("1", 0), ("link 1", 4000),
                   ("2", 0), ("link 2", 4000)]


def test_other_files_are_no_archives():
  for content in b"", b"a", b"a b c" * 999, gzip.compress(b"a"), bytes(511):
    assert not archives.is_archive(io.BytesIO(content))
  assert archives.is_archive(io.BytesIO(bytes(10_240)))  # without members
