"""The pieces of a text: together they are the text."""

import gzip
import os

import hypothesis
import pytest
from hypothesis import strategies

from rnn.errors import DataError
from rnn.text import numbering, pieces, sources

# Names of forms, and how a text is written in them.
FORMS = {
    "txt": str.encode, "utf-8-sig": lambda text: text.encode("utf-8-sig"),
    "gz": lambda text: gzip.compress(text.encode()),
    "utf-16": lambda text: text.encode("utf-16")}


def write(folder, files):
  """Writes files, pairs of a form and a text; returns their Source."""
  for old in os.scandir(folder):
    os.remove(old)
  for number, (form, text) in enumerate(files):
    (folder / f"{number:02}.{form}").write_bytes(FORMS[form](text))
  return sources.find(str(folder))


def texts_of(source, most):
  """Returns the texts of all pieces."""
  return [text for piece in pieces.plan(source, most)
          for text in piece.texts()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("pieces")


@hypothesis.given(files=strategies.lists(strategies.tuples(
    strategies.sampled_from(["txt", *FORMS]),
    strategies.text("ab\u00e9 \n\r\t")), min_size=1, max_size=5),
    most=strategies.integers(1, 30), block=strategies.sampled_from([3, 1000]))
def test_pieces_have_the_words_of_the_text(folder, files, most, block):
  source = write(folder, files)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(pieces, "_BLOCK", block)
    patch.setattr(sources, "_BLOCK_BYTES", block)
    words = b"".join(texts_of(source, most)).replace(b"\n", b" <eos> ").split()
  try:
    expected = numbering.read_text(source)
  except DataError as error:
    assert "empty" in str(error)
    assert not words
    return
  assert [word.decode() for word in words] == [
      expected.words[i] for i in expected.indices]


def test_plain_files_are_cut_after_lines(folder):
  lines = "".join(f"line number {i}\n" for i in range(100))
  texts = texts_of(write(folder, [("txt", lines)]), 300)
  assert b"".join(texts) == lines.encode()
  assert len(texts) == -(-len(lines) // 300)
  assert all(text.endswith(b"\n") for text in texts)
  assert max(map(len, texts)) < 300 + len("line number 99\n")


def test_a_compressed_file_gives_texts_of_the_size(folder, monkeypatch):
  monkeypatch.setattr(sources, "_BLOCK_BYTES", 10)
  texts = texts_of(write(folder, [("gz", "word " * 100)]), 50)
  assert b"".join(texts).split() == [b"word"] * 100
  assert all(40 <= len(text) <= 70 for text in texts[:-1]) and len(texts) > 5


def test_short_files_share_a_piece(folder):
  plan = pieces.plan(write(folder, [("txt", "a b\n")] * 10), 10)
  assert [len(piece.spans) for piece in plan] == [2] * 5
  assert sum(piece.size for piece in plan) == 40


def test_an_error_names_the_place_in_the_file(folder):
  write(folder, [("txt", "word\n" * 100)])
  path = folder / "00.txt"
  path.write_bytes(path.read_bytes() + b"caf\xe9 \n")
  with pytest.raises(DataError, match=rf"{path}: not UTF-8 .* byte 503;"):
    texts_of(sources.find(str(path)), 100)


@pytest.mark.parametrize("problem", ["missing", "a folder"])
def test_a_text_that_is_no_file_is_refused(tmp_path, problem):
  if problem == "a folder":
    (tmp_path / "00").mkdir()
  with pytest.raises(DataError, match="00: "):
    texts_of(sources.of_file(str(tmp_path / "00")), 100)
