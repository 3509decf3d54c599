"""Numbers the words of a text in arrays, without an object for each word.

A word of at most 16 bytes is one or two 64-bit integers, so sorting integers
finds the words that are the same. On a large text this is several times faster
than looking up each word in a dict, whose entries are far apart in memory.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rnn.text import numbering
from rnn.text.vocabulary import EOS

_WIDTH = 8  # bytes of an integer
_PADDING = bytes(2 * _WIDTH)  # so that integers may be read at the end
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_WIDTH + 1)],
                  np.uint64)
# Odd, so that multiplication loses nothing: 2**64 over the golden ratio, and a
# constant of MurmurHash3's finalizer.
_FACTORS = np.array([0x9e3779b97f4a7c15, 0xc4ceb9fe1a85ec53], np.uint64)


@dataclasses.dataclass(frozen=True, eq=False)
class WordArrays:
  """A text whose words are numbered.

  Attributes:
    words: the different words as UTF-8, in the order of their numbers, each
      with a newline.
    indices: 1-D int32, the number of each word of the text.
  """

  words: bytes
  indices: np.ndarray


def number(text: bytes, eos: bool = True) -> WordArrays:
  """Numbers the words of a text, in any order.

  Args:
    text: as UTF-8; words are separated by ASCII blanks.
    eos: whether each newline is the word `<eos>`. Then this word gets a number
      even if the text lacks it.
  """
  if b"\0" in text:  # as an integer, a word would not show a zero at its end
    return _number_objects(text, eos)
  size = len(text)
  data = b"".join([text, b" ", EOS.encode(), b" ", _PADDING])
  characters = np.frombuffer(data, np.uint8)[:size + len(EOS) + 2]
  if not eos:
    characters = characters[:size + 1]
  is_blank = (characters - np.uint8(9)) <= 4  # \t \n \v \f \r
  is_blank |= characters == ord(" ")
  ends = np.flatnonzero(is_blank)
  if len(data) < 2**31:
    ends = ends.astype(np.int32)  # takes half the memory
  starts = np.empty_like(ends)
  starts[:1], starts[1:] = 0, ends[:-1] + 1
  lengths = ends - starts
  is_word = lengths > 0
  starts, lengths = starts[is_word], lengths[is_word]
  words, indices = _number_words(data, starts, lengths)
  if eos:
    indices = _insert(indices, is_word, characters[ends] == ord("\n"))
  return WordArrays(words, indices)


def place(words: bytes, word: str) -> int | None:
  """Returns the number of a word in `WordArrays.words`; None without it."""
  found = (b"\n" + words).find(f"\n{word}\n".encode())
  return None if found < 0 else words[:found].count(b"\n")


def select(words: bytes, chosen: np.ndarray) -> bytes:
  """Returns some of the words of `WordArrays.words`.

  Args:
    chosen: bool, for each word.
  """
  ends = np.flatnonzero(np.frombuffer(words, np.uint8) == ord("\n"))
  starts = np.empty_like(ends)
  starts[:1], starts[1:] = 0, ends[:-1] + 1
  return _extract(words, starts[chosen], (ends - starts)[chosen])


def _insert(indices: np.ndarray, is_word: np.ndarray,
            is_newline: np.ndarray) -> np.ndarray:
  """Inserts the number of `<eos>` for each newline.

  Args:
    indices: of the words, and of `<eos>` once more at the end.
    is_word: for each blank, whether a word ends there.
    is_newline: for each blank.
  """
  ends = np.cumsum(is_word.astype(np.int8) + is_newline)
  result = np.full(ends[-1], indices[-1], np.int32)
  result[(ends - is_newline - 1)[is_word]] = indices
  return result[:-1]


def _number_objects(text: bytes, eos: bool) -> WordArrays:
  """Numbers words as `number` does, with a dict."""
  if eos:
    text = text.replace(b"\n", b" %b " % EOS.encode()) + EOS.encode()
  words, indices = numbering.number_words([text.split()])
  return WordArrays(_joined(words), indices[:-1] if eos else indices)


def _joined(words: Sequence[bytes]) -> bytes:
  """Joins words as in `WordArrays.words`."""
  return b"".join(word + b"\n" for word in words)


def _number_words(data: bytes, starts: np.ndarray,
                  lengths: np.ndarray) -> tuple[bytes, np.ndarray]:
  """Numbers words: first the short, then the longer, then the longest ones."""
  integers = np.ndarray([len(data) - _WIDTH + 1], "<u8", data, strides=(1,))
  indices = np.empty(len(starts), np.int32)
  found: list[bytes] = []
  count = 0
  for least, most in ((1, _WIDTH), (_WIDTH + 1, 2 * _WIDTH)):
    chosen = (lengths >= least) & (lengths <= most)
    start, length = starts[chosen], lengths[chosen]
    if not len(start):
      continue
    keys = [integers[start + least - 1]
            & _MASKS[length - least + 1]]
    if least > 1:
      keys.append(integers[start])
    first, groups = _group(keys)
    indices[chosen] = groups + count
    found.append(_extract(data, start[first], length[first]))
    count += len(first)
  longest = np.flatnonzero(lengths > 2 * _WIDTH)
  if len(longest):
    words, groups = numbering.number_words([[
        data[start:start + length] for start, length in zip(
            starts[longest].tolist(), lengths[longest].tolist(), strict=True)]])
    indices[longest] = groups + count
    found.append(_joined(words))
  return b"".join(found), indices


def _group(keys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Finds keys that are the same.

  A key is one integer of each array. What is sorted are hashes, with the place
  of the key in the low bits, because sorting values is ten times as fast as
  `argsort`. If two different keys share a hash, the keys are sorted themselves.

  Args:
    keys: arrays of uint64, [N] each.

  Returns:
    first, groups: the place of the first key of each group; and int32 [N], the
    group of each key.
  """
  size = len(keys[0])
  bits = np.uint64(max(size - 1, 1).bit_length())
  hashes = keys[0] * _FACTORS[0]
  for key, factor in zip(keys[1:], _FACTORS[1:], strict=False):
    hashes ^= hashes >> np.uint64(32)
    hashes += key
    hashes *= factor
  hashes >>= bits
  hashes <<= bits
  hashes |= np.arange(size, dtype=np.uint64)
  hashes.sort()
  order = (hashes & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.intp)
  hashes >>= bits
  is_new = _is_new(keys, order)
  if np.any(is_new[1:] & (hashes[1:] == hashes[:-1])):
    order = np.lexsort(keys)
    is_new = _is_new(keys, order)
  groups = np.empty(size, np.int32)
  groups[order] = np.cumsum(is_new, dtype=np.int32) - 1
  return order[is_new], groups


def _is_new(keys: Sequence[np.ndarray], order: np.ndarray) -> np.ndarray:
  """Returns where a key differs from the one before it in an order."""
  is_new = np.zeros(len(order), bool)
  is_new[0] = True
  for key in keys:
    ordered = key[order]
    is_new[1:] |= ordered[1:] != ordered[:-1]
  return is_new


def _extract(data: bytes, starts: np.ndarray, lengths: np.ndarray) -> bytes:
  """Copies words from a text, each with a newline."""
  ends = np.cumsum(lengths + 1)
  places = np.repeat(starts - ends + lengths + 1, lengths + 1)
  places += np.arange(len(places))
  words = np.frombuffer(data, np.uint8)[places]
  words[ends - 1] = ord("\n")
  return words.tobytes()
