"""The training loop, with a model of one number."""

import types

import pytest

from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.tf1 import tf
from rnn.training import loop, passes
from rnn.training.metrics import Metric
from rnn.training.trainable import Trainable
from tests.helpers.run_folders import variables_of

DISTANCE = Metric("distance", lambda sums: sums["distance"], "numbers")


class Number:
  """A split of one batch, a number."""

  size = 1
  inputs = [("float32", [])]

  def __init__(self, number):
    self._number = number

  def __call__(self, step):
    return [self._number]


def make_passes():
  """Each step adds 1 to the parameter. The metric is its distance to a number.

  It is 1 to 4 after the epochs, and validation is best at 2.
  """
  config = types.SimpleNamespace(
      learning_rate=1.0, lr_decay=1.0, max_epoch=9, epoch_size=0,
      max_grad_norm=9.0, optimizer="sgd")

  def make_model(number, is_training, step, learning_rate):
    with tf.variable_scope("model", reuse=tf.AUTO_REUSE):
      variable = tf.get_variable("v", initializer=0.0, use_resource=True)
    counts = {"distance": abs(number - variable), "nats": tf.constant(1.0),
              "targets": tf.constant(1)}
    return Trainable(config, -variable, counts, [variable], is_training,
                     learning_rate)

  return passes.batch_passes(config, {
      "train": Number(0), "valid": Number(2.25), "test": Number(10)},
      make_model)


@pytest.mark.parametrize("resumes", [False, True])
def test_the_test_figures_are_those_of_the_last_and_the_best_epoch(
    tmp_path, capsys, resumes):
  """Also if another process tests them."""
  for _ in range(1 + resumes):
    run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
    rows, tests = loop.run_training(make_passes, 4, DISTANCE, run)
    assert tests == {4: 6, 2: 8} == run.tests()
    (tmp_path / "run" / "tests.json").unlink()
  assert [row["valid_distance"] for row in rows] == [1.25, 0.25, 0.75, 1.75]
  assert capsys.readouterr().out.endswith(
      "Test Distance: 6.000\n"
      "Test Distance: 8.000 (epoch 2, best by validation)\n")
  best = RunDirectory(run.path).best()
  assert (best.epoch, variables_of(best)["model/v"]) == (2, 2)


def test_without_a_run_only_the_last_epoch_is_tested():
  assert loop.run_training(make_passes, 4, DISTANCE)[1] == {4: 6}
