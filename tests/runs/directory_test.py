"""The files of a run directory, for other programs to read."""

import contextlib
import dataclasses
import glob
import hashlib
import json
import os

import numpy as np
import pytest

import configs
import reader
from rnn import signals
from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tests.helpers.calls import run_script
from tests.helpers.run_folders import StopAfter, rows_of, training_run


@pytest.mark.slow
def test_the_run_directory_has_all_documented_files(corpus_folder, tmp_path):
  flags = ["--model=small", f"--data_path={corpus_folder}", "--seed=3",
           f"--save_path={tmp_path}/deep/run",
           "--config_override=hidden_size=8,max_max_epoch=5,num_steps=4"]
  done = run_script(*flags)
  assert (done.returncode, done.stderr) == (0, "")
  folder = tmp_path / "deep" / "run"
  config = json.loads((folder / "config.json").read_text())
  assert (config["model"], config["seed"]) == ("small", 3)
  assert config["overrides"] == "hidden_size=8,max_max_epoch=5,num_steps=4"
  assert configs.Config(**config["settings"]) == dataclasses.replace(
      configs.SMALL, hidden_size=8, max_max_epoch=5, num_steps=4)
  with open(f"{corpus_folder}/valid.txt", "rb") as file:
    text = file.read()
  assert config["data"]["valid"] == {
      "file": "valid.txt", "bytes": len(text), "tokens": 720,
      "sha256": hashlib.sha256(text).hexdigest()}
  *_, vocabulary = reader.ptb_raw_data(corpus_folder)
  run = RunDirectory(str(folder))
  assert run.vocabulary() == vocabulary
  checkpoints = run.checkpoints()
  assert [(c.epoch, c.best) for c in checkpoints if not c.best] == [
      (5, False), (4, False), (3, False)]
  assert len([c for c in checkpoints if c.best]) == 1
  assert run.best().epoch == 1 + int(np.argmin(
      [float(row["valid_perplexity"]) for row in rows_of(run.path)]))
  assert tf.train.latest_checkpoint(run.path) == checkpoints[0].variables
  with open(folder / "learning_curve.png", "rb") as file:
    assert file.read(8) == b"\x89PNG\r\n\x1a\n"
  assert not glob.glob(f"{folder}/**/*.partial", recursive=True)


@pytest.mark.slow
def test_the_newest_checkpoints_are_kept(run_flags, tmp_path, call_main):
  def kept_epochs(epochs, keep):
    assert call_main(
        *run_flags[:-1], f"--keep={keep}",
        f"--config_override=hidden_size=8,max_max_epoch={epochs}") == 0
    return [c.epoch for c in RunDirectory(f"{tmp_path}/run").checkpoints()
            if not c.best]

  assert kept_epochs(epochs=4, keep=4) == [4, 3, 2, 1]
  assert kept_epochs(epochs=5, keep=2) == [5, 4]  # the flag may change
  assert kept_epochs(epochs=6, keep=1) == [6]


@pytest.mark.slow
def test_checkpoints_within_an_epoch_displace_no_end(
    run_flags, tmp_path, call_main, monkeypatch):
  def kept_epochs():
    return [c.epoch for c in RunDirectory(f"{tmp_path}/run").checkpoints()
            if not c.best]

  flags = [*run_flags[:-1], "--keep=3", "--save_secs=0.001",
           "--config_override=hidden_size=8,max_max_epoch=4"]
  monkeypatch.setattr(signals, "on_signals", lambda: contextlib.nullcontext(
      StopAfter(3 * (89 + 12) + 40)))  # in epoch 4
  assert call_main(*flags) == 143
  assert kept_epochs() == [None, None, None, 3, 2, 1]
  monkeypatch.undo()
  assert call_main(*flags) == 0
  assert kept_epochs() == [4, None, None, 3, 2]


@pytest.mark.parametrize("path", ["run", "runs/../runs/small", "{}/run"])
def test_tensorflow_finds_the_newest_checkpoint(tmp_path, monkeypatch, path):
  """From any working folder, and after the run has been moved."""
  monkeypatch.chdir(tmp_path)
  path = path.format(tmp_path)
  run = training_run(path, None)
  with tf.Graph().as_default(), tf.Session() as session, run.open():
    tf.get_variable("x", initializer=1.0)
    session.run(tf.global_variables_initializer())
    run.begin(0)
    for step in 1, 2:
      run.save(session, tf.train.Saver(), step, {"rows": []})

  def assert_found(path):
    newest = os.path.join(path, "checkpoints", "step-000000002", "model.ckpt")
    found = tf.train.latest_checkpoint(path)
    assert found and os.path.abspath(found) == os.path.abspath(newest)

  assert_found(path)
  path = os.path.abspath(path)
  (tmp_path / "elsewhere").mkdir()
  monkeypatch.chdir("elsewhere")
  assert_found(path)
  assert_found(os.path.relpath(path))
  os.rename(path, "moved")
  assert_found("moved")
