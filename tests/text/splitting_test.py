"""The rule that splits a single text, on texts with a period."""

import itertools
import logging
import random

import pytest

from rnn.errors import DataError
from rnn.text import splitting

WORDS = "old river child sees that warm green bird stone hears tree".split()


def sentence(i):
  """Returns a line of 25 characters or more that no other number has."""
  rng = random.Random(i)
  return f"{' '.join(rng.choices(WORDS, k=6))} number{i}\n"


def split(text):
  """Returns the splits of a text, each a list of lines."""
  cut = splitting.Split(lambda: iter(text.splitlines(keepends=True)))
  return {name: list(cut.lines(name)) for name in splitting.SPLITS}


def assert_in_order(text, splits, tolerance=0.02):
  """Asserts that the splits are the text, and have their shares of it."""
  assert "".join("".join(lines) for lines in splits.values()) == text
  shares = [sum(map(len, lines)) / len(text) for lines in splits.values()]
  assert shares == pytest.approx([0.8, 0.1, 0.1], abs=tolerance)


# The kinds of lines in one period; the text repeats the period.
PERIODS = {
    "every line alike": [sentence],
    "blank lines between": [sentence, lambda i: "\n"],
    "question and answer": [lambda i: f"Q: {sentence(i)}",
                            lambda i: f"A: {sentence(-1 - i)}"],
    "subtitles": [lambda i: f"{i}\n", lambda i: f"00:{i} --> 00:{i + 1}\n",
                  sentence, lambda i: "\n"],
    "twenty lines": [lambda i: f"From: {i}\n", lambda i: "\n",
                     *[sentence] * 17, lambda i: "\n"],
}


@pytest.mark.parametrize("name", PERIODS)
@pytest.mark.parametrize("shift", [0, 1, 9])
def test_each_split_has_all_kinds_of_lines_in_their_shares(name, shift):
  period = PERIODS[name]
  kinds = [(kind, make(i)) for i, (kind, make) in enumerate(
      itertools.islice(itertools.cycle(enumerate(period)), shift, 2000 + shift)
      )]
  splits = split("".join(line for _, line in kinds))
  assert_in_order("".join(line for _, line in kinds), splits)
  position = 0
  for lines in splits.values():
    here = [kind for kind, _ in kinds[position:position + len(lines)]]
    position += len(lines)
    for kind in range(len(period)):
      assert here.count(kind) / len(here) == pytest.approx(
          1 / len(period), abs=0.02)


def test_a_cut_is_at_a_paragraph_if_one_is_near():
  paragraphs = ["".join(sentence(7 * i + j) for j in range(7)) + "\n"
                for i in range(100)]
  splits = split("".join(paragraphs))
  assert_in_order("".join(paragraphs), splits, 0.03)
  for lines in splits.values():
    assert lines[-1] == "\n" and lines[0] != "\n"
  # If none ends near a cut, it is at the first line end.
  long = ["".join(map(sentence, range(400 * i, 400 * i + 400))) + "\n"
          for i in range(2)]
  splits = split("".join(long))
  assert_in_order("".join(long), splits, 0.002)
  assert splits["valid"][0] != "\n" and splits["train"][-1] != "\n"


def test_a_text_on_one_line_is_cut_between_words():
  text = " ".join(sentence(i).strip() for i in range(500))
  for end in "", "\n":
    splits = split(text + end)
    assert_in_order(text + end, splits)
    for name in ("train", "valid"):
      assert splits[name][-1].endswith(" ")
  words = [word for lines in splits.values()
           for line in lines for word in line.split()]
  assert words == text.split()
  # The line may come in parts, cut anywhere.
  parts = [text[i:i + 1000] for i in range(0, len(text), 1000)]
  cut = splitting.Split(lambda: parts)
  splits = {name: list(cut.lines(name)) for name in splitting.SPLITS}
  assert_in_order(text, splits)
  for name in ("train", "valid"):
    assert splits[name][-1].endswith(" ")


def test_a_text_without_blanks_is_cut_between_characters():
  text = "".join(chr(0x4e00 + i % 3000) for i in range(20_000))
  assert_in_order(text, split(text))


def test_lines_that_training_has_are_not_held_out(caplog):
  caplog.set_level(logging.INFO)
  lines = [sentence(i) for i in range(1000)]
  lines[850] = lines[3]  # in valid, from train
  lines[950] = lines[4]  # in test, from train
  lines[960] = lines[851]  # in test, from valid
  lines[810] = lines[2] = "A short line.\n"
  splits = split("".join(lines))
  assert splits["train"] + splits["valid"] + splits["test"] == [
      line for i, line in enumerate(lines) if i not in (850, 950, 960)]
  assert lines[810] in splits["valid"]
  assert caplog.messages == [
      "different lines dropped, already in an earlier split: "
      "valid 1 (1.0% of it), test 2 (2.0% of it)"]


def test_a_text_that_repeats_itself_keeps_its_lines(caplog):
  text = (sentence(1) + "\n") * 500
  splits = split(text)
  assert_in_order(text, splits)
  assert caplog.messages == [
      "98% of valid and 98% of test are lines of an earlier split, too; all "
      "are kept, so the figures say little about new text"]


def test_the_split_is_always_the_same():
  text = "".join(sentence(i % 700) for i in range(1000))
  assert split(text) == split(text)


@pytest.mark.parametrize("sizes", [[1, 1, 1], [9, 1, 1], [1, 1, 9], [0, 0, 5]])
def test_each_split_gets_a_unit(sizes):
  assert splitting.find_cuts(
      [(size, splitting.LINE) for size in sizes], sum(sizes)) == (1, 2)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_units_are_refused(number):
  with pytest.raises(DataError, match="^the text is too short"):
    splitting.find_cuts([(5, splitting.LINE)] * number, 5 * number)


@pytest.mark.parametrize("places, expected", [
    # A line end is better than a word, but not from far away.
    ({78: splitting.LINE, 83: splitting.LINE}, 84),
    ({87: splitting.LINE}, 80),
    ({82: splitting.LINE, 81: splitting.PARAGRAPH}, 82),
    ({80: splitting.LINE, 84: splitting.PARAGRAPH}, 81),
    # The first of equals.
    ({80: splitting.LINE, 81: splitting.LINE}, 81),
])
def test_the_best_place_near_a_target_is_chosen(places, expected):
  units = [(1, places.get(i, splitting.WORD)) for i in range(100)]
  assert splitting.find_cuts(units, 100)[0] == expected
