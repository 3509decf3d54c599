"""Nearest words."""

import numpy as np
import pytest
from script_test import assert_one_line

import neighbors
import trained_model


def test_the_nearest_by_cosine():
  embedding = np.array(
      [[1, 0], [5, 5], [0, 2], [-3, 0], [3, 0.1], [0, 0]], np.float32)
  found = neighbors.nearest(embedding, 0, 4)
  assert [i for i, _ in found] == [4, 1, 2, 5]
  np.testing.assert_allclose([cosine for _, cosine in found], [
      3 / np.hypot(3, 0.1), np.sqrt(0.5), 0, 0], atol=1e-6)
  assert neighbors.nearest(embedding, 0, 99)[-1] == (3, -1)


def test_the_script(trained_runs, call_script, capsys):
  assert call_script(neighbors, f"--save_path={trained_runs}/a",
                     "--words=the,of", "--number=3") == 0
  lines = capsys.readouterr().out.splitlines()
  trained = trained_model.load(str(trained_runs / "a"))
  embedding = trained.values["Model/embedding"].astype(float)
  ids = trained.vocabulary.ids
  for word, found in ("the", lines[:4]), ("of", lines[4:]):
    assert found[0] == word
    cosines = sorted(((embedding[i] @ embedding[ids[word]]
                       / np.linalg.norm(embedding[i])
                       / np.linalg.norm(embedding[ids[word]]), other)
                      for other, i in ids.items() if other != word),
                     reverse=True)
    assert found[1:] == [f"  {x:.3f} {other}" for x, other in cosines[:3]]


@pytest.mark.parametrize("words, message", [
    ("", "--words: give some"), ("the,xyz", "xyz is not in the vocabulary")])
def test_bad_words_get_one_line(
    trained_runs, call_script, capsys, words, message):
  assert call_script(neighbors, f"--save_path={trained_runs}/a",
                     f"--words={words}") == 1
  out, err = capsys.readouterr()
  assert out == ""
  assert_one_line(err, "neighbors.py", message)
