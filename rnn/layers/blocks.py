"""The softmax over a large vocabulary, in blocks of words.

The logits [N, V] of a window would take gigabytes. Here only a block of them
exists at a time: for the cost, and again for the gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

from rnn.layers import recurrent
from rnn.layers.softmax import SoftmaxOfRows
from rnn.tf1 import tf

# Logits that exist at a time, at least those of one word: 16 MB.
NUMBERS = 1 << 22


class BlockedSoftmax(SoftmaxOfRows):
  """A softmax layer whose cost takes the memory of a block of words.

  Its weights [V, H] are float32 in any precision.
  """

  def losses(self, hidden: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the cross entropy of each target, see `Softmax`."""
    return blocked_cross_entropy(hidden, self._weights, self._bias, columns)


class _Blocks(NamedTuple):
  """The logits of hidden states, block by block.

  Attributes:
    hidden: [N, H], of 16 bits or of 32.
    weights, bias: [V, H] and [V], float32. Only a block of the weights is cast
      to 16 bits at a time.
    size: words per block, scalar int32.
  """

  hidden: tf.Tensor
  weights: tf.Tensor
  bias: tf.Tensor
  size: tf.Tensor

  def logits(self, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the weights [v, H] and logits [N, v] of a block's v words."""
    end = start + self.size
    rows = tf.cast(self.weights[start:end], self.hidden.dtype)
    return rows, self.bias[start:end] + tf.cast(
        tf.matmul(self.hidden, rows, transpose_b=True), tf.float32)

  def loop(self, body: Callable, values: list) -> list:
    """Applies body(start, *values) -> values to all blocks, one by one."""
    num_words = tf.shape(self.weights)[0]
    return tf.while_loop(
        lambda start, *_: start < num_words,
        lambda start, *values: (start + self.size, *body(start, *values)),
        [0, *values], parallel_iterations=1, back_prop=False)[1:]


@tf.custom_gradient
def blocked_cross_entropy(
    hidden: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor
) -> tuple[tf.Tensor, Callable]:
  """Cross entropy of softmax(hidden weights^T + bias) at the targets.

  It equals `softmax.softmax_cross_entropy` with the transpose of the weights.

  Args:
    hidden, weights, bias: see `_Blocks`.
    targets: [N], integers in [0, V).

  Returns:
    [N], in nats, float32.
  """
  num_rows = tf.shape(hidden)[0]
  blocks = _Blocks(hidden, weights, bias, tf.maximum(
      NUMBERS // tf.maximum(num_rows, 1), 1))
  targets = tf.cast(targets, tf.int32)

  def add_up(start, top, total, own):
    """Goes on to the next block; total is the sum of exp(logit - top)."""
    _, logits = blocks.logits(start)
    new_top = tf.maximum(top, tf.reduce_max(logits, axis=1))
    total = total * tf.exp(top - new_top) + tf.reduce_sum(
        tf.exp(logits - new_top[:, None]), axis=1)
    column, width = targets - start, tf.shape(logits)[1]
    found = tf.gather(logits, tf.clip_by_value(column, 0, width - 1),
                      batch_dims=1)
    is_here = (column >= 0) & (column < width)
    return new_top, total, tf.where_v2(is_here, found, own)

  zeros = tf.zeros([num_rows])
  top, total, own = blocks.loop(add_up, [zeros - float("inf"), zeros, zeros])
  log_total = top + tf.math.log(total)  # (N,)

  def grad(d_cost):
    return *_gradients(blocks, targets, log_total, d_cost), None

  return log_total - own, grad


def _gradients(blocks: _Blocks, targets: tf.Tensor, log_total: tf.Tensor,
               d_cost: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the gradients of hidden, weights and bias.

  Args:
    log_total: [N], the logarithm of the sum of exp(logit) over all words.
    d_cost: [N].
  """
  hidden, weights, bias, size = blocks
  to_compute_dtype, to_float32 = recurrent.casts(hidden.dtype)

  def add_gradients(start, d_hidden, d_weights, d_bias):
    rows, logits = blocks.logits(start)
    residual = d_cost[:, None] * (
        tf.exp(logits - log_total[:, None])
        - tf.one_hot(targets - start, tf.shape(logits)[1]))  # (N, v)
    low, number = to_compute_dtype(residual), start // size
    return (
        d_hidden + to_float32(low @ rows),
        d_weights.write(number, to_float32(
            tf.matmul(low, hidden, transpose_a=True))),
        d_bias.write(number, tf.reduce_sum(residual, axis=0)))

  d_weights, d_bias = (tf.TensorArray(
      tf.float32, -(-tf.shape(weights)[0] // size), infer_shape=False,
      element_shape=[None, *x.shape[1:]]) for x in (weights, bias))
  d_hidden, d_weights, d_bias = blocks.loop(add_gradients, [
      tf.zeros_like(hidden, tf.float32), d_weights, d_bias])
  return to_compute_dtype(d_hidden), d_weights.concat(), d_bias.concat()
