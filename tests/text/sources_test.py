"""Sources: files, folders, patterns, compression and encodings."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
import tracemalloc
import zipfile

import pytest

from rnn import files
from rnn.errors import DataError
from rnn.text import sources

# Blocks


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r", b"\v", b"\f", b"\n"])
def test_blocks_end_after_words(tmp_path, monkeypatch, blank):
  path = tmp_path / "file"
  text = "a caf\u00e9 \u2028 b\u00a0c d\x1ce".encode().replace(b" ", blank)
  for content in b"", blank * 9, text * 9, text + blank:
    path.write_bytes(content)
    for block_bytes in (1, 2, 3, 7, 1000):
      monkeypatch.setattr(sources, "_BLOCK_BYTES", block_bytes)
      *blocks, last = [*sources.find(str(path)).blocks()] or [b""]
      assert b"".join([*blocks, last]) == content
      assert all(block.endswith(blank) for block in blocks)
      # A block ends at the first chance, so no block is long.
      assert all(len(block) <= block_bytes + 9 for block in blocks)


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r"])
def test_memory_does_not_grow_with_a_line(tmp_path, blank):
  path = tmp_path / "file"
  path.write_bytes((b"word" + blank) * 2_000_000)
  tracemalloc.start()
  try:
    assert sum(map(len, sources.find(str(path)).blocks())) == 10_000_000
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 7 << 20  # five blocks, some of them as str

# Names


@pytest.fixture
def books(tmp_path, monkeypatch):
  """A folder of texts, some compressed, which is the working directory."""
  monkeypatch.chdir(tmp_path)
  for name, content in {
      "books/b.txt": b"b 1\nb 2\n", "books/a.txt": b"a 1\na 2",
      "books/.hidden": b"hidden", "books/more/c.txt": b"\xef\xbb\xbfc",
      "one,two": b"comma\n", "empty/.hidden": b""}.items():
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
  return tmp_path


@pytest.mark.parametrize("name, text", [
    ("books/b.txt", "b 1\nb 2\n"), ("books", "a 1\na 2\nb 1\nb 2\n"),
    ("books/", "a 1\na 2\nb 1\nb 2\n"), ("books/*.txt", "a 1\na 2\nb 1\nb 2\n"),
    ("books/b.txt,books/a.txt", "b 1\nb 2\na 1\na 2"),
    ("books/b.txt, books/*.txt", "b 1\nb 2\na 1\na 2"),
    ("books/**/*.txt", "a 1\na 2\nb 1\nb 2\nc"), ("one,two", "comma\n"),
    ("books/more,books/b.txt", "c\nb 1\nb 2\n")])
def test_names_stand_for_files_which_are_one_text(books, name, text):
  source = sources.find(name)
  assert source.read() == text and source.name == name
  with source.open_text() as file:
    assert file.read() == text
  elsewhere = sources.find(sources.absolute(name))
  assert elsewhere.read() == text
  assert all(map(os.path.isabs, elsewhere.paths))


@pytest.mark.parametrize("folder", ["a,b", "x[1]", "a, [b]*?"])
@pytest.mark.parametrize("name", [
    "*.txt", "p.txt", "p.txt,q.txt", "p.txt,q*", "**/*.txt", "[pq].txt",
    "../*/p.txt,q.txt", "x[1].txt", "p.txt,x[1].txt", "1,2", "2,p.txt"])
def test_a_folder_with_marks_of_patterns_is_found_again(
    tmp_path, monkeypatch, folder, name):
  inside = tmp_path / folder
  inside.mkdir()
  for file in "p.txt", "q.txt", "x[1].txt", "x1.txt":
    (inside / file).write_text(file)
  for number in "1", "2":
    (inside / number).mkdir()
    (inside / number / "text").write_text(number)
  monkeypatch.chdir(inside)
  expected, stored = sources.find(name).read(), sources.absolute(name)
  monkeypatch.chdir("/")
  assert sources.find(stored).read() == expected


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_tar_archive_is_no_text(tmp_path, compress):
  (tmp_path / "text").write_text("the cat\n")
  packed = io.BytesIO()
  with tarfile.open(fileobj=packed, mode="w") as archive:
    archive.add(tmp_path / "text", "text")
  (tmp_path / "texts").write_bytes(compress(packed.getvalue()))
  with pytest.raises(DataError, match="texts: a tar archive; unpack it"):
    sources.find(f"{tmp_path}/texts").read()


def test_a_text_whose_encoding_cannot_be_named(tmp_path):
  (tmp_path / "text").write_bytes("caf\u00e9 \u2019\n".encode("cp1252") * 9)
  with pytest.raises(DataError) as error:
    sources.read_utf_8(sources.of_file(f"{tmp_path}/text"))
  assert error.value.setting is None
  assert str(error.value).endswith(
      "text: not UTF-8 text, see byte 3; convert the file to UTF-8")


@pytest.mark.parametrize("name, message", [
    ("nowhere", "nowhere: No such file"), ("empty", "empty: no files in this"),
    ("books/*.md", r"books/\*.md: no such file, and no file fits it"),
    ("books/b.txt,nowhere", "nowhere: No such file"), ("", "name .* is empty"),
    ("a\0*", "no file fits it"), ("a\0", "not a file name")])
def test_names_that_stand_for_nothing_get_one_line(books, name, message):
  with pytest.raises(DataError, match=message) as error:
    sources.find(name).read()
  assert str(error.value).isprintable()


def test_the_digest_of_a_plain_file_is_its_own(tmp_path):
  path = tmp_path / "text"
  for content in b"a b\n", b"\xef\xbb\xbfa b", b"\xef\xbb\xbf":
    path.write_bytes(content)
    digest = sources.Digest()
    assert b"".join(sources.find(str(path)).blocks(digest)
                    ) == content.removeprefix(b"\xef\xbb\xbf")
    assert digest.size == len(content)
    assert digest.hexdigest() == hashlib.sha256(content).hexdigest()


def test_the_stamp_shows_each_change(books):
  plain = sources.find("books/b.txt").stamp()
  assert plain == files.stamp("books/b.txt")
  stamps = [plain, sources.find("books/b.txt", "gbk").stamp(),
            sources.find("books").stamp()]
  (books / "books" / "b.txt").write_bytes(b"longer than before")
  stamps.append(sources.find("books").stamp())
  assert all(stamps[i] != stamps[j] for i in range(4) for j in range(i))
  assert sources.find("nowhere").stamp() is None


# Compression and encodings


def zipped(members):
  """Returns a zip archive of a dict, name -> bytes."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w") as archive:
    for name, content in members.items():
      archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
  return file.getvalue()


