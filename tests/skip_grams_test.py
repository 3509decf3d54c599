"""Pairs of words and contexts, from texts in each of their forms."""

import bz2
import collections
import dataclasses
import gzip
import tracemalloc

import numpy as np
import pytest
from imdb_test import write_archive
from wikipedia_test import DUMP, WORDS

import configs
import reader
from tasks import skip_grams

CONFIG = dataclasses.replace(configs.WORD2VEC, batch_size=20, num_noise=4)
LINES = ["the cat sees the dog", "a dog sees the cat", "", "the dog", "owl"]


def write(path, lines):
  path.write_text("".join(f"{line}\n" for line in lines))
  return str(path)


@pytest.fixture
def corpus(tmp_path):
  """Passages of very different lengths, of words of different frequencies."""
  rng = np.random.default_rng(0)
  return skip_grams.Corpus(write(tmp_path / "made", (
      " ".join(f"w{int(n)}" for n in rng.exponential(3, length))
      for length in (1, 100, 2, 0, 37, 3, 3, 3, 250, 1, 20))), 12, 1)


def batches_of(corpus, max_context=3, subsample=0, seed=1, **settings):
  return skip_grams.Batches(corpus, dataclasses.replace(CONFIG, **settings),
                            max_context, subsample, seed)


# Texts


@pytest.mark.parametrize("pack", [bytes, bz2.compress, gzip.compress])
@pytest.mark.parametrize("head", [b"", b"\n", b"\xef\xbb\xbf",
                                  b'<?xml version="1.0"?>\n'])
def test_a_dump_is_known_by_its_content(tmp_path, pack, head):
  (tmp_path / "text").write_bytes(pack(head + DUMP))
  assert list(skip_grams.passages(str(tmp_path / "text"))) == WORDS


def test_an_archive_of_reviews(tmp_path):
  path = write_archive(tmp_path / "a.tar.gz", {
      "train/pos/0_9.txt": "A b.", "train/unsup/0_0.txt": "c",
      "test/neg/0_2.txt": "d"})
  assert list(skip_grams.passages(path)) == [["a", "b", "."], ["c"], ["d"]]


@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_of_plain_text(tmp_path, end):
  path = tmp_path / "text.gz"
  path.write_bytes(gzip.compress(("\n".join(LINES) + end).encode()))
  assert list(skip_grams.passages(str(path))) == [
      line.split() for line in LINES]


def test_a_long_line_is_parted_between_words(tmp_path, monkeypatch):
  monkeypatch.setattr(skip_grams, "_LONGEST_LINE", 8)
  path = write(tmp_path / "text", [" ".join(LINES), "ab cdefghijklmnop q"])
  found = list(skip_grams.passages(path))
  assert sum(found, []) == [*" ".join(LINES).split(), "ab", "cdefghijklmnop",
                            "q"]
  assert max(map(len, found)) < 5


@pytest.mark.slow
def test_a_text_in_one_line_is_a_stream(tmp_path):
  path = tmp_path / "text8.bz2"
  path.write_bytes(bz2.compress(b"anarchism originated " * 500_000))
  tracemalloc.start()
  try:
    corpus = skip_grams.Corpus(str(path), 10, 1)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert corpus.counts.tolist() == [500_000, 500_000]
  assert peak < 3e7  # of a text of 10 MB, whose words take 70


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
  """Words seen once are forgotten; those that go on coming are not."""
  monkeypatch.setattr(skip_grams, "_MOST_WORDS", 5)
  path = write(tmp_path / "text", ["a b"] * 9 + [
      f"a b new{i}" for i in range(30)])
  corpus = skip_grams.Corpus(path, 99, 5)
  assert corpus.words.words == ("a", "b")
  assert corpus.counts.tolist() == [39, 39]


@pytest.mark.parametrize("lines, message", [
    ([], "has 0 words that occur 2 times; lower --min_count"),
    (["a b c d"], "has 0 words that"), (["a a b"], "has 1 words that"),
    (["a", "b"] * 3, "no line has two of the words to learn"),
    (["a c", "b"] * 3, "no line has two of the words to learn")])
def test_too_little_text_gets_one_line(tmp_path, lines, message):
  path = write(tmp_path / "text", lines)
  with pytest.raises(reader.DataError) as error:
    skip_grams.Corpus(path, 2, 2)
  assert str(error.value).startswith(f"{path}: {message}")


# Pairs


def plain_pairs(places, widths, corpus, block_of, reach):
  """What the pairs of an epoch are, in plain Python.

  Args:
    places, widths: of the words that are kept, in order.
    block_of: a list, the block of each place.
    reach: how many blocks away a context may be.
  """
  passage_of = []
  for number, end in enumerate(corpus.ends):
    passage_of += [number] * (end - len(passage_of))
  pairs = collections.Counter()
  for i, place in enumerate(places):
    for j in range(max(i - widths[i], 0), min(i + widths[i] + 1, len(places))):
      other = places[j]
      if (i != j and passage_of[place] == passage_of[other]
          and abs(block_of[place] - block_of[other]) <= reach):
        pairs[block_of[place], corpus.ids[place], corpus.ids[other]] += 1
  return pairs


