"""The softmax in blocks of words against the softmax in one piece."""

import numpy as np
import pytest

from rnn.layers import blocks
from rnn.layers.softmax import Softmax
from rnn.tf1 import tf

N, T, B, H, V = 6, 2, 3, 5, 23


def run(make, dtype="float32", size=1.0):
  """Returns losses, logits, and the gradients of hidden, weights and bias.

  Args:
    make: a function of weights [V, H], bias and the dtype; returns the layer.
  """
  rng = np.random.default_rng(2)
  arrays = [size * rng.normal(size=shape) for shape in ([N, H], [V, H], [V])]
  targets, d_cost = rng.integers(0, V, N), rng.normal(size=N)
  with tf.Graph().as_default(), tf.Session() as session:
    args = [tf.constant(a, tf.float32) for a in arrays]
    hidden = tf.cast(args[0], dtype)
    layer = make(*args[1:], dtype)
    losses = layer.losses(hidden, tf.constant(targets))
    logits = layer.logits(tf.reshape(hidden, [T, B, H]))
    return session.run([losses, logits, *tf.gradients(
        losses, args, tf.constant(d_cost, tf.float32))])


def whole(weights, bias, dtype):
  return Softmax(tf.cast(tf.transpose(weights), dtype), bias)


def blocked(weights, bias, dtype):
  del dtype
  return blocks.BlockedSoftmax(weights, bias)


@pytest.mark.parametrize("size", [1.0, 30.0])
@pytest.mark.parametrize("numbers", [1, N * 4, N * V, 1 << 22])
def test_blocks_of_any_size_equal_one_piece(monkeypatch, numbers, size):
  """Also a last block that is smaller; and logits whose exp overflows."""
  monkeypatch.setattr(blocks, "NUMBERS", numbers)
  for value, other in zip(run(blocked, size=size), run(whole, size=size),
                          strict=True):
    np.testing.assert_allclose(value, other, rtol=2e-5, atol=3e-5 * size)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits(monkeypatch, dtype):
  monkeypatch.setattr(blocks, "NUMBERS", N * 4)
  for value, other in zip(
      run(blocked, dtype), run(whole, dtype), strict=True):
    error = np.linalg.norm(value - other)
    assert error < 2e-2 * np.linalg.norm(other)


def test_logits_never_exist_for_all_words(monkeypatch):
  """Every matrix in the loops has the rows of a block, or the width H."""
  monkeypatch.setattr(blocks, "NUMBERS", N * 4)
  with tf.Graph().as_default() as graph, tf.Session() as session:
    hidden, weights, bias = (
        tf.ones(shape) for shape in ([N, H], [V, H], [V]))
    losses = blocks.BlockedSoftmax(weights, bias).losses(
        hidden, tf.zeros([N], tf.int32))
    gradients = tf.gradients(losses, [hidden, weights, bias])
    metadata = tf.RunMetadata()
    session.run([losses, *gradients], options=tf.RunOptions(
        trace_level=tf.RunOptions.FULL_TRACE), run_metadata=metadata)
    assert graph
  shapes = {tuple(d.size for d in output.tensor_description.shape.dim)
            for device in metadata.step_stats.dev_stats
            for node in device.node_stats for output in node.output}
  assert (N, 4) in shapes  # a block of logits
  assert not any(N in shape and V in shape for shape in shapes)