@pytest.mark.parametrize("compress", [
    gzip.compress, bz2.compress, lzma.compress,
    lambda data: zipped({"text": data}),
    lambda data: zipped({"text": data, "__MACOSX/._text": b"x", "d/": b""})])
def test_compressed_text_in_any_encoding(tmp_path, compress):
  text = "gr\u00fcne Br\u00fccke\n" * 99
  for encoding in "utf-8", "utf-16", "cp1252":
    (tmp_path / "text").write_bytes(compress(text.encode(encoding)))
    source = sources.find(str(tmp_path / "text"), "cp1252")
    if encoding == "utf-8":
      source = sources.find(str(tmp_path / "text"))
    assert source.read() == text


def test_the_files_in_a_zip_archive_are_one_text(tmp_path):
  path = tmp_path / "texts.zip"
  path.write_bytes(zipped({"b": b"b\n", "a": b"a", "d/c": b"c"}))
  assert sources.find(str(path)).read() == "a\nb\nc"
  with pytest.raises(DataError, match="has 3 files: a, b, d/c; unpack it"):
    with files.open_binary(str(path)):
      pass
  with files.open_binary(str(path), "d/c") as file:
    assert file.read() == b"c"


@pytest.mark.parametrize("content, message", [
    (zipped({}), "a zip archive without files"),
    (zipped({"[Content_Types].xml": b"", "word/document.xml": b"x"}),
     "a document of an office program"),
    (zipped({"a": b"x" * 9999})[:-30], "truncated or damaged"),
    (zipped({"a": bytes(range(256)) * 99}).replace(b"\x00\x01", b"\x00\x02", 1),
     "truncated or damaged|not UTF-8"),
    (zipped({"a": b"x"}).replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\xff"),
     "cannot be unpacked .zip file version"),
    (zipped({"\u00e9": b"x"}).replace(b"\xc3", b"\xff"), "cannot be unpacked")],
    ids=["empty", "document", "truncated", "damaged", "newer", "name"])
def test_bad_zip_archives_get_one_line(tmp_path, content, message):
  (tmp_path / "text").write_bytes(content)
  with pytest.raises(DataError, match=message) as error:
    sources.find(str(tmp_path / "text")).read()
  assert str(error.value).startswith(f"{tmp_path}/text")


def test_an_error_names_the_file_and_its_own_byte(books):
  (books / "books" / "b.txt").write_bytes(b"ok\nna\xefve\n")
  with pytest.raises(DataError, match="^books/b.txt: not UTF-8 text, see byte 5"
                     ) as error:
    sources.find("books").read()
  assert error.value.setting == "encoding=cp1252"


def test_a_bomb_is_read_as_a_stream(tmp_path):
  (tmp_path / "bomb.zip").write_bytes(zipped({"a": b"word " * 5_000_000}))
  tracemalloc.start()
  try:
    source = sources.find(str(tmp_path / "bomb.zip"))
    assert sum(map(len, source.blocks())) == 25_000_000
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 8 << 20
