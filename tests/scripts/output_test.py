"""Where the script's output goes: a terminal, a closed pipe, a full disk."""

import contextlib
import math
import os
import re

import pytest

import configs
from rnn.training import progress
from tasks import char_lm
from tests.helpers import warm_python
from tests.helpers.calls import ROOT, run_script, start_script, wait_for
from tests.helpers.screens import on_terminal


def test_the_summary_compares_with_the_published_figures():
  row = {"train_perplexity": 40.0, "valid_perplexity": 119.0,
         "words_per_second": 5000.4, "seconds": 1862.7}
  better = row | {"valid_perplexity": 117.0, "words_per_second": math.nan}
  lines = progress.summary(
      [better, row], {2: 113.0, 1: 114.0}, configs.PUBLISHED["small"]
  ).splitlines()
  assert [line.split()[-3:] for line in lines[1:5]] == [
      ["40.00", "119.00", "113.00"], ["40.00", "117.00", "114.00"],
      ["-", "120.70", "114.50"], ["37.99", "121.39", "115.91"]]
  assert lines[1].startswith("this run  ")
  assert lines[2].startswith("this run, epoch 1, best by valid")
  assert lines[5] == "5,000 words/s in training, 1 h 2 min in all 2 epochs"


def test_a_model_worse_than_guessing_uniformly_is_warned_about(
    corpus_folder, call_main, tmp_path, capsys):
  """After each epoch, and in the summary, also of a finished run."""
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run", "--config_override=num_steps=20,"
           "learning_rate=100,max_max_epoch=2,epoch_size=3"]
  assert call_main(*flags) == 0
  out, err = capsys.readouterr()
  advice = ("worse than guessing uniformly; change learning_rate or "
            "max_grad_norm\n")
  assert err == "".join(
      f"ptb_word_lm.py: warning: epoch {number}: perplexity above 9 on train, "
      f"valid: {advice}" for number in (1, 2))
  warning = f"\nthis run: perplexity above 9 on train, valid, test: {advice}"
  assert warning in out
  assert call_main(*flags) == 0
  out, err = capsys.readouterr()
  assert warning in out and not err


def test_bits_worse_than_guessing_uniformly_are_warned_about(
    corpus_folder, call_script, capsys):
  assert call_script(
      char_lm, f"--data_path={corpus_folder}",
      "--config_override=hidden_size=4,num_steps=5,batch_size=4,epoch_size=3,"
      "max_max_epoch=1,learning_rate=9,num_layers=1") == 0
  out, err = capsys.readouterr()
  warning = r"bits per character above 4\.\d+ on train, valid"
  assert re.match(f"char_lm.py: warning: epoch 1: {warning}: ", err), err
  assert re.search(f"\nthis run: {warning}, test: ", out), out


@pytest.mark.slow
def test_a_terminal_shows_a_progress_bar():
  status, text = on_terminal(
      *warm_python.command(), os.path.join(ROOT, "ptb_word_lm.py"),
      "--model=test")
  assert status == 0
  assert re.search(r"Epoch 1: +\d+%\|.*perplexity \d+\.\d+, \d+ wps, .* left",
                   text)
  assert max(map(len, re.split("[\r\n]", text))) == 99  # of 100 columns
  assert "Test:" in text and "speed:" not in text


@pytest.mark.slow
def test_a_closed_pipe_gives_no_traceback(tmp_path):
  """As in `ptb_word_lm.py | head`."""
  with start_script("--model=test", f"--save_path={tmp_path}/run",
                    "--config_override=max_max_epoch=99") as process:
    wait_for(process, "speed")
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ""


def test_a_full_disk_behind_standard_output_gives_one_line(
    call_main, corpus_folder, tmp_path, capsys):
  """Before the first step; the same command begins the run again."""
  flags = ["--model=test", f"--data_path={corpus_folder}",
           "--config_override=max_max_epoch=1"]
  for more in [], [f"--save_path={tmp_path}/run"]:
    full = open("/dev/full", "w")
    with contextlib.redirect_stdout(full):
      assert call_main(*flags, *more) == 1
    with contextlib.suppress(OSError):
      full.close()
    assert capsys.readouterr().err == (
        "ptb_word_lm.py: standard output: No space left on device\n")
  assert call_main(*flags, *more) == 0
  assert "Test Perplexity" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 3])
def test_a_reader_that_ends_early_leaves_a_run_to_resume(
    corpus_folder, tmp_path, lines):
  """As in `ptb_word_lm.py | head -3`."""
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run", "--config_override=max_max_epoch=1"]
  with start_script(*flags) as process:
    for _ in range(lines):
      process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ""
  assert run_script(*flags).returncode == 0
