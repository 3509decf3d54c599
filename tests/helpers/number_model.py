"""A model of one number, to test the training loop."""

import math
import types

from rnn.tf1 import tf
from rnn.training import passes
from rnn.training.metrics import Metric
from rnn.training.trainable import Trainable

DISTANCE = Metric("distance", lambda sums: sums["distance"], "numbers")


class Number:
  """A split whose batches are all the same number."""

  inputs = [("float32", [])]

  def __init__(self, number, size=1):
    self._number, self.size = number, size

  def __call__(self, step):
    return [self._number]


def make_passes(size=1, limit=99, **settings):
  """Each step adds 1 to the parameter. The metric is its distance to a number.

  Args:
    size: steps per epoch.
    limit: the parameter at which the loss is infinite.
    settings: of the config. Each step adds 10 times the learning rate.
  """
  config = types.SimpleNamespace(**{
      "learning_rate": 0.1, "lr_decay": 1.0, "max_epoch": 9, "epoch_size": 0,
      "max_grad_norm": 99.0, "optimizer": "sgd", **settings})

  def make_model(number, is_training, step, learning_rate):
    with tf.variable_scope("model", reuse=tf.AUTO_REUSE):
      variable = tf.get_variable("v", initializer=0.0, use_resource=True)
    counts = {"distance": abs(number - variable), "targets": tf.constant(1),
              "nats": tf.where_v2(variable < limit, 1.0, math.inf)}
    return Trainable(config, -10 * variable, counts, [variable], is_training,
                     learning_rate)

  return passes.batch_passes(config, {
      "train": Number(0, size), "valid": Number(2.25), "test": Number(10)},
      make_model)
