"""Kassel and Taskar's handwritten words: the file, splits, pages. NumPy only.

A line of the file is a letter, in fields parted by tabs:

    id  letter  next_id  word_id  position  fold  p_0_0  p_0_1  ...  p_15_7

Letters are a-z; next_id is the id of the next letter of the word, which follows
in the next line, or -1 after the last; folds are 0-9; pixels are 0 or 1, row by
row. word_id and position say nothing more, and are not read.
"""

import collections
import hashlib
import logging
import os
import string

import numpy as np
from matplotlib import figure

import compressed
import reader
from tasks import ragged

URL = "https://ai.stanford.edu/~btaskar/ocr/letter.data.gz"
LETTERS = string.ascii_lowercase
HEIGHT, WIDTH = 16, 8  # of a letter, in pixels
PIXELS = HEIGHT * WIDTH

_FIELDS = 6 + PIXELS
_FOLDS = 10
_LONGEST_LINE = 10_000  # bytes read of it; one has some 300

# Of a page, in pixels of the letters.
_COLUMNS = 4  # of words
_LONGEST_WORD = 14  # letters, of those there are
_PITCH = WIDTH + 1  # from letter to letter
_SPACE = 12  # between columns, and around all of them
_LINE = HEIGHT + 25  # from word to word: there is writing above and below
_SCALE, _DPI = 3, 150
_TITLE_INCHES = 0.4
_PAPER = 0.06  # of 1, which is ink
_RIGHT, _WRONG, _TRUTH = "#6a6a6a", "#c0392b", "#1f5fa8"

# Its notes on fonts and caches are nothing to the user of a network.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_Letter = collections.namedtuple("_Letter", "id letter next_id fold pixels")


def read_words(path):
  """Reads `letter.data.gz`, or the same unpacked, as a stream.

  Returns:
    pixels, letters, folds: a Ragged of uint8 [n, 128], 0 or 1; a Ragged of
    uint8 [n], 0 for a to 25 for z; and the fold of each word, uint8.

  Raises:
    DataError: there is no such file; it is empty, cut off or damaged; or a line
      is not as it should be.
    UserError: no room for the temporary files.
  """
  pixels, letters = ragged.Ragged("uint8", PIXELS), ragged.Ragged("uint8")
  folds = bytearray()
  for word in _words(path):
    pixels.append(np.stack([letter.pixels for letter in word]))
    letters.append(np.array([letter.letter for letter in word], np.uint8))
    folds.append(word[0].fold)
  return pixels, letters, np.frombuffer(folds, np.uint8)


def random_split(num_words, share=0.66, seed=0):
  """Draws a share of the words to train on: as `fold_split`."""
  chosen = np.arange(num_words) < int(share * num_words)
  return _split(np.random.default_rng(seed).permutation(chosen))


def fold_split(folds, train_folds):
  """Chooses the words of some folds to train on.

  Taskar et al. 2003 train on one fold of ten and test on the nine others.

  Args:
    folds: of each word.
    train_folds: a list of folds.

  Returns:
    train, test: the places of the words in each, ascending.

  Raises:
    DataError: one of the two has no words.
  """
  return _split(np.isin(folds, train_folds))


def _split(chosen):
  train, test = np.flatnonzero(chosen), np.flatnonzero(~chosen)
  if not (len(train) and len(test)):
    raise reader.DataError(
        f"the split has {len(train)} words to train on and {len(test)} to test "
        f"on; use another one, or the whole of {URL}")
  return train, test


class Batches:
  """A split of the words, in batches: pixels, letters and lengths.

  Attributes:
    size: batches in a pass.
    inputs: the dtype and shape of each array of a batch.
  """

  # pixels [T, B, 128], letters [T, B], lengths [B]
  inputs = (("uint8", [None, None, PIXELS]), ("uint8", [None, None]),
            ("int32", [None]))

  def __init__(self, pixels, labels, places, batch_size, seed=None):
    """Those at some places.

    Args:
      pixels, labels: Ragged, as `read_words` returns them.
      seed: of the order, another in each pass; without it always the same.
    """
    self._pixels, self._labels, self._places = pixels, labels, places
    self._order = ragged.Order(labels.lengths[places], batch_size, seed)
    self.size = self._order.size

  def __len__(self):
    return len(self._places)

  @property
  def identity(self):
    """What tells the split from others, for config.json."""
    digest = hashlib.sha256(self._places)
    digest.update(self._pixels.digest + self._labels.digest)
    return {"words": len(self), "sha256": digest.hexdigest()}

  def word(self, number):
    """The pixels [n, 128] and letters [n] of a word."""
    place = self._places[number]
    return self._pixels[place], self._labels[place]

  def __call__(self, step):
    """The arrays of a step."""
    words = [self.word(number) for number in self._order(step)]
    pixels, lengths = ragged.padded([image for image, _ in words])
    return pixels, ragged.padded([label for _, label in words])[0], lengths


