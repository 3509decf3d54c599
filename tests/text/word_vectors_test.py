"""Word vectors as files, and analogies, compared with gensim."""

import gzip
import io
import logging
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
from rnn.text import word_vectors
from tests.helpers.texts import data_error

WORDS = ["oil", "bänk", "of", "<unk>", "1,000"]
TEXT = "3 2\noil 1 -2.5\nbank 0 1e-3\nof 3 4\n"
QUESTIONS = (": family\nBoy girl BROTHER sister\nboy girl king queen\n\n"
             ": capital common\nathens greece oslo norway\n")


def vectors_of(number, width=3):
  rng = np.random.default_rng(number)
  return rng.normal(size=[number, width]).astype(np.float32)


@pytest.fixture
def prefix(tmp_path):
  """The prefix of files with vectors of WORDS."""
  word_vectors.save(f"{tmp_path}/v", WORDS, vectors_of(len(WORDS)))
  return f"{tmp_path}/v"


def test_saved_vectors_are_loaded(prefix):
  expected = vectors_of(len(WORDS))
  words, vectors = word_vectors.load(f"{prefix}.npy")
  assert words == WORDS and vectors.dtype == np.float32
  np.testing.assert_array_equal(vectors, expected)
  words, vectors = word_vectors.load(f"{prefix}.txt")
  assert words == WORDS and vectors.dtype == np.float32
  np.testing.assert_allclose(vectors, expected, rtol=5e-6)


@pytest.mark.parametrize("form", ["npy", "txt"])
def test_only_wanted_words_are_loaded(prefix, form):
  words, vectors = word_vectors.load(f"{prefix}.{form}", {"of", "oil", "gas"})
  assert words == ["oil", "of"]
  np.testing.assert_allclose(
      vectors, vectors_of(len(WORDS))[[0, 2]], rtol=5e-6)
  words, vectors = word_vectors.load(f"{prefix}.{form}", ())
  assert words == [] and vectors.shape == (0, 3)


@hypothesis.given(arrays.arrays(
    np.float32, (2, 3), elements=strategies.floats(
        width=32, allow_nan=False, allow_infinity=False)))
