"""Random tensors that follow from a seed, a name and a step, and nothing else.

Every random number comes from a stateless op with an explicit key. So a resumed
run draws the same numbers as one that was not interrupted.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from rnn.layers.cells import Cell
from rnn.tf1 import on_host, tf


class Parameters:
  """Variables that start uniform in +-scale, by seed and variable name.

  Attributes:
    variables: the variables, in the order in which they were added.
  """

  def __init__(self, scale: float, seed: int) -> None:
    self._scale, self._seed = scale, seed
    self.variables: list[tf.Variable] = []

  def add(self, name: str, shape: Sequence[int],
          center: float | np.ndarray = 0) -> tf.Variable:
    """Adds a variable to the graph, or takes the one of this name there.

    Args:
      center: the center of the initial values, a number or an array.
    """
    full_name = f"{tf.get_variable_scope().name}/{name}"
    # A checksum, because Python's hash of a text differs between processes.
    # It is negative: the keys of dropout masks count up from 0.
    key = [self._seed, -1 - zlib.crc32(full_name.encode())]
    # TensorFlow would compute what follows from constants before it runs the
    # graph, and keep the result next to the variable for good. This tensor
    # could be fed, so it counts as no constant.
    key = tf.placeholder_with_default(tf.constant(key, tf.int64), [2])
    self.variables.append(tf.get_variable(
        name, use_resource=True, initializer=center + (
            tf.random.stateless_uniform(
                shape, key, -self._scale, self._scale))))
    return self.variables[-1]

  def add_layer(self, cell: Cell, input_size: int, hidden_size: int,
                output_size: int | None = None, forget_bias: float = 0
                ) -> tuple[tf.Tensor, ...]:
    """Adds a recurrent layer, and returns the values of its parameters.

    Args:
      output_size: see `Cell.shapes`.
      forget_bias: see `Cell.bias_centers`.

    Returns:
      kernel and bias, and the others of `Cell.shapes`.
    """
    centers = {"bias": cell.bias_centers(hidden_size, forget_bias)}
    with tf.variable_scope(cell.scope):
      return tuple(
          self.add(name, shape, center=centers.get(name, 0)).read_value()
          for name, shape in cell.shapes(
              input_size, hidden_size, output_size).items())


def dropout_masks(shape: tf.Tensor, sizes: Sequence[int], keep_prob: float,
                  seed: int, step: tf.Tensor) -> list[tf.Tensor]:
  """Returns the masks of a step, [*shape, size] of 0 and 1 / keep_prob.

  Args:
    shape: the leading dimensions as a tensor, such as T and B.
    sizes: the last dimension of each mask.
    step: scalar int64.
  """
  # The key is (seed, step, site). Ops take two numbers, so step and site are
  # counted as one: no two masks of a run share a key.
  with on_host():
    seeds = [tf.stack([tf.constant(seed, tf.int64), step * len(sizes) + site])
             for site in range(len(sizes))]
  return [tf.nn.experimental.stateless_dropout(
      tf.ones(tf.concat([shape, [size]], axis=0)), rate=1 - keep_prob,
      seed=seed) for size, seed in zip(sizes, seeds, strict=True)]
