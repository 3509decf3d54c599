"""Every layer against the oracle, and against each other."""

import numpy as np
import oracle
import pytest

import lstm
from tensorflow_v1 import tf

NAMES = ("outputs", "c", "h", "d_inputs", "d_c", "d_h", "d_kernel", "d_bias")


def case(num_steps, batch_size, input_size, hidden_size):
  """The five arguments of a layer, and a gradient for its three results."""
  rng = np.random.default_rng(num_steps)
  state = [batch_size, hidden_size]
  shapes = [[num_steps, batch_size, input_size], state, state,
            [input_size + hidden_size, 4 * hidden_size], [4 * hidden_size],
            [num_steps, *state], state, state]
  return [rng.normal(0, 0.7, shape) for shape in shapes]


def run_layer(name, arrays):
  with tf.Graph().as_default(), tf.Session() as session:
    inputs, c, h, kernel, bias, *d_results = [
        tf.constant(a, tf.float32) for a in arrays]
    outputs, state = lstm.LAYERS[name](
        inputs, lstm.LSTMState(c, h), kernel, bias)
    results = [outputs, *state]
    grads = tf.gradients(results, [inputs, c, h, kernel, bias], d_results)
    return dict(zip(NAMES, session.run(results + grads), strict=True))


def run_oracle(arrays):
  inputs, c, h, kernel, bias, *d_results = arrays
  outputs, (c, h), steps = oracle.lstm(inputs, c, h, kernel, bias)
  grads = oracle.lstm_gradient(steps, kernel, *d_results)
  return dict(zip(NAMES, (outputs, c, h, *grads), strict=True))


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 1, 6, 6), (7, 4, 3, 8),
                                   (35, 2, 5, 1)], ids=str)
@pytest.mark.parametrize("name", lstm.LAYERS)
def test_layer_equals_oracle(name, shape):
  arrays = case(*shape)
  expected = run_oracle(arrays)
  for key, value in run_layer(name, arrays).items():
    np.testing.assert_allclose(
        value, expected[key], rtol=2e-5, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("name", lstm.LAYERS)
def test_two_windows_are_one_long_window(name):
  inputs, c, h, kernel, bias, *_ = (a.astype("f") for a in case(6, 2, 3, 4))
  with tf.Graph().as_default(), tf.Session() as session:
    layer = lstm.LAYERS[name]
    state = lstm.LSTMState(tf.constant(c), tf.constant(h))
    long = layer(tf.constant(inputs), state, kernel, tf.constant(bias))
    first, state = layer(
        tf.constant(inputs[:4]), state, kernel, tf.constant(bias))
    second, state = layer(
        tf.constant(inputs[4:]), state, kernel, tf.constant(bias))
    whole, parts = session.run(
        [long, (tf.concat([first, second], axis=0), state)])
  for a, b in zip(tf.nest.flatten(whole), tf.nest.flatten(parts), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_dynamic_graph_does_not_grow_with_steps():
  def num_ops(name, num_steps):
    with tf.Graph().as_default() as graph:
      inputs, c, h, kernel, bias, *_ = [
          tf.constant(a, tf.float32) for a in case(num_steps, 2, 3, 4)]
      lstm.LAYERS[name](inputs, lstm.LSTMState(c, h), kernel, bias)
      return len(graph.get_operations())

  assert num_ops("dynamic", 5) == num_ops("dynamic", 50)
  assert num_ops("basic", 5) < num_ops("basic", 50)


def test_oracle_gradient_is_the_slope():
  arrays = case(3, 2, 3, 4)
  d_results = arrays[5:]

  def cost():
    outputs, (c, h), _ = oracle.lstm(*arrays[:5])
    return sum((d * r).sum()
               for d, r in zip(d_results, (outputs, c, h), strict=True))

  rng = np.random.default_rng(0)
  grads = run_oracle(arrays)
  for array, name in zip(arrays[:5], NAMES[3:], strict=True):
    place = tuple(rng.integers(n) for n in array.shape)
    value, costs = array[place], []
    for array[place] in (value - 1e-6, value + 1e-6, value):
      costs.append(cost())
    slope = (costs[1] - costs[0]) / 2e-6
    assert slope == pytest.approx(grads[name][place], abs=1e-7), name
