"""Training on batches that are fed, which tasks have in common."""

import training
from tensorflow_v1 import tf


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


def train(config, splits, make_model, metric, run=None, save_secs=600,
          check_stop=lambda: None, initial_values=None):
  """Trains and tests; see `training.train`.

  Args:
    splits: a dict, "train", "valid", "test" -> batches as an Epoch takes them.
    make_model, initial_values: see `Epoch`.
  """
  def make_epochs():
    return [Epoch(name.capitalize(), config, split, make_model, name == "train",
                  initial_values if name == "train" else None)
            for name, split in splits.items()]

  return training.train(make_epochs, config.max_max_epoch, metric, run,
                        save_secs, check_stop)
