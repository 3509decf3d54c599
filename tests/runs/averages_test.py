"""Runs with optimizer=asgd: checkpoints hold the averages."""

import dataclasses
import functools

import numpy as np
import pytest

import configs
import ptb_word_lm
import reader
from rnn import signals
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.training import loop
from rnn.training.metrics import Metric
from tests.helpers.number_model import DISTANCE, make_passes
from tests.helpers.run_folders import StopAfter, assert_same_run, variables_of
from trained import model

MODEL = functools.partial(
    make_passes, 2, optimizer="asgd", asgd_patience=1)
# Each step adds 1, and the metric is the distance to 2.25. After 3 epochs of 2
# steps the distances are 0.25, 1.75 and 3.75, so averaging begins at 6. The
# averages after epochs 4 and 5 are the means of 7, 8 and of 7, 8, 9, 10.
FIGURES = [0.25, 1.75, 3.75, 7.5 - 2.25, 8.5 - 2.25]


def train(folder, epochs=5, **kwargs):
  run = TrainingRun(str(folder), {}, metric="distance", keep=99)
  return loop.run_training(MODEL, epochs, DISTANCE, run, **kwargs)


def test_everything_but_the_steps_uses_the_averages(tmp_path, capsys):
  seen = []
  hooks = dict.fromkeys(("after_epoch", "at_end"), lambda session, model:
                        seen.append(session.run(model.variables[0])))
  rows, tests = train(tmp_path / "run", **hooks)
  assert [row["valid_distance"] for row in rows] == FIGURES
  assert tests == {5: 10 - 8.5, 1: 10 - 2}
  assert seen == [2, 4, 6, 7.5, 8.5, 8.5]
  out = capsys.readouterr().out
  assert out.index("Epoch: 3 Valid") < out.index(
      "Averaging of the parameters begins, because validation was better in "
      "epoch 1 (asgd_patience=1)\n") < out.index("Epoch: 4 ")
  run = RunDirectory(str(tmp_path / "run"))
  values = {c.epoch: variables_of(c) for c in run.checkpoints()}
  for epoch, average, trained, start in (
      (1, 2, 0, -1), (2, 4, 0, -1), (3, 6, 6, 6), (4, 7.5, 8, 6),
      (5, 8.5, 10, 6)):
    assert [values[epoch][name] for name in (
        "model/v", "asgd/model/v", "asgd/start")] == [average, trained, start]
  assert run.best().epoch == 1


def test_checkpoints_within_an_epoch_hold_the_averages(tmp_path):
  """The run ends as if there were none."""
  rows, tests = train(tmp_path / "run", save_secs=0)
  assert ([row["valid_distance"] for row in rows], tests) == (
      FIGURES, {5: 1.5, 1: 8})
  values = {c.step: variables_of(c)
            for c in reversed(RunDirectory(str(tmp_path / "run")).checkpoints())
            if not c.best}
  assert [(v["model/v"], v["asgd/model/v"]) for _, v in sorted(
      values.items())] == [
          (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 6), (7, 7), (7.5, 8),
          (8, 9), (8.5, 10)]


@pytest.mark.parametrize("windows, step, value", [
    (10, 7, 7), (12, 8, 7.5), *(pytest.param(*case, marks=pytest.mark.slow)
                                for case in ((9, 6, 6), (16, 10, 8.5)))])
def test_a_run_stopped_anywhere_ends_as_if_it_were_not(
    tmp_path, windows, step, value):
  """Each epoch has two windows of training and one of validation."""
  with pytest.raises(signals.Stopped):
    train(tmp_path / "run", check_stop=StopAfter(windows))
  newest = RunDirectory(str(tmp_path / "run")).checkpoints()[0]
  assert (newest.step, variables_of(newest)["model/v"]) == (step, value)
  rows, tests = train(tmp_path / "run")
  assert ([row["valid_distance"] for row in rows], tests) == (
      FIGURES, {5: 1.5, 1: 8})


def test_epochs_added_later_give_the_same_run(tmp_path):
  for epochs in 3, 4, 4, 5:
    rows, tests = train(tmp_path / "run", epochs)
  assert ([row["valid_distance"] for row in rows], tests) == (
      FIGURES, {5: 1.5, 1: 8})


def test_averaging_that_has_begun_goes_on_with_another_patience(
    tmp_path, monkeypatch):
  train(tmp_path / "run", 4)
  with monkeypatch.context() as patch:
    patch.setitem(MODEL.keywords, "asgd_patience", 9)
    rows, _ = train(tmp_path / "run")
  assert [row["valid_distance"] for row in rows] == FIGURES


# A metric that rises while the model learns, so that averaging begins.
WORSENING = Metric(
    "gain", lambda sums: -sums["nats"] / sums["targets"], "words")
CONFIG = dataclasses.replace(
    configs.TEST, optimizer="asgd", asgd_patience=1, hidden_size=8,
    num_steps=5, keep_prob=0.8, weight_decay=1e-3, max_epoch=9, max_max_epoch=5)


@pytest.fixture(scope="module")
def undisturbed(corpus_folder, tmp_path_factory):
  """A corpus, and the folder of a run that averages from epoch 4 on."""
  *ids, vocabulary = reader.ptb_raw_data(corpus_folder)
  # An epoch has 5 windows, validation 4.
  corpus = ids[0][:520], ids[1][:320], ids[2][:20], vocabulary
  folder = tmp_path_factory.mktemp("asgd") / "run"
  ptb_word_lm.train(
      CONFIG, corpus, run_of(folder, vocabulary), metric=WORSENING)
  return corpus, folder


def run_of(folder, vocabulary):
  return TrainingRun(
      str(folder), {
          "model": "test", "settings": dataclasses.asdict(CONFIG),
          "precision": "float32", "seed": 0, "data": {"path": ""},
          "tokens": "words"}, vocabulary, metric="gain")


def test_a_stopped_run_ends_in_the_same_bits(undisturbed, tmp_path):
  """Within an epoch of averages, in its validation, and in the test."""
  corpus, folder = undisturbed
  ends = []
  for windows in (3 * 9 + 3, 3, 99):
    run = run_of(tmp_path / "run", corpus[-1])
    try:
      ptb_word_lm.train(CONFIG, corpus, run, metric=WORSENING,
                        check_stop=StopAfter(windows))
    except signals.Stopped:
      newest = run.checkpoints()[0]
      ends.append((newest.step, newest.epoch))
  assert ends == [(18, None), (20, None)]
  assert variables_of(run.checkpoints()[0])["asgd/start"] == 15
  assert_same_run(folder, run.path)


def test_users_of_a_run_get_the_averages(undisturbed):
  corpus, folder = undisturbed
  run = RunDirectory(str(folder))
  newest = run.checkpoints()[0]
  saved = variables_of(newest)
  trained = model.load(str(folder))
  for name, value in trained.values.items():
    assert (value == saved[name]).all()
    assert (value != saved[f"asgd/{name}"]).any()
  evaluated = ptb_word_lm.evaluate(run, {"valid": corpus[1]}, metric=WORSENING)
  assert evaluated[newest]["valid"] == newest.journal()["rows"][-1][
      "valid_gain"]
  averaged = model.load(str(folder), average_last=2).values
  before = variables_of(run.checkpoints()[1])
  for name, value in averaged.items():
    np.testing.assert_allclose(
        value, (saved[name] + before[name]) / 2, atol=1e-7)
