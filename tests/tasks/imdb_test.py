"""The reader of film reviews, on small archives and folders."""

import gzip
import os
import re
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.errors import DataError
from tasks import imdb
from tests.helpers.texts import data_error, write_archive, write_files

# In train, "b" occurs 4 times, "a" and <eos> 3 times, "c" and "." once. "d" is
# in test only.
REVIEWS = {
    "test/neg/0_2.txt": "d d d d d a",
    "test/pos/0_10.txt": "A b",
    "train/neg/1_1.txt": "b b a<br /><br />B",
    "train/pos/0_9.txt": "a b c.",
    "train/pos/10_7.txt": "A",
    "train/unsup/0_0.txt": "e",
}
OTHERS = {"README": "train/pos/0_9.txt", "untrain/pos/0_9.txt": "a",
          "train/urls_pos.txt": "http://a.b",
          "train/pos/._0_9.txt": "\x80", "train/labeledBow.feat": "9 0:9"}


def read_error(path):
  return data_error(lambda path: list(imdb.reviews(path)), path)


@pytest.fixture
def archive(tmp_path):
  return write_archive(tmp_path / "a.tar.gz", {**REVIEWS, **OTHERS})


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("root", ["", "./", "aclImdb/", "x/aclImdb/"])
def test_the_reviews_of_an_archive(tmp_path, mode, root):
  path = write_archive(tmp_path / "a", {**REVIEWS, **OTHERS}, mode, root)
  assert list(imdb.reviews(path)) == [
      ("test", "negative", "d d d d d a"), ("test", "positive", "A b"),
      ("train", "negative", "b b a<br /><br />B"),
      ("train", "positive", "a b c."),
      ("train", "positive", "A")]


@pytest.mark.parametrize("inside", ["", "aclImdb"])
@pytest.mark.parametrize("unsup", [False, True])
def test_a_folder_equals_its_archive(tmp_path, archive, inside, unsup):
  folder = write_files(tmp_path / "folder" / inside, REVIEWS | OTHERS)
  reviews = list(imdb.reviews(str(tmp_path / "folder"), unsup))
  assert sorted(reviews, key=repr) == sorted(
      imdb.reviews(archive, unsup), key=repr)
  assert reviews == list(imdb.reviews(folder, unsup))
  assert (("train", None, "e") in reviews) == unsup
  assert reviews.index(("train", "positive", "a b c.")) < reviews.index(
      ("train", "positive", "A"))


def test_an_archive_is_read_as_a_stream(tmp_path):
  """The first review comes before the end of the archive is read."""
  path = tmp_path / "a"
  write_archive(path, {**REVIEWS, "README": "a" * (1 << 20)})
  path.write_bytes(path.read_bytes()[:-8])  # without the checksum
  assert next(imdb.reviews(path)) == ("test", "negative", "d d d d d a")
  assert "end-of-stream" in read_error(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_truncated_archive_is_one_line(tmp_path, mode):
  """Wherever it ends."""
  path = tmp_path / "a"
  text = " ".join(map(str, np.random.default_rng(0).integers(0, 99, 300)))
  write_archive(path, {**REVIEWS, "train/pos/4_7.txt": text}, mode)
  whole = path.read_bytes()
  list(imdb.reviews(path))
  for size in range(0, len(whole), 7):
    path.write_bytes(whole[:size])
    assert re.search("truncated or damaged|not a complete tar archive",
                     read_error(path))


def test_the_checksum_at_the_end_is_read(tmp_path):
  """Even though the tar archive ends long before."""
  path = tmp_path / "a"
  write_archive(path, REVIEWS, "w")
  packed = gzip.compress(path.read_bytes() + bytes(1 << 20))
  path.write_bytes(packed)
  assert len(list(imdb.reviews(path))) == 5
  path.write_bytes(packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:])
  assert "CRC" in read_error(path)


@pytest.mark.parametrize("rest", [1, 500, 1500])
def test_a_truncated_review_is_one_line(tmp_path, rest):
  path = tmp_path / "a"
  write_archive(path, {**REVIEWS, "train/pos/4_7.txt": "a " * 1000}, "w")
  whole = path.read_bytes()
  path.write_bytes(whole[:whole.index(b"a a a") + rest])
  assert "unexpected end of data" in read_error(path)


