"""Kassel and Taskar's handwritten words: file, splits, batches and pages.

Each line of the file is a letter. Its fields are separated by tabs:

    id  letter  next_id  word_id  position  fold  p_0_0  p_0_1  ...  p_15_7

Letters are a-z. next_id is the id of the next letter of the word, which is in
the next line; it is -1 after the last letter. Folds are 0-9. Pixels are 0 or 1,
row by row. word_id and position are redundant, and are not read.
"""

import hashlib
import os
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn import files
from rnn.errors import DataError
from tasks import ragged

URL = "https://ai.stanford.edu/~btaskar/ocr/letter.data.gz"
LETTERS = string.ascii_lowercase
HEIGHT, WIDTH = 16, 8  # of a letter, in pixels
PIXELS = HEIGHT * WIDTH

_FIELDS = 6 + PIXELS
_FOLDS = 10
_MAX_LINE = 10_000  # bytes; a longer line is cut. A valid line has about 300.

_MAX_WORD = 1000  # letters; the longest has 14

# The layout of a page. Lengths are in pixels of the letters.
_COLUMNS = 4  # of words
_LONGEST_WORD = 14  # letters; the data have no longer words
_PITCH = WIDTH + 1  # from letter to letter
_SPACE = 12  # between columns, and around all of them
_LINE = HEIGHT + 25  # from word to word; text above and below needs the room
_SCALE, _DPI = 3, 150
_TITLE_INCHES = 0.4
_NOTE = "The data lack the first letter of each word."
_PAPER = 0.06  # the gray of the paper; ink is 1
_RIGHT, _WRONG, _TRUTH = "#6a6a6a", "#c0392b", "#1f5fa8"

# Pixels [n, 128], letters [n], predicted letters [n].
ReadWord = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Letter(NamedTuple):
  """A line of the file; `letter` is 0 for a, and `pixels` is [128]."""

  id: int
  letter: int
  next_id: int
  fold: int
  pixels: np.ndarray


def read_words(
    path: str) -> tuple[ragged.Ragged, ragged.Ragged, np.ndarray]:
  """Reads `letter.data.gz`, compressed or not, as a stream.

  Returns:
    pixels, labels, folds: the images, uint8 [n, 128] of 0 and 1 per word; the
    letters, uint8 [n] from 0 for a to 25 for z per word; and the fold of each
    word, uint8.

  Raises:
    DataError: the file does not exist, is empty, damaged, or has an invalid
      line; or the temporary files cannot be written.
  """
  if not os.path.exists(path):
    raise DataError(f"{path}: no such file; download {URL}, and name it")
  folds = bytearray()
  with files.temporary_file() as images, files.temporary_file() as letters:
    pixels = ragged.Writer(images, np.uint8, PIXELS)
    labels = ragged.Writer(letters, np.uint8)
    for word in _words(lines_of(path), path, f"download {URL} again"):
      pixels.append(np.stack([letter.pixels for letter in word]))
      labels.append(np.array([letter.letter for letter in word], np.uint8))
      folds.append(word[0].fold)
    return pixels.finish(), labels.finish(), np.frombuffer(folds, np.uint8)


def read_images(lines: Iterable[str], name: str) -> Iterator[np.ndarray]:
  """Generates the images of words, uint8 [n, 128] of 0 and 1 each.

  Args:
    lines: as in `letter.data`. The letters and the folds are not read, so they
      may be anything.
    name: the file, for error messages.

  Raises:
    DataError: there is no line, or an invalid one.
  """
  for word in _words(lines, name, "correct it", labeled=False):
    yield np.stack([letter.pixels for letter in word])


