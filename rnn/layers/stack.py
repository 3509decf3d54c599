"""Recurrent layers on top of each other, with dropout around them."""

from collections.abc import Sequence
from typing import Any

import configs
from rnn.layers import cells, seeded
from rnn.parallel.workers import ALONE, Workers
from rnn.tf1 import tf


def dropout_masks(config: configs.Config, shape: tf.Tensor, seed: int,
                  step: tf.Tensor | None, workers: Workers = ALONE
                  ) -> list[tf.Tensor]:
  """Returns L + 1 masks: for the embedding and for each layer's outputs.

  They are [T, B, size], of 0 and 1 / keep_prob. Recurrent connections have no
  dropout. The masks of several workers are parts of those that a single one
  would have.

  Args:
    shape: T and B of this worker, as a tensor.
  """
  if step is None:
    step = tf.train.get_or_create_global_step().read_value()
  if workers.size > 1:
    shape *= [1, workers.size]
  return [workers.share(mask, axis=1) for mask in seeded.dropout_masks(
      shape, (config.input_size, *config.output_sizes), config.keep_prob, seed,
      step)]


def run(inputs: tf.Tensor, state: Any, parameters: Sequence,
        masks: Sequence[tf.Tensor], layer: cells.Layer,
        lengths: tf.Tensor | None = None) -> tuple[tf.Tensor, tuple]:
  """Applies dropout and all layers: [T, B, I] -> [T, B, H], final states.

  Args:
    lengths: [B], the steps of each row, see `cells`; by default T.
  """
  def dropout(x: tf.Tensor, site: int) -> tf.Tensor:
    if not masks:
      return x
    # In float32, because 16 bits would round 1 / keep_prob.
    return tf.cast(tf.cast(x, tf.float32) * masks[site], x.dtype)

  x, final_state = dropout(inputs, 0), []
  for i, (before, weights) in enumerate(
      zip(state, parameters, strict=True), 1):
    outputs, after = layer(x, before, *weights, lengths=lengths)
    final_state.append(after)
    x = dropout(outputs, i)
  return x, tuple(final_state)
