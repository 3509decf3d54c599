"""Windows whose rows of text differ in length, as the model handles them.

With window_jitter, the graph of training has the T of the longest window, and
NO_TARGET fills up the targets of a shorter one, see `rnn.text.jitter`. There,
layers keep their state, and nothing has a cost. With reset_state, NO_TARGET
follows the end of a sentence, see `rnn.text.sentence_streams`. Layers run past
it, because nothing reads the state there: the next window starts from zero.
"""

import functools
from collections.abc import Callable

import configs
import reader
from rnn.layers import halves
from rnn.tf1 import tf


def lengths(config: configs.Config, targets: tf.Tensor) -> tf.Tensor | None:
  """Returns the targets in each row of a window, or of its half: int32 [B].

  None if all rows have T, or if layers may run past their ends.

  Args:
    targets: [T, B]; NO_TARGET only at the end of a row.
  """
  if not config.window_jitter:
    return None
  return tf.math.count_nonzero(
      tf.not_equal(targets, reader.NO_TARGET), axis=0, dtype=tf.int32)


def halve(config: configs.Config, run: Callable) -> Callable:
  """Returns `halves.run_in_halves` of a function, for any lengths."""
  usual = config.num_steps if config.window_jitter else None
  return functools.partial(halves.run_in_halves, run, usual=usual)


def max_grad_norm(config: configs.Config,
                  targets: tf.Tensor) -> tf.Tensor | float:
  """Returns the norm to clip the gradient of a training window to.

  Merity, Keskar and Socher 2018 (arXiv 1708.02182) clip the gradient of the
  mean over a window's length, and multiply the learning rate by length / T. The
  cost here is the sum over the length. So the rate stays as it is, and the norm
  is multiplied instead.

  Args:
    targets: [T, B] of the window.
  """
  of_rows = lengths(config, targets)
  if of_rows is None:
    return config.max_grad_norm
  share = tf.reduce_max(of_rows) / config.num_steps  # float64
  return config.max_grad_norm * tf.cast(share, tf.float32)
