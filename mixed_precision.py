"""Computing in 16 bits, with parameters of 32: mixed precision.

Parameters, their updates, the carried state, and all from the logits to the
cost are float32; what lies between is of the precision of the model. bfloat16
has float32's range, but 8 bits of its 24. float16 has 11 bits, and holds from
6e-8 to 65504 alone: its gradients are taken of a cost that is scaled, as in
Micikevicius et al. 2018 (arXiv 1710.03740).
"""

import numpy as np

from tensorflow_v1 import tf

PRECISIONS = ("float32", "bfloat16", "float16")

FIRST_SCALE = 2.0 ** 15
STEPS_TO_DOUBLE = 2000  # without an overflow


def scaled_gradients(cost, differentiate):
  """Gradients that are taken of a cost times a scale, and then divided by it.

  Where one of them overflows, the step is left out and the scale is halved,
  unless it has come down to 1. The scale, and the steps since it was changed,
  are variables, for a checkpoint to hold.

  Args:
    differentiate: a function, cost -> list of tensors and tf.IndexedSlices.

  Returns:
    A list like it, all zero where the step is to be left out; whether it is;
    and the op that makes the next step's scale.
  """
  with tf.variable_scope("loss_scale", reuse=tf.AUTO_REUSE):
    variables = [tf.get_variable(
        name, initializer=value, trainable=False, use_resource=True)
                 for name, value in (("scale", FIRST_SCALE),
                                     ("steps", np.int64(0)))]
  scale, steps = (variable.read_value() for variable in variables)
  gradients = differentiate(scale * cost)
  overflow = ~tf.math.is_finite(tf.global_norm(gradients))
  left_out = overflow & (scale > 1)
  doubles = ~overflow & (steps + 1 >= STEPS_TO_DOUBLE)

  def unscale(values):
    return tf.where_v2(left_out, tf.zeros_like(values), values / scale)

  return [_with_values(g, unscale) for g in gradients], left_out, tf.group(
      variables[0].assign(tf.where_v2(
          left_out, scale / 2, tf.where_v2(doubles, scale * 2, scale))),
      variables[1].assign(tf.where_v2(
          left_out | doubles, tf.zeros_like(steps), steps + 1)))


def _with_values(gradient, function):
  """A gradient whose values have gone through a function."""
  if isinstance(gradient, tf.IndexedSlices):
    return tf.IndexedSlices(function(gradient.values), gradient.indices,
                            gradient.dense_shape)
  return function(gradient)
