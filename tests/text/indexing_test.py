"""Indexed texts: the words and ids of training on the text itself."""

import functools
import gzip
import itertools
import json
import os
import shutil

import numpy as np
import pytest

import reader
from rnn import files
from rnn.errors import DataError
from rnn.text import (
  corpora,
  indexing,
  piece_work,
  pieces,
  shards,
  sources,
  word_counts,
)
from rnn.text.vocabulary import Choice, Vocabulary
from tests.helpers.texts import write_corpus

SPLITS = reader.SPLITS


def make_text(seed, lines):
  """Returns lines of words, few of which are frequent."""
  rng = np.random.default_rng(seed)
  return "".join(
      " ".join(f"w{int(k)}" for k in rng.zipf(1.3, rng.integers(1, 9)) % 500)
      + "\n" for _ in range(lines))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """The folder of a corpus."""
  return write_corpus(tmp_path_factory.mktemp("corpus"), make_text(0, 600),
                      make_text(1, 60), make_text(2, 40))


def task(output, corpus, choice=Choice(), most=2000, processes=1, **changes):
  """Returns the task to index a corpus."""
  texts = {split: sources.of_file(f"{corpus}/{split}.txt") for split in SPLITS}
  return indexing.Task(str(output), **{
      "texts": texts, "choice": choice, "held_out": 0.01, "most": most,
      "processes": processes, **changes})


def whole(output, corpus, **changes):
  """Returns the task to index one text."""
  return task(output, corpus, texts={
      "train": sources.find(f"{corpus}/train.txt")}, **changes)


def contents(folder):
  """Returns path -> bytes of the files in a folder."""
  return {os.path.relpath(os.path.join(base, name), folder): open(
      os.path.join(base, name), "rb").read()
      for base, _, names in os.walk(folder) for name in names}


@pytest.mark.parametrize("choice", [
    Choice(), Choice(size=50), Choice(min_count=3),
    Choice(Vocabulary(("w2", "w1", "<unk>", "w9", "<eos>")))])
@pytest.mark.parametrize("most", [2000, 10**6])
def test_words_and_ids_are_those_of_the_text(corpus, tmp_path, choice, most):
  content = indexing.index(task(tmp_path / "index", corpus, choice, most))
  texts, vocabulary = reader.read_corpus(f"{tmp_path}/index")
  expected, words = reader.read_corpus(corpus, choice=choice)
  assert vocabulary == words == Vocabulary.load(f"{tmp_path}/index/vocab.txt")
  for split in SPLITS:
    ids = texts[split].ids
    assert ids[:].tolist() == expected[split].ids.tolist()
    assert texts[split].unknown == expected[split].unknown
    assert ids.num_unk == (expected[split].ids == words.unk).sum()
  assert (len(content["splits"]["train"]["shards"]) > 5) == (most == 2000)
  assert set(os.listdir(tmp_path / "index")) == {sources.INDEX, "vocab.txt", *(
      shard["file"] for split in SPLITS
      for shard in content["splits"][split]["shards"])}
  unlearned = reader.unlearned(texts, vocabulary)
  assert unlearned == reader.unlearned(expected, words)


@pytest.mark.slow
def test_processes_share_the_work(corpus, tmp_path):
  indexing.index(task(tmp_path / "one", corpus))
  indexing.index(task(tmp_path / "two", corpus, processes=2))
  assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("held_out, most", [
    (0.1, 300), (0.1, 10**6), (0.4, 1000)])
