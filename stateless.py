"""Random tensors that follow from a seed, a name and a step alone.

So what a training draws is the same wherever it was resumed.
"""

import zlib

import numpy as np

from tensorflow_v1 import on_host, tf


class Parameters:
  """Variables that start uniform in +-scale, as a seed and their names say.

  Attributes:
    variables: those that were added, in that order.
  """

  def __init__(self, scale, seed):
    self._scale, self._seed = scale, seed
    self.variables = []

  def add(self, name, shape, center=0):
    """A variable, added to the graph, or that of this name there.

    Args:
      center: what its values start about, a number or an array.
    """
    full_name = f"{tf.get_variable_scope().name}/{name}"
    key = -1 - zlib.crc32(full_name.encode())  # dropout's keys are from 0 up
    self.variables.append(tf.get_variable(
        name, use_resource=True, initializer=center + (
            tf.random.stateless_uniform(
                shape, [self._seed, key], -self._scale, self._scale))))
    return self.variables[-1]

  def add_layer(self, cell, input_size, hidden_size):
    """The values of a recurrent layer's kernel and bias.

    Args:
      cell: one of cells.CELLS.
    """
    shapes = cell.shapes(input_size, hidden_size)
    with tf.variable_scope(cell.scope):
      return (self.add("kernel", shapes["kernel"]).read_value(),
              self.add("bias", shapes["bias"], center=np.repeat(
                  np.float32(cell.biases), hidden_size)).read_value())


def dropout_masks(shape, sizes, keep_prob, seed, step):
  """The masks of a step, a list of [*shape, size] of 0 and 1 / keep_prob.

  Args:
    shape: as a tensor, such as T and B.
    sizes: of the last dimension, for each place where there is dropout.
    step: scalar int64.
  """
  with on_host():
    seeds = [tf.stack([tf.constant(seed, tf.int64), step * len(sizes) + site])
             for site in range(len(sizes))]
  return [tf.nn.experimental.stateless_dropout(
      tf.ones(tf.concat([shape, [size]], axis=0)), rate=1 - keep_prob,
      seed=seed) for size, seed in zip(sizes, seeds, strict=True)]