def test_memory_does_not_grow_with_the_archive(tmp_path):
  def peak(count):
    path = write_archive(tmp_path / "a", {
        f"train/pos/{k}_9.txt": "a b c" for k in range(count)})
    tracemalloc.start()
    assert sum(1 for _ in imdb.reviews(path)) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak

  assert peak(3000) < peak(1000) + (200 << 10)


def test_a_damaged_archive_is_one_line(tmp_path):
  """Or it still gives the same reviews, wherever the wrong byte is."""
  path = tmp_path / "a"
  write_archive(path, REVIEWS)
  whole = path.read_bytes()
  reviews = list(imdb.reviews(path))
  for i in range(len(whole)):
    path.write_bytes(whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1:])
    try:
      assert list(imdb.reviews(path)) == reviews
    except DataError as error:
      assert str(path) in str(error)


@hypothesis.given(strategies.binary(max_size=2000))
def test_any_other_file_is_one_line(tmp_path_factory, data):
  path = tmp_path_factory.mktemp("any") / "a.tar.gz"
  path.write_bytes(data)
  read_error(path)


def test_a_file_of_another_kind_names_the_download(tmp_path):
  path = tmp_path / "aclImdb_v1.tar.gz"
  path.write_bytes(b"<html>")
  assert re.search("not a complete tar archive.*download " + imdb.URL,
                   read_error(path))


def test_a_missing_file_names_the_download(tmp_path):
  assert imdb.URL in read_error(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("reviews", [
    {}, {"README": "a"}, {"pos/0_9.txt": "a"}, {"train/unsup/0_0.txt": "a"}],
    ids=["empty", "readme", "splits", "unsup"])
def test_without_reviews_the_error_shows_a_name(tmp_path, reviews):
  (tmp_path / "folder").mkdir()
  for path in (write_archive(tmp_path / "a", reviews),
               write_files(tmp_path / "folder", reviews)):
    assert re.search("has no files with names such as train/pos/0_9.txt.*"
                     + imdb.URL, read_error(path))


def test_a_review_that_is_not_utf8_is_named(tmp_path):
  path = write_archive(tmp_path / "a", {
      **REVIEWS, "test/neg/7_1.txt": b"caf\xe9"})
  assert "test/neg/7_1.txt is not UTF-8" in read_error(path)


def test_an_unreadable_review_is_one_line(tmp_path):
  folder = write_files(tmp_path / "folder", REVIEWS)
  (tmp_path / "folder/test/pos/1_9.txt").symlink_to("/absent")
  with pytest.raises(DataError, match="^.*/1_9.txt: No such file"):
    list(imdb.reviews(folder))


@pytest.mark.usefixtures("no_hang")
def test_what_is_no_review_in_a_folder_is_one_line(tmp_path, monkeypatch):
  folder = write_files(tmp_path / "folder", REVIEWS)
  monkeypatch.setattr(imdb, "_MAX_REVIEW", 17)
  path = tmp_path / "folder/train/neg/1_1.txt"  # 18 bytes
  assert data_error(lambda _: list(imdb.reviews(folder)), path) == (
      f"{path}: has more than 17 bytes, so it is no review; move it away")
  path.unlink()
  assert len(list(imdb.reviews(folder))) == 4
  os.mkfifo(path)
  assert data_error(
      lambda _: list(imdb.reviews(folder)), path).endswith("not a file")


@pytest.mark.parametrize("name, content, expected", [
    ("a.tgz", b"<html>", True), ("a.TAR.xz", b"", True), ("a", None, True),
    ("a.csv", b"text,label\n", False), ("a.csv.gz", gzip.compress(b"a"), False),
    ("a", b"", False)], ids=["html", "TAR", "tar", "csv", "csv.gz", "empty"])
def test_an_archive_shows_by_its_name_or_its_start(
    tmp_path, name, content, expected):
  path = tmp_path / name
  if content is None:
    write_archive(path, REVIEWS)
  else:
    path.write_bytes(content)
  assert imdb.is_archive(str(path)) == imdb.is_original(str(path)) == expected


@pytest.mark.parametrize("inside", ["", "aclImdb"])
def test_the_folder_of_the_archive_has_its_vocabulary(tmp_path, inside):
  write_files(tmp_path / inside, REVIEWS)
  assert not imdb.is_original(str(tmp_path))
  (tmp_path / inside / "imdb.vocab").write_text("the\n")
  assert imdb.is_original(str(tmp_path))
