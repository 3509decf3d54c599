"""Pairs of words and contexts, from texts of each form."""

import bz2
import collections
import dataclasses
import gzip
import tarfile
import tracemalloc
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import reader
from rnn.errors import SettingError
from tasks import hyperparameters, skip_grams
from tests.helpers.odd_input import BLANKS
from tests.helpers.odd_input import WORDS as ODD_WORDS
from tests.helpers.texts import DUMP, WORDS, data_error, write_archive

WORDS_AND_BLANKS = [word for word in ODD_WORDS if "<eos>" not in word] + [
    "cd", "efg", *BLANKS]
CONFIG = dataclasses.replace(
    hyperparameters.WORD2VEC, batch_size=20, num_noise=4)
LINES = ["the cat sees the dog", "a dog sees the cat", "", "the dog", "owl"]


def write(path, lines):
  """Writes a text; returns its path."""
  path.write_text("".join(f"{line}\n" for line in lines))
  return str(path)


@pytest.fixture
def corpus(tmp_path):
  """Passages of very different lengths; the words differ in frequency."""
  rng = np.random.default_rng(0)
  return skip_grams.Corpus(write(tmp_path / "made", (
      " ".join(f"w{int(n)}" for n in rng.exponential(3, length))
      for length in (1, 100, 2, 0, 37, 3, 3, 3, 250, 1, 20))), 12, 1)


def make_batches(corpus, max_context=3, subsample=0, seed=1, **settings):
  return skip_grams.Batches(corpus, dataclasses.replace(CONFIG, **settings),
                            max_context, subsample, seed)


# Texts


@pytest.mark.parametrize("pack", [bytes, bz2.compress, gzip.compress])
@pytest.mark.parametrize("head", [b"", b"\n", b"\xef\xbb\xbf",
                                  b'<?xml version="1.0"?>\n'])
def test_a_dump_is_recognized_by_its_content(tmp_path, pack, head):
  (tmp_path / "text").write_bytes(pack(head + DUMP))
  assert list(skip_grams.passages(str(tmp_path / "text"))) == WORDS


def test_the_training_reviews_of_an_archive_are_passages(tmp_path):
  """The test reviews are left out: a model may be tested on them."""
  path = write_archive(tmp_path / "a.tar.gz", {
      "test/neg/0_2.txt": "d", "train/pos/0_9.txt": "A b.",
      "test/unsup/0_0.txt": "d", "train/unsup/0_0.txt": "c"})
  assert list(skip_grams.passages(path)) == [["a", "b", "."], ["c"]]
  with tarfile.open(path) as archive:
    archive.extractall(tmp_path / "folder")
  assert list(skip_grams.passages(f"{tmp_path}/folder")) == [
      ["a", "b", "."], ["c"]]


def test_an_encoding_needs_plain_text(tmp_path):
  archive = write_archive(tmp_path / "a.tar.gz", {"train/neg/0_2.txt": "d"})
  with tarfile.open(archive) as content:
    content.extractall(tmp_path / "folder")
  (tmp_path / "dump").write_bytes(DUMP)
  for path in archive, tmp_path / "folder", tmp_path / "dump":
    with pytest.raises(SettingError, match="encoding=gbk: has no effect on"):
      list(skip_grams.passages(str(path), "gbk"))
  (tmp_path / "text").write_bytes("天 黑".encode("gbk"))
  both = f"{tmp_path}/dump,{tmp_path}/text"
  assert list(skip_grams.passages(both, "gbk")) == [*WORDS, ["天", "黑"]]


@pytest.mark.parametrize("end", ["\n", ""])
def test_the_lines_of_plain_text_are_passages(tmp_path, end):
  path = tmp_path / "text.gz"
  path.write_bytes(gzip.compress(("\n".join(LINES) + end).encode()))
  assert list(skip_grams.passages(str(path))) == [
      line.split() for line in LINES]


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    strategies.lists(strategies.sampled_from(WORDS_AND_BLANKS)).map("".join),
    strategies.sampled_from([1, 2, 3, 7, 1 << 20]))
@hypothesis.example("10\u00a0km \u3000 a\x1cb\x85c\u2028d\ve\tf", 1 << 20)
@hypothesis.example("a\u00a0 b", 2)  # the limit is at a blank of Unicode
def test_words_are_those_of_the_reader(tmp_path_factory, text, max_line):
  """However a line is cut."""
  path = str(tmp_path_factory.getbasetemp() / "words.txt")
  with open(path, "wb") as file:
    file.write(text.encode())
  with mock.patch.object(skip_grams, "_MAX_LINE", max_line):
    words = sum(skip_grams.passages(path), [])
  expected = reader.Vocabulary.split(text.removeprefix("\ufeff"))
  assert words == [word for word in expected if word != reader.EOS]


