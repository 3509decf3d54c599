"""Any bytes and any path: the reader reads them, or says what is wrong.

Hypothesis draws the input. No input may end in a traceback, or hang.
"""

import collections
import os
import pathlib
import re
import socket
from unittest import mock

import hypothesis
import pytest
from hypothesis import strategies

import reader
from rnn.text import sources
from tests.helpers.odd_input import (
  ANY_NAME,
  ANY_TEXT,
  BOM,
  GOOD_TEXT,
  NOT_UTF_8,
  PIECES,
  joined,
  shown,
)
from tests.helpers.texts import write_corpus

pytestmark = pytest.mark.usefixtures("no_hang")

CORPUS = (strategies.tuples(*[GOOD_TEXT] * 3)
          | strategies.tuples(*[ANY_TEXT] * 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder; all examples of a test use the same one."""
  return tmp_path_factory.mktemp("fuzz")


# Texts


def words_of(text):
  """Returns the words of a text in bytes, by the rules in reader.py."""
  words = []
  *lines, rest = text.removeprefix(BOM).decode().split("\n")
  for line in lines:
    words += [*re.findall(r"[^ \t\r\v\f]+", line), "<eos>"]
  rest = re.findall(r"[^ \t\r\v\f]+", rest)
  return words + rest + ["<eos>"] * bool(rest)


def may_have_another_format(text):
  """Returns whether a text may be read as compressed, or as UTF-16 or 32."""
  return b"\0" in text or text.startswith(
      (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK", b"\xff\xfe", b"\xfe\xff"))


def expected_error(text):
  """Returns the message for a text; None if there is nothing wrong with it."""
  try:
    return None if words_of(text) else "the file is empty"
  except UnicodeDecodeError as error:
    bom = len(BOM) * text.startswith(BOM)
    return f"not UTF-8 text, see byte {bom + error.start}; "


def check_corpus(folder, texts):
  """Reads three texts, in all ways."""
  folder = write_corpus(folder, *texts)
  paths = [f"{folder}/{split}.txt" for split in reader.SPLITS]
  if any(map(may_have_another_format, texts)):
    try:
      reader.ptb_raw_data(folder)
    except reader.DataError as error:
      assert str(error).startswith(f"{folder}/") and str(error).isprintable()
    return
  errors = [f"{path}: {expected_error(text)}"
            for path, text in zip(paths, texts, strict=True)
            if expected_error(text)]
  if errors:
    with pytest.raises(reader.DataError) as error:
      reader.ptb_raw_data(folder)
    assert str(error.value).startswith(errors[0])
    assert str(error.value).isprintable()
    return
  *streams, vocabulary = reader.ptb_raw_data(folder)
  counts = collections.Counter(words_of(texts[0]))
  ranked = sorted(counts, key=lambda word: (-counts[word], word))
  assert list(vocabulary.words) == ranked + ["<unk>"] * ("<unk>" not in counts)
  for ids, path, text in zip(streams, paths, texts, strict=True):
    assert vocabulary.decode(ids) == [
        word if word in vocabulary else "<unk>" for word in words_of(text)]
    assert reader.read_ids(path, vocabulary).tolist() == ids.tolist()
  vocabulary.save(f"{folder}/vocab.txt")
  assert reader.Vocabulary.load(f"{folder}/vocab.txt") == vocabulary


@pytest.mark.slow
@hypothesis.settings(max_examples=400)
@hypothesis.given(CORPUS, strategies.sampled_from([1, 2, 3, 7, 1 << 20]))
@hypothesis.example([BOM + BOM + b"a " + BOM + b"a"] * 3, 1 << 20)
@hypothesis.example([BOM + b"a\nb\n\xc3\n"] * 3, 1)
def test_any_bytes_are_read_as_their_words_or_refused(
    folder, texts, block_bytes):
  with mock.patch.object(sources, "_BLOCK_BYTES", block_bytes):
    check_corpus(folder / "texts", texts)


@pytest.mark.slow
@hypothesis.settings(max_examples=6)
@hypothesis.given(
    filler=strategies.sampled_from(
        [b" ", b"\0", b"x", "\u00e9".encode(), "\U0001f989".encode(), BOM,
         b"x" * 999 + b" ", b"x" * 999 + b"\r\n"]),
    blocks=strategies.just(1), shift=strategies.integers(-4, 4),
    end=joined(PIECES + NOT_UTF_8, max_size=3))
@hypothesis.example("\U0001f989".encode(), 1, 1, b"")  # cut in a character
@hypothesis.example(b"\n", 1, 0, b"a")
@hypothesis.example(b"a b ", 2, 0, b"\xff")
@hypothesis.example(b"x", 5, 0, b"")
def test_huge_lines_and_huge_files_are_read_alike(
    folder, filler, blocks, shift, end):
  """The filler ends about where a block of the file does."""
  fill, rest = divmod(blocks * sources._BLOCK_BYTES, len(filler))
  huge = b"a" * (rest + shift) + filler * fill + end
  check_corpus(folder / "huge", [huge, b"a\n", b"b\n"])


# Paths


def deep(folder, length):
  """Returns a path of this length in a folder, made up of short names."""
  path = str(folder)
  while len(path) < length - 200:
    path += "/" + "d" * 100
  return f"{path}/".ljust(length, "e")


def check_path(path):
  """Reads a folder of that name, if it can exist."""
  try:
    write_corpus(pathlib.Path(path))
  except (OSError, ValueError):
    for read in (reader.ptb_raw_data, reader.find_corpus, reader.read_text,
                 reader.Vocabulary.load):
      with pytest.raises(reader.DataError) as error:
        read(path)
      assert str(error.value).startswith(shown(path))
      assert str(error.value).isprintable()
    return
  *streams, vocabulary = reader.ptb_raw_data(path)
  assert [len(ids) for ids in streams] == [8, 2, 2]
  vocabulary.save(f"{path}/vocab")
  assert reader.Vocabulary.load(f"{path}/vocab") == vocabulary


@hypothesis.settings(max_examples=200)
@hypothesis.given(ANY_NAME)
@hypothesis.example("line\nbreak")
@hypothesis.example("nul\0")
@hypothesis.example("bytes\udcff")
@hypothesis.example("surrogate\ud800")
def test_any_path_is_read_or_refused(folder, path):
  check_path(f"{folder}/{path}")


def test_deep_paths_are_read_or_refused(folder):
  """The names of the files exceed PATH_MAX before that of the folder does."""
  for length in 3000, *range(4083, 4099):
    check_path(deep(folder, length))


def test_a_path_that_is_no_file_is_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "folder").mkdir()
  (tmp_path / "loop").symlink_to("loop")
  (tmp_path / "dangling").symlink_to("nowhere")
  (tmp_path / "device").symlink_to("/dev/null")
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(tmp_path / "socket"))
  names = sorted(os.listdir(tmp_path))
  assert len(names) == 6
  vocabulary = reader.Vocabulary(["<eos>", "<unk>"])
  for path in ["", *(str(tmp_path / name) for name in names)]:
    for read in (reader.ptb_raw_data, reader.read_text, reader.Vocabulary.load,
                 lambda path: reader.read_ids(path, vocabulary)):
      with pytest.raises(reader.DataError) as error:
        read(path)
      assert str(error.value).startswith(path)
      assert str(error.value).isprintable()
  for name in names:  # as one of the three files of a corpus
    folder = write_corpus(tmp_path / f"corpus of {name}")
    os.remove(f"{folder}/valid.txt")
    os.symlink(tmp_path / name, f"{folder}/valid.txt")
    with pytest.raises(reader.DataError, match=re.escape(
        f"{folder}/valid.txt: ")):
      reader.ptb_raw_data(folder)
