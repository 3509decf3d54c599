"""Every layer against the oracle, and against each other."""

import numpy as np
import oracle
import pytest

import cells
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


def run_layer(name, arrays, dtype="float32"):
  with tf.Graph().as_default(), tf.Session() as session:
    inputs, c, h, kernel, bias, *d_results = [
        tf.cast(tf.constant(a), dtype) for a in arrays]
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


SHAPES = [(1, 3, 4, 5), (2, 1, 6, 6), (7, 4, 3, 8), (35, 2, 5, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", lstm.LAYERS)
def test_layer_equals_oracle(name, shape):
  arrays = case(*shape)
  expected = run_oracle(arrays)
  for key, value in run_layer(name, arrays).items():
    np.testing.assert_allclose(
        value, expected[key], rtol=2e-5, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_cudnn_layer_equals_oracle_on_a_stand_in(cudnn_on_cpu, shape):
  arrays = case(*shape)
  expected = run_oracle(arrays)
  for key, value in run_layer("cudnn", arrays).items():
    np.testing.assert_allclose(
        value, expected[key], rtol=2e-5, atol=2e-5, err_msg=key)


def pack(kernel, bias):
  """The parameters as cuDNN has them, and a function for their gradient."""
  with tf.Graph().as_default(), tf.Session() as session:
    args = [tf.constant(kernel), tf.constant(bias)]
    params = lstm.cudnn_params(*args)
    d_params = tf.placeholder(tf.float64, params.shape)
    grads = tf.gradients(params, args, d_params)
    value = session.run(params)
    return value, [session.run(grads, {d_params: d}) for d in (
        value, np.arange(float(len(value))))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cudnn_params_are_laid_out_as_cudnn_wants_them(shape):
  inputs, c, h, kernel, bias, *_ = case(*shape)
  params, _ = pack(kernel, bias)
  outputs, (final_c, final_h), _ = oracle.lstm(inputs, c, h, kernel, bias)
  found = oracle.cudnn(np, "lstm", inputs, h, c, params)
  for value, expected in zip(found, (outputs, final_h, final_c), strict=True):
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_cudnn_params():
  """Each number of the kernel and the bias has its place; they only move."""
  *_, kernel, bias = case(2, 1, 3, 4)[:5]
  params, (same, places) = pack(kernel, bias)
  np.testing.assert_array_equal(same[0], kernel)
  np.testing.assert_array_equal(same[1], bias)
  for value, place in zip((kernel, bias), places, strict=True):
    np.testing.assert_array_equal(params[place.astype(int)], value)


def test_cudnn_is_one_op_a_layer():
  """Of the real one, and its gradient: a graph needs no GPU to be built."""
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


def test_cudnn_is_the_default_on_its_gpus(monkeypatch):
  for gpus, cuda, layer in [([], True, "fused"), (["a GPU"], True, "cudnn"),
                            (["not one of NVIDIA's"], False, "fused")]:
    monkeypatch.setattr(tf.config, "list_physical_devices",
                        {"GPU": gpus}.__getitem__)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda cuda=cuda: cuda)
    assert cells.CELLS["lstm"].default_layer() == layer


@pytest.mark.parametrize("dtype, error", [("bfloat16", 5e-2),
                                          ("float16", 5e-3)])
@pytest.mark.parametrize("name", lstm.LAYERS)
def test_layers_in_16_bits(name, dtype, error):
  arrays = case(7, 4, 3, 8)
  expected = run_oracle(arrays)
  for key, value in run_layer(name, arrays, dtype).items():
    assert value.dtype == tf.as_dtype(dtype).as_numpy_dtype, key
    difference = np.linalg.norm(value.astype("d") - expected[key])
    assert 0 < difference < error * np.linalg.norm(expected[key]), key


@pytest.mark.parametrize("name", ["block", "fused", "cudnn"])
def test_c_is_no_bfloat16_within_a_window(name):
  """It grows by 0.01 a step from 4 on, where bfloat16 goes by 0.03."""
  one = np.ones([1, 1])
  i, j, f, o = -2.2, 0.1, 20, 0  # before sigmoid and tanh
  arrays = [np.zeros([50, 1, 1]), 4 * one, 0 * one, np.zeros([2, 4]),
            np.array([i, j, f, o]), np.zeros([50, 1, 1]), one, one]
  found = run_layer(name, arrays, "bfloat16")
  assert found["c"].astype("f") == pytest.approx(4.5, abs=0.03)


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