def test_long_words_are_not_learned(tmp_path, monkeypatch):
  """Nor are they kept, so that a word of 40 MB takes no memory."""
  long, longest = "x" * 251, "y" * 250
  path = write(tmp_path / "text", [f"a {long} b {longest}"] * 3)
  assert skip_grams.Corpus(path, 9, 1).words.words == ("a", "b", longest)
  path = tmp_path / "text.gz"
  path.write_bytes(gzip.compress(
      b"a b " + b"x" * 40_000_000 + b" a b\na b\n", 1))
  tracemalloc.start()
  try:
    corpus = skip_grams.Corpus(str(path), 9, 1)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert corpus.words.words == ("a", "b") and corpus.counts.tolist() == [3, 3]
  assert peak < 2e7


def test_a_long_line_is_cut_between_words(tmp_path, monkeypatch):
  monkeypatch.setattr(skip_grams, "_MAX_LINE", 8)
  path = write(tmp_path / "text", [" ".join(LINES), "ab cdefghijklmnop q"])
  passages = list(skip_grams.passages(path))
  assert sum(passages, []) == [*" ".join(LINES).split(), "ab",
                               "cdefghijklmnop", "q"]
  assert max(map(len, passages)) < 5


@pytest.mark.slow
def test_a_text_in_one_line_is_read_as_a_stream(tmp_path):
  path = tmp_path / "text8.bz2"
  path.write_bytes(bz2.compress(b"anarchism originated " * 500_000))
  tracemalloc.start()
  try:
    corpus = skip_grams.Corpus(str(path), 10, 1)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert corpus.counts.tolist() == [500_000, 500_000]
  assert peak < 3e7  # the text has 10 MB; its words as str would take 70


def test_the_most_frequent_words_are_learned(tmp_path):
  path = write(tmp_path / "text", LINES)
  corpus = skip_grams.Corpus(path, 4, 1)
  assert corpus.words.words == ("the", "dog", "cat", "sees")
  assert corpus.counts.tolist() == [4, 3, 2, 2]
  assert corpus.ids.tolist() == [0, 2, 3, 0, 1, 1, 3, 0, 2, 0, 1]
  assert corpus.ends.tolist() == [5, 9, 9, 11, 11]
  assert skip_grams.Corpus(path, 99, 3).words.words == ("the", "dog")
  others = [skip_grams.Corpus(path, 4, 1), skip_grams.Corpus(path, 3, 1)]
  assert [c.digest == corpus.digest for c in others] == [True, False]


def test_counting_takes_bounded_memory(tmp_path, monkeypatch):
  """Words that occur once are forgotten; frequent words are not."""
  monkeypatch.setattr(skip_grams, "_MAX_COUNTED", 5)
  path = write(tmp_path / "text", ["a b"] * 9 + [
      f"a b new{i}" for i in range(30)])
  corpus = skip_grams.Corpus(path, 99, 5)
  assert corpus.words.words == ("a", "b")
  assert corpus.counts.tolist() == [39, 39]


@pytest.mark.parametrize("lines, message", [
    ([], "only 0 words occur at least 2 times; lower min_count"),
    (["a b c d"], "only 0 words occur"), (["a a b"], "only 1 words occur"),
    (["a", "b"] * 3, "no line has two of the words to learn"),
    (["a c", "b"] * 3, "no line has two of the words to learn")])
def test_too_little_text_gets_one_line(tmp_path, lines, message):
  path = write(tmp_path / "text", lines)
  assert data_error(skip_grams.Corpus, path, 2, 2).startswith(
      f"{path}: {message}")


# Pairs


def plain_pairs(indices, widths, corpus, block_of, reach):
  """Returns the number of each pair of an epoch, in plain Python.

  Args:
    indices, widths: the words that stay, in order.
    block_of: a list, the block of each word.
    reach: a context is at most so many blocks away.

  Returns:
    A Counter of (block, word, context).
  """
  passage_of = []
  for number, end in enumerate(corpus.ends):
    passage_of += [number] * (end - len(passage_of))
  pairs = collections.Counter()
  for i, index in enumerate(indices):
    for other in indices[max(i - widths[i], 0):i + widths[i] + 1]:
      if (other != index and passage_of[index] == passage_of[other]
          and abs(block_of[index] - block_of[other]) <= reach):
        pairs[block_of[index], corpus.ids[index], corpus.ids[other]] += 1
  return pairs


