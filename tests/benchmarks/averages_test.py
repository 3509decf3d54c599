"""Scores of averages of models."""

import hashlib
import os

from benchmarks import averages, scores
from rnn.text import corpora
from tests.helpers.calls import assert_one_line


def test_averages(call_script, called, capsys, trained_runs, monkeypatch,
                  tmp_path):
  monkeypatch.setitem(averages.AVERAGES, "small-2", ["a", "b"])
  monkeypatch.setitem(averages.AVERAGES, "small-5", ["a", "absent"])
  text = f"{trained_runs}/text"

  def call():
    assert call_script(
        averages, "--average=small-2", "--average=small-5",
        f"--runs={trained_runs}", f"--data_path={text}",
        f"--output={tmp_path}/new/averages") == 0
    return (tmp_path / "new" / "averages" / "small-2.txt").read_text()

  assert f"--text={text}/valid.txt" in call()  # which is not PTB's
  called.clear()
  monkeypatch.setattr(corpora, "PTB", {"valid": hashlib.sha256(
      (trained_runs / "text" / "valid.txt").read_bytes()).hexdigest()})
  result = call()
  assert called == [
      ["score.py", f"--save_path={trained_runs}/a,{trained_runs}/b",
       f"--text={text}/{split}.txt", "--state=carry"]
      for split in ("valid", "test")]
  assert result.startswith(
      "$ python score.py --save_path=runs/a,runs/b --text=data/ptb/valid.txt "
      "--state=carry > /dev/null\ndata/ptb/valid.txt: 3 lines, ")
  assert str(trained_runs) not in result
  assert scores.read_scores(result) == {
      split: {"average of 2": 99.591, "runs/a (epoch 13)": 118.978}
      for split in ("valid", "test")}
  assert (f"small-5 is left out: {trained_runs}/absent: no such folder"
          in capsys.readouterr().out)
  assert os.listdir(tmp_path / "new" / "averages") == ["small-2.txt"]


def test_averages_need_finished_runs(call_script, capsys, trained_runs,
                                     tmp_path, monkeypatch):
  monkeypatch.setitem(averages.AVERAGES, "small-2", ["a"])
  (tmp_path / "a").mkdir()
  for name in "config.json", "vocab.txt":
    (tmp_path / "a" / name).write_bytes(
        (trained_runs / "a" / name).read_bytes())
  assert call_script(
      averages, "--average=small-2", f"--runs={tmp_path}",
      f"--data_path={trained_runs}/text") == 1
  captured = capsys.readouterr()
  assert captured.out == (
      f"small-2 is left out: {tmp_path}/a: has not finished\n")
  assert_one_line(captured.err, "averages.py", "no average has all of its runs")