@pytest.mark.parametrize("subsample", [0, 0.02])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 20, 10_000])
@pytest.mark.parametrize("max_context", [1, 2, 5])
def test_pairs_of_an_epoch(corpus, max_context, batch_size, subsample):
  batches = batches_of(corpus, max_context, subsample, batch_size=batch_size)
  drawn = [batches._drawn(3, block) for block in range(batches.size)]
  places, widths = map(np.concatenate, zip(*drawn, strict=True))
  assert set(widths) == set(range(1, max_context + 1))
  assert (len(places) < len(corpus.ids)) == bool(subsample)
  assert (np.diff(places) > 0).all()
  ends = [len(corpus.ids) * n // batches.size
          for n in range(1, batches.size + 1)]
  block_of = [next(n for n, end in enumerate(ends) if place < end)
              for place in range(len(corpus.ids))]
  found = collections.Counter()
  for block in range(batches.size):
    words, contexts = batches.pairs(3, block)
    assert words.dtype == contexts.dtype == np.int32
    found.update((block, w, c) for w, c in zip(words, contexts, strict=True))
  # Where none are left out, all contexts are in reach.
  reach = -(-max_context // max(batch_size - 1, 1)) if subsample else np.inf
  assert found == plain_pairs(places, widths, corpus, block_of, reach)


def test_contexts_of_one_word(corpus):
  """With contexts of one word nothing is drawn: it is all neighbours."""
  batches = batches_of(corpus, max_context=1)
  words, contexts = map(np.concatenate, zip(
      *(batches(step)[:2] for step in range(batches.size)), strict=True))
  expected = []
  for passage in np.split(corpus.ids, corpus.ends[:-1]):
    expected += list(zip(passage, passage[1:], strict=False))
  assert sorted(zip(words, contexts, strict=True)) == sorted(
      expected + [(b, a) for a, b in expected])


def test_steps_are_functions_of_seed_and_number(corpus):
  first = batches_of(corpus, subsample=0.02)
  steps = range(2 * first.size)
  expected = [first(step) for step in steps]
  again = batches_of(corpus, subsample=0.02)
  for step in reversed(steps):
    for a, b in zip(again(step), expected[step], strict=True):
      np.testing.assert_array_equal(a, b)

  def words(batches, epoch):
    return [batches(step)[0].tolist() for step in range(
        epoch * batches.size, (epoch + 1) * batches.size)]

  assert words(again, 0) != words(again, 1)  # other orders and widths
  other = batches_of(corpus, subsample=0.02, seed=2)
  assert words(again, 0) != words(other, 0)


def test_an_epoch_goes_through_each_block_once(corpus):
  batches = batches_of(corpus)
  sizes = [len(batches._drawn(0, block)[0]) for block in range(batches.size)]
  assert sum(sizes) == len(corpus.ids) == 412 and set(sizes) == {19, 20}
  batches(0)
  for epoch in 0, 1, 2:
    batches(epoch * batches.size)
    assert sorted(batches._order[1]) == list(range(21))


def test_shares_of_frequent_words_that_are_kept(tmp_path):
  """As the formula of word2vec says; and widths are equally frequent."""
  path = write(tmp_path / "text", ["a " * 90 + "b " * 9 + "c"] * 400)
  corpus = skip_grams.Corpus(path, 9, 1)
  batches = batches_of(corpus, 4, subsample=0.04, batch_size=1000)
  places, widths = map(np.concatenate, zip(
      *(batches._drawn(0, block) for block in range(40)), strict=True))
  kept = np.bincount(corpus.ids[places])
  for i, share in enumerate((0.9, 0.09, 0.01)):
    expected = min(np.sqrt(0.04 / share) + 0.04 / share, 1)
    assert kept[i] / corpus.counts[i] == pytest.approx(expected, rel=0.04)
  np.testing.assert_allclose(
      np.bincount(widths)[1:] / len(widths), 1 / 4, atol=0.02)


def test_noise_is_drawn_with_its_probabilities(corpus):
  expected = corpus.counts ** 0.75
  expected /= expected.sum()
  np.testing.assert_allclose(
      skip_grams.noise_distribution(corpus.counts), expected)
  batches = batches_of(corpus, num_noise=50)
  noise = np.concatenate([batches(step)[2] for step in range(400)])
  assert noise.dtype == np.int64
  np.testing.assert_allclose(
      np.bincount(noise, minlength=len(expected)) / len(noise), expected,
      atol=0.01)
