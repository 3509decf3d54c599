"""The softmax layer of a language model, and its cross entropy.

`Softmax` has the weights [H, V] of the classic script, `SoftmaxOfRows` those of
an embedding. `blocks` and `sampled` have layers with the same methods for
vocabularies of hundreds of thousands.
"""

from collections.abc import Callable

from rnn.tf1 import tf


class Softmax:
  """A softmax layer over V words with weights [H, V]."""

  def __init__(self, weights: tf.Tensor, bias: tf.Tensor) -> None:
    """Adds nothing to the graph yet.

    Args:
      weights: [H, V], in the precision of the model.
      bias: [V], float32.
    """
    self._weights, self._bias = weights, bias

  def columns(self, targets: tf.Tensor) -> tf.Tensor:
    """Returns the numbers by which `losses` knows target words, [T, B]."""
    return targets

  def losses(self, hidden: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the cross entropy of each target, [N], in nats, float32.

    Args:
      hidden: [N, H], in the precision of the model.
      columns: [N], of `columns`, from 0 on.
    """
    return softmax_cross_entropy(hidden, self._weights, self._bias, columns)

  def logits(self, outputs: tf.Tensor) -> tf.Tensor:
    """Returns the logits of all words: [T, B, H] -> [T, B, V], float32."""
    return self._bias + tf.cast(
        tf.tensordot(outputs, self._weights, axes=1), tf.float32)


class SoftmaxOfRows(Softmax):
  """A softmax layer over V words with weights [V, H], one row per word."""

  def __init__(self, weights: tf.Tensor, bias: tf.Tensor,
               *transposed: tf.Tensor) -> None:
    """Adds nothing to the graph yet.

    Args:
      weights: [V, H], in the precision of the model.
      bias: [V], float32.
      transposed: see `cross_entropy_of_rows`.
    """
    super().__init__(weights, bias)
    self._transposed = transposed

  def losses(self, hidden: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the cross entropy of each target, see `Softmax`."""
    return cross_entropy_of_rows(
        hidden, self._weights, self._bias, columns, *self._transposed)

  def logits(self, outputs: tf.Tensor) -> tf.Tensor:
    """Returns the logits of all words: [T, B, H] -> [T, B, V], float32."""
    rows = tf.reshape(outputs, [-1, outputs.shape[-1]])  # (T*B, H)
    logits = self._bias + tf.cast(tf.matmul(
        rows, tf.cast(self._weights, outputs.dtype), transpose_b=True),
        tf.float32)
    return tf.reshape(logits, tf.concat(
        [tf.shape(outputs)[:2], tf.shape(self._bias)], axis=0))


class ProjectedSoftmax(Softmax):
  """A softmax layer that applies another one to projected hidden states."""

  def __init__(self, projection: tf.Tensor, softmax: Softmax) -> None:
    """Adds nothing to the graph yet.

    Args:
      projection: [H, E], in the precision of the model.
      softmax: the layer over hidden states of the width E.
    """
    self._projection, self._softmax = projection, softmax

  def columns(self, targets: tf.Tensor) -> tf.Tensor:
    """Returns the columns of the other layer, see `Softmax`."""
    return self._softmax.columns(targets)

  def losses(self, hidden: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the cross entropy of each target, see `Softmax`."""
    return self._softmax.losses(hidden @ self._projection, columns)

  def logits(self, outputs: tf.Tensor) -> tf.Tensor:
    """Returns the logits of all words: [T, B, H] -> [T, B, V], float32."""
    return self._softmax.logits(
        tf.tensordot(outputs, self._projection, axes=1))


@tf.custom_gradient
def softmax_cross_entropy(
    hidden: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor
) -> tuple[tf.Tensor, Callable]:
  """Cross entropy of softmax(hidden weights + bias) at the targets.

  It equals TensorFlow's sparse softmax cross entropy of the logits, but makes
  fewer passes over [N, V], the largest tensor of a language model: one op turns
  the logits into probabilities, and only GEMMs read the gradient.

  With the logits z and p = softmax(z), for each row:

      cost         = -log p[target]
      residual     = p - onehot(target), the gradient of the cost w.r.t. z
      d_hidden     = d_cost (residual weights^T)
      d_weights    = (d_cost hidden)^T residual
      d_bias       = d_cost^T residual

  So d_cost scales [N, H] and never [N, V].

  Args:
    hidden: [N, H].
    weights: [H, V]; hidden and weights have both 16 bits or both 32.
    bias: [V], float32.
    targets: [N], integers in [0, V).

  Returns:
    [N], in nats, float32.
  """
  logits = tf.cast(hidden @ weights, tf.float32) + bias  # (N, V)
  cost, residual = cost_and_residual(logits, targets)

  def grad(d_cost):
    d_cost = d_cost[:, None]  # (N, 1)
    d_cost_low, residual_low = (
        tf.cast(x, hidden.dtype) for x in (d_cost, residual))
    return (d_cost_low * tf.matmul(residual_low, weights, transpose_b=True),
            tf.matmul(d_cost_low * hidden, residual_low, transpose_a=True),
            tf.matmul(d_cost, residual, transpose_a=True)[0],  # in float32
            None)

  return cost, grad


@tf.custom_gradient
def cross_entropy_of_rows(
    hidden: tf.Tensor, rows: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor,
    *transposed: tf.Tensor) -> tuple[tf.Tensor, Callable]:
  """Cross entropy of softmax(hidden rows^T + bias) at the targets.

  It equals `softmax_cross_entropy` with the transpose of the rows.

  Args:
    hidden, bias, targets: see there.
    rows: [V, H], weights.
    transposed: nothing, or the transpose of the rows, [H, V], to compute the
      logits with. The gradient is always that of the rows.
  """
  product = (hidden @ transposed[0] if transposed
             else tf.matmul(hidden, rows, transpose_b=True))
  logits = tf.cast(product, tf.float32) + bias  # (N, V)
  cost, residual = cost_and_residual(logits, targets)

  def grad(d_cost):
    return (*gradients_of_rows(hidden, rows, residual, d_cost),
            None, *(None for _ in transposed))

  return cost, grad


def gradients_of_rows(
    hidden: tf.Tensor, rows: tf.Tensor, residual: tf.Tensor, d_cost: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the gradients of hidden, rows and bias.

  Args:
    hidden: [N, H].
    rows: [V, H], weights.
    residual: [N, V], the result of `cost_and_residual`.
    d_cost: [N].
  """
  d_cost = d_cost[:, None]  # (N, 1)
  d_cost_low, residual_low = (
      tf.cast(x, hidden.dtype) for x in (d_cost, residual))
  return (d_cost_low * tf.matmul(residual_low, rows),
          tf.matmul(residual_low, d_cost_low * hidden, transpose_a=True),
          tf.matmul(d_cost, residual, transpose_a=True)[0])  # in float32


def cost_and_residual(logits: tf.Tensor, targets: tf.Tensor
                      ) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the cross entropy, and its gradient with respect to the logits.

  Args:
    logits: [N, V], float32.
    targets: [N], integers in [0, V).

  Returns:
    [N] in nats, and [N, V].
  """
  # The row and the column of each target, (N, 2).
  target_indices = tf.stack(
      [tf.range(tf.size(targets, out_type=targets.dtype)), targets], axis=1)
  probs = tf.nn.softmax(logits)
  target_probs = tf.gather_nd(probs, target_indices)
  # Probabilities below 1e-38 (87 nats) are 0 in float32, and their logarithm
  # would be infinite. In that rare case the cost comes from the logits.
  cost = tf.cond(
      tf.reduce_all(target_probs > 1e-30),
      lambda: -tf.log(target_probs),
      lambda: tf.reduce_logsumexp(logits, 1) - tf.gather_nd(
          logits, target_indices))
  # Subtracts 1 at the targets. The op can do so within the memory of `probs`,
  # but only if nothing reads `probs` later. Hence the control dependency. In
  # evaluation nothing fetches the residual, and it is not computed.
  with tf.control_dependencies([target_probs]):
    residual = tf.raw_ops.ScatterNdNonAliasingAdd(
        input=probs, indices=target_indices,
        updates=-tf.ones_like(target_probs))
  return cost, residual
