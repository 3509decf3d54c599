"""Damaged checkpoints are detected, named and skipped."""

import glob
import os
import shutil

import numpy as np
import pytest

from rnn import files
from rnn.runs.checkpoints import assign
from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tests.helpers.run_folders import (
  assert_same_run,
  contents,
  damaged_versions,
  empty,
  garble,
  truncate,
  variables_of,
)


@pytest.mark.parametrize("name, damage", [
    pytest.param(name, damage, marks=[] if (name, damage) == (
        "journal.json", truncate) else pytest.mark.slow)
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001",
                 "journal.json")
    for damage in (garble, truncate, empty, os.remove)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    trained_flags, tmp_path, call_main, capsys, damage, name):
  shutil.copytree(tmp_path / "run", tmp_path / "undisturbed")
  run = RunDirectory(f"{tmp_path}/run")
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == 2:  # also its copy, the best one
      damage(os.path.join(checkpoint.path, name))
  assert call_main(*trained_flags) == 0
  out, err = capsys.readouterr()
  newest, before = (f"{run.path}/checkpoints/step-000000{step}-epoch-{epoch}"
                    for step, epoch in (("178", 2), ("089", 1)))
  warnings = err.splitlines()
  assert len(warnings) == 2  # newest and best
  for warning in warnings:
    assert warning.startswith("ptb_word_lm.py: warning: damaged checkpoint: ")
    assert warning.endswith(f"; using {before}")
  assert newest in warnings[0]
  assert "resuming at epoch 2, step 0 of 89" in out
  assert os.path.isdir(f"{run.path}/checkpoints/aside-"
                       + os.path.basename(newest))
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


def test_lack_of_memory_is_no_damage(trained_flags, tmp_path, monkeypatch):
  """Otherwise, a good checkpoint would be set aside."""
  newest = RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  run = tf.Session.run

  def run_out(session, fetches, *args, **kwargs):
    if any("Assign" in op.name for op in tf.nest.flatten(fetches)):
      raise tf.errors.ResourceExhaustedError(None, None, "OOM")
    return run(session, fetches, *args, **kwargs)

  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.get_variable("Model/softmax_b", [9], use_resource=True)
    newest.load(session, [variable])
    monkeypatch.setattr(tf.Session, "run", run_out)
    with pytest.raises(tf.errors.ResourceExhaustedError):
      newest.load(session, [variable])


@pytest.mark.slow
def test_damage_to_any_byte_of_a_checkpoint_is_detected(
    trained_flags, tmp_path):
  """Changes bytes all over each file: it fails to load, or loads the same."""
  newest = RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  journal, values = newest.journal(), variables_of(newest)
  detected = 0
  for path in glob.glob(f"{newest.path}/*"):
    with open(path, "rb") as file:
      whole = file.read()
    for changed in damaged_versions(whole, 60):
      with open(path, "wb") as file:
        file.write(changed)
      with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable(name, initializer=np.zeros_like(value))
            for name, value in values.items()]
        try:
          assert newest.journal() == journal
          assign(session, variables, newest.read(variables))
        except files.DamagedError:
          detected += 1
        else:
          for variable, value in zip(variables, values.values(), strict=True):
            assert session.run(variable).tobytes() == value.tobytes()
    with open(path, "wb") as file:
      file.write(whole)
  assert detected > 100


@pytest.mark.slow
def test_if_no_checkpoint_is_readable_all_are_named(
    trained_flags, tmp_path, call_main, capsys):
  run = RunDirectory(f"{tmp_path}/run")
  for checkpoint in run.checkpoints():
    truncate(f"{checkpoint.path}/model.ckpt.index")
  before = contents(run.path)
  assert call_main(*trained_flags) == 1
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert f"{run.path}: no checkpoint is readable; restore one, or" in err
  for checkpoint in run.checkpoints():
    assert checkpoint.path in err
  assert contents(run.path) == before


@pytest.mark.slow
def test_changed_test_figures_are_measured_again(
    trained_flags, tmp_path, call_main):
  run = RunDirectory(f"{tmp_path}/run")
  tests, path = run.tests(), tmp_path / "run" / "tests.json"
  text = path.read_text()
  for bad in text.replace("0", "1"), '{"2": "x"}', "[" * 5000, "", "null":
    path.write_text(bad)
    assert run.tests() == {}
    assert call_main(*trained_flags) == 0
    assert run.tests() == tests
