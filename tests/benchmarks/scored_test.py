"""Scripts that write results of trained models: they call other scripts."""

import dataclasses
import os
import subprocess
import types

import numpy as np
import pytest

from benchmarks import adaptation, averages, paragraphs, scores, transcript
from rnn.errors import UserError
from rnn.runs.directory import RunDirectory
from rnn.text.vocabulary import Vocabulary
from tests.helpers.calls import assert_one_line
from trained import score_output, scoring
from trained.model import load

SCORES = """\
{text}: 3 lines, 9 tokens, 1 of them <unk>; 1 words/s
perplexity                       all  without <unk>
average of 2                  99.591        110.208
{run} (epoch 13)           118.978        132.392
"""


@pytest.fixture
def called(monkeypatch):
  """Replaces the called scripts; returns the list of their arguments."""
  calls = []

  def run(command, **_):
    calls.append([os.path.basename(command[1]), *command[2:]])
    flags = dict(flag.split("=", 1) for flag in command[2:] if "=" in flag)
    return subprocess.CompletedProcess(
        command, 0, stdout="the bank\n", stderr=SCORES.format(
            text=flags.get("--text"), run=flags["--save_path"].split(",")[0]))

  monkeypatch.setattr(transcript.subprocess, "run", run)
  return calls


def test_averages(call_script, called, capsys, trained_runs, monkeypatch,
                  tmp_path):
  monkeypatch.setitem(averages.AVERAGES, "small-2", ["a", "b"])
  monkeypatch.setitem(averages.AVERAGES, "small-5", ["a", "absent"])
  text = f"{trained_runs}/text"
  assert call_script(
      averages, "--average=small-2", "--average=small-5",
      f"--runs={trained_runs}", f"--data_path={text}",
      f"--output={tmp_path}/new/averages") == 0
  assert called == [
      ["score.py", f"--save_path={trained_runs}/a,{trained_runs}/b",
       f"--text={text}/{split}.txt", "--state=carry"]
      for split in ("valid", "test")]
  result = (tmp_path / "new" / "averages" / "small-2.txt").read_text()
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


def test_paragraphs(call_script, called, trained_runs, tmp_path):
  output = tmp_path / "paragraphs.txt"
  assert call_script(
      paragraphs, f"--save_path={trained_runs}/a,{trained_runs}/b",
      "--prompt=the bank", "--num_words=9", f"--output={output}") == 0
  assert [call[1:] for call in called] == [
      [f"--save_path={trained_runs}/{name}", "--prompt=the bank",
       "--num_words=9", "--top_p=0.9", "--no_unk", "--seed=1"]
      for name in "ab"]
  assert output.read_text().startswith(
      "$ python generate.py --save_path=runs/test-seed-1-float32-hidden_size=24"
  ) and str(trained_runs) not in output.read_text()


def test_adaptation_chooses_and_tests_settings(
    call_script, called, capsys, trained_runs, tmp_path):
  output = tmp_path / "adaptation" / "a.txt"
  output.parent.mkdir()
  (output.parent / "b.txt").write_text(
      "cache 5,0.3,0.1    1.000\ndynamic 0.1    9.000\n")
  text = f"{trained_runs}/text"
  assert call_script(
      adaptation, f"--save_path={trained_runs}/a", f"--text={text}/valid.txt",
      f"--test_text={text}/test.txt", f"--output={output}", "--size=5,20",
      "--theta=0.3", "--lambda=0.1,0.2,0.3", "--rate=0.1,0.001") == 0
  result = output.read_text()
  tried = scores.read_settings(result)
  assert list(tried) == [
      "static", *(f"cache {size},0.3,{lambda_:g}" for size in (5, 20)
                  for lambda_ in (0.1, 0.2, 0.3)),
      "dynamic 0.1", "dynamic 0.001"]
  cache, rate = scores.best([tried], "cache"), scores.best([tried], "dynamic")
  assert f"best: {cache}\n" in result
  assert "best: dynamic 0.1\nrate=0.1 is the highest that was tried" in result
  assert called == [[
      "score.py", f"--save_path={trained_runs}/a", f"--text={text}/test.txt",
      "--state=carry", "--dynamic=0.1", f"--cache={cache.split()[1]}"]]
  assert scores.read_scores(result)["test"]["average of 2"] == 99.591
  assert str(trained_runs) not in result
  # Only these settings were tried with both models.
  assert capsys.readouterr().out.splitlines()[-2:] == [
      f"dynamic: best for all 2 models in {output.parent}: dynamic 0.1",
      f"cache: best for all 2 models in {output.parent}: cache 5,0.3,0.1"]
  assert rate == "dynamic 0.1"


