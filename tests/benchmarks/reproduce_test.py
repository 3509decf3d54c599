"""The check of a row of the table of results, with a tiny model and text."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re

import pytest

import configs
from benchmarks import logbook, records, reproduce
from rnn import signals
from rnn.text import corpora
from tests.helpers.calls import assert_one_line
from tests.helpers.run_folders import StopAfter
from tests.helpers.texts import write_corpus

LINES = "a b c d e f\n" * 40
NAME = "small-seed-2-bfloat16"
FLAGS = ("--model=small", "--use_bfloat16", "--seed=2")


@pytest.fixture
def call(call_script, tmp_path, monkeypatch):
  """Calls the script in an empty folder, with a text that counts as PTB.

  The model small has one layer of two units, and three epochs of 59 steps.
  """
  write_corpus(tmp_path / "ptb", LINES, LINES[:120], LINES[:120],
               "ptb.{}.txt")
  monkeypatch.setattr(corpora, "PTB", {
      path.name.split(".")[1]: hashlib.sha256(path.read_bytes()).hexdigest()
      for path in (tmp_path / "ptb").iterdir()})
  monkeypatch.setitem(configs.CONFIGS, "small", dataclasses.replace(
      configs.TEST, max_max_epoch=3, batch_size=2))
  monkeypatch.setenv("PTB_DATA", str(tmp_path / "ptb"))
  monkeypatch.chdir(tmp_path)
  return lambda *flags: call_script(reproduce, *flags)


def stop_after(monkeypatch, windows):
  """Lets SIGTERM come after some windows."""
  monkeypatch.setattr(signals, "on_signals", lambda: contextlib.nullcontext(
      StopAfter(windows)))


def test_stopped_resumed_and_finished_run(
    call, capsys, monkeypatch, tmp_path):
  stop_after(monkeypatch, 5)
  assert call(*FLAGS) == 143
  assert not os.path.exists("results")  # before the end of an epoch
  stop_after(monkeypatch, 120)  # in the second epoch
  assert call(*FLAGS) == 143
  assert "stopped by SIGTERM" in capsys.readouterr().err
  result = tmp_path / "results" / "ptb" / NAME
  assert len(records.read(str(result)).rows) == 1

  stop_after(monkeypatch, -1)  # not at all
  assert call(*FLAGS) == 0
  out = capsys.readouterr().out
  assert "the row holds: valid is -" in out
  assert "starts: SIGTERM in epoch 1; SIGTERM in epoch 2; finished" in out
  assert f"results/ptb/{NAME}: written" in out
  record = records.read(str(result))
  assert record.is_finished and record.is_of_the_table
  first, second, third = logbook.starts(record.log)
  assert first.resumed is None
  assert second.resumed.startswith("epoch 1, step 5 of ")
  assert third.resumed.startswith("epoch 2, step ")
  for start in first, second, third:
    assert re.search(" cores, python 3.*, numpy .*, tensorflow ",
                     start.machine)
  assert logbook.peak_memory(record.log) > 100_000
  assert (result / "learning_curve.png").read_bytes().startswith(b"\x89PNG")

  # No path of this machine is in the result.
  assert record.log.count(
      "$ python ptb_word_lm.py --model=small --data_path=data/ptb "
      f"--use_bfloat16 --seed=2 --save_path=runs/{NAME}\n# 20") == 3
  for path in "config.json", "log.txt", "metrics.csv", "tests.json":
    assert str(tmp_path) not in (result / path).read_text()
  assert json.loads((result / "config.json").read_text())["data"][
      "path"] == "data/ptb"

  # A finished run is not started again.
  assert call(*FLAGS) == 0
  assert "the row holds" in capsys.readouterr().out
  assert records.read(str(result)).log == record.log


def test_other_settings_are_no_row(call, capsys):
  settings = "hidden_size=3,max_max_epoch=1"
  assert call("--model=small", f"--config_override={settings}") == 0
  out = capsys.readouterr().out
  assert f"small --config_override={settings} on the Penn Treebank: 1 of" in out
  assert "not a row of a table: this needs one of small, medium," in out
  assert "float32-hidden_size=3: is not written" in out
  assert os.path.exists("runs/small-seed-1-float32-hidden_size=3/config.json")
  assert not os.path.exists("results")


def test_a_row_is_trained_in_one_process(call, capsys, monkeypatch):
  message = ("--workers, TF_CONFIG: this script trains in one process; leave "
             "them out")
  assert call("--model=small", "--workers=localhost:1,localhost:2") == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py", message)
  monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["localhost:1"]}}')
  assert call("--model=small") == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py", message)


def test_partial_run_is_not_judged_and_replaces_no_longer_one(call, capsys):
  assert call("--model=small", "--save_path=other",
              "--config_override=max_max_epoch=2") == 0
  capsys.readouterr()
  assert call("--model=small", "--config_override=max_max_epoch=1") == 0
  out = capsys.readouterr().out
  assert "on the Penn Treebank: 1 of 3 epochs" in out
  assert "partial: the row can be judged after the last epoch" in out
  assert "keeps the result of another run" in out
  assert len(records.read("results/ptb/small-seed-1-float32").rows) == 2
  os.remove("results/ptb/small-seed-1-float32/config.json")  # as a full disk
  assert call("--model=small", "--config_override=max_max_epoch=1") == 0
  assert len(records.read("results/ptb/small-seed-1-float32").rows) == 1
  capsys.readouterr()
  assert call("--model=small", "--config_override=max_max_epoch=1",
              "--output=/dev/null/x") == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py", "/dev/null/x/small-"
                  "seed-1-float32: cannot be written: Not a directory")


def test_run_of_ptb_word_lm_is_taken_over(
    call, call_main, capsys, monkeypatch, tmp_path):
  """Its log is what it printed, and what GNU time did."""
  assert call_main("--model=small", f"--data_path={tmp_path}/ptb",
                   "--save_path=mine") == 0
  trained = capsys.readouterr().out
  assert call("--model=small", "--save_path=mine") == 0
  assert "peak memory unknown\nstarts: no log\n" in capsys.readouterr().out
  (tmp_path / "mine.log").write_text(
      trained + f"{tmp_path}/ptb\n{tmp_path}/mine/x\n"
      "\tMaximum resident set size (kbytes): 846504\n\tExit status: 0\n")
  assert call("--model=small", "--save_path=mine") == 0
  out = capsys.readouterr().out
  assert "peak memory 846,504 kB\nstarts: finished\n" in out
  assert "Epoch: 1" not in out  # it was finished
  log = records.read("results/ptb/small-seed-1-float32").log
  assert "\ndata/ptb\nruns/small-seed-1-float32/x\n\tMaximum" in log
  # A run that is not tested does not replace one that is.
  tests = pathlib.Path("results/ptb/small-seed-1-float32/tests.json")
  finished = tests.read_bytes()
  os.rename("mine/tests.json", "kept.json")
  records.publish(records.read("mine", "mine.log"), records.FOLDER, [])
  assert tests.read_bytes() == finished
  # The test figures of another run do not stay.
  tests.write_text("{}")
  records.publish(records.read("mine", "mine.log"), records.FOLDER, [])
  assert not tests.exists()
  os.rename("kept.json", "mine/tests.json")
  monkeypatch.setitem(reproduce.TOLERANCE, "small", -1e6)
  assert call("--model=small", "--save_path=mine") == 1
  assert "THE ROW DOES NOT HOLD: valid is -" in capsys.readouterr().out
  assert call("--model=small", "--save_path=mine", "--seed=2") == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py", (
      "mine: holds another run, small-seed-1-float32, not small-seed-2-float32"
      ".*--save_path"))


@pytest.mark.parametrize("flag, change", [
    ("--vocab_size=5", "vocabulary_choice=given"),
    ("--init_from=mine", "init_from=given-vocabulary_choice=given")])
def test_other_words_or_initial_values_are_no_row(
    call, call_main, capsys, tmp_path, flag, change):
  train = "--model=small", f"--data_path={tmp_path}/ptb"
  assert call_main(*train, "--save_path=mine") == 0
  assert call_main(*train, "--save_path=other", flag) == 0
  capsys.readouterr()
  assert call("--model=small", "--save_path=other") == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py", (
      f"other: holds another run, small-seed-1-float32-{change}, not "
      "small-seed-1-float32;"))
  assert not records.read("other").is_of_the_table
  assert not os.path.exists("results")


def test_models_beyond_the_paper_have_a_highest_test_perplexity(
    call, capsys, monkeypatch):
  """It is compared with the best epoch by validation."""
  monkeypatch.setitem(configs.CONFIGS, "tied-small", dataclasses.replace(
      configs.TEST, max_max_epoch=2, batch_size=2))
  assert call("--model=tied-small") == 0
  out = capsys.readouterr().out
  assert re.search(r"^the row holds: test is \d\.\d\d; at most 86\.0 is "
                   "expected$", out, re.MULTILINE)
  record = records.read("results/ptb/tied-small-seed-1-float32")
  assert record.shown_epoch == record.best_epoch == record.judged_epoch == 2
  record.rows[0]["valid_perplexity"] = 1.0
  record.tests[1] = 99.0
  lines, holds = reproduce.row(record)
  assert holds is False
  assert lines[-1] == (
      "THE ROW DOES NOT HOLD: test is 99.00; at most 86.0 is expected")
  assert any(line.startswith("this run, epoch 1  ") for line in lines)


@pytest.mark.parametrize("flags, message", [
    (["--data_path=absent"], "absent: no such folder; run python data/fetch"),
    (["--mode=eval"], "--mode: this script trains and tests"),
    (["--vocab_size=5"], "--vocab_size: a row of the table has the words of"),
    (["--init_from=run"], "--init_from: a row of the table has the words of"),
    (["--config_override=x=1"], "x: no such setting"),
    (["--save_path=/dev/null/run"], "/dev/null: cannot be created: ")])
def test_complains_in_one_line(call, capsys, flags, message):
  assert call("--model=small", *flags) == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py", message)


def test_needs_the_penn_treebank(call, capsys, monkeypatch):
  monkeypatch.delenv("PTB_DATA")
  assert call("--model=small") == 1
  assert_one_line(capsys.readouterr().err, "reproduce.py",
                  "^reproduce.py: data/ptb: no such folder; run python "
                  "data/fetch_ptb.py, or name the folder of the Penn Treebank "
                  "in --data_path or PTB_DATA$")
  assert not os.path.exists("runs")


