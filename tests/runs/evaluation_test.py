"""--mode=eval: a run is evaluated, on its own texts or on others."""

import contextlib
import os
import re
import shutil

import pytest

from rnn import signals
from rnn.cli import parallel_flags
from rnn.runs.directory import RunDirectory
from rnn.training import evaluation
from tests.helpers.calls import assert_one_line, run_script
from tests.helpers.run_folders import StopAfter, contents, long_run_flags


@pytest.mark.slow
def test_eval_prints_the_same_figures_as_training(tmp_path, overfitted):
  _, trained = overfitted
  done = run_script(f"--save_path={tmp_path}/run", "--mode=eval")
  assert (done.returncode, done.stderr) == (0, "")
  printed = re.findall(r"^(?:Valid|Test) Perplexity: ([\d.]+)", done.stdout,
                       re.MULTILINE)
  last_valid = re.search(r"Epoch: 8 Valid Perplexity: ([\d.]+)", trained)[1]
  tests = re.findall(r"Test Perplexity: ([\d.]+)", trained)
  assert printed[:2] == [last_valid, tests[0]]
  assert printed[3] == tests[1]
  header, *table = (x.split()[-2:] for x in done.stdout.splitlines()[-3:])
  assert header == ["valid", "test"]
  assert [float(x) for row in table for x in row] == pytest.approx(
      [float(x) for x in printed], abs=0.006)


@pytest.mark.slow
def test_eval_accepts_an_interrupted_run_and_other_texts(
    corpus_folder, tmp_path, call_main, capsys, monkeypatch):
  monkeypatch.setattr(signals, "on_signals", lambda: contextlib.nullcontext(
      StopAfter(120)))  # in epoch 2
  assert call_main(*long_run_flags(corpus_folder, epochs=40),
                   f"--save_path={tmp_path}/run") == 143
  capsys.readouterr()
  before = contents(tmp_path / "run")
  other = tmp_path / "other"
  other.mkdir()
  for split in "valid", "test":  # no text to train on
    shutil.copy(f"{corpus_folder}/{split}.txt", other)
  (tmp_path / "text").write_text("the cat sees the yak and the moa\n")
  for flags, expected in [
      ([], ["valid: 720 tokens", "test: 480 tokens"]),
      ([f"--data_path={other}"], ["valid: 720 tokens", "test: 480 tokens"]),
      ([f"--data_path={tmp_path}/text"],
       ["text: 9 tokens, 2 of them unknown words", "Text Perplexity: "])]:
    assert call_main(
        f"--save_path={tmp_path}/run", "--mode=eval", *flags) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in expected), out
    assert re.search(r"^step \d+, the last", out, re.MULTILINE)
    assert re.search(r"^epoch 1, best by valid", out, re.MULTILINE)
  assert contents(tmp_path / "run") == before


@pytest.mark.usefixtures("trained_flags")
def test_several_gpus_are_refused(tmp_path, call_main, capsys, monkeypatch):
  monkeypatch.setattr(parallel_flags, "hide_gpus", lambda: None)
  assert call_main("--mode=eval", f"--save_path={tmp_path}/run",
                   "--num_gpus=2") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "--num_gpus=2: --mode=eval uses one GPU, or 0; leave it out")


def test_training_may_find_a_better_epoch_meanwhile(
    finished, tmp_path, call_main, monkeypatch, capsys):
  run = RunDirectory(f"{tmp_path}/run")
  last, *_, first = (c for c in run.checkpoints() if not c.best)
  shutil.rmtree(run.best().path)
  folder, name = os.path.split(first.path)
  os.rename(first.path, f"{folder}/best-{name}")
  measure = evaluation._measure

  def find_better(session, checkpoint, *args):
    if checkpoint.step == last.step:
      new = next(c for c in run.checkpoints() if c.step not in (
          first.step, last.step))
      shutil.rmtree(run.best().path)
      os.rename(new.path, f"{folder}/best-{os.path.basename(new.path)}")
    return measure(session, checkpoint, *args)

  monkeypatch.setattr(evaluation, "_measure", find_better)
  assert call_main(f"--save_path={tmp_path}/run", "--mode=eval") == 0
  out, err = capsys.readouterr()
  assert "epoch 2, best by valid" in out and "damaged" not in err


@pytest.mark.slow
@pytest.mark.usefixtures("trained_flags")
def test_bad_evaluations_get_one_line(tmp_path, call_main, capsys):
  run = f"--save_path={tmp_path}/run"
  (tmp_path / "empty").touch()
  for flags, message in [
      ([], "--mode=eval needs --save_path"),
      ([run, "--model=test"], "--model: has no effect with --mode=eval"),
      ([run, "--keep=3"], "--keep: has no effect with --mode=eval"),
      ([run, "--config_override=num_steps=3"], "--config_override: has"),
      ([run, "--seed=1"], "--seed: "), ([run, "--fresh"], "--fresh: "),
      ([f"--save_path={tmp_path}/none"], "/none: no such folder"),
      ([f"--save_path={tmp_path}"], f"{tmp_path}: holds no run"),
      ([run, f"--data_path={tmp_path}/none"], "/none: No such file"),
      ([run, "--data_path="], "data_path: no such folder"),
      ([run, f"--data_path={tmp_path}/empty"], "/empty: the file is empty")]:
    capsys.readouterr()
    assert call_main("--mode=eval", *flags) == 1, flags
    err = capsys.readouterr().err
    assert err.startswith("ptb_word_lm.py: ") and err.count("\n") == 1, err
    assert message in err
  os.remove(tmp_path / "run" / "vocab.txt")
  assert call_main("--mode=eval", run) == 1
  assert "vocab.txt: No such file" in capsys.readouterr().err