def random_split(num_words: int, share: float = 0.66,
                 seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Draws a share of the words to train on.

  Returns:
    train, test: as in `fold_split`.

  Raises:
    DataError: as in `fold_split`.
  """
  chosen = np.arange(num_words) < int(share * num_words)
  return _split(np.random.default_rng(seed).permutation(chosen))


def fold_split(folds: np.ndarray, train_folds: Iterable[int]
               ) -> tuple[np.ndarray, np.ndarray]:
  """Chooses the words of some folds to train on.

  Taskar et al. 2003 train on one fold of ten and test on the other nine.

  Args:
    folds: the fold of each word.
    train_folds: the folds to train on.

  Returns:
    train, test: the indices of the words in each, ascending.

  Raises:
    DataError: one of the two has no words.
  """
  return _split(np.isin(folds, list(train_folds)))


# A function of the folds and the seed for each --split. It returns the indices
# of the words to train on and to test on: 66 % at random, or the folds of
# Taskar et al. 2003, "Max-Margin Markov Networks".
SPLITS: dict[str, Callable[[np.ndarray, int],
                           tuple[np.ndarray, np.ndarray]]] = {
    "random": lambda folds, seed: random_split(len(folds), seed=seed),
    "fold0": lambda folds, _: fold_split(folds, [0]),
    "folds1-9": lambda folds, _: fold_split(folds, range(1, 10)),
}


def _split(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  train, test = np.flatnonzero(chosen), np.flatnonzero(~chosen)
  if not (len(train) and len(test)):
    raise DataError(
        f"the split has {len(train)} words to train on and {len(test)} to test "
        f"on; use another split, or the complete file from {URL}")
  return train, test


class Batches:
  """The batches of a split: pixels, letters and lengths.

  Attributes:
    size: batches per epoch.
    largest: see `ragged.Order`.
    inputs: the dtype and shape of each array of a batch.
  """

  # pixels [T, B, 128], letters [T, B], lengths [B]
  inputs: Sequence[tuple[str, list]] = (
      ("uint8", [None, None, PIXELS]), ("uint8", [None, None]),
      ("int32", [None]))

  def __init__(self, pixels: ragged.Ragged, labels: ragged.Ragged,
               indices: np.ndarray, batch_size: int,
               seed: int | None = None) -> None:
    """Selects the words of the split.

    Args:
      pixels, labels: as `read_words` returns them.
      indices: the indices of the words.
      seed: see `ragged.Order`.
    """
    self._pixels, self._labels, self._indices = pixels, labels, indices
    self._order = ragged.Order(labels.lengths[indices], batch_size, seed)
    self.size, self.largest = self._order.size, self._order.largest

  def __len__(self) -> int:
    return len(self._indices)

  @property
  def fingerprint(self) -> dict:
    """Identifies the split in config.json."""
    digest = hashlib.sha256(self._indices.data)
    digest.update(self._pixels.digest + self._labels.digest)
    return {"words": len(self), "sha256": digest.hexdigest()}

  def word(self, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels [n, 128] and letters [n] of a word of the split."""
    index = self._indices[number]
    return self._pixels[index], self._labels[index]

  def __call__(self, step: int) -> Sequence[np.ndarray]:
    """Returns the arrays of a step."""
    words = [self.word(number) for number in self._order(step)]
    pixels, lengths = ragged.padded([image for image, _ in words])
    return pixels, ragged.padded([label for _, label in words])[0], lengths


def draw_page(words: Sequence[ReadWord], path: str,
              title: str = "") -> None:
  """Draws words and the letters that a model reads in them, as a PNG file.

  The predicted letter is below each image. A wrong one is red, and the right
  one is above the image. The title ends with the counts of words and letters.
  A note says why the words lack their first letters.
  """
  from matplotlib import figure  # slow, so only when it is needed

  longest = max(_LONGEST_WORD, *(len(letters) for _, letters, _ in words))
  column = longest * _PITCH + _SPACE
  lines = -(-len(words) // _COLUMNS)
  page = np.zeros([lines * _LINE, _COLUMNS * column + _SPACE])
  inches = np.array(page.shape) * _SCALE / _DPI
  height = inches[0] + _TITLE_INCHES
  picture = figure.Figure(figsize=(inches[1], height), dpi=_DPI)
  # The axes fill the width, so that each pixel of a letter becomes _SCALE
  # whole pixels of the file.
  axes = picture.add_axes((0, 0, 1, inches[0] / height))
  axes.set_axis_off()
  for number, (pixels, letters, predicted) in enumerate(words):
    top = number // _COLUMNS * _LINE + (_LINE - HEIGHT) // 2
    left = number % _COLUMNS * column + _SPACE
    for image, truth, letter in zip(pixels, letters, predicted, strict=True):
      page[top:top + HEIGHT, left:left + WIDTH] = np.maximum(
          image.reshape(HEIGHT, WIDTH), _PAPER)
      _write_letter(axes, left + (WIDTH - 1) / 2, top, truth, letter)
      left += _PITCH
  axes.imshow(page, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest",
              aspect="auto")
  total = sum(len(letters) for _, letters, _ in words)
  wrong = sum(np.count_nonzero(np.not_equal(letters, predicted))
              for _, letters, predicted in words)
  picture.text(_SPACE / page.shape[1], 1 - _TITLE_INCHES / height / 2,
               f"{title + ': ' if title else ''}{len(words)} words, "
               f"{wrong} of {total} letters wrong (red, the right one above)",
               va="center", fontsize=11)
  picture.text(1 - _SPACE / page.shape[1], 1 - _TITLE_INCHES / height / 2,
               _NOTE, va="center", ha="right", fontsize=9, color=_RIGHT)
  picture.savefig(path, format="png")


def _write_letter(axes: Any, x: float, top: int, truth: int,
                  predicted: int) -> None:
  """Writes the predicted letter below an image, and corrects a wrong one."""
  right = truth == predicted
  axes.text(x, top + HEIGHT + 4.5, LETTERS[predicted], ha="center", va="center",
            fontsize=9, color=_RIGHT if right else _WRONG,
            fontweight="normal" if right else "bold")
  if not right:
    axes.text(x, top - 6, LETTERS[truth], ha="center", va="center",
              fontsize=9, color=_TRUTH)


def _words(lines: Iterable[str], name: str, advice: str,
           labeled: bool = True) -> Iterator[list[_Letter]]:
  """Generates the words of a file; name, advice: for error messages."""
  word: list[_Letter] = []
  number = 0
  for number, line in enumerate(lines, 1):
    try:
      letter = _parse(line, labeled)
      if word:
        _check_follows(word[-1], letter)
      if len(word) == _MAX_WORD:
        raise ValueError(f"a word of more than {_MAX_WORD:,} letters")
    except ValueError as error:
      raise DataError(f"{name}: line {number}: {error}; {advice}") from None
    word.append(letter)
    if letter.next_id == -1:
      yield word
      word = []
  if word or not number:
    what = (f"truncated in line {number}, within a word" if word
            else "the file is empty")
    raise DataError(f"{name}: {what}; {advice}")


def lines_of(path: str) -> Iterator[str]:
  """Generates the lines of a file. A line that is far too long is cut.

  Raises:
    DataError: the file does not exist, or is damaged.
  """
  with files.open_binary(path) as file:
    while line := file.readline(_MAX_LINE):
      yield line.decode("ascii", "backslashreplace")


def _parse(line: str, labeled: bool) -> _Letter:
  """Reads a line; raises a ValueError that says what is wrong with it."""
  fields = line.rstrip("\r\n").removesuffix("\t").split("\t")
  if len(fields) != _FIELDS:
    raise ValueError(f"{len(fields)} fields instead of {_FIELDS}")
  letter_id, letter, next_id, _, _, fold, *pixels = fields
  try:
    ids = int(letter_id), int(next_id)
  except ValueError:
    raise ValueError(f"the ids {letter_id!r} and {next_id!r} are not both "
                     "numbers") from None
  if not labeled:
    letter, fold = LETTERS[0], "0"
  if len(letter) != 1 or letter not in LETTERS:
    raise ValueError(f"the letter {letter!r} is not one of a-z")
  if fold not in map(str, range(_FOLDS)):
    raise ValueError(f"the fold {fold!r} is not one of 0-9")
  if not {"0", "1"}.issuperset(pixels):
    wrong = next(pixel for pixel in pixels if pixel not in ("0", "1"))
    raise ValueError(f"the pixel {wrong!r} is neither 0 nor 1")
  return _Letter(
      ids[0], LETTERS.index(letter), ids[1], int(fold),
      np.frombuffer("".join(pixels).encode(), np.uint8) - np.uint8(ord("0")))


def _check_follows(letter: _Letter, following: _Letter) -> None:
  """Raises a ValueError if the second letter does not continue the word."""
  if letter.next_id != following.id:
    raise ValueError(f"the word continues with letter {letter.next_id}, but "
                     f"this is letter {following.id}")
  if letter.fold != following.fold:
    raise ValueError(f"the fold changes from {letter.fold} to {following.fold} "
                     "within a word")
