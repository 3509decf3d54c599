"""The file of handwritten words, its splits and pages, on made-up words."""

import gzip
import re

import hypothesis
import matplotlib.image
import numpy as np
import pytest
from hypothesis import strategies
from matplotlib import figure

from rnn.errors import UserError
from tasks import letters
from tests.helpers.texts import data_error, letter_lines

WORDS = strategies.lists(strategies.tuples(
    strategies.text("abcxyz", min_size=1, max_size=14),
    strategies.integers(0, 9)), min_size=1, max_size=6)


def images_of(words):
  """Returns random pixels for each word."""
  rng = np.random.default_rng(0)
  return [rng.integers(0, 2, (len(word), 128), "uint8") for word, _ in words]


def write(path, lines, unpacked=False):
  """Writes a letter.data file; returns its path."""
  data = "".join(lines).encode()
  path.write_bytes(data if unpacked else gzip.compress(data))
  return str(path)


@pytest.fixture
def lines():
  words = [("on", 0), ("a", 3)]
  return letter_lines(words, images_of(words))


def read_error(path):
  return data_error(letters.read_words, path)


@pytest.mark.parametrize("end", ["\t\n", "\n", "\t\r\n"], ids=repr)
@pytest.mark.parametrize("unpacked", [False, True])
@hypothesis.given(words=WORDS, first_id=strategies.integers(0, 99))
def test_words_are_read(tmp_path_factory, words, first_id, unpacked, end):
  path = tmp_path_factory.mktemp("ocr") / "letter.data.gz"
  images = images_of(words)
  pixels, labels, folds = letters.read_words(write(
      path, letter_lines(words, images, first_id, end), unpacked))
  assert ["".join(letters.LETTERS[i] for i in word) for word in labels] == [
      word for word, _ in words]
  assert folds.tolist() == [fold for _, fold in words]
  for row, image in zip(pixels, images, strict=True):
    np.testing.assert_array_equal(row, image)
  assert {labels[0].dtype, pixels[0].dtype, folds.dtype} == {np.dtype("uint8")}


def test_word_id_and_position_are_not_read(tmp_path, lines):
  lines = [re.sub(r"^((?:\w+\t){2}-?\w+\t)\w+\t\w+", r"\1?\t", line)
           for line in lines]
  assert "\t?\t\t" in lines[2]
  _, labels, _ = letters.read_words(write(tmp_path / "letters", lines))
  assert labels.lengths.tolist() == [2, 1]


# Changes to the second line, the n of "on".
@pytest.mark.parametrize("field, value, message", [
    (0, "7", "line 2: the word continues with letter 2, but this is letter 7"),
    (0, "x", "line 2: the ids 'x' and '-1' are not both numbers"),
    (1, "N", "line 2: the letter 'N' is not one of a-z"),
    (1, "", "line 2: the letter '' is not one of a-z"),
    (1, "no", "line 2: the letter 'no' is not one of a-z"),
    (1, "\u00e9", r"line 2: the letter '.*xc3.*xa9' is not one of a-z"),
    (2, "", "line 2: the ids '2' and '' are not both numbers"),
    (2, "8", "line 3: the word continues with letter 8, but this is letter 3"),
    (2, "3", "line 3: the fold changes from 0 to 3"),
    (5, "1", "line 2: the fold changes from 0 to 1"),
    (5, "10", "line 2: the fold '10' is not one of 0-9"),
    (6, "2", "line 2: the pixel '2' is neither 0 nor 1"),
    (133, "", "line 2: the pixel '' is neither 0 nor 1"),
    (133, "0\t0", "line 2: 135 fields instead of 134"),
])
def test_an_invalid_field_is_one_line(tmp_path, lines, field, value, message):
  fields = lines[1].split("\t")
  fields[field] = value
  lines[1] = "\t".join(fields)
  assert re.search(message, read_error(write(tmp_path / "letters", lines)))


@pytest.mark.parametrize("line, message", [
    ("\n", "line 2: 1 fields instead of 134"),
    ("2\tn\t-1\n", "line 2: 3 fields instead of 134"),
    ("0" * 100_000, "line 2: 1 fields instead of 134"),
    ("", "line 2: the word continues with letter 2, but this is letter 3"),
], ids=["blank", "short", "long", "lost"])
def test_an_invalid_line_is_one_line(tmp_path, lines, line, message):
  lines[1] = line
  assert message in read_error(write(tmp_path / "letters", lines))


def test_a_word_without_end_is_one_line(tmp_path, lines):
  path = write(tmp_path / "letters", lines[:1])
  assert "truncated in line 1, within a word" in read_error(path)


def test_a_word_without_limit_is_one_line(tmp_path):
  """Its letters follow each other in a circle."""
  line = letter_lines([("aa", 0)], images_of([("aa", 0)]))[0].replace(
      "1\ta\t2", "1\ta\t1")
  path = write(tmp_path / "letters", [line] * 1001)
  assert "line 1001: a word of more than 1,000 letters" in read_error(path)


