"""Every layer of every cell against the oracle, with and without lengths."""

import dataclasses
import itertools

import numpy as np
import pytest

import configs
from rnn import errors
from rnn.layers import cells, gru, recurrent, seeded
from rnn.tf1 import tf
from rnn.training import optimizers
from tests.helpers import oracle

LAYERS = [(cell, name) for cell in cells.CELLS
          for name in cells.CELLS[cell].layers]
ALL = [(*layer, *rest) for layer, *rest in itertools.product(
    LAYERS, [None, (5, 0, 3), (1, 1, 1)], [5, 1])]
# Layers that work if T is unknown when the graph is built.
DYNAMIC = [(cell, name) for cell, name in LAYERS
           if name not in cells.CELLS[cell].static_modes]


def case(cell, num_steps=5, batch_size=3, input_size=2, hidden_size=4):
  """Returns arguments of a layer, and gradients of its results: two lists.

  The arguments are inputs, kernel, bias and other parameters, and the parts of
  the state. The results are the outputs and the parts of the final state.
  """
  rng = np.random.default_rng(num_steps)
  kind = cells.CELLS[cell]
  sizes = hidden_size, hidden_size - 1 if kind.projects else hidden_size
  widths = kind.widths(*sizes)
  parts = [[batch_size, width] for width in widths.values()]
  arguments, results = (
      [rng.normal(0, 0.7, shape) for shape in shapes] for shapes in (
          [[num_steps, batch_size, input_size],
           *kind.shapes(input_size, *sizes).values(), *parts],
          [[num_steps, batch_size, widths["h"]], *parts]))
  return arguments, results


def split(cell, arrays):
  """Returns the arguments of a case as inputs, weights and state."""
  parts = len(cells.CELLS[cell].state._fields)
  return arrays[0], arrays[1:-parts], arrays[-parts:]


def clip(lengths, num_steps):
  return None if lengths is None else np.minimum(lengths, num_steps)


def run_layer(cell, name, arrays, d_results, lengths=None, dtype="float32",
              static=True, unknown=()):
  """Returns the results, and the gradients of all arrays: two lists.

  Args:
    static: whether T is known when the graph is built.
    unknown: the arguments whose B is unknown: "inputs", "state", "lengths".
  """
  with tf.Graph().as_default(), tf.Session() as session:
    shapes = [list(a.shape) for a in arrays]
    if not static:
      shapes[0][0] = None
    if "inputs" in unknown:
      shapes[0][1] = None
    for shape in split(cell, shapes)[2] if "state" in unknown else []:
      shape[0] = None
    args = [tf.placeholder(tf.float32, shape) for shape in shapes]
    inputs, weights, state = split(cell, [tf.cast(x, dtype) for x in args])
    kind = cells.CELLS[cell]
    if lengths is not None:
      lengths = tf.placeholder_with_default(
          tf.constant(lengths, tf.int32),
          [None if "lengths" in unknown else len(lengths)])
    outputs, final = kind.layer(name)(
        inputs, kind.state(*state), *weights, lengths=lengths)
    results = [outputs, *final]
    assert type(final) is kind.state
    gradients = tf.gradients(results, args, [
        tf.cast(tf.constant(d), dtype) for d in d_results])
    return session.run([results, gradients],
                       dict(zip(args, arrays, strict=True)))


def run_oracle(cell, arrays, d_results, lengths=None):
  """Returns what `run_layer` should return."""
  def results(*arrays):
    inputs, weights, state = split(cell, arrays)
    outputs, final = oracle.layer(
        cell, inputs, state, *weights, lengths=lengths)
    return [outputs, *final]

  def total(*arrays):
    return sum((d * r).sum()
               for d, r in zip(d_results, results(*arrays), strict=True))

  return results(*arrays), oracle.complex_step_gradients(total, arrays)


def assert_close(actual, expected):
  """Compares two pairs of lists, as `run_layer` returns them."""
  for values, others in zip(actual, expected, strict=True):
    for number, (a, b) in enumerate(zip(values, others, strict=True)):
      np.testing.assert_allclose(
          a.astype("d"), b, rtol=2e-5, atol=2e-5, err_msg=str(number))


@pytest.mark.parametrize("cell, name, lengths, num_steps", ALL)
def test_layer_equals_oracle(cell, name, lengths, num_steps):
  """Outputs, final state; gradients of inputs, parameters and state."""
  lengths = clip(lengths, num_steps)
  arrays, d_results = case(cell, num_steps)
  assert_close(run_layer(cell, name, arrays, d_results, lengths),
               run_oracle(cell, arrays, d_results, lengths))


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, (5, 0, 3)])
@pytest.mark.parametrize("cell, name", DYNAMIC)
def test_number_of_steps_may_be_unknown(cell, name, lengths):
  arrays, d_results = case(cell)
  assert_close(run_layer(cell, name, arrays, d_results, lengths, static=False),
               run_oracle(cell, arrays, d_results, lengths))


