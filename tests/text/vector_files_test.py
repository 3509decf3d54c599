"""Files of word vectors, compared with gensim."""

import bz2
import gzip
import io
import lzma
import os
import re
import tracemalloc

import gensim.models
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from rnn.errors import DataError
from rnn.text import vector_files, vector_formats
from tests.helpers.texts import data_error
from tests.helpers.vectors import WORDS, vectors_of

TEXT = "3 2\noil 1 -2.5\nbank 0 1e-3\nof 3 4\n"


def test_saved_vectors_are_loaded(prefix):
  expected = vectors_of(len(WORDS))
  words, vectors = vector_files.load(f"{prefix}.npy")
  assert words == WORDS and vectors.dtype == np.float32
  np.testing.assert_array_equal(vectors, expected)
  words, vectors = vector_files.load(f"{prefix}.txt")
  assert words == WORDS and vectors.dtype == np.float32
  np.testing.assert_allclose(vectors, expected, rtol=5e-6)


@pytest.mark.parametrize("form", ["npy", "txt"])
def test_only_wanted_words_are_loaded(prefix, form):
  words, vectors = vector_files.load(f"{prefix}.{form}", {"of", "oil", "gas"})
  assert words == ["oil", "of"]
  np.testing.assert_allclose(
      vectors, vectors_of(len(WORDS))[[0, 2]], rtol=5e-6)
  words, vectors = vector_files.load(f"{prefix}.{form}", ())
  assert words == [] and vectors.shape == (0, 3)


@hypothesis.given(arrays.arrays(
    np.float32, (2, 3), elements=strategies.floats(
        width=32, allow_nan=False, allow_infinity=False)))
def test_numbers_of_any_size(tmp_path_factory, vectors):
  prefix = f"{tmp_path_factory.getbasetemp()}/any"
  vector_files.save(prefix, ["a", "b"], vectors)
  np.testing.assert_array_equal(vector_files.load(f"{prefix}.npy")[1], vectors)
  largest = np.finfo(np.float32).max
  np.testing.assert_allclose(
      vector_files.load(f"{prefix}.txt")[1], vectors.clip(-largest, largest),
      rtol=5e-6, atol=1e-44)


def test_gensim_reads_the_text(prefix):
  peer = gensim.models.KeyedVectors.load_word2vec_format(f"{prefix}.txt")
  assert peer.index_to_key == WORDS
  np.testing.assert_allclose(peer.vectors, vectors_of(len(WORDS)), rtol=5e-6)


@pytest.mark.parametrize("name", ["v.txt", "v.vec.gz"])
def test_the_text_of_gensim_is_read(tmp_path, name):
  peer = gensim.models.KeyedVectors(3)
  peer.add_vectors(WORDS, vectors_of(len(WORDS)))
  peer.save_word2vec_format(f"{tmp_path}/{name}")
  words, vectors = vector_files.load(f"{tmp_path}/{name}")
  assert words == WORDS
  np.testing.assert_allclose(vectors, peer.vectors, rtol=1e-6)


def write_binary(vectors, words=WORDS, newline=b""):
  """Returns word2vec's binary format."""
  header = f"{len(words)} {vectors.shape[1]}\n".encode()
  return header + b"".join(
      word.encode() + b" " + vector.tobytes() + newline
      for word, vector in zip(words, vectors, strict=True))


