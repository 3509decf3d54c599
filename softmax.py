"""The cross entropy of a softmax layer, with a gradient written by hand."""

from tensorflow_v1 import tf


@tf.custom_gradient
def softmax_cross_entropy(hidden, weights, bias, targets):
  """Cross entropy of softmax(hidden weights + bias) at the targets.

  Equal to TensorFlow's sparse softmax cross entropy of the logits, with fewer
  passes over [N, V], the largest tensor of a language model: one exponential
  a logit, kept for the gradient, which touches it in GEMMs alone.

  With z the logits, e = exp(z - max z) and s = sum e, both by row:

      cost         = log s + max z - z[target]
      d_z          = d_cost (e / s - onehot(target)) = k residual,
      where k        = d_cost / s, by row
            residual = e - s onehot(target)
      d_hidden     = k (residual weights^T)
      d_weights    = (k hidden)^T residual
      d_bias       = k^T residual

  Args:
    hidden: [N, H]. weights: [H, V]. bias: [V].
    targets: [N] integers in [0, V).

  Returns:
    [N], in nats.
  """
  logits = hidden @ weights + bias  # (N, V)
  cells = tf.stack([tf.range(tf.size(targets, out_type=targets.dtype)),
                    targets], axis=1)  # (N, 2), where each row's target is
  target_logit = tf.gather_nd(logits, cells)
  max_logit = tf.reduce_max(logits, axis=1)
  exps = tf.exp(logits - max_logit[:, None])
  total = tf.reduce_sum(exps, axis=1)
  residual = tf.tensor_scatter_nd_sub(exps, cells, total)

  def grad(d_cost):
    k = (d_cost / total)[:, None]  # (N, 1)
    return (k * tf.matmul(residual, weights, transpose_b=True),
            tf.matmul(k * hidden, residual, transpose_a=True),
            tf.matmul(k, residual, transpose_a=True)[0],
            None)

  return tf.log(total) + max_logit - target_logit, grad