def test_gates_of_a_gru_start_half_open():
  with tf.Graph().as_default(), tf.Session() as session:
    parameters = seeded.Parameters(0.1, seed=1)
    _, bias = parameters.add_layer(
        dataclasses.replace(configs.TEST, cell="gru"), 3, 5, 5)
    session.run(tf.global_variables_initializer())
    bias = session.run(bias)
  np.testing.assert_allclose(bias, np.repeat([1, 1, 0, 0], 5), atol=0.1)
  assert len(np.unique(bias)) == 20


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("unknown", [
    ("inputs",), ("state",), ("lengths",), ("inputs", "state"),
    ("inputs", "lengths"), ("state", "lengths"),
    ("inputs", "state", "lengths")], ids="+".join)
@pytest.mark.parametrize("cell, name", DYNAMIC)
def test_batch_size_may_be_unknown(cell, name, unknown, batch_size):
  lengths = np.array([4, 0, 3])[:batch_size]
  arrays, d_results = case(cell, batch_size=batch_size)
  assert_close(
      run_layer(cell, name, arrays, d_results, lengths, static=False,
                unknown=unknown),
      run_oracle(cell, arrays, d_results, lengths))


@pytest.mark.parametrize("lengths", [None, (5, 0, 3), (0, 0, 0)])
@pytest.mark.parametrize("cell", [
    cell for cell, kind in cells.CELLS.items() if "cudnn" in kind.layers])
def test_cudnn_stub_equals_oracle(cudnn_on_cpu, cell, lengths):
  arrays, d_results = case(cell)
  assert_close(run_layer(cell, "cudnn", arrays, d_results, lengths),
               run_oracle(cell, arrays, d_results, lengths))


