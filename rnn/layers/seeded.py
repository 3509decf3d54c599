"""Random tensors that follow from a seed, a name and a step, and nothing else.

Every random number comes from a stateless op with an explicit key. So a resumed
run draws the same numbers as one that was not interrupted.

A key is a pair: the seed, and a number. Each kind of random tensor has a range
of these numbers, so that no two tensors of a run share a key. With steps below
2^53 the ranges do not meet:

    from 0 up          masks of units: step, times sites, plus site
    from 2^61 up       masks of words: step
    from 2^62 up       masks of kernels: step, times layers, plus layer
    -1 to -2^32        initial values, by the name of the variable
    from -2^33 down    candidates of a sampled softmax: -step
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import configs
from rnn.layers.cells import CELLS
from rnn.tf1 import on_host, tf

WORD_MASKS, KERNEL_MASKS, CANDIDATES = 2 ** 61, 2 ** 62, -2 ** 33


class Parameters:
  """Variables that start uniform in +-scale, by seed and variable name.

  Attributes:
    variables: the variables, in the order in which they were added.
  """

  def __init__(self, scale: float, seed: int) -> None:
    self._scale, self._seed = scale, seed
    self.variables: list[tf.Variable] = []

  def add(self, name: str, shape: Sequence[int],
          center: float | np.ndarray = 0,
          scale: float | None = None, terms: int = 1) -> tf.Variable:
    """Adds a variable to the graph, or takes the one of this name there.

    Args:
      center: the center of the initial values, a number or an array.
      scale: replaces the scale of the other variables.
      terms: how many uniform numbers are added up.
    """
    scale = self._scale if scale is None else scale
    full_name = f"{tf.get_variable_scope().name}/{name}"
    drawn = [_uniform(self._seed, full_name + f"/{term}" * (term > 0), shape,
                      scale) for term in range(terms)]
    self.variables.append(tf.get_variable(
        name, use_resource=True, initializer=center + sum(drawn)))
    return self.variables[-1]

  def add_layer(self, config: configs.Config, input_size: int, hidden_size: int,
                output_size: int) -> tuple[tf.Tensor, ...]:
    """Adds a recurrent layer, and returns the values of its parameters.

    Args:
      config: it has the cell, and how its parameters start.
      input_size, hidden_size, output_size: see `Cell.shapes`.

    Returns:
      kernel and bias, and the others of `Cell.shapes`.
    """
    cell = CELLS[config.cell]
    centers = {"bias": cell.bias_centers(hidden_size, config.forget_bias)}
    scale = hidden_size ** -0.5 if config.layer_init == "size" else None
    with tf.variable_scope(cell.scope):
      return tuple(
          self.add(name, shape, centers.get(name, 0), scale,
                   terms_of(name, config)).read_value()
          for name, shape in cell.shapes(
              input_size, hidden_size, output_size).items())


def terms_of(name: str, config: Any) -> int:
  """Returns how many equal parameters a variable is the sum of.

  Args:
    name: the last part of the variable's name.
    config: a `configs.Settings`, perhaps with two_biases, which has an effect
      with cell=lstm only.
  """
  has_two = getattr(config, "two_biases", False) and config.cell == "lstm"
  return 2 if has_two and name == "bias" else 1


def _uniform(seed: int, name: str, shape: Sequence[int],
             scale: float) -> tf.Tensor:
  """Returns numbers uniform in +-scale, by seed and name."""
  # A checksum, because Python's hash of a text differs between processes.
  key = [seed, -1 - zlib.crc32(name.encode())]
  # TensorFlow would compute what follows from constants before it runs the
  # graph, and keep the result next to the variable for good. This tensor could
  # be fed, so it counts as no constant.
  key = tf.placeholder_with_default(tf.constant(key, tf.int64), [2])
  return tf.random.stateless_uniform(shape, key, -scale, scale)


def key(seed: int, step: tf.Tensor, index: int = 0, count: int = 1,
        first: int = 0) -> tf.Tensor:
  """Returns the key of the index-th of `count` random tensors of a step.

  Args:
    step: scalar int64.
    first: the key of the first tensor at step 0, see above.
  """
  with on_host():
    return tf.stack(
        [tf.constant(seed, tf.int64), step * count + (first + index)])


def step_or_global(step: tf.Tensor | None) -> tf.Tensor:
  """Returns the step, a scalar int64; for None, the global step."""
  if step is None:
    return tf.train.get_or_create_global_step().read_value()
  return step
