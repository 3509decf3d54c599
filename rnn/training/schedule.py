"""The learning rate: a function of the settings and of the epochs so far.

So it is no part of a checkpoint. If a resumed run changes a setting, the rate
is as if the setting had been so from the start.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn.tf1 import on_host, tf


class Schedule:
  """The rate of lr_schedule=epochs: it decays after each epoch from max_epoch.

  In epoch e it is learning_rate * lr_decay ** max(e - max_epoch, 0).
  """

  def __init__(self, config: Any, size: int) -> None:
    """Adds nothing to a graph yet.

    Args:
      config: a `configs.Settings` with learning_rate, lr_decay and max_epoch.
      size: steps per epoch.
    """
    self._config, self._size = config, size

  def rate(self, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate, a scalar, at a step, an int64 scalar."""
    decays = tf.cast(self._decays(1 + step // self._size), tf.float64)
    return tf.cast(
        self._config.learning_rate * self._config.lr_decay ** decays,
        tf.float32)

  def after_epoch(self, session: tf.Session, figures: Sequence[float]) -> None:
    """Reacts to validation; call it before the first epoch and after each one.

    Args:
      figures: the metric on the validation split after each epoch so far.
    """

  def _decays(self, epoch: tf.Tensor) -> tf.Tensor:
    return tf.maximum(epoch - self._config.max_epoch, 0)


class Plateau(Schedule):
  """The rate of lr_schedule=plateau: it decays if validation does not improve.

  PyTorch's example word_language_model has this rate with plateau_epochs=1 and
  lr_decay=0.25.
  """

  def __init__(self, config: Any, size: int) -> None:
    """Adds a variable to the default graph."""
    super().__init__(config, size)
    with on_host():
      self._number = tf.Variable(
          np.int64(0), trainable=False, name="decays", use_resource=True,
          collections=[tf.GraphKeys.LOCAL_VARIABLES])

  def after_epoch(self, session: tf.Session, figures: Sequence[float]) -> None:
    """See `Schedule`."""
    self._number.load(
        count_plateaus(figures, self._config.plateau_epochs), session)

  def _decays(self, epoch: tf.Tensor) -> tf.Tensor:
    return self._number.read_value()


def add(config: Any, size: int) -> Schedule:
  """Adds the schedule that a config asks for to the default graph.

  Args:
    config, size: see `Schedule`. Without lr_schedule it is "epochs".
  """
  is_plateau = getattr(config, "lr_schedule", "epochs") == "plateau"
  return (Plateau if is_plateau else Schedule)(config, size)


def count_plateaus(figures: Sequence[float], epochs: int) -> int:
  """Returns how often a metric did not improve for some epochs.

  With epochs=2, [5, 4, 4, 6, 5, 3, 4] has one such plateau: the second 4, and
  the 6. After it, a single epoch, the second 5, comes before the new best, 3.

  Args:
    figures: the metric after each epoch; lower is better. To improve, it has to
      be below all figures before.
    epochs: they are counted from the best epoch, or from the last plateau.
  """
  best, waited, number = math.inf, 0, 0
  for figure in figures:
    waited = 0 if figure < best else waited + 1
    best = min(best, figure)
    if waited == epochs:
      number, waited = number + 1, 0
  return number


def as_text(rate: float) -> str:
  """Returns three decimals, as in the classic script; more for small rates."""
  return f"{rate:.3f}" if rate >= 0.1 or rate == 0 else f"{rate:.3g}"