@pytest.mark.parametrize("cell, name", LAYERS)
def test_two_windows_are_one_long_window(cell, name):
  kind, lengths = cells.CELLS[cell], np.array([5, 1, 3])
  with tf.Graph().as_default(), tf.Session() as session:
    inputs, weights, state = split(
        cell, [tf.constant(a, tf.float32) for a in case(cell)[0]])
    state = kind.state(*state)

    def run(inputs, state, lengths):
      return kind.layer(name)(
          inputs, state, *weights, lengths=tf.constant(lengths, tf.int32))

    long = run(inputs, state, lengths)
    first, state = run(inputs[:2], state, np.minimum(lengths, 2))
    second, state = run(inputs[2:], state, np.maximum(lengths - 2, 0))
    long, parts = session.run(
        [long, (tf.concat([first, second], axis=0), state)])
  for a, b in zip(tf.nest.flatten(long), tf.nest.flatten(parts), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell, name", LAYERS)
def test_padding_does_not_leak(cell, name):
  """Inputs past a row's end change no bit, however large; the state stays."""
  lengths = np.array([5, 0, 3])
  arrays, d_results = case(cell)
  padding = np.arange(5)[:, None] >= lengths
  spoilt = arrays[0].copy()
  spoilt[padding] = np.linspace(-1e30, 1e30, spoilt[padding].size).reshape(
      spoilt[padding].shape)
  results = run_layer(cell, name, arrays, d_results, lengths)
  others = run_layer(cell, name, [spoilt, *arrays[1:]], d_results, lengths)
  for a, b in zip(sum(results, []), sum(others, []), strict=True):
    np.testing.assert_array_equal(a, b)
  (outputs, *final), (d_inputs, *_) = results
  assert not outputs[padding].any() and not d_inputs[padding].any()
  for part, before in zip(final, split(cell, arrays)[2], strict=True):
    np.testing.assert_array_equal(part[1], before[1].astype("f"))


def run_bidirectional(arrays, lengths):
  """Returns the results and gradients of two GRUs, forward and backward.

  The backward GRU starts from h + 1 and has half the kernel.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    inputs, kernel, bias, h = [tf.constant(a, tf.float32) for a in arrays]
    state = recurrent.HiddenState(h)
    outputs, (last, first) = recurrent.bidirectional(
        gru.fused_layer, inputs, [state, recurrent.HiddenState(h + 1)],
        [(kernel, bias), (kernel / 2, bias)], tf.constant(lengths, tf.int32))
    weights = np.random.default_rng(3).normal(size=[5, 3, 8])
    gradients = tf.gradients(
        tf.reduce_sum(outputs * weights) + tf.reduce_sum(first.h - last.h),
        [inputs, kernel, bias, h])
    return session.run([outputs, last.h, first.h, *gradients])


def test_bidirectional_layer_runs_backward_from_each_rows_end():
  """Each row by itself, cut to its length and reversed, gives the same."""
  lengths = np.array([5, 1, 3])
  arrays, _ = case("gru")
  inputs, kernel, bias, h = arrays
  outputs, last, first, *_ = run_bidirectional(arrays, lengths)
  for row, length in enumerate(lengths):
    words = inputs[:length, row:row + 1]
    forward, (end,) = oracle.layer(
        "gru", words, (h[row:row + 1],), kernel, bias)
    backward, (start,) = oracle.layer(
        "gru", words[::-1], (h[row:row + 1] + 1,), kernel / 2, bias)
    expected = np.concatenate([forward, backward[::-1]], axis=2)[:, 0]
    np.testing.assert_allclose(outputs[:length, row], expected, atol=2e-5)
    assert not outputs[length:, row].any()
    np.testing.assert_allclose([last[row], first[row]], [end[0], start[0]],
                               atol=2e-5)


def test_padding_does_not_leak_into_a_bidirectional_layer():
  lengths = np.array([5, 1, 3])
  arrays, _ = case("gru")
  spoilt = arrays[0].copy()
  spoilt[np.arange(5)[:, None] >= lengths] = 1e3
  for a, b in zip(
      run_bidirectional(arrays, lengths),
      run_bidirectional([spoilt, *arrays[1:]], lengths), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("dtype, error", [("bfloat16", 5e-2),
                                          ("float16", 5e-3)])
@pytest.mark.parametrize("cell, name", [
    layer for layer in LAYERS if layer[0] != "lstm"])  # see lstm_test.py
def test_16_bits_are_near_32(cell, name, dtype, error):
  arrays, d_results = case(cell, num_steps=7, hidden_size=8)
  expected = run_layer(cell, "basic", arrays, d_results)
  results = run_layer(cell, name, arrays, d_results, dtype=dtype)
  for a, b in zip(sum(results, []), sum(expected, []), strict=True):
    difference = np.linalg.norm(a.astype("d") - b)
    assert 0 < difference < error * np.linalg.norm(b)


@pytest.mark.parametrize("static", [True, False])
def test_fused_gru_keeps_h_in_float32_within_a_window(static):
  """h falls by 1/150 per step; bfloat16 would round that to no change."""
  arrays = [np.zeros([50, 1, 1]), np.zeros([2, 3]),
            np.array([0, 5, 0, 0.0]), np.ones([1, 1])]  # z is 0.9933, n is 0
  (_, h), _ = run_layer("gru", "fused", arrays, [
      np.zeros([50, 1, 1]), np.ones([1, 1])], dtype="bfloat16", static=static)
  assert h.astype("f")[0, 0] == pytest.approx(
      oracle.sigmoid(5) ** 50, abs=0.004)


@pytest.mark.parametrize("cell, mode, gates", [
    ("lstm", b"lstm", 4), ("gru", b"gru", 3), ("rnn", b"rnn_tanh", 1)])
def test_cudnn_op_has_the_mode_of_the_cell(cell, mode, gates):
  """Looks at the real op: building its graph needs no GPU."""
  kind = cells.CELLS[cell]
  with tf.Graph().as_default() as graph:
    shapes = kind.shapes(input_size=5, hidden_size=4)
    kind.layers["cudnn"](
        tf.zeros([3, 2, 5]), kind.zero_state(2, 4), tf.zeros(shapes["kernel"]),
        tf.zeros(shapes["bias"]), tf.constant([2, 0]))
    (op,) = [op for op in graph.get_operations() if op.type == "CudnnRNNV3"]
  assert op.get_attr("rnn_mode") == mode and op.get_attr("time_major")
  assert op.inputs[3].shape == [gates * (5 * 4 + 4 * 4 + 2 * 4)]


def test_cudnn_without_a_gpu_is_refused(monkeypatch):
  monkeypatch.setattr(recurrent, "has_gpu", lambda: False)
  with pytest.raises(errors.SettingError, match="^rnn_mode=cudnn: needs an"):
    cells.CELLS["lstm"].layer("cudnn")


@pytest.mark.parametrize("cell", cells.CELLS)
def test_the_default_layer_runs_here(cell, monkeypatch):
  monkeypatch.setattr(recurrent, "has_gpu", lambda: False)
  kind = cells.CELLS[cell]
  assert kind.resolve(None) in set(kind.layers) - {"cudnn", "dynamic"}
  arrays, d_results = case(cell)
  assert_close(
      run_layer(cell, kind.resolve(None, static=False), arrays, d_results,
                static=False), run_oracle(cell, arrays, d_results))
  monkeypatch.setattr(recurrent, "has_gpu", lambda: True)
  assert (kind.resolve(None) == "cudnn") == ("cudnn" in kind.layers)


def test_an_implementation_that_the_cell_lacks_is_refused():
  with pytest.raises(errors.SettingError, match=(
      "^rnn_mode=block: gru_cell has no such implementation; choose one of "
      "basic, dynamic, fused, cudnn$")):
    cells.CELLS["gru"].layer("block")
  with pytest.raises(errors.SettingError, match=(
      "^rnn_mode=fused: basic_lstm_cell has no such implementation if the "
      "number of steps varies; choose one of dynamic, block, cudnn$")):
    cells.CELLS["lstm"].layer("fused", static=False)


def test_configs_accept_all_cells_and_optimizers():
  for names, setting in ((cells.CELLS, "cell"),
                         (optimizers.OPTIMIZERS, "optimizer")):
    for name in names:
      config = configs.override(configs.TEST, {
          setting: name, "projection_size": int(name == "lstmp")})
      assert getattr(config, setting) == name
    with pytest.raises(configs.ConfigError) as error:
      configs.override(configs.TEST, f"{setting}=x")
    assert str(error.value).startswith(
        f"{setting}=x: must be one of {', '.join(names)} (")
