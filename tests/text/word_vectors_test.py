"""Embeddings that start with vectors; neighbors and analogies, with gensim."""

import logging

import gensim.models
import numpy as np
import pytest

from rnn.text import vector_files, word_vectors
from tests.helpers.texts import data_error
from tests.helpers.vectors import WORDS, vectors_of

QUESTIONS = (": family\nBoy girl BROTHER sister\nboy girl king queen\n\n"
             ": capital common\nathens greece oslo norway\n")


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


@pytest.mark.parametrize("ignore_case, known", [
    (False, {0: 0, 3: 2}), (True, {0: 0, 1: 0, 3: 2, 4: 3, 5: 2})])
def test_words_are_matched_by_lower_case(tmp_path, caplog, ignore_case, known):
  """A word's own vector comes first, then the first of the file."""
  caplog.set_level(logging.INFO)
  vectors = vectors_of(5)
  vector_files.save(
      f"{tmp_path}/v", ["the", "zebra", "Oil", "Paris", "PARIS"], vectors)
  words = ["the", "The", "gas", "Oil", "paris", "oil"]
  values, fingerprint = word_vectors.initial(
      f"{tmp_path}/v.npy", words, 3, 0.01, 1, ignore_case)
  for i, row in known.items():
    np.testing.assert_array_equal(values[i], vectors[row])
  others = [i for i in range(6) if i not in known]
  assert abs(values[others]).max() <= 0.01
  assert fingerprint["words"] == len(known)
  assert ("has vectors of 5 of the 6 words (3 by lower case)" if ignore_case
          else "of 2 of the 6 words (3 more with --lowercase_vectors); the "
          ) in caplog.text


def test_vectors_of_other_words_are_refused(prefix):
  assert data_error(word_vectors.initial, f"{prefix}.npy", ["gas", "OIL"], 3,
                    0.1, 1) == (
      f"{prefix}.npy: has vectors of 0 of the 2 words (1 more with "
      "--lowercase_vectors); choose a file for this language, or leave it out")


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
