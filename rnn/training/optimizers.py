"""A training step: gradients, clipped by their global norm, and applied."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rnn.options import Options
from rnn.tf1 import filled, in_turn, tf
from rnn.training import mixed_precision


class Optimizer(NamedTuple):
  """A way to apply gradients.

  Attributes:
    make: a function, learning rate -> TensorFlow's optimizer.
    slots: the variables of the optimizer for each parameter, of its shape.
  """

  make: Callable[[tf.Tensor], tf.train.Optimizer]
  slots: int


class _Adagrad(tf.train.AdagradOptimizer):
  """TensorFlow's optimizer, with the memory of one slot per parameter.

  The initial value of its own slot is a constant of the variable's size, which
  the session keeps next to the slot for good.
  """

  _START = 0.1  # TensorFlow's default

  def _create_slots(self, var_list: Sequence[tf.Variable]) -> None:
    """Adds the slots.

    TensorFlow lets optimizers replace this method. Its own optimizers make
    their slots by `_get_or_make_slot`; there is no public method.
    """
    for variable in var_list:
      self._get_or_make_slot(variable, filled(variable.shape, self._START),
                             "accumulator", self.get_name())


# As in the classic scripts. "sgd" is plain gradient descent. So is "asgd";
# `averaging` adds its slots.
OPTIMIZERS = {
    "sgd": Optimizer(tf.train.GradientDescentOptimizer, 0),
    "adagrad": Optimizer(_Adagrad, 1),
    "adam": Optimizer(tf.train.AdamOptimizer, 2),
    "rmsprop": Optimizer(tf.train.RMSPropOptimizer, 2),
    "asgd": Optimizer(tf.train.GradientDescentOptimizer, 1),
}


def step(cost: tf.Tensor, before: Sequence[tf.Tensor],
         variables: Sequence[tf.Variable], learning_rate: tf.Tensor,
         max_grad_norm: tf.Tensor | float, optimizer: str = "sgd",
         options: Options = Options(), weight_decay: float = 0.0,
         terms: Sequence[int] | None = None
         ) -> tuple[tf.Tensor, tf.Operation]:
  """Adds a training step to the graph.

  Args:
    cost: a scalar.
    before: other tensors of the window, such as its counts. The step waits for
      them, so that they are computed with the parameters before the step.
    learning_rate, max_grad_norm: scalars.
    optimizer: one of OPTIMIZERS.
    options: the precision of the model, and the workers, whose mean gradient
      is applied.
    weight_decay: each step also multiplies the variables by 1 - learning_rate *
      weight_decay, whatever the gradient and its norm. So gradient descent
      is PyTorch's SGD, and Adam is AdamW (Loshchilov and Hutter 2019).
    terms: of each variable, how many equal parameters it is the sum of; by
      default 1. Each of them has the gradient of the sum.

  Returns:
    The global norm of the gradients before clipping, and the op that takes the
    step and increments the global step.
  """
  def differentiate(cost: tf.Tensor) -> mixed_precision.Gradients:
    return _gradients(cost, variables, options)

  is_skipped, update_scale = None, tf.no_op
  if options.precision == "float16":
    gradients, is_skipped, update_scale = mixed_precision.scaled_gradients(
        cost, differentiate)
  else:
    gradients = differentiate(cost)
  terms = terms or [1] * len(variables)
  norm = tf.global_norm([  # each term of a sum has the sum's gradient
      _scaled(gradient, math.sqrt(number))
      for gradient, number in zip(gradients, terms, strict=True)])
  with tf.control_dependencies([norm]):  # the gradients of the old values
    factor = tf.identity(1 - learning_rate * weight_decay)
  clip = tf.minimum(1.0, max_grad_norm / norm)
  global_step = tf.train.get_or_create_global_step()

  def apply() -> tf.Operation:
    decay = [in_turn(lambda v: v.assign(v.read_value() * factor).op, variables)
             ] if weight_decay else []
    with tf.control_dependencies(decay):
      updates = _updates(OPTIMIZERS[optimizer].make, learning_rate, clip,
                         gradients, variables, terms)
    with tf.control_dependencies(updates):
      return tf.group(global_step.assign_add(1))

  with tf.control_dependencies(before):
    # A skipped step must not apply gradients of zero instead: an optimizer with
    # a memory, such as Adam, would still move the parameters.
    train_op = apply() if is_skipped is None else tf.cond(
        is_skipped, lambda: tf.group(global_step.assign_add(1)), apply)
    return norm, tf.group(train_op, update_scale())


def _gradients(cost: tf.Tensor, variables: Sequence[tf.Variable],
               options: Options) -> mixed_precision.Gradients:
  """Returns the gradient of the cost with respect to each variable."""
  # A variable's gradient can be a sum of many terms, such as one per step or
  # per half of a window. AddN, the default, starts from whichever term can lend
  # its memory, so its last bit differs from run to run. A tree of sums of two
  # terms has a fixed order. See also `tf1.repeatable_session`.
  gradients = tf.gradients(
      cost, variables,
      aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
      colocate_gradients_with_ops=len(options.workers.devices) > 1)
  return [_sum_rows(gradient) for gradient in options.workers.mean(
      gradients, low_precision=options.precision == "bfloat16")]


def _updates(make: Callable[[tf.Tensor], tf.train.Optimizer],
             learning_rate: tf.Tensor, clip: tf.Tensor,
             gradients: mixed_precision.Gradients,
             variables: Sequence[tf.Variable], terms: Sequence[int]
             ) -> list[tf.Operation]:
  """Returns ops that apply the gradients, times `clip`.

  All terms of a sum take the same step, so the sum moves as far as all of them
  together: at the learning rate times their number.
  """
  if make is tf.train.GradientDescentOptimizer:
    # The rate can be scaled instead, which saves a pass over all gradients.
    learning_rate *= clip
  else:
    gradients = [_scaled(gradient, clip) for gradient in gradients]
  return [
      make(learning_rate * number).apply_gradients([
          (gradient, variable) for gradient, variable, its_number
          in zip(gradients, variables, terms, strict=True)
          if its_number == number])
      for number in dict.fromkeys(terms)]


def _sum_rows(gradient: tf.Tensor | tf.IndexedSlices
              ) -> tf.Tensor | tf.IndexedSlices:
  """Sums the rows of an embedding's gradient that belong to the same word.

  TensorFlow returns one row per position of the text. The norm of these rows is
  not the norm of the gradient if a word occurs twice.
  """
  if not isinstance(gradient, tf.IndexedSlices):
    return gradient
  words, row_of_position = tf.unique(gradient.indices)
  rows = tf.math.unsorted_segment_sum(
      gradient.values, row_of_position, tf.size(words))
  return tf.IndexedSlices(rows, words, gradient.dense_shape)


def _scaled(gradient: tf.Tensor | tf.IndexedSlices,
            scale: tf.Tensor | float) -> tf.Tensor | tf.IndexedSlices:
  """Returns a gradient times a scalar."""
  if isinstance(scale, int | float) and scale == 1:
    return gradient
  return mixed_precision.with_values(gradient, lambda values: values * scale)
