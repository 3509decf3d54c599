"""The reader on small texts, on any stream, and on PTB."""

import os
import time
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import reader
from rnn.text import sources
from tests.helpers.texts import write_corpus


def words_of(path):
  """Returns the words of a text, read from a file."""
  text = reader.read_text(path)
  return [text.words[index] for index in text.indices]


def test_ids_are_ranks_by_count_then_word(tmp_path):
  train, valid, test, vocabulary = reader.ptb_raw_data(write_corpus(tmp_path))
  assert vocabulary.words == ("b", "<eos>", "a", "c", "<unk>")
  assert train.tolist() == [0, 2, 0, 1, 3, 0, 2, 1]
  assert (valid.tolist(), test.tolist()) == ([2, 1], [0, 1])
  assert train.dtype == valid.dtype == test.dtype == np.int32


@pytest.mark.parametrize("text", [
    "a b\nc\n", "a b\nc", " a b \n c \n", "a b\r\nc\r\n", "a b\r\nc",
    "a\tb  \n  c   ", "\ufeffa b\nc\n"], ids=repr)
def test_line_ends_and_blanks_do_not_matter(tmp_path, monkeypatch, text):
  """This holds wherever a block of the file ends."""
  path = tmp_path / "text"
  path.write_bytes(text.encode())
  for block_bytes in range(1, 20):
    monkeypatch.setattr(sources, "_BLOCK_BYTES", block_bytes)
    assert words_of(path) == ["a", "b", "<eos>", "c", "<eos>"]


def test_only_ascii_blanks_separate_words(tmp_path):
  words = ["caf\u00e9", "10\u00a0000", "a\u2028b", "\x1c", "\x85", "\0"]
  path = tmp_path / "text"
  path.write_bytes(" ".join(words).encode())
  assert words_of(path) == [*words, "<eos>"]


def test_empty_lines_are_sentences(tmp_path):
  path = tmp_path / "text"
  path.write_bytes(b"\na\n\n")
  assert words_of(path) == ["<eos>", "a", "<eos>", "<eos>"]


def test_text_longer_than_a_block_reads_the_same(tmp_path, monkeypatch):
  text = "".join(f"{i} \u00e9{i % 7}\n" for i in range(500)) + "end"
  path = tmp_path / "text"
  path.write_bytes(text.encode())
  whole = words_of(path)
  assert whole == text.replace("\n", " <eos> ").split() + ["<eos>"]
  monkeypatch.setattr(sources, "_BLOCK_BYTES", 10)
  assert words_of(path) == whole


