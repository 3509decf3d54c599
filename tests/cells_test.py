"""Every layer of every cell against the oracle, with lengths and without."""

import itertools

import numpy as np
import oracle
import pytest

import cells
import configs
import errors
import gru
import optimizers
import recurrent
import stateless
from tensorflow_v1 import tf

LAYERS = [(cell, name) for cell in cells.CELLS
          for name in cells.CELLS[cell].layers]
ALL = [(*layer, *rest) for layer, *rest in itertools.product(
    LAYERS, [None, (5, 0, 3), (1, 1, 1)], [5, 1])]
# T, or None where it is not known when the graph is built.
DYNAMIC = [(cell, name) for cell, name in LAYERS
           if name not in cells.CELLS[cell].static]


def case(cell, num_steps=5, batch_size=3, input_size=2, hidden_size=4):
  """Inputs, kernel, bias and the parts of a state; then gradients for results.

  The latter are of the outputs and of the parts of the final state.
  """
  rng = np.random.default_rng(num_steps)
  kind = cells.CELLS[cell]
  parts = [[batch_size, hidden_size]] * len(kind.state._fields)
  shapes = [[num_steps, batch_size, input_size],
            *kind.shapes(input_size, hidden_size).values(), *parts,
            [num_steps, batch_size, hidden_size], *parts]
  arrays = [rng.normal(0, 0.7, shape) for shape in shapes]
  return arrays[:3 + len(parts)], arrays[3 + len(parts):]


def clipped(lengths, num_steps):
  return None if lengths is None else np.minimum(lengths, num_steps)


def run_layer(cell, name, arrays, d_results, lengths=None, dtype="float32",
              static=True, unknown=()):
  """The results, and the gradients by all arrays, two lists.

  Args:
    static: whether T is known when the graph is built.
    unknown: of what B is not: "inputs", "state", "lengths".
  """
  with tf.Graph().as_default(), tf.Session() as session:
    shapes = [list(a.shape) for a in arrays]
    if not static:
      shapes[0][0] = None
    if "inputs" in unknown:
      shapes[0][1] = None
    for shape in shapes[3:] if "state" in unknown else []:
      shape[0] = None
    given = [tf.placeholder(tf.float32, shape) for shape in shapes]
    inputs, kernel, bias, *state = [tf.cast(x, dtype) for x in given]
    kind = cells.CELLS[cell]
    if lengths is not None:
      lengths = tf.placeholder_with_default(
          tf.constant(lengths, tf.int32),
          [None if "lengths" in unknown else len(lengths)])
    outputs, final = kind.layer(name)(
        inputs, kind.state(*state), kernel, bias, lengths)
    results = [outputs, *final]
    assert type(final) is kind.state
    gradients = tf.gradients(results, given, [
        tf.cast(tf.constant(d), dtype) for d in d_results])
    return session.run([results, gradients],
                       dict(zip(given, arrays, strict=True)))


def run_oracle(cell, arrays, d_results, lengths=None):
  def results(inputs, kernel, bias, *state):
    outputs, final = oracle.layer(cell, inputs, state, kernel, bias, lengths)
    return [outputs, *final]

  def total(*arrays):
    return sum((d * r).sum()
               for d, r in zip(d_results, results(*arrays), strict=True))

  return results(*arrays), oracle.slopes(total, arrays)


def assert_close(found, expected, tolerance=2e-5):
  for kind, other in zip(found, expected, strict=True):
    for number, (a, b) in enumerate(zip(kind, other, strict=True)):
      np.testing.assert_allclose(
          a.astype("d"), b, rtol=tolerance, atol=tolerance, err_msg=str(number))


@pytest.mark.parametrize("cell, name, lengths, num_steps", ALL)
def test_layer_equals_oracle(cell, name, lengths, num_steps):
  """Outputs, final states, and gradients by inputs, parameters and states."""
  lengths = clipped(lengths, num_steps)
  arrays, d_results = case(cell, num_steps)
  assert_close(run_layer(cell, name, arrays, d_results, lengths),
               run_oracle(cell, arrays, d_results, lengths))


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, (5, 0, 3)])
@pytest.mark.parametrize("cell, name", DYNAMIC)
def test_steps_that_are_not_known_when_the_graph_is_built(cell, name, lengths):
  arrays, d_results = case(cell)
  assert_close(run_layer(cell, name, arrays, d_results, lengths, static=False),
               run_oracle(cell, arrays, d_results, lengths))


