"""Penalties on the outputs of the last layer, Merity et al. 2018 (1708.02182).

They are per word, so a window of T words has T times as much. With h_t before
dropout and d_t after it, and means over all words, streams and units:

    T activation_penalty mean(d_t^2)
    T slowness_penalty mean((h_t - h_{t-1})^2)

The differences are the T - 1 ones within the window. "Temporal activation
regularization" is the name of the second penalty in the paper. Positions
without a target do not count; then T is the mean of the streams' lengths.
"""

from collections.abc import Mapping

import configs
from rnn.text.streams import NO_TARGET
from rnn.tf1 import tf


def cost(config: configs.Config, nats: tf.Tensor,
         results: Mapping[str, tf.Tensor], targets: tf.Tensor) -> tf.Tensor:
  """Returns nats / B, and the penalties of a config.

  Args:
    nats: scalar, of a window.
    results: of the window, see `stack.run`.
    targets: [T, B], of the window.
  """
  batch_size = tf.cast(tf.shape(targets)[1], tf.float32)
  total = nats / batch_size
  if not (config.activation_penalty or config.slowness_penalty):
    return total
  live = tf.cast(tf.not_equal(targets, NO_TARGET), tf.float32)
  num_steps = tf.reduce_sum(live) / batch_size
  if config.activation_penalty:
    d = tf.cast(results["outputs"], tf.float32)
    total += num_steps * config.activation_penalty * _mean_square(d, live)
  if config.slowness_penalty:
    h = tf.cast(results["undropped"], tf.float32)
    # A position has no target if the one before has none.
    total += num_steps * config.slowness_penalty * _mean_square(
        h[1:] - h[:-1], live[1:])
  return total


def _mean_square(x: tf.Tensor, live: tf.Tensor) -> tf.Tensor:
  """Returns the mean of the squares of [T, B, H]; 0 if nothing is live.

  Args:
    live: [T, B], 0 where a position does not count, and otherwise 1.
  """
  squares = tf.reduce_mean(tf.square(x), axis=2)  # (T, B)
  return tf.reduce_sum(squares * live) / tf.maximum(tf.reduce_sum(live), 1)