@pytest.mark.parametrize("compress", [
    bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("form", [
    "word2vec", "gensim", "word2vec.txt", "glove", "npy", "columns"])
def test_every_format_also_compressed(tmp_path, form, compress):
  vectors = vectors_of(5)
  text = "".join(f"{word} {' '.join(map(str, vector))}\n"
                 for word, vector in zip(WORDS, vectors, strict=True))
  content = {
      "word2vec": write_binary(vectors, newline=b"\n"),
      "gensim": write_binary(vectors),
      "word2vec.txt": f"5 3\n{text}".encode(), "glove": text.encode(),
      "npy": array_bytes(vectors),
      "columns": array_bytes(np.asfortranarray(vectors))}[form]
  path = tmp_path / "v.npy.gz" if compress is gzip.compress else (
      tmp_path / "v.npy")
  if form not in ("npy", "columns"):
    path = tmp_path / "vectors"
  path.write_bytes(compress(content))
  (tmp_path / "v.words.txt").write_text("\n".join(WORDS) + "\n")
  assert vector_files.width(str(path)) == 3
  words, loaded = vector_files.load(str(path))
  assert words == WORDS and loaded.dtype == np.float32
  np.testing.assert_array_equal(loaded, vectors)
  words, loaded = vector_files.load(str(path), {"of", "oil", "gas"})
  assert words == ["oil", "of"]
  np.testing.assert_array_equal(loaded, vectors[[0, 2]])


@pytest.mark.parametrize("form", ["word2vec", "glove", "npy"])
def test_a_truncated_file_is_named_as_truncated(tmp_path, form):
  """At every byte, except where the rest is a whole file, or all but one."""
  vectors = vectors_of(5, 4)
  text = "".join(f"{word} {' '.join(f'{x:.3f}' for x in vector)}\n"
                 for word, vector in zip(WORDS, vectors, strict=True)).encode()
  content = {"word2vec": write_binary(vectors, newline=b"\n"), "glove": text,
             "npy": array_bytes(vectors)}[form]
  (tmp_path / "v.words.txt").write_text("\n".join(WORDS) + "\n")
  path = tmp_path / "v.npy" if form == "npy" else tmp_path / "v"
  last = {"word2vec": len(content) - 1, "glove": len(content),
          "npy": len(content)}[form]
  silent = 0
  for size in range(1, last):
    path.write_bytes(content[:size])
    try:
      words, _ = vector_files.load(str(path))
    except DataError as error:
      assert "truncated" in str(error), (size, str(error))
    else:  # GloVe does not say how many words there are
      assert form == "glove" and words == WORDS[:len(words)]
      silent += 1
  assert silent <= (5 * 7 if form == "glove" else 0)


def test_a_last_line_without_newline_is_reported(tmp_path, caplog):
  (tmp_path / "v").write_text(TEXT[4:-1])
  assert vector_files.load(str(tmp_path / "v"))[0] == ["oil", "bank", "of"]
  assert "does not end with a newline; if it is truncated" in caplog.text


def test_a_text_may_have_words_with_blanks(tmp_path):
  """Such as GloVe's of 840 billion tokens; and tabs between the numbers."""
  (tmp_path / "v").write_text(
      "the 1 2\n. . . 3 4\nat name@domain.com 5 6\n10\u00a0km\t7\t8\n")
  words, vectors = vector_files.load(str(tmp_path / "v"))
  assert words == ["the", ". . .", "at name@domain.com", "10\u00a0km"]
  np.testing.assert_array_equal(vectors.ravel(), np.arange(1, 9))


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_binary_words_may_have_blanks_or_be_cut(tmp_path, newline):
  """word2vec cuts a long word at some byte, even within a character."""
  words = ["New York", "the", "a b c", "\u3000", "las Vegas"]
  vectors = vectors_of(5, 50)
  content = write_binary(vectors, words, newline)
  (tmp_path / "v").write_bytes(content.replace("\u3000".encode(), b"\xe3\x80"))
  loaded, numbers = vector_files.load(str(tmp_path / "v"))
  assert loaded == [*words[:3], "\ufffd", words[4]]
  np.testing.assert_array_equal(numbers, vectors)


def test_damaged_binary_files_get_one_line(tmp_path, monkeypatch):
  content = write_binary(vectors_of(5, 50))
  path = tmp_path / "v"
  path.write_bytes(content + b"oil")
  assert "goes on after the 5 vectors of 50" in data_error(
      vector_files.load, path)
  path.write_bytes(content.replace(b"5 50\n", b"99999999999 50\n"))
  assert "truncated: has 5 complete vectors" in data_error(
      vector_files.load, path)
  path.write_bytes(content.replace(b"5 50\n", b"5 500000000\n"))
  assert "at most 1,000,000 are read" in data_error(vector_files.load, path)
  path.write_bytes(write_binary(np.full([5, 3], np.nan, np.float32)))
  assert "not finite" in data_error(vector_files.load, path)
  monkeypatch.setattr(vector_formats, "_MAX_WORD", 8)
  path.write_bytes(write_binary(vectors_of(5, 50), ["oil" * 9, *WORDS[1:]]))
  assert "word 1 has more than 8 bytes" in data_error(vector_files.load, path)


def test_the_first_vector_of_a_word_counts(tmp_path, caplog):
  (tmp_path / "v").write_text(TEXT.replace("bank", "oil"))
  words, vectors = vector_files.load(str(tmp_path / "v"))
  assert words == ["oil", "of"]
  np.testing.assert_array_equal(vectors, [[1, -2.5], [3, 4]])
  assert "has 1 more vectors for words that it had before" in caplog.text


def test_large_arrays_are_read_in_parts(tmp_path, monkeypatch):
  monkeypatch.setattr(vector_formats, "_BLOCK_BYTES", 24)
  vector_files.save(f"{tmp_path}/v", WORDS, vectors_of(5))
  words, vectors = vector_files.load(f"{tmp_path}/v.npy", {"oil", "<unk>"})
  assert words == ["oil", "<unk>"]
  np.testing.assert_array_equal(vectors, vectors_of(5)[[0, 3]])


def test_a_blank_may_end_a_line_as_in_word2vec(tmp_path):
  (tmp_path / "v").write_bytes(TEXT.replace("\n", " \r\n").encode())
  words, vectors = vector_files.load(str(tmp_path / "v"))
  assert words == ["oil", "bank", "of"]
  np.testing.assert_array_equal(
      vectors, np.array([[1, -2.5], [0, 1e-3], [3, 4]], np.float32))


def test_a_text_is_read_as_a_stream(tmp_path):
  """One of 40,000 words is wanted."""
  with gzip.open(tmp_path / "v.gz", "wt", compresslevel=1) as file:
    file.write("40000 50\n")
    for i in range(40000):
      file.write(f"w{i}{' 1' * 50}\n")
  tracemalloc.start()
  try:
    words, _ = vector_files.load(str(tmp_path / "v.gz"), {"w39999"})
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert words == ["w39999"]
  assert peak < 1e6  # the text has 4 million characters


@pytest.mark.parametrize("text, message", [
    ("", "line 1 is neither"), ("oil\n", "line 1 is neither"),
    ("oil x 2\n", "line 1 is neither"), ("3 -2\n", "line 1 is neither"),
    ("1" * 5000 + " 300\n", "line 1 is neither"),
    ("0 2\n", "line 1 announces 0 words of 2 numbers"),
    ("1 0\noil\n", "line 1 announces 1 words of 0 numbers"),
    ("1 99999999\noil 1\n", "vectors of 99,999,999 numbers"),
    (TEXT.replace("-2.5", ""), "line 2 has 1 numbers, not 2 as line 1 says"),
    (TEXT.replace("-2.5", "1 2"), "line 2 has 3 numbers, not 2"),
    (TEXT[4:].replace("1e-3", "1 2"), "line 2 has 3 numbers, not 2 as line 1"),
    (TEXT.replace("-2.5", "x"), "line 2 has a field that is not a number"),
    (TEXT.replace("-2.5", "nan"), "a number that is not finite"),
    (TEXT.replace("-2.5", "1e39"), "a number that is not finite"),
    (TEXT + "to 1 2\n", "has 4 words, but line 1 announces 3"),
    (TEXT[:-7], "truncated: has 2 words, but line 1 announces 3"),
    (TEXT[:-3], "truncated: line 4, the last, has 1 numbers, not 2"),
    (TEXT[4:-3], "truncated: line 3, the last, has 1 numbers, not 2"),
    (TEXT[:-2] + "-", "truncated: line 4, the last, has a field that is not"),
    (TEXT.encode("utf-16"), "not UTF-8"),
    (TEXT.replace("oil", "\udcff").encode(errors="surrogateescape"),
     "not UTF-8"),
    (gzip.compress(TEXT.encode(), mtime=0)[:-9], "truncated or damaged"),
    (b"\xba\x16\x4f\x2f", "a model of fastText, not its vectors; use"),
    (b"\x80\x04", "a model of gensim; save")])
def test_bad_texts_get_one_line(tmp_path, text, message):
  """It also says what to do."""
  path = tmp_path / "v.txt"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  error = data_error(vector_files.load, path)
  assert message in error and re.search(
      "; .*(again|convert|correct|delete|use|save)", error), error


def test_the_lengths_of_lines_are_limited(tmp_path, monkeypatch):
  """A small compressed file may hold a line that is larger than memory."""
  monkeypatch.setattr(vector_formats, "_MAX_LINE", 12)
  path = tmp_path / "v.txt"
  path.write_bytes(gzip.compress(TEXT.encode()))
  assert len(vector_files.load(str(path))[0]) == 3
  for text, line in (("3 2" + " " * 10, 1),
                     (TEXT.replace("oil 1", "oil 1.0"), 2)):
    path.write_bytes(gzip.compress(text.encode()))
    assert (f"line {line} has more than 12 characters; use a file with shorter"
            in data_error(vector_files.load, path))


def test_missing_files_get_one_line(tmp_path, prefix):
  for path in "/absent.txt", "/absent.npy":
    assert "No such file" in data_error(vector_files.load, path)
  assert "not a file" in data_error(vector_files.load, tmp_path)
  (tmp_path / "v.words.txt").unlink()
  with pytest.raises(DataError, match="v.words.txt: No such file"):
    vector_files.load(f"{prefix}.npy")


def array_bytes(array):
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


def archive_bytes(array):
  file = io.BytesIO()
  np.savez(file, array, array)
  return file.getvalue()


@pytest.mark.parametrize("data, message", [
    (b"", "not an array of NumPy"), (b"oil 1 2\n", "not an array of NumPy"),
    (array_bytes(vectors_of(5))[:-4],
     "truncated: has fewer numbers than its header announces, [5, 3]"),
    (array_bytes(vectors_of(5))[:90], "not an array of NumPy, or truncated"),
    (array_bytes(np.array([{}] * 5)), "object [5] is not"),
    (archive_bytes(vectors_of(5)), "the archive has 2 files: arr_0.npy, arr_1"),
    (array_bytes(vectors_of(4)),
     "float32 [4, 3] is not one vector for each of the 5 words in"),
    (array_bytes(vectors_of(5)[0]), "is not one vector"),
    (array_bytes(vectors_of(5)[:, :0]), "is not one vector"),
    (array_bytes(vectors_of(5).astype(int)), "int64 [5, 3] is not"),
    (array_bytes(np.full([5, 3], np.inf, np.float32)),
     "a number that is not finite"),
    (array_bytes(np.full([5, 3], 1e300)), "a number that is not finite")])
def test_bad_arrays_get_one_line(prefix, data, message):
  with open(f"{prefix}.npy", "wb") as file:
    file.write(data)
  assert message in data_error(vector_files.load, f"{prefix}.npy")


def test_a_damaged_array_gets_one_line(prefix):
  """640 changes of one byte in the header, 26 files that are cut short."""
  path = f"{prefix}.npy"
  with open(path, "rb") as file:
    whole = file.read()
  others = [bytes([byte]) for byte in b"\0\n'(-9{\xff"]
  damaged = [whole[:i] + other + whole[i + 1:]
             for i in range(80) for other in others]
  damaged += [whole[:size] for size in range(1, 128, 5)]
  assert len(damaged) == 640 + 26
  expected, refused = vectors_of(len(WORDS)), 0
  for content in damaged:
    with open(path, "wb") as file:
      file.write(content)
    try:
      words, vectors = vector_files.load(path)
      assert words == WORDS and vectors.shape == expected.shape
    except DataError as error:
      assert str(error).startswith(f"{path}: ") and "again" in str(error) or (
          "save" in str(error))
      refused += 1
  assert refused > 600  # a changed blank does no harm


@pytest.mark.usefixtures("no_hang")
def test_an_array_must_be_in_a_file(tmp_path):
  os.mkfifo(tmp_path / "v.npy")
  assert data_error(vector_files.load, tmp_path / "v.npy").endswith(
      "not a file")
