"""A step of training: gradients, clipped by their global norm, and applied."""

import mixed_precision
from tensorflow_v1 import tf

# As the classic scripts have them; "sgd" is plain gradient descent.
OPTIMIZERS = {
    "sgd": tf.train.GradientDescentOptimizer,
    "adagrad": tf.train.AdagradOptimizer,
    "adam": tf.train.AdamOptimizer,
    "rmsprop": tf.train.RMSPropOptimizer,
}


def step(cost, counts, variables, learning_rate, max_grad_norm,
         optimizer="sgd", precision="float32"):
  """The norm of the gradients before clipping, and the op that takes a step.

  The op counts the step in the global step.

  Args:
    cost: a scalar.
    counts: what is added up of the window (see training.Epoch); it is computed
      before a variable moves.
    optimizer: one of OPTIMIZERS.
    precision: what `cost` is computed in, one of mixed_precision.PRECISIONS.
  """
  def differentiate(cost):
    return _gradients(cost, variables)

  left_out = None
  if precision == "float16":
    gradients, left_out, next_scale = mixed_precision.scaled_gradients(
        cost, differentiate)
  else:
    gradients, next_scale = differentiate(cost), tf.no_op()
  norm = tf.global_norm(gradients)
  scale = tf.minimum(1.0, max_grad_norm / norm)
  if optimizer == "sgd":  # to scale the step instead saves a pass
    learning_rate *= scale
  else:
    gradients = [_scaled(gradient, scale) for gradient in gradients]
  global_step = tf.train.get_or_create_global_step()

  def apply():
    return tf.group(OPTIMIZERS[optimizer](learning_rate).apply_gradients(
        zip(gradients, variables, strict=True), global_step=global_step))

  with tf.control_dependencies(counts.values()):
    # Gradients of zero would not do: an optimizer may move by those before.
    train_op = apply() if left_out is None else tf.cond(
        left_out, lambda: tf.group(global_step.assign_add(1)), apply)
  return norm, tf.group(train_op, next_scale)


def _gradients(cost, variables):
  """Those by each of the variables."""
  # Two terms at a time: a sum of many adds up in the order of their arrival.
  return [_sum_rows(g) for g in tf.gradients(
      cost, variables,
      aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)]


def _sum_rows(gradient):
  """Adds up the rows of an embedding's gradient that belong to one word.

  The norm of the gradient is that of these sums, not of the single rows.
  """
  if not isinstance(gradient, tf.IndexedSlices):
    return gradient
  words, row_of = tf.unique(gradient.indices)
  rows = tf.math.unsorted_segment_sum(gradient.values, row_of, tf.size(words))
  return tf.IndexedSlices(rows, words, gradient.dense_shape)


def _scaled(gradient, scale):
  """A gradient times a scalar."""
  if isinstance(gradient, tf.IndexedSlices):
    return tf.IndexedSlices(gradient.values * scale, gradient.indices,
                            gradient.dense_shape)
  return gradient * scale