def test_only_the_ids_take_memory_that_grows(tmp_path):
  """Both in the training text and in the others."""
  tokens = 3 << 20  # all in one line
  folder = write_corpus(tmp_path, "a b " * (tokens // 2), "a c " * tokens)
  tracemalloc.start()
  corpus = reader.ptb_raw_data(folder)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert sum(ids.nbytes for ids in corpus[:3]) == 4 * (3 * tokens + 4)
  assert peak < 4 * 3 * tokens + (16 << 20)


def test_unknown_words_are_replaced_and_counted(tmp_path, caplog):
  folder = write_corpus(tmp_path, train="a <unk> b\n", valid="a x <unk> y x\n")
  with caplog.at_level("INFO"):
    _, valid, _, vocabulary = reader.ptb_raw_data(folder)
  assert vocabulary.decode(valid) == [
      "a", "<unk>", "<unk>", "<unk>", "<unk>", "<eos>"]
  assert "valid: 6 tokens, 3 of them unknown" in caplog.text
  assert "train: 4 tokens, 0 of them unknown" in caplog.text


@pytest.mark.parametrize("naming", ["ptb.{}.txt", "{}.txt", "wiki.{}.tokens"])
@pytest.mark.parametrize("inside", ["", "data", "simple-examples/data"])
def test_folder_layouts(tmp_path, naming, inside):
  write_corpus(tmp_path / inside, naming=naming)
  assert len(reader.ptb_raw_data(str(tmp_path))[0]) == 8


def test_a_complete_corpus_is_preferred_to_an_incomplete_one(tmp_path):
  (tmp_path / "ptb.train.txt").write_text("x\n")
  write_corpus(tmp_path)
  assert len(reader.ptb_raw_data(str(tmp_path))[0]) == 8


def bad_corpora(folder):
  """Generates pairs of a data_path and the pattern of its error message."""
  yield str(folder / "none"), "none: No such file"
  (folder / "empty").mkdir()
  yield str(folder / "empty"), "empty: no files in this folder"
  yield write_corpus(folder / "a", valid=""), "valid.txt: .* is empty"
  yield write_corpus(folder / "b", train=" \t "), "train.txt: .* is empty"
  yield (write_corpus(folder / "c", test="ab\u00e9".encode("latin-1")),
         "test.txt: not UTF-8 text, see byte 2")
  yield (write_corpus(folder / "d", train=b"x\n" * 2**20 + b"ab\xff\n"),
         f"train.txt: .* byte {2**21 + 2};")
  yield (write_corpus(folder / "e", train=b"\xef\xbb\xbfa\xff"),
         "train.txt: .* byte 4;")
  path = write_corpus(folder / "g")
  (folder / "g" / "valid.txt").unlink()
  yield path, "valid.txt: missing"
  path = write_corpus(folder / "h")
  (folder / "h" / "test.txt").unlink()
  (folder / "h" / "test.txt").mkdir()
  yield path, "test.txt: not a file"
  path = write_corpus(folder / "i")
  (folder / "i" / "test.txt").unlink()
  os.mkfifo(folder / "i" / "test.txt")
  yield path, "test.txt: not a file"


def test_bad_corpora_get_one_line(tmp_path):
  for data_path, message in bad_corpora(tmp_path):
    with pytest.raises(reader.DataError, match=message) as error:
      reader.ptb_raw_data(data_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("sizes", [(0, 5), (2, -5)])
def test_sizes_of_windows_are_positive(sizes):
  with pytest.raises(reader.DataError, match="both must be at least 1"):
    next(reader.ptb_iterator(range(50), *sizes))


def test_the_iterator_yields_the_classic_windows():
  windows = list(reader.ptb_iterator([4, 3, 2, 1, 0, 5, 6, 7, 8, 9, 10], 2, 2))
  xs = [x.tolist() for x, _ in windows]
  ys = [y.tolist() for _, y in windows]
  assert xs == [[[4, 3], [5, 6]], [[2, 1], [7, 8]]]
  assert ys == [[[3, 2], [6, 7]], [[1, 0], [8, 9]]]


SIZES = {"length": strategies.integers(2, 300),
         "batch_size": strategies.integers(1, 9),
         "num_steps": strategies.integers(1, 9)}


@hypothesis.given(**SIZES)
def test_training_streams_contain_the_windows_of_the_iterator(
    length, batch_size, num_steps):
  ids = np.arange(length)
  epoch_size = (length // batch_size - 1) // num_steps
  if epoch_size < 1:
    with pytest.raises(reader.DataError):
      reader.TrainingStreams(ids, batch_size, num_steps)
    return
  streams = reader.TrainingStreams(ids, batch_size, num_steps).rows()
  assert streams.shape == (epoch_size * num_steps + 1, batch_size)
  for w, (x, y) in enumerate(
      reader.ptb_iterator(ids, batch_size, num_steps)):
    rows = streams[w * num_steps:][:num_steps + 1]
    assert (rows[:-1] == x.T).all() and (rows[1:] == y.T).all()
    assert (y == x + 1).all()
  assert w + 1 == epoch_size


@hypothesis.given(**SIZES)
def test_evaluation_streams_have_each_target_once_and_in_order(
    length, batch_size, num_steps):
  streams = reader.EvaluationStreams(
      np.arange(length), batch_size, num_steps).rows()
  assert (len(streams) - 1) % num_steps == 0
  x, y = streams[:-1].T.ravel(), streams[1:].T.ravel()
  x, y = x[y != reader.NO_TARGET], y[y != reader.NO_TARGET]
  assert y.tolist() == list(range(1, length))
  assert (x == y - 1).all()


@hypothesis.given(**SIZES)
def test_the_advice_for_a_short_text_is_exact(length, batch_size, num_steps):
  """The sizes in the message work, and sizes one larger do not."""
  try:
    reader.TrainingStreams(range(length), batch_size, num_steps)
    return
  except reader.DataError as error:
    advice = str(error).partition("lower ")[2].split(" or ")
  for part in advice:
    if not part.startswith(("num_steps", "batch_size")):
      continue
    name, *_, most = part.split()
    sizes = {"batch_size": batch_size, "num_steps": num_steps}
    reader.TrainingStreams(range(length), **(sizes | {name: int(most)}))
    with pytest.raises(reader.DataError):
      reader.TrainingStreams(range(length), **(sizes | {name: int(most) + 1}))


def test_evaluation_needs_a_target():
  with pytest.raises(reader.DataError, match="at least 2 tokens .* are 1"):
    reader.EvaluationStreams([3], 20, 20)


def test_ptb_is_read_in_little_time(ptb_folder):
  seconds = []
  for _ in range(3):
    start = time.perf_counter()
    reader.ptb_raw_data(ptb_folder)
    seconds.append(time.perf_counter() - start)
  assert min(seconds) < 0.6


def test_ptb_counts_and_ids(ptb_folder):
  train, valid, test, vocabulary = reader.ptb_raw_data(ptb_folder)
  assert [len(split) for split in (train, valid, test)] == [
      929_589, 73_760, 82_430]
  assert len(vocabulary) == 10_000
  assert [vocabulary.ids[word] for word in ("the", "<unk>", "<eos>", "N")] == [
      0, 1, 2, 3]
  assert train[:4].tolist() == [9970, 9971, 9972, 9974]
  assert (np.bincount(train)[:-1] >= np.bincount(train)[1:]).all()
  assert reader.EvaluationStreams(test, 1, 20).rows(1).max() < 10_000