def test_gates_of_a_gru_begin_half_open():
  with tf.Graph().as_default(), tf.Session() as session:
    parameters = stateless.Parameters(0.1, seed=1)
    _, bias = parameters.add_layer(cells.CELLS["gru"], 3, 5)
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
def test_sizes_of_batches_that_are_not_known(cell, name, unknown, batch_size):
  lengths = np.array([4, 0, 3])[:batch_size]
  arrays, d_results = case(cell, batch_size=batch_size)
  assert_close(
      run_layer(cell, name, arrays, d_results, lengths, static=False,
                unknown=unknown),
      run_oracle(cell, arrays, d_results, lengths))


@pytest.mark.parametrize("lengths", [None, (5, 0, 3), (0, 0, 0)])
@pytest.mark.parametrize("cell", [
    cell for cell, kind in cells.CELLS.items() if "cudnn" in kind.layers])
def test_cudnn_equals_oracle_on_a_stand_in(cudnn_on_cpu, cell, lengths):
  arrays, d_results = case(cell)
  assert_close(run_layer(cell, "cudnn", arrays, d_results, lengths),
               run_oracle(cell, arrays, d_results, lengths))


@pytest.mark.parametrize("cell, name", LAYERS)
def test_two_windows_are_one_long_window(cell, name):
  """The second has what is left of the lengths."""
  kind, lengths = cells.CELLS[cell], np.array([5, 1, 3])
  (inputs, kernel, bias, *state), _ = case(cell)
  with tf.Graph().as_default(), tf.Session() as session:
    inputs, kernel, bias = (
        tf.constant(a, tf.float32) for a in (inputs, kernel, bias))
    state = kind.state(*(tf.constant(part, tf.float32) for part in state))

    def run(inputs, state, lengths):
      return kind.layer(name)(
          inputs, state, kernel, bias, tf.constant(lengths, tf.int32))

    long = run(inputs, state, lengths)
    first, state = run(inputs[:2], state, np.minimum(lengths, 2))
    second, state = run(inputs[2:], state, np.maximum(lengths - 2, 0))
    long, parts = session.run(
        [long, (tf.concat([first, second], axis=0), state)])
  for a, b in zip(tf.nest.flatten(long), tf.nest.flatten(parts), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell, name", LAYERS)
def test_padding_does_not_leak(cell, name):
  """What is past the ends, however large, changes not a bit; states stay."""
  lengths = np.array([5, 0, 3])
  arrays, d_results = case(cell)
  padding = np.arange(5)[:, None] >= lengths
  spoilt = arrays[0].copy()
  spoilt[padding] = np.linspace(-1e30, 1e30, spoilt[padding].size).reshape(
      spoilt[padding].shape)
  found = run_layer(cell, name, arrays, d_results, lengths)
  others = run_layer(cell, name, [spoilt, *arrays[1:]], d_results, lengths)
  for a, b in zip(sum(found, []), sum(others, []), strict=True):
    np.testing.assert_array_equal(a, b)
  (outputs, *final), (d_inputs, *_) = found
  assert not outputs[padding].any() and not d_inputs[padding].any()
  for part, before in zip(final, arrays[3:], strict=True):
    np.testing.assert_array_equal(part[1], before[1].astype("f"))


def bidirectional(arrays, lengths):
  """Outputs and gradients of two GRUs, forward and backward."""
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


def test_bidirectional_goes_backward_from_each_rows_end():
  """As each row alone, cut to its length and turned round."""
  lengths = np.array([5, 1, 3])
  arrays, _ = case("gru")
  inputs, kernel, bias, h = arrays
  outputs, last, first, *_ = bidirectional(arrays, lengths)
  for row, length in enumerate(lengths):
    alone = inputs[:length, row:row + 1]
    forward, (end,) = oracle.layer(
        "gru", alone, (h[row:row + 1],), kernel, bias)
    backward, (start,) = oracle.layer(
        "gru", alone[::-1], (h[row:row + 1] + 1,), kernel / 2, bias)
    expected = np.concatenate([forward, backward[::-1]], axis=2)[:, 0]
    np.testing.assert_allclose(outputs[:length, row], expected, atol=2e-5)
    assert not outputs[length:, row].any()
    np.testing.assert_allclose([last[row], first[row]], [end[0], start[0]],
                               atol=2e-5)


def test_padding_does_not_leak_backward():
  lengths = np.array([5, 1, 3])
  arrays, _ = case("gru")
  spoilt = arrays[0].copy()
  spoilt[np.arange(5)[:, None] >= lengths] = 1e3
  for a, b in zip(bidirectional(arrays, lengths),
                  bidirectional([spoilt, *arrays[1:]], lengths), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("dtype, error", [("bfloat16", 5e-2),
                                          ("float16", 5e-3)])
@pytest.mark.parametrize("cell, name", [
    layer for layer in LAYERS if layer[0] != "lstm"])  # lstm_test.py has those
def test_layers_in_16_bits(cell, name, dtype, error):
  arrays, d_results = case(cell, num_steps=7, hidden_size=8)
  expected = run_layer(cell, "basic", arrays, d_results)
  found = run_layer(cell, name, arrays, d_results, dtype=dtype)
  for a, b in zip(sum(found, []), sum(expected, []), strict=True):
    difference = np.linalg.norm(a.astype("d") - b)
    assert 0 < difference < error * np.linalg.norm(b)


@pytest.mark.parametrize("static", [True, False])
def test_h_of_a_fused_gru_is_no_bfloat16_within_a_window(static):
  """It falls by a 150th a step, where bfloat16 would round it to no change."""
  arrays = [np.zeros([50, 1, 1]), np.zeros([2, 3]),
            np.array([0, 5, 0, 0.0]), np.ones([1, 1])]  # z is 0.9933, n is 0
  (_, h), _ = run_layer("gru", "fused", arrays, [
      np.zeros([50, 1, 1]), np.ones([1, 1])], dtype="bfloat16", static=static)
  assert h.astype("f")[0, 0] == pytest.approx(
      oracle.sigmoid(5) ** 50, abs=0.004)


@pytest.mark.parametrize("cell, mode, gates", [
    ("lstm", b"lstm", 4), ("gru", b"gru", 3), ("rnn", b"rnn_tanh", 1)])
def test_cudnn_is_asked_for_the_cell(cell, mode, gates):
  """The real op's graph: it needs no GPU to be built."""
  kind = cells.CELLS[cell]
  with tf.Graph().as_default() as graph:
    shapes = kind.shapes(input_size=5, hidden_size=4)
    kind.layer("cudnn")(
        tf.zeros([3, 2, 5]), kind.zero_state(2, 4), tf.zeros(shapes["kernel"]),
        tf.zeros(shapes["bias"]), tf.constant([2, 0]))
    (op,) = [op for op in graph.get_operations() if op.type == "CudnnRNNV3"]
  assert op.get_attr("rnn_mode") == mode and op.get_attr("time_major")
  assert op.inputs[3].shape == [gates * (5 * 4 + 4 * 4 + 2 * 4)]


@pytest.mark.parametrize("cell", cells.CELLS)
def test_the_default_layer_runs_here(cell, monkeypatch):
  monkeypatch.setattr(recurrent, "has_gpu", lambda: False)
  kind = cells.CELLS[cell]
  assert kind.default_layer() in set(kind.layers) - {"cudnn", "dynamic"}
  arrays, d_results = case(cell)
  assert_close(
      run_layer(cell, kind.default_layer(static=False), arrays, d_results,
                static=False), run_oracle(cell, arrays, d_results))
  monkeypatch.setattr(recurrent, "has_gpu", lambda: True)
  assert (kind.default_layer() == "cudnn") == ("cudnn" in kind.layers)


def test_a_layer_that_a_cell_lacks():
  with pytest.raises(errors.UserError, match="--rnn_mode=block: gru_cell has "
                     "none; there are basic, dynamic, fused, cudnn"):
    cells.CELLS["gru"].layer("block")
  with pytest.raises(errors.UserError, match="=fused: basic_lstm_cell has none "
                     "where the number of steps differs; there are dynamic"):
    cells.CELLS["lstm"].layer("fused", static=False)


def test_configs_know_all_cells_and_optimizers():
  for names, setting in ((cells.CELLS, "cell"),
                         (optimizers.OPTIMIZERS, "optimizer")):
    for name in names:
      config = configs.override(configs.TEST, f"{setting}={name}")
      assert getattr(config, setting) == name
    with pytest.raises(configs.ConfigError) as error:
      configs.override(configs.TEST, f"{setting}=x")
    assert str(error.value) == (
        f"{setting}=x: must be one of {', '.join(names)}")
