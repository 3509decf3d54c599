"""PNG images of letters, of any size, color and polarity."""

import numpy as np
import pytest
from PIL import Image

from rnn.errors import DataError
from tasks import letter_images, letters
from tests.helpers.run_folders import damaged_versions
from tests.helpers.texts import data_error

# An L that fills 16 x 8 pixels.
LETTER = np.zeros([16, 8], np.uint8)
LETTER[:, :2] = LETTER[-2:] = 1


def save(path, pixels, mode="L"):
  Image.fromarray(pixels).convert(mode, dither=Image.Dither.NONE).save(path)
  return str(path)


def gray_of(ink, scale=1, margins=(0, 0, 0, 0), ink_gray=20, paper=230):
  """Returns an image of ink on paper: uint8 [height, width]."""
  top, bottom, left, right = margins
  ink = np.pad(np.kron(ink, np.ones([scale, scale])),
               [(top, bottom), (left, right)])
  return np.where(ink == 1, ink_gray, paper).astype(np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
@pytest.mark.parametrize("grays", [(20, 230), (255, 0)])
@pytest.mark.parametrize("scale, margins", [
    (1, (0, 0, 0, 0)), (1, (3, 0, 2, 5)), (7, (0, 40, 13, 0))])
def test_size_place_color_and_polarity_do_not_matter(
    tmp_path, mode, grays, scale, margins):
  path = save(tmp_path / "l.png", gray_of(LETTER, scale, margins, *grays), mode)
  pixels = letter_images.read_letter(path)
  assert (pixels.dtype, pixels.shape) == (np.uint8, (letters.PIXELS,))
  np.testing.assert_array_equal(pixels.reshape(16, 8), LETTER)


def test_an_image_of_the_size_of_the_data_stays_as_it_is(tmp_path):
  ink = np.zeros([16, 8], np.uint8)
  ink[2:5, 1:3] = 1  # neither centered nor scaled
  path = save(tmp_path / "l.png", gray_of(ink))
  np.testing.assert_array_equal(
      letter_images.read_letter(path).reshape(16, 8), ink)


@pytest.mark.parametrize("shape, rows, columns", [
    ((30, 3), (0, 16), (3, 5)),  # a bar fills the height
    ((10, 20), (6, 10), (0, 8))])  # a dash fills the width
def test_proportions_stay_and_the_letter_is_centered(
    tmp_path, shape, rows, columns):
  path = save(tmp_path / "l.png", gray_of(
      np.ones(shape), 1, (30, 9, 30, 40)))
  expected = np.zeros([16, 8])
  expected[slice(*rows), slice(*columns)] = 1
  np.testing.assert_array_equal(
      letter_images.read_letter(path).reshape(16, 8), expected)


def test_thin_strokes_stay_connected(tmp_path):
  ink = np.zeros([160, 80])
  ink[:, 0] = ink[-1] = 1  # an L of a tenth of a pixel
  path = save(tmp_path / "l.png", gray_of(ink, 1, (5, 5, 5, 5)))
  pixels = letter_images.read_letter(path).reshape(16, 8)
  assert pixels[:, 0].all() and pixels[-1].sum() > 1


def test_transparent_paper_is_white_and_16_bits_are_kept(tmp_path):
  rgba = np.zeros([16, 8, 4], np.uint8)
  rgba[..., 3] = 255 * LETTER
  wide = np.where(LETTER, 300, 40_000).astype(np.uint16)
  for pixels in rgba, wide:
    Image.fromarray(pixels).save(tmp_path / "l.png")
    np.testing.assert_array_equal(letter_images.read_letter(
        str(tmp_path / "l.png")).reshape(16, 8), LETTER)


def test_a_folder_is_in_the_order_of_its_numbers(tmp_path):
  for name in "10.png", "2.PNG", "1.png", "note.txt":
    (tmp_path / name).touch()
  assert [path[len(str(tmp_path)) + 1:] for path in letter_images.find(
      str(tmp_path))] == ["1.png", "2.PNG", "10.png"]


@pytest.mark.parametrize("name, make, message", [
    ("absent", lambda path: None, "No such file or directory; give one PNG"),
    ("folder", lambda path: path.mkdir(), "not a file"),
    ("text", lambda path: path.write_text("a"), "not a PNG image, or damaged"),
    ("blank", lambda path: save(path, gray_of(LETTER, ink_gray=220), "L"),
     "it is blank; give one PNG image per letter, dark on light or light on "
     "dark, of 16 x 8"),
    ("word", lambda path: save(path, gray_of(np.ones([10, 90]), 1, [9] * 4)),
     "its ink is 9 times as wide as high, so it is not one letter"),
    ("huge", lambda path: Image.new("1", (9000, 9000)).save(path, "PNG"),
     "9,000 x 9,000 pixels are too many")])
def test_bad_images_get_one_line(tmp_path, name, make, message):
  path = tmp_path / f"{name}.png"
  make(path)
  assert message in data_error(letter_images.read_letter, path)


def test_damaged_images_get_one_line(tmp_path):
  """Or they are read, if the damage does not concern the pixels."""
  save(tmp_path / "good.png", gray_of(LETTER, 9))
  content = (tmp_path / "good.png").read_bytes()
  path, failed = tmp_path / "bad.png", 0
  for damaged in [*(content[:end] for end in range(0, len(content), 7)),
                  *damaged_versions(content, 200)]:
    path.write_bytes(damaged)
    try:
      letter_images.read_letter(str(path))
    except DataError as error:
      failed += 1
      assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
  assert failed > 50


def test_a_folder_without_images_gets_one_line(tmp_path):
  assert "has no .png files" in data_error(letter_images.find, tmp_path)