def test_the_end_of_a_text_is_held_out(corpus, tmp_path, held_out, most):
  """Its words do not count for the vocabulary."""
  indexing.index(whole(tmp_path / "a", corpus, held_out=held_out, most=most))
  texts, vocabulary = reader.read_corpus(f"{tmp_path}/a")
  everything = reader.read_text(f"{corpus}/train.txt")
  words = [everything.words[i] for i in everything.indices]
  splits = [vocabulary.decode(texts[split].ids[:]) for split in SPLITS]
  assert sum(map(len, splits)) == len(words)
  for split in splits[1:]:
    assert abs(len(split) - held_out * len(words)) < 20
  for split in splits:
    assert split[-1] == "<eos>"
  train = " ".join(words[:len(splits[0])]).replace(" <eos>", "\n")
  direct = tmp_path / "direct"
  write_corpus(direct, train)
  assert vocabulary == reader.read_corpus(str(direct))[1]
  joined = list(itertools.chain(*splits))
  assert all(word in (other, "<unk>")
             for word, other in zip(joined, words, strict=True))


class _StopError(Exception):
  pass


@pytest.fixture
def stop_after(monkeypatch):
  """A function that lets so many files be written, and then raises."""
  write = files.atomic_write

  def stop(number):
    left = iter(range(number))

    def stopping(path):
      if next(left, None) is None:
        raise _StopError
      return write(path)
    monkeypatch.setattr(files, "atomic_write", stopping)
  return stop


def test_work_goes_on_after_a_stop_anywhere(corpus, tmp_path, stop_after):
  def make(name):
    return whole(tmp_path / name, corpus, most=2000)

  stop_after(10**6)
  indexing.index(make("undisturbed"))
  for number in itertools.count():
    stop_after(number)
    try:
      indexing.index(make("stopped"))
      break
    except _StopError:
      # Before its first file is complete, the folder tells nothing.
      with pytest.raises(DataError, match="has not finished this folder; rep"
                         if number else "no files in this folder"):
        reader.read_corpus(f"{tmp_path}/stopped")
  assert number > 5  # so many starts, each of which got further
  expected = contents(tmp_path / "undisturbed")
  assert contents(tmp_path / "stopped") == expected


def test_a_finished_index_is_left_as_it_is(corpus, tmp_path, monkeypatch):
  content = indexing.index(task(tmp_path / "a", corpus))
  monkeypatch.setattr(piece_work, "number_piece", None)
  before = contents(tmp_path / "a")
  assert indexing.index(task(tmp_path / "a", corpus)) == content
  assert contents(tmp_path / "a") == before


def test_a_finished_index_keeps_the_files_of_others(corpus, tmp_path):
  """Also if they have the names of its own, of the time when it was made."""
  indexing.index(task(tmp_path / "a", corpus))
  before = contents(tmp_path / "a")
  for name in ("indexing/mine", "film.partial", "film.mp4.abcdefgh.partial"):
    os.makedirs((tmp_path / "a" / name).parent, exist_ok=True)
    (tmp_path / "a" / name).write_text("mine")
  (tmp_path / "a" / "vocab.txt.abcdefgh.partial").mkdir()
  expected = before | {name: b"mine" for name in (
      "indexing/mine", "film.partial", "film.mp4.abcdefgh.partial")}
  indexing.index(task(tmp_path / "a", corpus))
  assert contents(tmp_path / "a") == expected
  assert not os.path.exists(tmp_path / "a" / "vocab.txt.abcdefgh.partial")


def test_another_text_or_setting_is_refused(corpus, tmp_path, monkeypatch):
  def fail(*args):
    raise OSError(28, "disk full")

  indexing.index(task(tmp_path / "a", corpus))
  with monkeypatch.context() as patched, pytest.raises(DataError, match="full"):
    patched.setattr(piece_work, "write_shards", fail)
    indexing.index(task(tmp_path / "b", corpus))
  for name in "a", "b":
    for other in (task(tmp_path / name, corpus, Choice(size=9)),
                  task(tmp_path / name, corpus, most=99),
                  whole(tmp_path / name, corpus)):
      with pytest.raises(DataError, match=f"{name}: holds the index of anothe"):
        indexing.index(other)
  with pytest.raises(DataError, match="corpus.*: not empty; choose another"):
    indexing.index(task(corpus, corpus))


