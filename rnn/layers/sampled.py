"""The sampled softmax: training over many words at the cost of a few.

Each window draws S candidates k from the words, with replacement, from a
distribution that follows Zipf's law if ids are ranks by frequency:

    P(k) = (log(k + 2) - log(k + 1)) / log(V + 1)

A target then competes with the candidates in place of all words. The logits are
corrected by the logarithm of the expected count, log(S P(k)), so that the
gradient approaches that of the full softmax (Jean et al. 2015, arXiv 1412.2007;
used by Jozefowicz et al. 2016, arXiv 1602.02410). A candidate that is the
target of a position does not compete with it there.

The candidates follow from seed and step alone. So a resumed run draws the same
ones, and so do several workers at the same step.
"""

import math
from collections.abc import Callable

import numpy as np

from rnn.layers import seeded
from rnn.layers.blocks import BlockedSoftmax
from rnn.layers.softmax import cost_and_residual, gradients_of_rows
from rnn.tf1 import on_host, tf


def draw(num_sampled: int, vocab_size: int, seed: int,
         step: tf.Tensor) -> tf.Tensor:
  """Returns the candidates of a step, int64 [S].

  Args:
    num_sampled: S.
    vocab_size: V.
    step: scalar int64.
  """
  with on_host():
    key = tf.stack([tf.constant(seed, tf.int64), seeded.CANDIDATES - step])
    # In float32 many ids above 2^16 would never be drawn.
    u = tf.random.stateless_uniform([num_sampled], key, dtype=tf.float64)
    ids = tf.cast(tf.exp(u * math.log(vocab_size + 1)), tf.int64) - 1
    return tf.minimum(ids, vocab_size - 1)


def log_expected(ids: tf.Tensor, num_sampled: int,
                 vocab_size: int) -> tf.Tensor:
  """Returns log(S P(k)) for ids k, float32: how often k is drawn on average."""
  k = tf.cast(ids, tf.float64)
  return tf.cast(
      tf.math.log(tf.math.log1p(1 / (k + 1)))
      + (math.log(num_sampled) - math.log(math.log(vocab_size + 1))),
      tf.float32)


def expected_distinct(num_sampled: int, vocab_size: int) -> float:
  """Returns how many different words S candidates are on average."""
  k = np.arange(vocab_size, dtype=np.float64)
  p = np.log1p(1 / (k + 1)) / math.log(vocab_size + 1)
  return float(-np.expm1(num_sampled * np.log1p(-p)).sum())


class SampledSoftmax(BlockedSoftmax):
  """A softmax layer that compares each target with candidates.

  Its columns are the U different words among the candidates and the targets of
  a window. Their weights are gathered once, so the gradient of the weights is
  sparse and has one row per word. The logits are over all words.
  """

  def __init__(self, weights: tf.Variable, bias: tf.Variable, precision: str,
               candidates: tf.Tensor, targets: tf.Tensor,
               pads: bool = False) -> None:
    """Adds the gathered weights to the graph.

    Args:
      weights: [V, H].
      bias: [V].
      precision: of the model.
      candidates: [S], the result of `draw`.
      targets: [T, B] word ids of the window; negative ones do not count.
      pads: whether the gradients have S + T B rows in each step, some of them
        zero, so that workers can exchange them.
    """
    super().__init__(weights.read_value(), bias.read_value())
    num_sampled, vocab_size = candidates.shape[0], weights.shape[0]
    words = tf.cast(tf.reshape(tf.maximum(targets, 0), [-1]), tf.int64)
    ids, column_of = tf.unique(tf.concat([candidates, words], axis=0))
    times = tf.math.unsorted_segment_sum(
        tf.ones([num_sampled]), column_of[:num_sampled], tf.size(ids))
    self._targets_column = tf.where_v2(
        targets < 0, tf.cast(targets, tf.int32),
        tf.reshape(column_of[num_sampled:], tf.shape(targets)))
    gathered, number = ids, tf.size(ids)  # U
    if pads:
      most = num_sampled + targets.shape.num_elements()
      gathered = tf.pad(ids, [[0, most - number]])
      gathered.set_shape([most])
    self._rows = tf.cast(  # (U, H)
        tf.gather(weights, gathered)[:number], precision)
    self._corrected = tf.gather(bias, gathered)[:number] - log_expected(
        ids, num_sampled, vocab_size)  # (U,)
    # A word that is no candidate, but some target, competes only there: its
    # log(times) is minus infinity.
    self._log_times = tf.math.log(times)

  def columns(self, targets: tf.Tensor) -> tf.Tensor:
    """Returns the columns of the targets that the constructor got, [T, B]."""
    return self._targets_column

  def losses(self, hidden: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the cross entropy among the candidates, see `Softmax`."""
    return sampled_cross_entropy(
        hidden, self._rows, self._corrected, self._log_times, columns)


@tf.custom_gradient
def sampled_cross_entropy(
    hidden: tf.Tensor, rows: tf.Tensor, bias: tf.Tensor, log_times: tf.Tensor,
    targets: tf.Tensor) -> tuple[tf.Tensor, Callable]:
  """Cross entropy of each target among the words of a window.

  With z = hidden rows^T + bias, the logit of the target is z[target], and that
  of each other word is z + log_times. Gradients are as in
  `softmax.softmax_cross_entropy`.

  Args:
    hidden: [N, H].
    rows: [U, H], weights, in the precision of `hidden`.
    bias: [U], float32, less the logarithms of the expected counts.
    log_times: [U], float32, the logarithm of how often each was drawn.
    targets: [N], int32 in [0, U).

  Returns:
    [N], in nats, float32.
  """
  own = tf.gather(bias, targets) + tf.reduce_sum(
      tf.cast(hidden, tf.float32)
      * tf.cast(tf.gather(rows, targets), tf.float32), axis=1)  # (N,)
  logits = tf.cast(
      tf.matmul(hidden, rows, transpose_b=True), tf.float32) + (
          bias + log_times)  # (N, U)
  logits = tf.tensor_scatter_nd_update(
      logits, tf.stack([tf.range(tf.size(targets)), targets], axis=1), own)
  cost, residual = cost_and_residual(logits, targets)

  def grad(d_cost):
    return *gradients_of_rows(hidden, rows, residual, d_cost), None, None

  return cost, grad
