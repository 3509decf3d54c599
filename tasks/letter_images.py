"""PNG images of letters -> the pixels that Kassel and Taskar's letters have.

In their data the ink of a letter fills the height or the width of 16 x 8
pixels, is centered, and keeps its proportions.
"""

import os
import re
import struct
import warnings
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from rnn import files
from rnn.errors import DataError
from tasks.letters import HEIGHT, PIXELS, WIDTH

# How files begin: PNG, and images that `read_word` refuses by name (GIF, JPEG,
# BMP, TIFF, WebP).
_MAGIC = (b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*",
          b"RIFF")
_MAX_PIXELS = 4096 * 4096
_MIN_CONTRAST = 0.1  # between the darkest and the lightest pixel; 1: all of it
_WIDEST = 3  # times its height; the widest letters in the data have 1.4
_ADVICE = ("give one PNG image per letter, dark on light or light on dark, of "
           f"{HEIGHT} x {WIDTH} pixels or larger")
# The errors with which Pillow reacts to damaged images, and to huge ones.
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
           Image.DecompressionBombError, Image.DecompressionBombWarning)


def is_image(path: str) -> bool:
  """Returns whether a file begins like an image, of PNG or another format.

  Raises:
    DataError: the file cannot be read.
  """
  files.check_is_file(path)
  with files.path_errors(path), open(path, "rb") as file:
    return file.read(max(map(len, _MAGIC))).startswith(_MAGIC)


def find(folder: str) -> list[str]:
  """Returns the PNG images in a folder, by name: 2.png comes before 10.png.

  Raises:
    DataError: the folder cannot be read, or has no such files.
  """
  def numbers_as_such(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part)
            for part in re.split(r"(\d+)", name)]

  with files.path_errors(folder):
    names = sorted((name for name in os.listdir(folder)
                    if name.lower().endswith(".png")), key=numbers_as_such)
  if not names:
    raise DataError(f"{folder}: has no .png files; {_ADVICE}")
  return [os.path.join(folder, name) for name in names]


def read_word(paths: Sequence[str]) -> np.ndarray:
  """Reads the images of the letters of a word: uint8 [n, 128] of 0 and 1.

  Raises:
    DataError: as in `read_letter`.
  """
  return np.stack([read_letter(path) for path in paths])


def read_letter(path: str) -> np.ndarray:
  """Reads the image of a letter: uint8 [128] of 0 and 1.

  Ink is the darker or the lighter part, whichever is smaller. An image of
  16 x 8 pixels stays as it is; the ink of any other is scaled.

  Raises:
    DataError: it is no PNG image, is damaged or too large, or shows no letter.
  """
  files.check_is_file(path)
  try:
    gray = _read_gray(path)
    if np.ptp(gray) < _MIN_CONTRAST:
      raise ValueError("it is blank")
    dark = gray <= _threshold(gray)
    ink = dark if dark.mean() <= 0.5 else ~dark
    if ink.shape != (HEIGHT, WIDTH):
      ink = _scale(ink)
  except _ERRORS as error:
    reason = getattr(error, "strerror", None) or (
        "not a PNG image, or damaged" if isinstance(error, (
            Image.UnidentifiedImageError, SyntaxError)) else error)
    raise DataError(f"{path}: {reason}; {_ADVICE}") from None
  return ink.astype(np.uint8).reshape(PIXELS)


def _read_gray(path: str) -> np.ndarray:
  """Reads an image: [height, width], from 0 for black to 1 for white."""
  with warnings.catch_warnings():
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with Image.open(path, formats=["PNG"]) as image:
      if image.width * image.height > _MAX_PIXELS:
        raise ValueError(f"{image.height:,} x {image.width:,} pixels are too "
                         "many")
      if image.mode.startswith("I"):  # 16 bits, which `convert` would cut off
        return np.asarray(image, float) / 65535
      colors = image.convert("RGBA")  # transparent parts become white
      paper = Image.new("RGBA", image.size, "white")
      return np.asarray(Image.alpha_composite(paper, colors).convert("L"),
                        float) / 255


def _threshold(gray: np.ndarray) -> float:
  """Returns the gray that best separates dark from light (Otsu 1979).

  It maximizes the variance between the two classes; the dark one includes it.
  """
  values, counts = np.unique(gray, return_counts=True)
  dark, total = np.cumsum(counts)[:-1], counts.sum()
  dark_sum, mean = np.cumsum(values * counts)[:-1], (values * counts).sum()
  variance = (mean * dark / total - dark_sum) ** 2 / (dark * (total - dark))
  return float(values[variance.argmax()])


def _scale(ink: np.ndarray) -> np.ndarray:
  """Scales the ink to fill the height or the width: bool [16, 8]."""
  rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
  ink = ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
  height, width = ink.shape
  if width > _WIDEST * height:
    raise ValueError(f"its ink is {width / height:.0f} times as wide as high, "
                     "so it is not one letter")
  factor = min(HEIGHT / height, WIDTH / width)
  size = [max(round(factor * length), 1) for length in (height, width)]
  cover = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(
      size[::-1], Image.Resampling.BOX))  # the share of ink in each pixel
  top, left = (HEIGHT - size[0]) // 2, (WIDTH - size[1]) // 2
  scaled = np.zeros([HEIGHT, WIDTH], bool)
  # Thin strokes cover no pixel by half.
  scaled[top:top + size[0], left:left + size[1]] = cover >= cover.max() / 2
  return scaled
