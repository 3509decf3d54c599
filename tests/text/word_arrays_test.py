"""Words numbered in arrays, compared with a dict."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.text import word_arrays

WORDS = strategies.one_of(
    strategies.sampled_from([
        b"a", b"b", b"ab", b"<eos>", b"<unk>", b"abcdefgh", b"abcdefghi",
        b"abcdefgh\x01", b"0123456789abcdef", b"0123456789abcdefg",
        b"0123456789abcdefh", "\u00e9t\u00e9".encode(), b"\x1c"]),
    strategies.binary(min_size=1, max_size=20).map(
        lambda word: bytes(c for c in word if c not in b" \t\n\r\v\f\0")))
TEXTS = strategies.lists(strategies.one_of(WORDS, strategies.sampled_from(
    [b" ", b"\n", b"\t", b"\r\n", b"\v", b"\f", b"  "]))).map(
        lambda parts: b" ".join(parts) if len(parts) % 2 else b"".join(parts))


def words_of(arrays):
  """Returns the text that is numbered, as a list of words."""
  assert arrays.words == b"" or arrays.words.endswith(b"\n")
  words = arrays.words.split(b"\n")[:-1]
  assert len(set(words)) == len(words)
  assert arrays.indices.dtype == np.int32
  return [words[i] for i in arrays.indices]


@pytest.mark.parametrize("collisions", [False, True])
@hypothesis.given(text=TEXTS)
@hypothesis.example(text=b"")
@hypothesis.example(text=b"a\0 a\n")
def test_words_are_those_of_split(collisions, text):
  """Also if all words share a hash."""
  with pytest.MonkeyPatch.context() as patch:
    if collisions:
      patch.setattr(word_arrays, "_FACTORS", np.zeros(2, np.uint64))
    assert words_of(word_arrays.number(text)) == text.replace(
        b"\n", b" <eos> ").split()
    assert words_of(word_arrays.number(text, eos=False)) == text.split()


def test_many_words_are_numbered():
  rng = np.random.default_rng(0)
  text = b" ".join(b"%d" % 7 ** int(k) for k in rng.integers(0, 30, 9999))
  arrays = word_arrays.number(text)
  assert words_of(arrays) == text.split()
  assert arrays.words.count(b"\n") == 31  # <eos>, too


@hypothesis.given(strategies.lists(strategies.tuples(
    WORDS.filter(bool), strategies.booleans())))
def test_words_are_selected_and_found(choices):
  words = b"".join(word + b"\n" for word, _ in choices)
  chosen = np.array([choice for _, choice in choices], bool)
  assert word_arrays.select(words, chosen) == b"".join(
      word + b"\n" for word, choice in choices if choice)
  only = [word for word, _ in choices]
  for word in "a", "ab", "b":
    assert word_arrays.place(words, word) == (
        only.index(word.encode()) if word.encode() in only else None)
