"""Penalties on the outputs of the last layer, Merity et al. 2018 (1708.02182).

They are per word, so T words of a stream have T times as much. With h_t before
dropout and d_t after it, and means over the words and units of each stream:

    T activation_penalty mean(d_t^2)
    T slowness_penalty mean((h_t - h_{t-1})^2)

The differences are the T - 1 ones within the window. "Temporal activation
regularization" is the name of the second penalty in the paper. Positions
without a target do not count. The cost is the mean over the streams, so workers
that share them have the mean cost of a single one.
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
  if config.activation_penalty:
    d = tf.cast(results["outputs"], tf.float32)
    total += config.activation_penalty * _per_stream(d, live, live)
  if config.slowness_penalty:
    h = tf.cast(results["undropped"], tf.float32)
    # A position has no target if the one before has none.
    total += config.slowness_penalty * _per_stream(
        h[1:] - h[:-1], live[1:], live)
  return total


def _per_stream(x: tf.Tensor, counted: tf.Tensor, live: tf.Tensor) -> tf.Tensor:
  """Returns T times the mean square in a stream, averaged over the streams.

  Args:
    x: [t, B, H].
    counted: [t, B], 0 where a position of x does not count, and otherwise 1.
    live: [T, B], the same for the words, of which each stream has T.
  """
  squares = tf.reduce_sum(
      tf.reduce_mean(tf.square(x), axis=2) * counted, axis=0)  # (B,)
  means = squares / tf.maximum(tf.reduce_sum(counted, axis=0), 1)
  return tf.reduce_mean(tf.reduce_sum(live, axis=0) * means)