def test_a_folder_of_the_same_name_is_left_alone(corpus, tmp_path):
  """It is the user's unless there is a plan in it, or less than one."""
  work = tmp_path / "a" / sources.UNFINISHED
  work.mkdir(parents=True)
  (work / "thesis.txt").write_text("mine")
  with pytest.raises(DataError, match="a: not empty; choose another folder"):
    indexing.index(task(tmp_path / "a", corpus))
  assert (work / "thesis.txt").read_text() == "mine"
  (tmp_path / "a" / "train.txt").write_text("a b\n" * 9)
  assert sources.find(str(tmp_path / "a")).read() == "a b\n" * 9
  (work / "thesis.txt").rename(work / f"{sources.TASK}.abcd1234.partial")
  (tmp_path / "a" / "train.txt").unlink()
  indexing.index(task(tmp_path / "a", corpus))  # as after a kill
  assert not work.exists()


@pytest.mark.parametrize("mistaken, corrected", [
    (whole, functools.partial(whole, held_out=0.1)), (whole, task),
    (functools.partial(task, choice=Choice(min_count=10**6)),
     functools.partial(task, choice=Choice(size=9)))])
def test_a_bad_setting_is_corrected_in_the_same_folder(
    tmp_path, mistaken, corrected, monkeypatch):
  """No text is read twice."""
  corpus = write_corpus(tmp_path / "text", make_text(0, 40), make_text(1, 9),
                        make_text(2, 9))
  indexing.index(corrected(tmp_path / "direct", corpus))
  with pytest.raises(DataError, match="too few|no word"):
    indexing.index(mistaken(tmp_path / "a", corpus))
  texts = pieces.Piece.texts

  def read(piece):
    assert mistaken is whole and "train" not in piece.spans[0].source.name
    return texts(piece)

  monkeypatch.setattr(pieces.Piece, "texts", read)
  indexing.index(corrected(tmp_path / "a", corpus))
  assert contents(tmp_path / "a") == contents(tmp_path / "direct")


def test_damaged_work_is_reported(corpus, tmp_path, stop_after):
  stop_after(6)
  with pytest.raises(_StopError):
    indexing.index(task(tmp_path / "a", corpus))
  stop_after(10**6)
  (tmp_path / "a" / sources.UNFINISHED / "train-00000.json").write_text("{}")
  with pytest.raises(DataError, match="000.json: damaged; delete .*/a,"):
    indexing.index(task(tmp_path / "a", corpus))


def test_a_full_disk_is_reported(corpus, tmp_path, monkeypatch):
  def fail(*args):
    raise OSError(28, "No space left on device")
  monkeypatch.setattr(piece_work, "number_piece", fail)
  with pytest.raises(DataError, match="a: cannot be written .No space left on "
                     "device.; fix this, then repeat the command"):
    indexing.index(task(tmp_path / "a", corpus))


def test_a_text_that_changes_meanwhile_is_refused(tmp_path, monkeypatch):
  folder = write_corpus(tmp_path / "text", make_text(0, 50))
  number_piece = piece_work.number_piece

  def change(*args):
    with open(f"{folder}/valid.txt", "a") as file:
      file.write("more\n")
    return number_piece(*args)

  monkeypatch.setattr(piece_work, "number_piece", change)
  with pytest.raises(DataError, match="valid.txt.*: changed while it was read"):
    indexing.index(task(tmp_path / "a", folder))


@pytest.mark.parametrize("texts, message", [
    ({"train": ""}, "train.txt: the text is empty"),
    ({"valid": "\n "[1:]}, "valid.txt: the text is empty"),
    ({"train": b"a\xff\n" * 900}, "train.txt: not UTF-8 text, see byte 1;"),
    ({"train": gzip.compress(b"a b\n" * 99)[:-9]}, "train.txt: truncated")])
def test_texts_that_cannot_be_used(tmp_path, texts, message):
  folder = write_corpus(tmp_path / "text", **texts)
  with pytest.raises(DataError, match=message):
    indexing.index(task(tmp_path / "a", folder))


def test_a_text_too_short_to_hold_out(corpus, tmp_path):
  with pytest.raises(DataError, match="train.txt: .* too few .*--valid and"):
    indexing.index(whole(tmp_path / "a", corpus, held_out=1e-6))


