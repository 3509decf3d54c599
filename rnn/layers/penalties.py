"""Penalties on the outputs of the last layer, Merity et al. 2018 (1708.02182).

They are per word, so a window of T words has T times as much. With h_t before
dropout and d_t after it, and means over all words, streams and units:

    T activation_penalty mean(d_t^2)
    T slowness_penalty mean((h_t - h_{t-1})^2)

The differences are the T - 1 ones within the window. "Temporal activation
regularization" is the name of the second penalty in the paper.
"""

from collections.abc import Mapping

import configs
from rnn.tf1 import tf


def add(cost: tf.Tensor, config: configs.Config,
        results: Mapping[str, tf.Tensor]) -> tf.Tensor:
  """Returns a cost with the penalties of a config.

  Args:
    results: of a window, see `stack.run`.
  """
  penalties = []
  if config.activation_penalty:
    penalties.append(config.activation_penalty * _mean_square(
        tf.cast(results["outputs"], tf.float32)))
  if config.slowness_penalty:
    h = tf.cast(results["undropped"], tf.float32)
    penalties.append(
        config.slowness_penalty * _mean_square(h[1:] - h[:-1]))
  num_steps = tf.shape(results["outputs"])[0] if penalties else 0
  for penalty in penalties:
    cost += tf.cast(num_steps, tf.float32) * penalty
  return cost


def _mean_square(x: tf.Tensor) -> tf.Tensor:
  """Returns the mean of the squares of [T, B, H]; 0 if T is 0."""
  positions = tf.reduce_mean(tf.square(x), axis=2)  # (T, B)
  return tf.reduce_sum(positions) / tf.cast(
      tf.maximum(tf.size(positions), 1), tf.float32)
