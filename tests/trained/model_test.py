"""Loading models from runs: the last, the best, and averages."""

import json
import os
import shutil

import numpy as np
import pytest

from rnn import files
from rnn.errors import SettingError
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory
from tests.helpers import run_folders
from trained.model import load


def parameters_of(checkpoint):
  """Returns the parameters in a Checkpoint: a dict, name -> array."""
  return {name: value
          for name, value in run_folders.variables_of(checkpoint).items()
          if name.startswith("Model/")}


def assert_same(values, expected):
  assert values.keys() == expected.keys()
  for name, value in values.items():
    np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.fixture
def run(trained_runs, tmp_path):
  """A copy of a run that tests may change. Its second epoch is the best."""
  shutil.copytree(trained_runs / "a", tmp_path / "run")
  run = RunDirectory(str(tmp_path / "run"))
  second = next(c for c in run.checkpoints() if c.epoch == 2)
  shutil.rmtree(run.best().path)
  shutil.copytree(second.path, os.path.join(
      os.path.dirname(second.path), f"best-{os.path.basename(second.path)}"))
  return run


def test_the_last_and_the_best_checkpoint(run):
  last, _, second, first = run.checkpoints()
  assert [last.epoch, second.epoch, first.epoch] == [3, 2, 1]
  model = load(run.path)
  assert_same(model.values, parameters_of(last))
  assert model.name == f"{run.path} (epoch 3)"
  assert model.vocabulary == run.vocabulary()
  assert model.config.layer_sizes == (24, 24) and model.config.num_steps == 5
  model = load(run.path, "best")
  assert_same(model.values, parameters_of(second))
  assert model.name == f"{run.path} (epoch 2)"


@pytest.mark.parametrize("last, warns", [(104.9, False), (105.1, True)])
def test_a_last_epoch_far_behind_the_best_is_named(run, caplog, last, warns):
  """By more than 5 %."""
  newest = run.checkpoints()[0]
  path = os.path.join(newest.path, "journal.json")
  journal = files.read_sealed(path)
  for row, figure in zip(journal["rows"], (200, 100, last), strict=True):
    row["valid_perplexity"] = figure
  files.write_sealed(path, journal)
  for model in load(run.path), load(run.path, "best"):
    assert model.config.num_steps == 5
  assert [record.getMessage() for record in caplog.records] == [
      f"{run.path}: on validation, epoch 3, the last, is far behind epoch 2, "
      "the best (105.100 and 100.000; lower is better); checkpoint=best uses "
      "that"] * warns


def test_an_average_leaves_out_the_copy_of_the_best(run):
  values = [parameters_of(c) for c in run.checkpoints() if not c.best]
  for number in 2, 3:
    model = load(run.path, average_last=number)
    for name, value in model.values.items():
      np.testing.assert_allclose(
          value, sum(v[name].astype(float) for v in values[:number]) / number,
          rtol=1e-6, atol=1e-9)
  assert model.name == f"{run.path} (epoch 3, epoch 2, epoch 1)"


def test_an_average_uses_only_ends_of_epochs(run):
  newest = run.checkpoints()[0].path
  os.rename(newest, newest.removesuffix("-epoch-3"))
  assert load(run.path).name.endswith(f"(step {run.checkpoints()[0].step})")
  assert load(run.path, average_last=2).name.endswith("(epoch 2, epoch 1)")


@pytest.mark.parametrize("settings, message", [
    ({"average_last": 9}, "average_last=9: .*run has the checkpoints of only 3 "
     "epochs; lower it, or train with keep=9 or more"),
    ({"average_last": 2, "checkpoint": "best"},
     "checkpoint=best: average_last=2 averages the last epochs; leave out "
     "one of the two"),
    ({"average_last": 0}, "average_last=0: must be at least 1"),
    ({"checkpoint": "lst"}, "checkpoint=lst: must be last or best")])
def test_averages_that_cannot_be_computed(run, settings, message):
  with pytest.raises(SettingError, match=message) as error:
    load(run.path, **settings)
  assert error.value.setting in settings