@pytest.mark.parametrize("unpacked", [False, True])
def test_an_empty_file_is_one_line(tmp_path, unpacked):
  path = write(tmp_path / "letters", [], unpacked)
  assert "the file is empty" in read_error(path)


def test_a_truncated_file_is_one_line(tmp_path):
  """Wherever it ends."""
  path = tmp_path / "letters"
  words = [("a", 0)] * 50
  letters.read_words(write(path, letter_lines(words, images_of(words))))
  whole = path.read_bytes()
  for size in range(20, len(whole), 29):
    path.write_bytes(whole[:size])
    assert "truncated or damaged" in read_error(path)


def test_a_file_of_another_kind_names_the_download(tmp_path):
  path = tmp_path / "letter.data.gz"
  path.write_bytes(b"<html>\n<body>\x80")
  assert re.search("line 1: 1 fields.*download " + letters.URL,
                   read_error(path))


def test_a_missing_file_names_the_download(tmp_path):
  assert letters.URL in read_error(tmp_path / "letter.data.gz")


def test_a_folder_is_one_line(tmp_path):
  assert "Is a directory" in read_error(tmp_path)


@hypothesis.given(strategies.integers(2, 200), strategies.integers(0, 3))
def test_a_random_split_has_every_word_once(num_words, seed):
  train, test = letters.random_split(num_words, seed=seed)
  assert sorted([*train, *test]) == list(range(num_words))
  assert len(train) == int(0.66 * num_words)
  again, _ = letters.random_split(num_words, seed=seed)
  assert train.tolist() == again.tolist()


def test_random_splits_differ_by_seed():
  one, other = (letters.random_split(50, seed=seed)[0] for seed in (0, 1))
  assert one.tolist() != other.tolist()


def test_a_random_split_may_have_another_share():
  train, test = letters.random_split(10, share=0.3)
  assert (len(train), len(test)) == (3, 7)


def test_a_split_by_folds():
  folds = np.array([0, 3, 1, 0, 9], np.uint8)
  for train_folds, train, test in (([0], [0, 3], [1, 2, 4]),
                                   (range(1, 10), [1, 2, 4], [0, 3])):
    split = letters.fold_split(folds, train_folds)
    assert [indices.tolist() for indices in split] == [train, test]


@pytest.mark.parametrize("train_folds, message", [
    ([4], "0 words to train on and 3 to test on"),
    (range(10), "3 words to train on and 0 to test on")], ids=["none", "all"])
def test_a_split_needs_words_on_both_sides(train_folds, message):
  with pytest.raises(UserError, match=message):
    letters.fold_split(np.array([0, 1, 2]), train_folds)


def colors_of(path):
  """Returns the number of pixels of each color of a picture, a dict."""
  picture = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
  colors, counts = np.unique(
      picture.reshape(-1, 3), axis=0, return_counts=True)
  return dict(zip(map(tuple, colors.tolist()), counts.tolist(), strict=True))


def page(path, predicted, title="", image=None):
  """Draws the words "cab", with these predictions, and "b"."""
  words = [(np.zeros([3, 128], "uint8"), np.array([2, 0, 1]), predicted),
           (np.zeros([1, 128], "uint8"), np.array([1]), np.array([1]))]
  if image is not None:
    words[0][0][1] = image
  letters.draw_page(words, path, title)
  return colors_of(path)


def test_a_page_marks_mistakes(tmp_path):
  red, blue = (0xc0, 0x39, 0x2b), (0x1f, 0x5f, 0xa8)
  right, wrong = (page(tmp_path / "page.png", np.array(predicted))
                  for predicted in ([2, 0, 1], [2, 25, 1]))
  assert red not in right and blue not in right
  assert red in wrong and blue in wrong


@pytest.mark.slow
def test_a_page_shows_each_pixel_as_a_square_of_the_same_size(tmp_path):
  path = tmp_path / "page.png"
  predicted = np.array([2, 0, 1])
  blank = page(path, predicted)[0, 0, 0]
  for ink in 128, 64, 3:
    image = np.arange(128) < ink
    black = page(path, predicted, image=image)[0, 0, 0] - blank
    assert black == ink * letters._SCALE ** 2


def test_a_page_has_the_predicted_letters(tmp_path, monkeypatch):
  written = []
  draw = figure.Figure.draw

  def record(self, renderer):
    written.extend(text.get_text() for text in self.axes[0].texts)
    return draw(self, renderer)

  monkeypatch.setattr(figure.Figure, "draw", record)
  page(tmp_path / "page.png", np.array([2, 25, 1]))
  assert sorted(written) == ["a", "b", "b", "c", "z"]  # a for the wrong z


@pytest.mark.parametrize("title, text", [
    ("", "2 words, 1 of 4 letters wrong"),
    ("fold 0", "fold 0: 2 words, 1 of 4 letters wrong")])
def test_a_page_counts_the_mistakes(tmp_path, monkeypatch, title, text):
  written = []
  monkeypatch.setattr(
      figure.Figure, "text",
      lambda self, x, y, s, **_: written.append(s))
  page(tmp_path / "page.png", np.array([2, 25, 1]), title)
  assert written[0].startswith(text)
