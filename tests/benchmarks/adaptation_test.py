"""The search for settings of dynamic evaluation and of the cache."""

import dataclasses
import hashlib

import pytest

from benchmarks import adaptation, scores
from rnn.errors import UserError
from rnn.runs.directory import RunDirectory
from rnn.text import corpora
from tests.helpers.calls import assert_one_line
from trained.model import load


def test_settings_are_chosen_and_tested(
    call_script, called, capsys, trained_runs, tmp_path, monkeypatch):
  monkeypatch.setattr(corpora, "PTB", {"valid": hashlib.sha256(
      (trained_runs / "text" / "valid.txt").read_bytes()).hexdigest()})
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


def test_reset_state_is_refused(trained_runs):
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
    (["--test_text=absent"], "absent: No such file"),
    (["--output=/dev/null/x/y"], "--output=/dev/null/x/y: Not a directory")])
def test_errors_are_one_line(
    call_script, capsys, trained_runs, flags, message):
  assert call_script(adaptation, f"--save_path={trained_runs}/a",
                     f"--text={trained_runs}/text/valid.txt", *flags) == 1
  assert_one_line(capsys.readouterr().err, "adaptation.py", message)


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
