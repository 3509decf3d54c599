"""The command line of neighbors.py."""

import numpy as np
import pytest

import neighbors
from tests.helpers.calls import assert_one_line
from trained.model import load


def test_each_word_is_followed_by_its_neighbors(
    trained_runs, call_script, capsys):
  assert call_script(neighbors, f"--save_path={trained_runs}/a",
                     "--words=the,of", "--number=3") == 0
  lines = capsys.readouterr().out.splitlines()
  model = load(str(trained_runs / "a"))
  embedding = model.values["Model/embedding"].astype(float)
  ids = model.vocabulary.ids
  for word, printed in ("the", lines[:4]), ("of", lines[4:]):
    assert printed[0] == word
    cosines = sorted(((embedding[i] @ embedding[ids[word]]
                       / np.linalg.norm(embedding[i])
                       / np.linalg.norm(embedding[ids[word]]), other)
                      for other, i in ids.items() if other != word),
                     reverse=True)
    assert printed[1:] == [f"  {x:.3f} {other}" for x, other in cosines[:3]]


@pytest.mark.parametrize("words, message", [
    ("", "--words: give some"),
    ("the,", "--words=the,: has a comma too many$"),
    ("the,xyz",
     "--words: xyz is not in the vocabulary; .*most frequent: the, "),
    ("populatoin", "near in spelling: population[,;]")])
def test_bad_words_get_one_line(
    trained_runs, call_script, capsys, words, message):
  assert call_script(neighbors, f"--save_path={trained_runs}/a",
                     f"--words={words}") == 1
  out, err = capsys.readouterr()
  assert out == ""
  assert_one_line(err, "neighbors.py", message)


@pytest.mark.slow
def test_a_word_may_have_a_comma(tmp_path, call_main, call_script, capsys):
  (tmp_path / "text").write_text("one, two\n" * 99)
  assert call_main("--model=test", f"--data_path={tmp_path}/text",
                   f"--save_path={tmp_path}/run", "--epochs=1",
                   "--config_override=num_steps=2,batch_size=2") == 0
  capsys.readouterr()
  assert call_script(neighbors, f"--save_path={tmp_path}/run",
                     "--words=one,") == 0
  assert capsys.readouterr().out.startswith("one,\n  ")
