"""Labeled texts as ids, on small archives, folders and tables."""

import dataclasses

import pytest

from rnn.errors import DataError
from tasks import classification, hyperparameters
from tasks.classification import Reading
from tests.helpers.texts import write_archive, write_files

CONFIG = dataclasses.replace(
    hyperparameters.SENTIMENT, num_steps=99, batch_size=99)
AZ = Reading(letters="a-z")
# In train, "b" is the most frequent, "c" and "." occur once. "d" is in test.
REVIEWS = {
    "test/neg/0_2.txt": "d d a", "test/pos/0_10.txt": "B",
    "train/pos/0_9.txt": "b b c.", "train/neg/0_1.txt": "10/10 b b",
    **{f"train/{label}/{i}_3.txt": "b b<br />" for i in range(1, 6)
       for label in ("neg", "pos")}}


def read(path, reading=AZ, vocab_size=10, **kwargs):
  return classification.read(str(path), vocab_size, CONFIG, 1, reading,
                             **kwargs)


def decoded(corpus, split):
  """Returns the texts of a split with their labels, sorted."""
  words, lengths, labels = corpus.splits[split](0)
  return sorted((" ".join(corpus.vocabulary.decode(words[:n, i])),
                 corpus.labels[labels[i]]) for i, n in enumerate(lengths))


def test_ids_are_ranks_in_the_training_texts(tmp_path, caplog):
  """And not in the test texts. Unknown words are counted."""
  path = write_archive(tmp_path / "a", REVIEWS)
  with caplog.at_level("INFO"):
    corpus = read(path)
  assert corpus.vocabulary.words == ("b", "<eos>", ".", "c", "<unk>")
  assert corpus.labels == ("negative", "positive")
  assert decoded(corpus, "test") == [
      ("<unk> <unk> <unk> <eos>", "negative"), ("b <eos>", "positive")]
  assert len(decoded(corpus, "train")) == 11
  assert len(decoded(corpus, "valid")) == 1
  assert "test: 6 tokens, 3 of them unknown" in caplog.text
  assert read(path, vocab_size=3).vocabulary.words == ("b", "<eos>", "<unk>")


def test_words_of_texts_drawn_for_the_test_are_not_learned(tmp_path):
  rows = "".join(f"{chr(97 + i) * 3} same,{i % 2}\n" for i in range(20))
  write_files(tmp_path, {"a.csv": f"text,label\n{rows}"})
  corpus = read(tmp_path / "a.csv", Reading(), vocab_size=99)
  for text, _ in decoded(corpus, "test"):
    assert text == "<unk> same <eos>"
  assert len(corpus.vocabulary) == 18 + 3


@pytest.mark.parametrize("names, labels", [
    (["10", "9", "-1"], ("-1", "9", "10")), (["b", "2", "a"], ("2", "a", "b")),
    (["nan", "2", "1"], ("1", "2", "nan"))])
def test_labels_are_sorted(tmp_path, names, labels):
  write_files(tmp_path, {f"{name}/{i}": f"{name} word{chr(97 + i)}"
                         for name in names for i in range(10)})
  corpus = read(tmp_path, Reading())
  assert corpus.labels == labels
  counts = [len(decoded(corpus, split)) for split in ("train", "valid", "test")]
  assert counts == [24, 3, 3]


def test_letters_of_any_script_and_characters(tmp_path):
  write_files(tmp_path, {f"{label}/{i}": text + "!" * i for label, text in (
      ("a", "Schöner Film"), ("b", "плохой")) for i in range(10)})
  words = read(tmp_path, Reading()).vocabulary
  assert {"schöner", "film", "плохой"} < set(words.words)
  write_files(tmp_path, {f"{label}/{i}": "很好看。" + "好" * i
                         for i in range(10) for label in "ab"})
  with pytest.raises(DataError, match="Chinese text without blanks between its "
                     "words; segment it first, .*, or read its characters"):
    read(tmp_path, Reading())
  characters = read(tmp_path, Reading("characters")).vocabulary
  assert set(characters.words) == {*"很好看。", "<eos>", "<unk>"}


@pytest.mark.parametrize("text, reading, message", [
    ("10/10!", Reading(), "20 of 20 texts for train have no words, such as .*/a"
     "/0; name texts with letters"),
    ("", Reading("characters"), "20 of 20 texts for train have no characters")])
def test_texts_without_words_are_refused(tmp_path, text, reading, message):
  write_files(tmp_path, {f"{label}/{i}": text for label in "ab"
                         for i in range(10)})
  with pytest.raises(DataError, match=message):
    read(tmp_path, reading)


def test_an_archive_of_other_letters_is_refused(tmp_path):
  path = write_archive(tmp_path / "a", {
      name: "Очень плохой фильм." for name in REVIEWS})
  with pytest.raises(DataError, match="are letters other than a-z, so this is "
                     "not the archive of English reviews; unpack it, and name"):
    read(path)


def test_some_texts_without_words_are_named(tmp_path, caplog):
  write_files(tmp_path, {f"{label}/{i}": f"{'a' * i} !" for label in "ab"
                         for i in range(0, 30, 3)})
  write_files(tmp_path, {"a/1": "7", "a/2": "8"})
  read(tmp_path, Reading())
  assert f"4 of 22 texts for train have no words, such as {tmp_path}/a/0" in (
      caplog.text)


@pytest.mark.parametrize("rows, message", [
    ("", "has no rows below the header"),
    ("".join(f"{'a' * i},x\n" for i in range(1, 20)),
     "all texts have the label 'x'; at least two"),
    ("".join(f"a{'b' * i},{i}\n" for i in range(20)), "among 20 texts are 20 "
     "labels, such as '0', '1', '2'; name the column of the labels"),
    ("a,b\n" * 20 + f"a,{'x' * 101}\n", "among 21 texts are 2 labels, such as "
     "'b', 'x+'; name the column")])
def test_labels_that_are_none(tmp_path, rows, message):
  write_files(tmp_path, {"a.csv": f"text,label\n{rows}"})
  with pytest.raises(DataError, match=message):
    read(tmp_path / "a.csv", Reading())


def test_the_number_of_different_words_is_limited(tmp_path, monkeypatch):
  path = write_archive(tmp_path / "a", REVIEWS)
  monkeypatch.setattr(classification, "_MAX_WORDS", 6)
  read(path)  # a b c d . <eos>
  monkeypatch.setattr(classification, "_MAX_WORDS", 5)
  with pytest.raises(DataError, match="has more than 5 different words; leave"):
    read(path)


def test_the_archive_is_read_as_ever(tmp_path):
  path = write_archive(tmp_path / "a", REVIEWS)
  assert classification.usual_reading(path) == AZ
  assert classification.usual_reading(path, True) == Reading("characters")
  folder = write_files(tmp_path / "folder", REVIEWS)
  assert classification.usual_reading(folder) == Reading()
