"""Counts of words, added up over pieces."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.errors import DataError
from rnn.text import word_arrays, word_counts
from rnn.text.vocabulary import Choice, Vocabulary

TEXTS = strategies.lists(strategies.text("abc \n"), min_size=1).map(
    lambda texts: [text.replace("c", " <unk> ").encode() for text in texts])


def count(texts, most=100):
  """Returns the WordCounts of texts."""
  counts = word_counts.WordCounts(most)
  for text in texts:
    arrays = word_arrays.number(text)
    counts.add(arrays.words, np.bincount(
        arrays.indices, minlength=arrays.words.count(b"\n")))
  return counts


@pytest.mark.parametrize("batch", [0, 1 << 20])
@hypothesis.given(
    texts=TEXTS, size=strategies.none() | strategies.integers(3, 9),
    min_count=strategies.integers(1, 4))
def test_vocabulary_is_that_of_all_counts(batch, texts, size, min_count):
  choice = Choice(size=size, min_count=min_count)
  words = collections.Counter(
      word.decode() for text in texts
      for word in text.replace(b"\n", b" <eos> ").split())
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(word_counts, "_BATCH", batch)
    counts = count(texts)
    assert not counts.pruned
    try:
      expected = choice.vocabulary(words)
    except DataError as error:
      with pytest.raises(DataError, match=str(error)):
        counts.vocabulary(choice)
      return
    assert counts.vocabulary(choice) == expected


def test_marks_keep_their_counts():
  """Even if they are rarer than the words that may be chosen."""
  text = b"".join(b"w%d " % i * 3 for i in range(9)) + b"\n \n once"
  assert count([text]).vocabulary(Choice(min_count=3))[-2:] == (
      "<eos>", "<unk>")


def test_a_given_vocabulary_is_taken():
  given = Vocabulary(("b", "<unk>", "<eos>"))
  assert count([b"a b"]).vocabulary(Choice(given)) is given


def test_rare_words_are_dropped_if_there_are_too_many(monkeypatch):
  monkeypatch.setattr(word_counts, "_BATCH", 0)
  texts = [b"".join(b"the of w%d " % (10 * i + j) for j in range(10))
           for i in range(9)]
  counts = count(texts, most=20)
  vocabulary = counts.vocabulary(Choice())
  assert counts.pruned == 1
  assert {"the", "of", "<unk>"} <= set(vocabulary) and len(vocabulary) < 25
  assert not count(texts, most=100).pruned
