"""The checkpoints of a run, with a model of one number."""

import csv
import os
import tracemalloc

import numpy as np
import pytest

from rnn.runs import checkpoints
from rnn.runs.training_run import TrainingRun
from rnn.tf1 import tf
from tests.helpers.run_folders import contents, variables_of

EPOCH = 10  # steps


class Training:
  """Writes a run directory as training does.

  The value of the model is the step at which it is saved.
  """

  def __init__(self, folder, session):
    self.run, self.session = TrainingRun(str(folder), {}, keep=2), session
    self.rows = []
    self.value = tf.get_variable("v", initializer=0)
    self.saver = tf.train.Saver(max_to_keep=0)

  def save(self, step, valid=None):
    """Saves a checkpoint; if `valid` is given, as the end of an epoch."""
    if valid is not None:
      self.rows.append({
          "epoch": step // EPOCH, "learning_rate": 1.0,
          "train_perplexity": 9.0, "valid_perplexity": valid})
    self.value.load(step, self.session)
    self.run.save(self.session, self.saver, step,
                  {"rows": list(self.rows), "seconds": 0},
                  ends_epoch=valid is not None)

  def names(self):
    """Returns what is in the folder of checkpoints."""
    return sorted(os.listdir(f"{self.run.path}/checkpoints"))


@pytest.fixture
def training(tmp_path):
  """A Training, whose run is open."""
  with tf.Graph().as_default(), tf.Session() as session:
    training = Training(tmp_path / "run", session)
    with training.run.open():
      training.run.begin(0)
      yield training


def test_an_average_is_computed_in_float64():
  values = [{"v": np.float32([x])} for x in (2 ** 24, 1, 1, 0)]
  assert checkpoints.average(values)["v"] == (2 ** 24 + 2) / 4


def test_an_average_needs_the_same_memory_for_any_number_of_models():
  size = 1 << 20

  def peak(number):
    tracemalloc.start()
    try:
      models = ({"v": np.full([size], n, np.float32), "w": np.ones([4])}
                for n in range(number))
      mean = checkpoints.average(models)
      assert (mean["v"] == (number - 1) / 2).all() and (mean["w"] == 1).all()
      return tracemalloc.get_traced_memory()[1]
    finally:
      tracemalloc.stop()

  # The sums of 8 bytes, a model of 4, and the first model while it is added.
  assert max(peak(2), peak(6)) < 17 * size


def test_the_newest_checkpoints_and_the_best_are_kept(training):
  for step, valid, names in [
      (10, 5.0, ["best-step-000000010-epoch-1", "step-000000010-epoch-1"]),
      (20, 3.0, ["best-step-000000020-epoch-2", "step-000000010-epoch-1",
                 "step-000000020-epoch-2"]),
      # The earlier one of two equal epochs is the best.
      (30, 3.0, ["best-step-000000020-epoch-2", "step-000000020-epoch-2",
                 "step-000000030-epoch-3"]),
      (35, None, ["best-step-000000020-epoch-2", "step-000000020-epoch-2",
                  "step-000000030-epoch-3", "step-000000035"]),
      # The end of epoch 3 stays next to the two newest.
      (40, 4.0, ["best-step-000000020-epoch-2", "step-000000030-epoch-3",
                 "step-000000035", "step-000000040-epoch-4"]),
      (50, 2.0, ["best-step-000000050-epoch-5", "step-000000040-epoch-4",
                 "step-000000050-epoch-5"])]:
    training.save(step, valid)
    assert training.names() == names
    newest = training.run.checkpoints()[0]
    assert newest.step == step
    assert variables_of(training.run.best())["v"] == training.run.best().step
    latest = tf.train.latest_checkpoint(training.run.path)
    assert tf.train.load_variable(latest, "v") == step
    assert len(newest.journal()["rows"]) == len(training.rows)
    with open(f"{training.run.path}/metrics.csv", newline="") as file:
      assert [float(row["valid_perplexity"]) for row in csv.DictReader(file)
              ] == [row["valid_perplexity"] for row in training.rows]


def test_the_end_of_an_epoch_comes_after_its_last_step(training):
  training.save(10)
  training.save(10, 5.0)
  assert [(c.epoch, c.best) for c in training.run.checkpoints()] == [
      (1, False), (1, True), (None, False)]


def test_a_step_is_saved_once(training):
  """As by a stop right after a checkpoint."""
  training.save(5)
  before = contents(training.run.path)
  training.save(5)
  assert contents(training.run.path) == before


def test_only_checkpoints_within_an_epoch_are_set_aside(training):
  for step, valid in (10, 5.0), (15, None):
    training.save(step, valid)
    for other in (5, 10, 16):
      training.run.set_aside(other)
    training.run.set_aside(step)
  assert training.names() == [
      "aside-step-000000015", "best-step-000000010-epoch-1",
      "step-000000010-epoch-1"]
  training.save(15)
  training.run.set_aside(15)  # replaces the one before
  assert training.names()[0] == "aside-step-000000015"
  assert training.run.checkpoints()[0].step == 10


def test_files_follow_the_checkpoint_that_is_restored(training):
  for step, valid in (10, 5.0), (20, 4.0), (30, 3.0):
    training.save(step, valid)
  run = training.run
  run.keep_tests({1: 8.0, 2: 7.0, 3: 6.0})
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == 3:
      os.remove(f"{checkpoint.path}/journal.json")
  checkpoint, journal = run.restore(training.session, [training.value])
  assert (checkpoint.step, checkpoint.epoch) == (20, 2)
  assert training.session.run(training.value) == 20
  assert journal["rows"] == training.rows[:2]
  assert training.names() == [
      "aside-best-step-000000030-epoch-3", "aside-step-000000030-epoch-3",
      "best-step-000000020-epoch-2", "step-000000020-epoch-2"]
  assert run.tests() == {1: 8.0, 2: 7.0}
  assert tf.train.latest_checkpoint(run.path) == checkpoint.variables
  with open(f"{run.path}/metrics.csv") as file:
    assert len(file.readlines()) == 1 + 2