def test_before_the_end_of_an_epoch_there_is_no_best(run):
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == 3 and not checkpoint.best:
      os.rename(checkpoint.path, checkpoint.path.removesuffix("-epoch-3"))
    else:
      shutil.rmtree(checkpoint.path)
  with pytest.raises(SettingError, match=(
      "checkpoint=best: no epoch of .*run has ended yet; leave it out$")):
    load(run.path, "best")
  with pytest.raises(SettingError, match="checkpoints of only 0 epochs"):
    load(run.path, average_last=2)


def test_a_run_may_have_no_best_epoch(run):
  """As word vectors, which have no validation."""
  shutil.rmtree(run.best().path)
  with pytest.raises(SettingError, match="checkpoint=best: .*/run has no chec"
                     "kpoint of a best epoch by validation; leave it out$"):
    load(run.path, "best")


def test_a_damaged_newest_checkpoint_is_skipped_with_a_warning(run, caplog):
  newest = run.checkpoints()[0]
  os.truncate(f"{newest.variables}.data-00000-of-00001", 100)
  assert load(run.path).name.endswith("(epoch 2)")
  assert f"damaged checkpoint: {newest.path}" in caplog.text


@pytest.mark.parametrize("settings, damaged, message", [
    ({"average_last": 2}, 3, "average_last=2: damaged checkpoint: .*-3: .*; "
     "leave it out to use the newest readable checkpoint"),
    ({"checkpoint": "best"}, 2, "checkpoint=best: damaged checkpoint: "
     ".*best-.*; leave it out to use")])
def test_a_checkpoint_asked_for_is_never_skipped(
    run, settings, damaged, message):
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == damaged:
      os.truncate(f"{checkpoint.variables}.data-00000-of-00001", 100)
  with pytest.raises(SettingError, match=message):
    load(run.path, **settings)


@pytest.mark.parametrize("average_last, used", [
    (1, "(epoch 2)"), (2, "(epoch 2, epoch 1)")])
def test_training_may_delete_a_checkpoint_meanwhile(
    run, monkeypatch, caplog, average_last, used):
  """The checkpoints that exist then are used, without a warning."""
  read = Checkpoint.read

  def remove_first(checkpoint, variables):
    monkeypatch.setattr(Checkpoint, "read", read)
    os.rename(checkpoint.path, f"{run.path}/gone")
    return read(checkpoint, variables)

  monkeypatch.setattr(Checkpoint, "read", remove_first)
  model = load(run.path, average_last=average_last)
  assert model.name.endswith(used) and not caplog.records


@pytest.mark.parametrize("settings", [{}, {"checkpoint": "best"},
                                      {"average_last": 2}])
def test_training_may_replace_a_checkpoint_meanwhile(
    run, monkeypatch, caplog, settings):
  """A new name is found, even if every name of before is gone."""
  def rename_all(checkpoint, real=Checkpoint.journal):
    monkeypatch.setattr(Checkpoint, "journal", real)
    for old in run.checkpoints():
      os.rename(old.path, old.path.replace("-000", "-001"))
    return real(checkpoint)

  expected = load(run.path, **settings)
  monkeypatch.setattr(Checkpoint, "journal", rename_all)
  assert_same(load(run.path, **settings).values, expected.values)
  assert not caplog.records


def test_a_run_without_a_checkpoint(run):
  shutil.rmtree(f"{run.path}/checkpoints")
  for checkpoint in "last", "best":
    with pytest.raises(RunError, match="has no checkpoint yet"):
      load(run.path, checkpoint)


def test_a_run_whose_tokens_are_no_text(run):
  with open(f"{run.path}/config.json") as file:
    config = json.load(file)
  with open(f"{run.path}/config.json", "w") as file:
    json.dump(config | {"tokens": "names"}, file)
  with pytest.raises(RunError, match="tokens .* neither words nor characters"):
    load(run.path)
