"""The reader of film reviews, on archives and folders of a few of them."""

import gzip
import io
import re
import tarfile
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import reader
from tasks import imdb

# "b" 4 times in train, "a" and <eos> 3 each, "c" and "." once; "d" in test.
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


def write_archive(path, reviews, mode="w:gz", root="aclImdb/"):
  with tarfile.open(path, mode) as archive:
    for name, text in reviews.items():
      data = text if isinstance(text, bytes) else text.encode()
      member = tarfile.TarInfo(root + name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  return str(path)


def write_folder(path, reviews):
  for name, text in reviews.items():
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)
  return str(path)


def complaint(path, read=lambda path: imdb.read_reviews(path, 10)):
  """What is said of a bad file: one line that names it."""
  with pytest.raises(reader.DataError) as error:
    read(path)
  assert str(path) in str(error.value) and "\n" not in str(error.value)
  return str(error.value)


@pytest.fixture
def archive(tmp_path):
  return write_archive(tmp_path / "a.tar.gz", {**REVIEWS, **OTHERS})


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("root", ["", "./", "aclImdb/", "x/aclImdb/"])
def test_reviews_of_an_archive(tmp_path, mode, root):
  path = write_archive(tmp_path / "a", {**REVIEWS, **OTHERS}, mode, root)
  assert list(imdb.reviews(path)) == [
      ("test", 0, "d d d d d a"), ("test", 1, "A b"),
      ("train", 0, "b b a<br /><br />B"), ("train", 1, "a b c."),
      ("train", 1, "A")]


@pytest.mark.parametrize("inside", ["", "aclImdb"])
@pytest.mark.parametrize("unsup", [False, True])
def test_a_folder_holds_what_the_archive_does(tmp_path, archive, inside, unsup):
  folder = write_folder(tmp_path / "folder" / inside, REVIEWS | OTHERS)
  found = list(imdb.reviews(str(tmp_path / "folder"), unsup))
  assert sorted(found, key=repr) == sorted(
      imdb.reviews(archive, unsup), key=repr)
  assert found == list(imdb.reviews(folder, unsup))
  assert (("train", None, "e") in found) == unsup
  assert found.index(("train", 1, "a b c.")) < found.index(("train", 1, "A"))


def test_archive_is_read_as_a_stream(tmp_path):
  """Reviews come before it is known whether the archive is whole."""
  path = tmp_path / "a"
  write_archive(path, {**REVIEWS, "README": "a" * (1 << 20)})
  path.write_bytes(path.read_bytes()[:-8])  # without the check sum
  assert next(imdb.reviews(path)) == ("test", 0, "d d d d d a")
  assert "end-of-stream" in complaint(path)


@pytest.mark.parametrize("text, tokens", [
    ("It's GREAT, really!?", "it s great , really ! ?"),
    ("one<br />two<br /><br />(3)", "one two ( )"),
    ("caf\u00e9 na\u00efve", "caf na ve"),
    ("\u0130 \u212a \u017f", ""),  # i, k, s in lower or upper case
    ("a;b-c_d\t\n\"e\"", "a b c d e"),
    ("***** 10/10", ""),
])
def test_tokens(text, tokens):
  assert imdb.tokenize(text) == tokens.split()


@hypothesis.given(strategies.text())
def test_tokens_of_any_text(text):
  tokens = imdb.tokenize(text)
  assert all(re.fullmatch("[a-z]+|[!?.:,()]", token) for token in tokens)
  assert imdb.tokenize(" ".join(tokens)) == tokens


def decoded(reviews, vocabulary):
  return [" ".join(vocabulary.decode(row)) for row in reviews.ids]


def test_read_reviews(archive):
  """Ids are ranks by (-count, word) in the training reviews alone."""
  train, test, vocabulary = imdb.read_reviews(archive, vocab_size=100)
  assert vocabulary.words == ("b", "<eos>", "a", ".", "c", "<unk>")
  assert [row.tolist() for row in train.ids] == [
      [0, 0, 2, 0, 1], [2, 0, 4, 3, 1], [2, 1]]
  assert decoded(test, vocabulary) == ["<unk> " * 5 + "a <eos>", "a b <eos>"]
  assert train.labels.tolist() == [0, 1, 1]
  assert test.labels.tolist() == [0, 1]
  assert train.ids[0].dtype == np.int32 and train.labels.dtype == np.uint8


@pytest.mark.parametrize("vocab_size, words", [
    (6, "b <eos> a . c <unk>"), (5, "b <eos> a . <unk>"),
    (4, "b <eos> a <unk>"), (3, "b <eos> <unk>"), (2, "<eos> <unk>")])
