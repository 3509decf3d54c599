"""Training that diverges stops before a bad update is saved."""

import contextlib
import math
import os
import re
import signal

import numpy as np
import pytest

from rnn import signals
from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from rnn.training import divergence, loop
from tests.helpers.calls import run_script
from tests.helpers.run_folders import variables_of


@pytest.mark.slow
def test_divergence_stops_before_the_bad_update_is_saved(
    corpus_folder, tmp_path):
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run", "--save_secs=0"]
  # The rate is fine for an epoch, and then far too high.
  good = "hidden_size=8,max_max_epoch=1"
  assert run_script(*flags, f"--config_override={good}").returncode == 0
  bad = "hidden_size=8,max_max_epoch=3,learning_rate=1e30,max_grad_norm=1e30"
  done = run_script(*flags, f"--config_override={bad}")
  assert done.returncode == 1
  message = re.fullmatch(
      r"ptb_word_lm.py: diverged at epoch 2, step (\d+) of 89: the loss is "
      r"\S+ nats per word \(learning rate 5e\+29, gradient norm \S+, \S+ one "
      r"step before\); lower learning_rate or max_grad_norm, then resume "
      r"(\S+), from its checkpoint (\S+) \(--config_override\)\n", done.stderr)
  assert message, done.stderr
  assert "settings.learning_rate (1.0 there, 1e+30 here)" in done.stdout
  run = RunDirectory(f"{tmp_path}/run")
  newest = run.checkpoints()[0]
  assert newest.path == f"{message[2]}/checkpoints/{message[3]}"
  assert message[2] == run.path and newest.epoch == 1
  assert newest.step < 89 + int(message[1]) - 1  # before the bad update
  for checkpoint in run.checkpoints():
    for name, value in variables_of(checkpoint).items():
      assert (abs(value) < 1e6).all(), name

  # A lower rate, given by name, resumes from there.
  lower = "hidden_size=8,max_max_epoch=2,learning_rate=0.5,max_grad_norm=1"
  done = run_script(*flags, f"--config_override={lower}")
  assert (done.returncode, done.stderr) == (0, "")
  assert "resuming at epoch 2, step 0 of 89" in done.stdout


@pytest.mark.slow
def test_a_checkpoint_that_fails_validation_is_set_aside(
    corpus_folder, tmp_path, call_main, capsys):
  """In an epoch of one step its result is saved before it is validated."""
  flags = ["--model=test", f"--data_path={corpus_folder}", "--save_secs=0",
           f"--save_path={tmp_path}/run"]
  sizes = "hidden_size=8,num_steps=179,max_max_epoch=3,"
  assert call_main(*flags, "--config_override=" + sizes
                   + "learning_rate=1e7,max_grad_norm=1e7") == 1
  err = capsys.readouterr().err
  assert re.search(r"diverged at epoch 1, step 1 of 1: the validation "
                   r"perplexity is (inf|nan) .* then start again ",
                   err)
  assert os.listdir(tmp_path / "run" / "checkpoints") == [
      "aside-step-000000001"]
  assert call_main(*flags, "--config_override=" + sizes
                   + "learning_rate=0.1,max_grad_norm=1") == 0


def test_parameters_that_are_not_finite_are_not_saved(
    corpus_folder, tmp_path, call_main, capsys, monkeypatch):
  """A stop comes one step before the loss would reveal the bad update."""
  @contextlib.contextmanager
  def spoil():
    def check_stop():
      graph = tf.get_default_graph()
      bias = graph.get_collection("trainable_variables")[-1]
      bias.load(np.full(bias.shape, np.nan), sessions[0])
      raise signals.Stopped(signal.SIGTERM)
    yield check_stop

  sessions = []
  real = loop.repeatable_session
  monkeypatch.setattr(signals, "on_signals", spoil)
  monkeypatch.setattr(loop, "repeatable_session",
                      lambda *args: sessions.append(real(*args)) or sessions[0])
  assert call_main("--model=test", f"--data_path={corpus_folder}",
                   f"--save_path={tmp_path}/run") == 1
  assert ("diverged at epoch 1, step 1 of 89: a parameter is not finite "
          "(learning rate 1, gradient norm ") in capsys.readouterr().err
  assert not os.listdir(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize("good_norm, shown", [
    (2.5, "gradient norm inf, 2.5 one step before"),
    (math.nan, "gradient norm inf")])
def test_the_first_step_has_none_before_it(good_norm, shown):
  error = divergence.error(
      "epoch 1, step 1 of 9", "the loss is inf", 1.0, good_norm, math.inf, None)
  assert f"(learning rate 1, {shown}); lower" in str(error)
