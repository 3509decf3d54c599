"""Mixed precision: computing in 16 bits, with parameters of 32 bits.

Parameters, their updates, the carried state, and everything from the logits to
the cost are float32. The GEMMs have the precision of the model. bfloat16 has
the range of float32, but 8 bits of precision instead of 24. float16 has 11
bits, but only the range from 6e-8 to 65504. So its gradients are computed from
a scaled cost, as in Micikevicius et al. 2018 (arXiv 1710.03740).
"""

from collections.abc import Callable, Sequence

import numpy as np

from rnn.tf1 import tf

FIRST_SCALE = 2.0 ** 15
STEPS_TO_DOUBLE = 2000  # without an overflow

# A list of tensors and tf.IndexedSlices, one per variable.
Gradients = Sequence[tf.Tensor | tf.IndexedSlices]


def scaled_gradients(
    cost: tf.Tensor, differentiate: Callable[[tf.Tensor], Gradients]
) -> tuple[Gradients, tf.Tensor, Callable[[], tf.Operation]]:
  """Differentiates a cost times a scale, and divides by the scale again.

  If a gradient overflows, the step is skipped and the scale is halved, unless
  the scale is 1 already. After STEPS_TO_DOUBLE steps without an overflow it is
  doubled. The scale, and the steps since it changed, are variables, so that
  checkpoints hold them.

  Args:
    differentiate: a function, cost -> gradients.

  Returns:
    The gradients, all of them zero if the step is skipped; whether it is
    skipped, a scalar; and a function that adds the op that updates the scale.
  """
  with tf.variable_scope("loss_scale", reuse=tf.AUTO_REUSE):
    variables = [tf.get_variable(
        name, initializer=value, trainable=False, use_resource=True)
                 for name, value in (("scale", FIRST_SCALE),
                                     ("steps", np.int64(0)))]
  scale, steps = (variable.read_value() for variable in variables)
  gradients = differentiate(scale * cost)
  # An infinity or a NaN in any gradient makes the norm infinite or NaN.
  overflows = ~tf.math.is_finite(tf.global_norm(gradients))
  # An overflow at a scale of 1 is not a range problem: the training diverges,
  # and the caller must see it.
  is_skipped = overflows & (scale > 1)
  doubles = ~overflows & (steps + 1 >= STEPS_TO_DOUBLE)

  def unscale(values: tf.Tensor) -> tf.Tensor:
    return tf.where_v2(is_skipped, tf.zeros_like(values), values / scale)

  def update() -> tf.Operation:
    return tf.group(
        variables[0].assign(tf.where_v2(
            is_skipped, scale / 2, tf.where_v2(doubles, scale * 2, scale))),
        variables[1].assign(tf.where_v2(
            is_skipped | doubles, tf.zeros_like(steps), steps + 1)))

  return [with_values(g, unscale) for g in gradients], is_skipped, update


def with_values(gradient: tf.Tensor | tf.IndexedSlices,
                function: Callable[[tf.Tensor], tf.Tensor]
                ) -> tf.Tensor | tf.IndexedSlices:
  """Returns a gradient with a function applied to its values."""
  if isinstance(gradient, tf.IndexedSlices):
    return tf.IndexedSlices(function(gradient.values), gradient.indices,
                            gradient.dense_shape)
  return function(gradient)
