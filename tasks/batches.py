"""What tasks on rows of unequal length share: their batches, step by step."""

import numpy as np

import training
from tasks import ragged
from tensorflow_v1 import tf


class Order:
  """Which rows are in the batch of a step; see `ragged.batches_by_length`.

  Attributes:
    size: batches in a pass over all rows.
  """

  def __init__(self, lengths, batch_size, seed=None):
    """Of rows of these lengths.

    Args:
      seed: of the order, another in each pass; without it always the same.
    """
    self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
    self._pass = None, None  # the one at hand: its number, its batches
    self.size = -(-len(lengths) // batch_size)

  def __call__(self, step):
    """The places of the rows of a step."""
    number, place = divmod(step, self.size)
    if self._pass[0] != number:
      rng = (None if self._seed is None
             else np.random.default_rng([self._seed, number]))
      self._pass = number, ragged.batches_by_length(
          self._lengths, self._batch_size, rng)
    return self._pass[1][place]


class Epoch(training.Epoch):
  """One pass over the batches of a split; see `training.Epoch`."""

  def __init__(self, name, config, batches, make_model, is_training=False,
               initial_values=None):
    """Adds the pass to the default graph.

    Args:
      config: a configs.Config, for the learning rate and the epoch's size.
      batches: an object with "size" (of a pass), "inputs" (a list of the dtype
        and the shape of each array), and called with a step, its arrays.
      make_model: a function of the inputs, and by name of is_training, step and
        learning_rate.
      initial_values: see `training.Epoch`.
    """
    inputs = [tf.placeholder(*spec) for spec in batches.inputs]
    size = is_training and config.epoch_size or batches.size

    def build(step, _):
      return make_model(
          *inputs, is_training=is_training, step=step,
          learning_rate=training.learning_rate(config, 1 + step // size))

    super().__init__(
        name, size, build, is_training, initial_values=initial_values,
        feed=lambda step: dict(zip(inputs, batches(step), strict=True)))
