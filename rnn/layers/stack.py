"""Recurrent layers on top of each other, with dropout around them."""

from collections.abc import Mapping, Sequence
from typing import Any

import configs
from rnn.layers import cells, dropout
from rnn.tf1 import tf


def run(config: configs.Config, inputs: tf.Tensor, state: Any,
        parameters: Sequence, masks: Mapping[int, tf.Tensor],
        layer: cells.Layer, lengths: tf.Tensor | None = None
        ) -> tuple[dict[str, tf.Tensor], tuple]:
  """Applies dropout and all layers to [T, B, I].

  Args:
    masks: see `dropout.masks`.
    lengths: [B], the steps of each row, see `cells`; by default T.

  Returns:
    A dict: "outputs" [T, B, H] (P with a projection), of the last layer; if a
    penalty needs them, "undropped", the same before dropout. And the final
    states.
  """
  x, final_state = dropout.apply(masks.get(0), inputs), []
  for i, (before, weights) in enumerate(
      zip(state, parameters, strict=True), 1):
    undropped, after = layer(x, before, *weights, lengths=lengths)
    final_state.append(after)
    x = dropout.apply(masks.get(i), undropped)
  results = {"outputs": x}
  if config.slowness_penalty:
    results["undropped"] = undropped
  return results, tuple(final_state)