def test_numbers_of_any_size(tmp_path_factory, vectors):
  prefix = f"{tmp_path_factory.getbasetemp()}/any"
  word_vectors.save(prefix, ["a", "b"], vectors)
  np.testing.assert_array_equal(word_vectors.load(f"{prefix}.npy")[1], vectors)
  largest = np.finfo(np.float32).max
  np.testing.assert_allclose(
      word_vectors.load(f"{prefix}.txt")[1], vectors.clip(-largest, largest),
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
  words, vectors = word_vectors.load(f"{tmp_path}/{name}")
  assert words == WORDS
  np.testing.assert_allclose(vectors, peer.vectors, rtol=1e-6)


def test_a_blank_may_end_a_line_as_in_word2vec(tmp_path):
  (tmp_path / "v").write_bytes(TEXT.replace("\n", " \r\n").encode())
  words, vectors = word_vectors.load(str(tmp_path / "v"))
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
    words, _ = word_vectors.load(str(tmp_path / "v.gz"), {"w39999"})
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert words == ["w39999"]
  assert peak < 1e6  # the text has 4 million characters


@pytest.mark.parametrize("text, message", [
    ("", "line 1 is not the number of words and the size"),
    ("oil 1 2\nof 3 4\n", "line 1 is not"),
    ("3 -2\n", "line 1 is not"),
    ("0 2\n", "line 1 announces 0 words of 2 numbers"),
    ("1 0\noil\n", "line 1 announces 1 words of 0 numbers"),
    ("1 99999999999999999999\noil 1\n", "line 2 has 1 numbers"),
    (TEXT.replace("-2.5", ""), "line 2 has 1 numbers, not 2"),
    (TEXT.replace("-2.5", "1 2"), "line 2 has 3 numbers, not 2"),
    (TEXT.replace("-2.5", "x"), "line 2 has a field that is not a number"),
    (TEXT.replace("-2.5", "nan"), "a number that is not finite"),
    (TEXT.replace("-2.5", "1e39"), "a number that is not finite"),
    (TEXT.replace("of", "oil"), "line 4 repeats the word oil"),
    (TEXT + "to 1 2\n", "has 4 words, but line 1 announces 3"),
    (TEXT[:-7], "has 2 words, but line 1 announces 3"),
    (TEXT.encode("utf-16"), "not UTF-8"),
    (TEXT.replace("oil", "\udcff").encode(errors="surrogateescape"),
     "not UTF-8"),
    (gzip.compress(TEXT.encode(), mtime=0)[:-9], "truncated or damaged")])
def test_bad_texts_get_one_line(tmp_path, text, message):
  """It also says what to do."""
  path = tmp_path / "v.txt"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  error = data_error(word_vectors.load, path)
  assert message in error and re.search(
      "; .*(again|convert|correct|delete)", error), error


def test_the_lengths_of_lines_are_limited(tmp_path, monkeypatch):
  """A small compressed file may hold a line that is larger than memory."""
  monkeypatch.setattr(word_vectors, "_MAX_LINE", 12)
  path = tmp_path / "v.txt"
  path.write_bytes(gzip.compress(TEXT.encode()))
  assert len(word_vectors.load(str(path))[0]) == 3
  for text, line in (("3 2" + " " * 10, 1),
                     (TEXT.replace("oil 1", "oil 1.0"), 2)):
    path.write_bytes(gzip.compress(text.encode()))
    assert (f"line {line} has more than 12 characters; use a file with shorter"
            in data_error(word_vectors.load, path))


def test_missing_files_get_one_line(tmp_path, prefix):
  for path in "/absent.txt", "/absent.npy":
    assert "No such file" in data_error(word_vectors.load, path)
  assert "Is a directory" in data_error(word_vectors.load, tmp_path)
  (tmp_path / "v.words.txt").unlink()
  with pytest.raises(DataError, match="v.words.txt: No such file"):
    word_vectors.load(f"{prefix}.npy")


def array_bytes(array):
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


def archive_bytes(array):
  file = io.BytesIO()
  np.savez(file, array)
  return file.getvalue()


@pytest.mark.parametrize("data, message", [
    (b"", "not an array of NumPy"), (b"oil 1 2\n", "not an array of NumPy"),
    (b"PK\3\4 oil", "not an array of NumPy"),
    (array_bytes(vectors_of(5))[:-4], "not an array of NumPy"),
    (array_bytes(np.array([{}] * 5)), "not an array of NumPy"),
    (archive_bytes(vectors_of(5)), "an archive of arrays"),
    (array_bytes(vectors_of(4)),
     "float32 [4, 3] is not one vector of floats for each of the 5 words in"),
    (array_bytes(vectors_of(5)[0]), "is not one vector"),
    (array_bytes(vectors_of(5)[:, :0]), "is not one vector"),
    (array_bytes(vectors_of(5).astype(int)), "int64 [5, 3] is not"),
    (array_bytes(np.full([5, 3], np.inf, np.float32)),
     "a number that is not finite"),
    (array_bytes(np.full([5, 3], 1e300)), "a number that is not finite")])
def test_bad_arrays_get_one_line(prefix, data, message):
  with open(f"{prefix}.npy", "wb") as file:
    file.write(data)
  assert message in data_error(word_vectors.load, f"{prefix}.npy")


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
      words, vectors = word_vectors.load(path)
      assert words == WORDS and vectors.shape == expected.shape
    except DataError as error:
      assert str(error).startswith(f"{path}: ") and "again" in str(error) or (
          "save it with numpy.save" in str(error))
      refused += 1
  assert refused > 600  # a changed blank does no harm


@pytest.mark.usefixtures("no_hang")
def test_an_array_must_be_in_a_file(tmp_path):
  os.mkfifo(tmp_path / "v.npy")
  assert data_error(word_vectors.load, tmp_path / "v.npy").endswith(
      "not a file")


def test_an_embedding_starts_with_the_vectors_of_its_words(prefix, caplog):
  caplog.set_level(logging.INFO)
  words = ["of", "gas", "oil", "coal"]
  values, fingerprint = word_vectors.initial(
      f"{prefix}.npy", words, 3, 0.1, seed=1)
  np.testing.assert_array_equal(
      values[[0, 2]], vectors_of(len(WORDS))[[2, 0]])
  others = values[[1, 3]]
  assert values.dtype == np.float32 and 0 < abs(others).max() <= 0.1
  assert len(np.unique(others)) == 6
  assert "has vectors of 2 of the 4 words" in caplog.text
  again, same = word_vectors.initial(f"{prefix}.npy", words, 3, 0.1, seed=1)
  np.testing.assert_array_equal(again, values)
  assert same == fingerprint
  other, differs = word_vectors.initial(f"{prefix}.npy", words, 3, 0.1, seed=2)
  assert (other != values)[[1, 3]].all() and differs != fingerprint
  assert "set embedding_size=3" in data_error(
      word_vectors.initial, f"{prefix}.npy", words, 4, 1, 1)


def test_questions_are_read(tmp_path):
  path = tmp_path / "questions.txt"
  path.write_text(QUESTIONS)
  assert word_vectors.read_questions(str(path)) == {
      "family": [["Boy", "girl", "BROTHER", "sister"],
                 ["boy", "girl", "king", "queen"]],
      "capital common": [["athens", "greece", "oslo", "norway"]]}
  path.write_text(": size\n10\u00a0km 1\u2028km a\x1c \u3000b\n")  # as a text
  assert word_vectors.read_questions(str(path)) == {
      "size": [["10\u00a0km", "1\u2028km", "a\x1c", "\u3000b"]]}


def test_the_number_of_questions_is_limited(tmp_path, monkeypatch):
  monkeypatch.setattr(word_vectors, "_MAX_QUESTIONS", 2)
  path = tmp_path / "questions.txt"
  path.write_text(": family\n" + "boy girl king queen\n" * 2)
  assert "more than 2 lines; use fewer" in data_error(
      word_vectors.read_questions, path)
  path.write_text(": family\n" + " " * 10_001)
  assert "line 2 has more than 10,000 characters" in data_error(
      word_vectors.read_questions, path)


@pytest.mark.parametrize("text, message", [
    ("", "has no questions"), (": family\n", "has no questions"),
    ("boy girl king queen\n", "line 1 is neither"),
    (": family\nboy girl king\n", "line 2 is neither"),
    (":\n", "line 1 is neither")])
def test_bad_questions_get_one_line(tmp_path, text, message):
  path = tmp_path / "questions.txt"
  path.write_text(text)
  assert message in data_error(word_vectors.read_questions, path)


def test_analogies_of_a_made_up_language():
  """A word's vector is the sum of its parts, so its analogies are exact."""
  words = [f"{a}{b}" for a in "abcde" for b in "xyz"]
  parts = dict(zip("abcdexyz", np.eye(8), strict=True))
  vectors = np.array([parts[a] + parts[b] for a, b in words], np.float32)
  right = [["ax", "ay", "bx", "by"], ["cz", "dz", "cx", "dx"]]
  wrong = [["ax", "ay", "bx", "bz"], ["ax", "ay", "bx", "ay"]]
  unknown = [["ax", "ay", "bx", "??"]]
  right.append(["AX", "ay", "BX", "by"])  # known in lower case only
  assert word_vectors.answer_analogies(words, vectors, {
      "1": right + wrong + unknown, "2": right, "3": unknown, "4": []}) == {
          "1": (3, 5, 6), "2": (3, 3, 3), "3": (0, 0, 1), "4": (0, 0, 0)}
  words[words.index("ax")], words[words.index("bx")] = "AX", "BX"
  assert word_vectors.answer_analogies(
      words, vectors, {"1": right}) == {"1": (2, 2, 3)}


def test_analogies_equal_gensim(tmp_path, monkeypatch):
  """On hundreds of random questions, a few at a time."""
  monkeypatch.setattr(word_vectors, "_ROWS", 7)
  rng = np.random.default_rng(0)
  words = [f"w{i}" for i in range(12)]
  vectors = rng.normal(size=[12, 3]) * rng.uniform(0.1, 9, [12, 1])
  path = tmp_path / "questions.txt"
  path.write_text("".join(
      f": section {i}\n" + "".join(
          " ".join(f"W{n}" for n in rng.choice(13, 4, replace=False)) + "\n"
          for _ in range(200)) for i in range(3)))
  peer = gensim.models.KeyedVectors(3)
  peer.add_vectors(words, vectors.astype(np.float32))
  results = word_vectors.answer_analogies(
      words, vectors.astype(np.float32), word_vectors.read_questions(str(path)))
  *sections, total = peer.evaluate_word_analogies(
      str(path), case_insensitive=True)[1]
  for section in sections:
    right, wrong = len(section["correct"]), len(section["incorrect"])
    assert results[section["section"]] == (right, right + wrong, 200)
  assert len(total["correct"]) == sum(
      right for right, *_ in results.values()) > 9


def test_the_largest_cosines_come_first():
  embedding = np.array(
      [[1, 0], [5, 5], [0, 2], [-3, 0], [3, 0.1], [0, 0]], np.float32)
  nearest = word_vectors.nearest(embedding, 0, 4)
  assert [i for i, _ in nearest] == [4, 1, 2, 5]
  np.testing.assert_allclose([cosine for _, cosine in nearest], [
      3 / np.hypot(3, 0.1), np.sqrt(0.5), 0, 0], atol=1e-6)
  assert word_vectors.nearest(embedding, 0, 99)[-1] == (3, -1)