def test_adaptation_refuses_reset_state(trained_runs):
  model = load(f"{trained_runs}/a")
  model = dataclasses.replace(
      model, config=dataclasses.replace(model.config, reset_state=True))
  with pytest.raises(UserError, match="a model with reset_state scores each"):
    next(adaptation.try_settings(model, f"{trained_runs}/text/valid.txt", {}))


def test_numbers_at_the_edge_of_what_was_tried():
  numbers = {"size": [500, 700], "theta": [0.1, 0.2, 0.3], "lambda": [0.1],
             "rate": [1, 2, 3]}
  assert list(adaptation.edges("cache 700,0.2,0.1", numbers)) == [
      "size=700 is the highest that was tried: try further ones"]
  assert list(adaptation.edges("dynamic 1", numbers)) == [
      "rate=1 is the lowest that was tried: try further ones"]
  assert not list(adaptation.edges("dynamic 2", numbers))


@pytest.mark.parametrize("flags, message", [
    (["--lambda=1"], "--lambda=1: must be from 0 to below 1"),
    (["--size=1.5"], "--size=1.5: must be whole numbers"),
    (["--rate=0,1"], "--rate=0,1: must be above 0"),
    (["--theta=x"], "--theta=x: must be from 0"),
    (["--save_path=absent"], "absent: no such folder"),
    (["--text=absent"], "absent: No such file"),
    (["--output=/dev/null/x/y"], "--output=/dev/null/x/y: Not a directory")])
def test_adaptation_complains_in_one_line(
    call_script, capsys, trained_runs, flags, message):
  assert call_script(adaptation, f"--save_path={trained_runs}/a",
                     f"--text={trained_runs}/text/valid.txt", *flags) == 1
  assert_one_line(capsys.readouterr().err, "adaptation.py", message)


def test_script_that_fails_is_one_error(call_script, capsys, monkeypatch,
                                        trained_runs, tmp_path):
  monkeypatch.setattr(
      transcript.subprocess, "run", lambda command, **_:
      subprocess.CompletedProcess(command, 1, "", "generate.py: no memory\n"))
  output = tmp_path / "paragraphs.txt"
  assert call_script(paragraphs, f"--save_path={trained_runs}/a",
                     f"--output={output}") == 1
  assert_one_line(capsys.readouterr().err, "paragraphs.py",
                  "generate.py: no memory")
  assert not output.exists()


def test_summary_of_scores_is_read():
  """With the names that `score.py` gives to averages and to methods."""
  models = [types.SimpleNamespace(name=f"runs/{name} (epoch 13)")
            for name in "ab"]
  for used, methods in (models, [""]), (models[:1], [
      "", "cache", "dynamic", "dynamic_cache"]):
    totals = scoring.Totals(Vocabulary(("<eos>", "<unk>", "a")), 4)
    totals.add(scoring.Line(1, ["a", "<eos>"], np.array([2, 0])),
               np.log(np.arange(1, 9).reshape(4, 2) / 9))
    estimates = scoring.list_estimates(used, methods)
    summary = score_output.summary(totals, estimates + [estimates[0]] * (
        4 - len(estimates)), "data/ptb/ptb.valid.txt", 1.0)
    labels = scores.read_scores(summary)["valid"]
    assert list(labels) == [estimate.label for estimate in estimates]
    assert [*labels.values()][1] == pytest.approx(9 / 12 ** 0.5, abs=1e-3)
  assert list(scores.by_method(labels)) == [
      "", "cache", "dynamic", "dynamic and cache"]


@pytest.mark.parametrize("text, expected", [
    ("--data_path=/x/ptb --save_path=/x/ptb/run", "--data_path=data/ptb "
     "--save_path=data/ptb/run"),
    ("/x/ptb_word_lm.py /y/x/ptb x/ptb", "/x/ptb_word_lm.py /y/x/ptb x/ptb"),
    (f"{transcript.ROOT}/score.py", "score.py"),
    ("/x/ptb: no, /x/ptb.", "data/ptb: no, /x/ptb.")])
def test_paths_of_this_machine_are_replaced(text, expected):
  assert transcript.plain(text, {"/x/ptb/": "data/ptb", "": "x"}) == expected


@pytest.mark.slow
def test_real_scores_are_read(call_script, trained_runs, tmp_path):
  text, output = f"{trained_runs}/text", tmp_path / "a.txt"
  assert call_script(
      adaptation, f"--save_path={trained_runs}/a", f"--text={text}/valid.txt",
      f"--test_text={text}/test.txt", f"--output={output}", "--size=5",
      "--theta=0.3", "--lambda=0.1", "--rate=0.1") == 0
  tested = scores.by_method(scores.read_scores(output.read_text())["test"])
  assert list(tested) == ["", "cache", "dynamic", "dynamic and cache"]
  run = RunDirectory(f"{trained_runs}/a")
  assert tested[""] == pytest.approx(run.tests()[3], abs=1e-3)