def test_dropped_counts_are_said(corpus, tmp_path, monkeypatch, caplog):
  init = word_counts.WordCounts.__init__
  monkeypatch.setattr(word_counts.WordCounts, "__init__",
                      lambda self: init(self, most=50))
  content = indexing.index(task(tmp_path / "a", corpus))
  assert content["pruned"] > 0
  assert "more than 50 different words, so counts were pruned" in caplog.text


def test_a_text_without_blanks_is_warned_of(tmp_path, caplog):
  folder = write_corpus(
      tmp_path / "text", "我不知道他在哪里住的地方有什么\n" * 30)
  indexing.index(task(tmp_path / "a", folder))
  assert "Chinese text without blanks between its words" in caplog.text


# Reading


@pytest.fixture
def indexed(corpus, tmp_path):
  """The folder of an index with 50 words."""
  indexing.index(task(tmp_path / "index", corpus, Choice(size=50)))
  return tmp_path / "index"


def test_the_choice_of_words_must_agree(indexed):
  path = str(indexed)
  words = reader.read_corpus(path)[1]
  for choice in Choice(size=50), Choice(words):
    assert reader.read_corpus(path, choice=choice)[1] == words
  for choice, flag in ((Choice(size=49), "vocab_size=49"),
                       (Choice(min_count=2), "min_count=2")):
    with pytest.raises(DataError, match=f"not indexed with {flag}; leave it"):
      reader.read_corpus(path, choice=choice)
  with pytest.raises(DataError, match="indexed with another vocabulary"):
    reader.read_corpus(path, choice=Choice(Vocabulary(("<unk>", "<eos>"))))


def test_valid_and_test_are_held_out(indexed):
  texts, words = reader.read_corpus(str(indexed))
  held_out = reader.read_held_out(str(indexed), words)
  assert list(held_out) == ["valid", "test"]
  for split, text in held_out.items():
    assert text.fingerprint == texts[split].fingerprint


@pytest.mark.parametrize("name, change, message", [
    (sources.INDEX, lambda path: path.write_text("{}"), "damaged"),
    (sources.INDEX, lambda path: path.write_text(
        path.read_text().replace('"size": 50', '"size": 51')), "checksum"),
    (sources.INDEX, lambda path: files.write_sealed(path, {"format": 2}),
     "a newer version wrote it"),
    (sources.INDEX, lambda path: files.write_sealed(path, {"format": 1}),
     "damaged"),
    ("vocab.txt", lambda path: path.unlink(), "No such file"),
    ("vocab.txt", lambda path: path.write_text("<unk>\n<eos>\n"),
     "not as the index has it"),
    ("train-00000.int32", lambda path: path.unlink(), "No such file"),
    ("train-00000.int32", lambda path: path.write_bytes(b""), "damaged")])
def test_a_damaged_index_is_reported(indexed, name, change, message):
  change(indexed / name)
  with pytest.raises(DataError, match=f"{name}: .*{message}"):
    reader.read_corpus(str(indexed))


def test_a_fingerprint_changes_with_the_text(corpus, indexed, tmp_path):
  first = shards.read(str(indexed)).fingerprints
  shutil.copytree(corpus, tmp_path / "other")
  with open(tmp_path / "other" / "train.txt", "a") as file:
    file.write("w1\n")
  indexing.index(task(tmp_path / "b", tmp_path / "other", Choice(size=50)))
  second = shards.read(f"{tmp_path}/b").fingerprints
  assert first["train"]["sha256"] != second["train"]["sha256"]
  assert first["valid"]["sha256"] == second["valid"]["sha256"]
  assert json.dumps(first) and first["train"]["tokens"] > 0


def test_scripts_that_read_texts_refuse_an_index(indexed):
  for find in corpora.find, corpora.find_corpus, sources.find:
    with pytest.raises(DataError, match="an indexed text, which only"):
      find(str(indexed))