def draw_page(words, path, title=""):
  """Draws words with what was read there, as a PNG file.

  Beneath each letter is the one predicted; where that is wrong, it is red, and
  the right one is above. The counts of words and letters follow the title.

  Args:
    words: triples (pixels [n, 128], letters [n], predicted [n]), as
      `read_words` has them.
  """
  longest = max(_LONGEST_WORD, *(len(letters) for _, letters, _ in words))
  column = longest * _PITCH + _SPACE
  lines = -(-len(words) // _COLUMNS)
  page = np.zeros([lines * _LINE, _COLUMNS * column + _SPACE])
  inches = np.array(page.shape) * _SCALE / _DPI
  height = inches[0] + _TITLE_INCHES
  picture = figure.Figure(figsize=(inches[1], height), dpi=_DPI)
  axes = picture.add_axes((0, 0, 1, inches[0] / height))  # whole pixels
  axes.set_axis_off()
  for place, (pixels, letters, predicted) in enumerate(words):
    top = place // _COLUMNS * _LINE + (_LINE - HEIGHT) // 2
    left = place % _COLUMNS * column + _SPACE
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
  picture.savefig(path, format="png")


def _write_letter(axes, x, top, truth, predicted):
  """Writes the predicted letter beneath an image; a wrong one as such."""
  right = truth == predicted
  axes.text(x, top + HEIGHT + 4.5, LETTERS[predicted], ha="center", va="center",
            fontsize=9, color=_RIGHT if right else _WRONG,
            fontweight="normal" if right else "bold")
  if not right:
    axes.text(x, top - 6, LETTERS[truth], ha="center", va="center",
              fontsize=9, color=_TRUTH)


def _words(path):
  """Generates the words of a file, as lists of _Letter."""
  word, number = [], 0
  for number, line in enumerate(_lines(path), 1):
    try:
      letter = _parse(line)
      if word:
        _check_follows(word[-1], letter)
    except ValueError as error:
      raise reader.DataError(f"{path}: line {number}: {error}; "
                             f"download {URL} again") from None
    word.append(letter)
    if letter.next_id == -1:
      yield word
      word = []
  if word or not number:
    what = f"line {number}: its word does not end" if word else "is empty"
    raise reader.DataError(f"{path}: {what}; download {URL} again")


def _lines(path):
  """Generates the lines of a file, cut where they are far too long."""
  if not os.path.exists(path):
    raise reader.DataError(
        f"{path}: no such file; download {URL}, and name it")
  with compressed.open_binary(path) as file:
    while line := file.readline(_LONGEST_LINE):
      yield line.decode("ascii", "backslashreplace")


def _parse(line):
  """Reads a line; what is wrong with it is a ValueError."""
  fields = line.rstrip("\r\n").removesuffix("\t").split("\t")
  if len(fields) != _FIELDS:
    raise ValueError(f"{len(fields)} fields instead of {_FIELDS}")
  letter_id, letter, next_id, _, _, fold, *pixels = fields
  try:
    letter_id, next_id = int(letter_id), int(next_id)
  except ValueError:
    raise ValueError(f"the ids {letter_id!r} and {next_id!r} are not both "
                     "numbers") from None
  if len(letter) != 1 or letter not in LETTERS:
    raise ValueError(f"the letter {letter!r} is not one of a-z")
  if fold not in map(str, range(_FOLDS)):
    raise ValueError(f"the fold {fold!r} is not one of 0-9")
  if not {"0", "1"}.issuperset(pixels):
    wrong = next(pixel for pixel in pixels if pixel not in ("0", "1"))
    raise ValueError(f"the pixel {wrong!r} is neither 0 nor 1")
  return _Letter(
      letter_id, LETTERS.index(letter), next_id, int(fold),
      np.frombuffer("".join(pixels).encode(), np.uint8) - ord("0"))


def _check_follows(letter, following):
  if letter.next_id != following.id:
    raise ValueError(f"letter {following.id} follows in place of letter "
                     f"{letter.next_id}, with which the word goes on")
  if letter.fold != following.fold:
    raise ValueError(f"the fold changes from {letter.fold} to {following.fold} "
                     "within a word")