def test_the_most_frequent_words_are_kept(archive, vocab_size, words):
  train, _, vocabulary = imdb.read_reviews(archive, vocab_size)
  assert vocabulary.words == tuple(words.split())
  whole = "b b a b <eos>", "a b c . <eos>", "a <eos>"
  assert decoded(train, vocabulary) == [
      " ".join(word if word in vocabulary else "<unk>"
               for word in text.split()) for text in whole]


def test_unknown_words_are_counted(archive, caplog):
  with caplog.at_level("INFO"):
    imdb.read_reviews(archive, vocab_size=4)
  assert "train: 12 tokens, 2 of them unknown" in caplog.text
  assert "test: 10 tokens, 5 of them unknown" in caplog.text


def test_a_review_without_tokens_is_one(tmp_path):
  path = write_archive(tmp_path / "a", {
      **REVIEWS, "train/pos/3_8.txt": "10/10", "test/neg/5_1.txt": ""})
  train, test, vocabulary = imdb.read_reviews(path, vocab_size=10)
  assert decoded(train, vocabulary)[-1] == "<eos>"
  assert decoded(test, vocabulary)[-1] == "<eos>"
  assert (train.labels[-1], test.labels[-1]) == (1, 0)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_cut_off_archive(tmp_path, mode):
  """Wherever the cut is, it is said."""
  path = tmp_path / "a"
  text = " ".join(map(str, np.random.default_rng(0).integers(0, 99, 300)))
  write_archive(path, {**REVIEWS, "train/pos/4_7.txt": text}, mode)
  whole = path.read_bytes()
  imdb.read_reviews(path, 10)
  for size in range(0, len(whole), 7):
    path.write_bytes(whole[:size])
    assert re.search("cut off|not a whole tar archive", complaint(path))


def test_check_sum_at_the_end_counts(tmp_path):
  """Even where nothing is left to read before it."""
  path = tmp_path / "a"
  write_archive(path, REVIEWS, "w")
  packed = gzip.compress(path.read_bytes() + bytes(1 << 20))
  path.write_bytes(packed)
  assert len(list(imdb.reviews(path))) == 5
  path.write_bytes(packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:])
  assert "CRC" in complaint(path)


@pytest.mark.parametrize("rest", [1, 500, 1500])
def test_cut_off_review_of_a_plain_archive(tmp_path, rest):
  path = tmp_path / "a"
  write_archive(path, {**REVIEWS, "train/pos/4_7.txt": "a " * 1000}, "w")
  whole = path.read_bytes()
  path.write_bytes(whole[:whole.index(b"a a a") + rest])
  assert "unexpected end of data" in complaint(path)


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


def test_damaged_archive(tmp_path):
  """A wrong byte in any place is one line, or the same reviews."""
  path = tmp_path / "a"
  write_archive(path, REVIEWS)
  whole = path.read_bytes()
  reviews = list(imdb.reviews(path))
  for place in range(len(whole)):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 255])
                     + whole[place + 1:])
    try:
      assert list(imdb.reviews(path)) == reviews
    except reader.DataError as error:
      assert str(path) in str(error)


@hypothesis.given(strategies.binary(max_size=2000))
def test_any_other_file(tmp_path_factory, data):
  path = tmp_path_factory.mktemp("any") / "a.tar.gz"
  path.write_bytes(data)
  complaint(path)


def test_file_of_another_kind(tmp_path):
  path = tmp_path / "aclImdb_v1.tar.gz"
  path.write_bytes(b"<html>")
  assert re.search("not a whole tar archive.*download " + imdb.URL,
                   complaint(path))


def test_no_file_names_the_download(tmp_path):
  assert imdb.URL in complaint(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("reviews", [
    {}, {"README": "a"}, {"pos/0_9.txt": "a"}, {"train/unsup/0_0.txt": "a"}],
    ids=["empty", "readme", "splits", "unsup"])
def test_no_reviews(tmp_path, reviews):
  (tmp_path / "folder").mkdir()
  for path in (write_archive(tmp_path / "a", reviews),
               write_folder(tmp_path / "folder", reviews)):
    assert re.search("holds no reviews.*train/pos/0_9.txt.*" + imdb.URL,
                     complaint(path))


@pytest.mark.parametrize("kind", ["train/pos", "train/neg", "test/pos",
                                  "test/neg"])
def test_each_split_has_both_labels(tmp_path, kind):
  path = write_archive(tmp_path / "a", {
      name: text for name, text in REVIEWS.items() if kind not in name})
  assert f"no reviews in {kind}" in complaint(path)


def test_review_that_is_not_utf8(tmp_path):
  path = write_archive(tmp_path / "a", {
      **REVIEWS, "test/neg/7_1.txt": b"caf\xe9"})
  assert "test/neg/7_1.txt is not UTF-8" in complaint(path)
