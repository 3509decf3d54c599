"""The softmax cross entropy against the oracle, and with large logits."""

import numpy as np
import pytest

from rnn.layers import softmax
from rnn.tf1 import tf
from tests.helpers import oracle


def test_cost_and_gradients_equal_the_oracle():
  rng = np.random.default_rng(1)
  hidden, weights, bias, d_cost = (
      rng.normal(size=shape) for shape in [(9, 5), (5, 7), (7,), (9,)])
  targets = rng.integers(0, 7, 9)
  nats, d_logits = oracle.cross_entropy(hidden @ weights + bias, targets)
  d_logits *= d_cost[:, None]
  expected = [nats, d_logits @ weights.T, hidden.T @ d_logits, d_logits.sum(0)]

  with tf.Graph().as_default(), tf.Session() as session:
    args = [tf.constant(a, tf.float32) for a in (hidden, weights, bias)]
    cost = softmax.softmax_cross_entropy(*args, tf.constant(targets))
    grads = tf.gradients(cost, args, tf.constant(d_cost, tf.float32))
    results = session.run([cost, *grads])
  for value, other in zip(results, expected, strict=True):
    np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 80.0, 3e4])
def test_large_logits_stay_finite(size):
  """The likeliest word costs 0, the other the difference of the logits."""
  with tf.Graph().as_default(), tf.Session() as session:
    hidden = tf.constant([[size], [size]])
    weights = tf.constant([[1.0, -1.0]])
    cost = softmax.softmax_cross_entropy(
        hidden, weights, tf.zeros([2]), tf.constant([0, 1]))
    cost, grad = session.run([cost, tf.gradients(cost, weights)[0]])
  expected = np.logaddexp(0, [-2 * size, 2 * size])
  np.testing.assert_allclose(cost, expected, rtol=1e-6, atol=1e-6)
  assert np.isfinite(grad).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_gradient_of_the_bias_is_float32(dtype):
  """With logits of zero all probabilities are exact, so the oracle is, too."""
  rng = np.random.default_rng(2)
  d_cost, targets = rng.normal(size=400), rng.integers(0, 7, 400)
  _, d_logits = oracle.cross_entropy(np.zeros([400, 7]), targets)
  with tf.Graph().as_default(), tf.Session() as session:
    hidden, weights = (tf.zeros(shape, dtype) for shape in ([400, 5], [5, 7]))
    bias = tf.zeros([7])
    cost = softmax.softmax_cross_entropy(
        hidden, weights, bias, tf.constant(targets))
    (grad,) = tf.gradients(cost, bias, tf.constant(d_cost, tf.float32))
    value = session.run(grad)
  np.testing.assert_allclose(value, d_cost @ d_logits, rtol=1e-4, atol=1e-5)
