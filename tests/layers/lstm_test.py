"""Every LSTM layer against the oracle; cuDNN; 16 bits."""

import numpy as np
import pytest

from rnn.layers import cells, lstm
from rnn.tf1 import tf
from tests.helpers import oracle
from tests.helpers.lstm_cases import case

NAMES = ("outputs", "c", "h", "d_inputs", "d_c", "d_h", "d_kernel", "d_bias")


# T, B, I, H
SHAPES = [(1, 3, 4, 5), (2, 1, 6, 6), (7, 4, 3, 8), (35, 2, 5, 1)]


def run_layer(name, arrays, dtype="float32"):
  """Returns results and gradients: a dict with the keys NAMES."""
  with tf.Graph().as_default(), tf.Session() as session:
    inputs, c, h, kernel, bias, *d_results = [
        tf.cast(tf.constant(a), dtype) for a in arrays]
    outputs, state = lstm.LAYERS[name](
        inputs, lstm.LSTMState(c, h), kernel, bias)
    results = [outputs, *state]
    grads = tf.gradients(results, [inputs, c, h, kernel, bias], d_results)
    return dict(zip(NAMES, session.run(results + grads), strict=True))


def run_oracle(arrays):
  """Returns what `run_layer` should return."""
  inputs, c, h, kernel, bias, *d_results = arrays
  outputs, (c, h), tape = oracle.lstm(inputs, c, h, kernel, bias)
  grads = oracle.lstm_gradient(tape, kernel, *d_results)
  return dict(zip(NAMES, (outputs, c, h, *grads), strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", lstm.LAYERS)
def test_layer_equals_oracle(name, shape):
  arrays = case(*shape)
  expected = run_oracle(arrays)
  for key, value in run_layer(name, arrays).items():
    np.testing.assert_allclose(
        value, expected[key], rtol=2e-5, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_cudnn_stub_equals_oracle(cudnn_on_cpu, shape):
  arrays = case(*shape)
  expected = run_oracle(arrays)
  for key, value in run_layer("cudnn", arrays).items():
    np.testing.assert_allclose(
        value, expected[key], rtol=2e-5, atol=2e-5, err_msg=key)


def pack(kernel, bias):
  """Returns the parameters in cuDNN's layout, and two pairs of gradients.

  Each pair holds the gradients of kernel and bias. For the first pair the
  gradient of the parameters is the parameters themselves, for the second it is
  0, 1, 2, ...
  """
  with tf.Graph().as_default(), tf.Session() as session:
    args = [tf.constant(kernel), tf.constant(bias)]
    params = lstm.cudnn_params(*args)
    d_params = tf.placeholder(tf.float64, params.shape)
    grads = tf.gradients(params, args, d_params)
    value = session.run(params)
    return value, [session.run(grads, {d_params: d}) for d in (
        value, np.arange(float(len(value))))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parameters_have_the_layout_of_cudnns_manual(shape):
  inputs, c, h, kernel, bias, *_ = case(*shape)
  params, _ = pack(kernel, bias)
  outputs, (final_c, final_h), _ = oracle.lstm(inputs, c, h, kernel, bias)
  results = oracle.cudnn(np, "lstm", inputs, h, c, params)
  for value, expected in zip(
      results, (outputs, final_h, final_c), strict=True):
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_cudnn_params():
  """Each number moves to one index, and its gradient moves back."""
  *_, kernel, bias = case(2, 1, 3, 4)[:5]
  params, (same, indices) = pack(kernel, bias)
  np.testing.assert_array_equal(same[0], kernel)
  np.testing.assert_array_equal(same[1], bias)
  for value, index in zip((kernel, bias), indices, strict=True):
    np.testing.assert_array_equal(params[index.astype(int)], value)


def test_cudnn_is_one_op_per_layer():
  """Looks at the real op and its gradient: building them needs no GPU."""
  with tf.Graph().as_default() as graph:
    x = tf.placeholder(tf.float32, [6, None, 5])
    state = lstm.LSTMState(*(tf.placeholder(tf.float32, [None, 4])
                             for _ in range(2)))
    kernel, bias = tf.zeros([9, 16]), tf.zeros([16])
    outputs, final = lstm.LAYERS["cudnn"](x, state, kernel, bias)
    args = [x, *state, kernel, bias]
    for result, like in zip(
        [outputs[..., :1], *final, *tf.gradients(outputs, args)],
        [x[..., :1], *state, *args], strict=True):
      assert result.shape.as_list() == like.shape.as_list()
    ops = [op for op in graph.get_operations() if op.type.startswith("Cudnn")]
  assert [op.type for op in ops] == ["CudnnRNNV3", "CudnnRNNBackpropV3"]
  for op in ops:
    assert {name: op.get_attr(name) for name in (
        "T", "rnn_mode", "input_mode", "direction", "dropout", "num_proj",
        "time_major")} == {
            "T": tf.float32, "rnn_mode": b"lstm", "input_mode": b"linear_input",
            "direction": b"unidirectional", "dropout": 0, "num_proj": 0,
            "time_major": True}


def test_cudnn_is_the_default_on_nvidia_gpus(monkeypatch):
  for gpus, cuda, layer in [([], True, "fused"), (["a GPU"], True, "cudnn"),
                            (["another maker's"], False, "fused")]:
    monkeypatch.setattr(tf.config, "get_visible_devices",
                        {"GPU": gpus}.__getitem__)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda cuda=cuda: cuda)
    assert cells.CELLS["lstm"].resolve(None) == layer


@pytest.mark.parametrize("dtype, error", [("bfloat16", 5e-2),
                                          ("float16", 5e-3)])
@pytest.mark.parametrize("name", lstm.LAYERS)
def test_16_bits_are_near_the_oracle(name, dtype, error):
  arrays = case(7, 4, 3, 8)
  expected = run_oracle(arrays)
  for key, value in run_layer(name, arrays, dtype).items():
    assert value.dtype == tf.as_dtype(dtype).as_numpy_dtype, key
    difference = np.linalg.norm(value.astype("d") - expected[key])
    assert 0 < difference < error * np.linalg.norm(expected[key]), key


@pytest.mark.parametrize("name", ["block", "fused", "cudnn"])
def test_c_is_float32_within_a_window(name):
  """c grows from 4 by 0.01 per step; bfloat16 numbers there are 0.03 apart."""
  one = np.ones([1, 1])
  i, j, f, o = -2.2, 0.1, 20, 0  # before sigmoid and tanh
  arrays = [np.zeros([50, 1, 1]), 4 * one, 0 * one, np.zeros([2, 4]),
            np.array([i, j, f, o]), np.zeros([50, 1, 1]), one, one]
  results = run_layer(name, arrays, "bfloat16")
  assert results["c"].astype("f") == pytest.approx(4.5, abs=0.03)


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


def test_dynamic_graph_does_not_grow_with_t():
  def num_ops(name, num_steps):
    with tf.Graph().as_default() as graph:
      inputs, c, h, kernel, bias, *_ = [
          tf.constant(a, tf.float32) for a in case(num_steps, 2, 3, 4)]
      lstm.LAYERS[name](inputs, lstm.LSTMState(c, h), kernel, bias)
      return len(graph.get_operations())

  assert num_ops("dynamic", 5) == num_ops("dynamic", 50)
  assert num_ops("basic", 5) < num_ops("basic", 50)


def test_oracle_gradient_equals_finite_differences():
  arrays = case(3, 2, 3, 4)
  d_results = arrays[5:]

  def cost():
    outputs, (c, h), _ = oracle.lstm(*arrays[:5])
    return sum((d * r).sum()
               for d, r in zip(d_results, (outputs, c, h), strict=True))

  rng = np.random.default_rng(0)
  grads = run_oracle(arrays)
  for array, name in zip(arrays[:5], NAMES[3:], strict=True):
    index = tuple(rng.integers(n) for n in array.shape)
    value, costs = array[index], []
    for array[index] in (value - 1e-6, value + 1e-6, value):
      costs.append(cost())
    slope = (costs[1] - costs[0]) / 2e-6
    assert slope == pytest.approx(grads[name][index], abs=1e-7), name
