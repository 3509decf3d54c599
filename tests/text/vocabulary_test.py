"""Vocabularies and their files."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.errors import DataError
from rnn.text.vocabulary import Vocabulary
from tests.helpers.odd_input import ANY_TEXT, BOM, WORDS


def test_a_vocabulary_maps_both_ways_and_is_immutable():
  vocabulary = Vocabulary(w for w in ("<eos>", "a", "<unk>"))
  assert len(vocabulary) == 3
  assert "a" in vocabulary and "b" not in vocabulary
  assert vocabulary.ids == {"<eos>": 0, "a": 1, "<unk>": 2}
  assert (vocabulary.eos, vocabulary.unk) == (0, 2)
  assert vocabulary.encode(["a", "b"]).tolist() == [1, 2]
  assert vocabulary.decode([1, 0]) == ["a", "<eos>"]
  assert list(vocabulary) == ["<eos>", "a", "<unk>"]
  assert vocabulary[1] == vocabulary[np.int32(1)] == vocabulary[-2] == "a"
  assert vocabulary[:2] == ("<eos>", "a")
  with pytest.raises(IndexError):
    vocabulary[3]
  with pytest.raises(AttributeError):
    vocabulary.words = ()
  with pytest.raises(TypeError):
    vocabulary.ids["b"] = 3


@hypothesis.given(strategies.sets(strategies.text(min_size=1).filter(
    lambda word: "\n" not in word)))
@hypothesis.example({"a\r", "b", "\r", "c\r\r"})
@hypothesis.example({"\ufeffa", "\ufeff\r"})
def test_a_saved_vocabulary_loads_as_it_was(tmp_path_factory, words):
  try:
    vocabulary = Vocabulary(
        ["<eos>", *(words - {"<eos>", "<unk>"}), "<unk>"])
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    vocabulary.save(path)
  except UnicodeEncodeError:
    return  # a lone surrogate, which UTF-8 does not have
  assert Vocabulary.load(path) == vocabulary


@pytest.mark.parametrize("text, message", [
    (b"<eos>\n<unk>\na\na\n", "the word a twice"),
    (b"<unk>\na\n", "lacks the word <eos>"),
    (b"<eos>\na\n", "lacks the word <unk>"),
    (b"<eos>\n\n<unk>\n", "line 2 has no word"),
    (b"<eos>\n\xff\n<unk>\n", "byte 6"),
], ids=str)
def test_a_bad_vocabulary_file_is_refused(tmp_path, text, message):
  path = tmp_path / "vocab.txt"
  path.write_bytes(text)
  with pytest.raises(DataError, match=message) as error:
    Vocabulary.load(path)
  assert str(path) in str(error.value)


def test_a_vocabulary_file_edited_on_windows_loads(tmp_path):
  path = tmp_path / "vocab.txt"
  path.write_bytes(b"<eos>\r\na\r\n<unk>")
  assert Vocabulary.load(path).words == ("<eos>", "a", "<unk>")


def vocabulary_of(text):
  """Returns the words in a file's content; None if it is no vocabulary."""
  try:
    lines = text.removeprefix(BOM).decode().split("\n")
  except UnicodeDecodeError:
    return None
  last = lines.pop()
  words = [line.removesuffix("\r") for line in lines] + [last] * (last != "")
  good = {"<eos>", "<unk>"} <= set(words) and "" not in words
  return words if good and len(set(words)) == len(words) else None


@hypothesis.settings(max_examples=300)
@hypothesis.given(
    ANY_TEXT | strategies.lists(
        strategies.sampled_from(WORDS) | strategies.text(), unique=True
    ).map(lambda words: "\n".join([*words, "<unk>", "<eos>"]).encode())
    | strategies.permutations(["<eos>", *WORDS[5:], "<unk>"]).map(
        lambda words: "\r\n".join(words).encode()))
def test_any_bytes_load_as_a_vocabulary_or_are_refused(tmp_path_factory, text):
  path = str(tmp_path_factory.getbasetemp() / "vocab.txt")
  with open(path, "wb") as file:
    file.write(text)
  words = vocabulary_of(text)
  if words is None:
    with pytest.raises(DataError) as error:
      Vocabulary.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).isprintable()
    return
  vocabulary = Vocabulary.load(path)
  assert list(vocabulary.words) == words
  assert [vocabulary.ids[word] for word in vocabulary.words] == list(
      range(len(vocabulary)))


def test_only_whole_marks_end_lines():
  words = ["the", "end.<eos>", "<eos>", "of", "<eos>"]
  assert Vocabulary.join(words) == "the end.<eos>\nof\n"