@pytest.mark.parametrize("subsample", [0, 0.02])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 20, 10_000])
@pytest.mark.parametrize("max_context", [1, 2, 5])
def test_the_pairs_of_an_epoch_equal_plain_python(
    corpus, max_context, batch_size, subsample):
  batches = make_batches(corpus, max_context, subsample, batch_size=batch_size)
  drawn = [batches._draw(3, block) for block in range(batches.size)]
  indices, widths = map(np.concatenate, zip(*drawn, strict=True))
  assert set(widths) == set(range(1, max_context + 1))
  assert (len(indices) < len(corpus.ids)) == bool(subsample)
  assert (np.diff(indices) > 0).all()
  ends = [len(corpus.ids) * n // batches.size
          for n in range(1, batches.size + 1)]
  block_of = [next(n for n, end in enumerate(ends) if index < end)
              for index in range(len(corpus.ids))]
  pairs = collections.Counter()
  for block in range(batches.size):
    words, contexts = batches.pairs(3, block)
    assert words.dtype == contexts.dtype == np.int32
    pairs.update((block, w, c) for w, c in zip(words, contexts, strict=True))
  # If all words stay, all contexts are within reach.
  reach = -(-max_context // max(batch_size - 1, 1)) if subsample else np.inf
  assert pairs == plain_pairs(indices, widths, corpus, block_of, reach)


def test_contexts_of_one_word_are_the_neighbors(corpus):
  """With max_context 1 nothing is drawn."""
  batches = make_batches(corpus, max_context=1)
  words, contexts = map(np.concatenate, zip(
      *(batches(step)[:2] for step in range(batches.size)), strict=True))
  expected = []
  for passage in np.split(corpus.ids, corpus.ends[:-1]):
    expected += list(zip(passage, passage[1:], strict=False))
  assert sorted(zip(words, contexts, strict=True)) == sorted(
      expected + [(b, a) for a, b in expected])


def test_a_step_is_a_function_of_its_number_and_the_seed(corpus):
  first = make_batches(corpus, subsample=0.02)
  steps = range(2 * first.size)
  expected = [first(step) for step in steps]
  again = make_batches(corpus, subsample=0.02)
  for step in reversed(steps):
    for a, b in zip(again(step), expected[step], strict=True):
      np.testing.assert_array_equal(a, b)

  def words(batches, epoch):
    return [batches(step)[0].tolist() for step in range(
        epoch * batches.size, (epoch + 1) * batches.size)]

  assert words(again, 0) != words(again, 1)  # another order, other widths
  other = make_batches(corpus, subsample=0.02, seed=2)
  assert words(again, 0) != words(other, 0)


def test_a_text_that_is_dropped_is_refused(corpus):
  with pytest.raises(SettingError, match="leaves 0.0.* words of the text; rai"):
    make_batches(corpus, subsample=1e-12)


def test_an_epoch_processes_each_block_once(corpus):
  batches = make_batches(corpus)
  sizes = [len(batches._draw(0, block)[0]) for block in range(batches.size)]
  assert sum(sizes) == len(corpus.ids) == 412 and set(sizes) == {19, 20}

  def pairs(epoch):
    """Returns the words and contexts of each step, ordered by content."""
    steps = range(epoch * batches.size, (epoch + 1) * batches.size)
    return sorted([part.tolist() for part in batches(step)[:2]]
                  for step in steps)

  for epoch in 0, 1, 2:
    assert pairs(epoch) == sorted(
        [part.tolist() for part in batches.pairs(epoch, block)]
        for block in range(batches.size))
  orders = [[batches._order(step)[1] for step in epoch] for epoch in (
      range(batches.size), range(batches.size, 2 * batches.size))]
  assert orders[0] != orders[1]


def test_the_shares_of_frequent_words_that_stay(tmp_path):
  """They follow word2vec's formula. Each width is drawn equally often."""
  path = write(tmp_path / "text", ["a " * 90 + "b " * 9 + "c"] * 400)
  corpus = skip_grams.Corpus(path, 9, 1)
  batches = make_batches(corpus, 4, subsample=0.04, batch_size=1000)
  indices, widths = map(np.concatenate, zip(
      *(batches._draw(0, block) for block in range(40)), strict=True))
  counts = np.bincount(corpus.ids[indices])
  for i, share in enumerate((0.9, 0.09, 0.01)):
    expected = min(np.sqrt(0.04 / share) + 0.04 / share, 1)
    assert counts[i] / corpus.counts[i] == pytest.approx(expected, rel=0.04)
  np.testing.assert_allclose(
      np.bincount(widths)[1:] / len(widths), 1 / 4, atol=0.02)


def test_noise_is_drawn_with_its_probabilities(corpus):
  expected = corpus.counts ** 0.75
  expected /= expected.sum()
  np.testing.assert_allclose(
      skip_grams.noise_distribution(corpus.counts), expected)
  batches = make_batches(corpus, num_noise=50)
  noise = np.concatenate([batches(step)[2] for step in range(400)])
  assert noise.dtype == np.int64
  np.testing.assert_allclose(
      np.bincount(noise, minlength=len(expected)) / len(noise), expected,
      atol=0.01)
