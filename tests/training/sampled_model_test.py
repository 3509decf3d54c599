"""Models with a projection and a sampled softmax, against the oracle."""

import dataclasses

import numpy as np
import pytest

import ptb_word_lm
import reader
from rnn.layers import cells, sampled, seeded
from rnn.options import Options
from rnn.tf1 import read_in_place, repeatable_session, tf
from tests.helpers import oracle
from tests.helpers.tiny_model import TINY, initialize, parameters

V, SEED, STEP = 40, 8, 5
CONFIG = dataclasses.replace(
    TINY, num_layers=2, init_scale=0.5, cell="lstmp", projection_size=3,
    embedding_size=4, num_sampled=12, optimizer="adagrad", learning_rate=0.2)


def make_model(config=CONFIG, is_training=True, precision="float32", step=STEP,
               **options):
  """Adds a model of a window with a word that does not count."""
  rng = np.random.default_rng(0)
  inputs, targets = rng.integers(0, V, [2, config.num_steps, config.batch_size])
  targets[-1, 0] = reader.NO_TARGET
  state = tuple(
      cells.CELLS[config.cell].state(*(
          rng.normal(size=[config.batch_size, width])
          for width in cells.CELLS[config.cell].widths(*sizes).values()))
      for sizes in config.sizes)
  return inputs, targets, state, ptb_word_lm.PTBModel(
      config, V, tf.constant(inputs), tf.constant(targets),
      tf.nest.map_structure(lambda x: tf.constant(x, tf.float32), state),
      is_training=is_training, step=tf.constant(step, tf.int64),
      options=Options(seed=SEED, precision=precision, **options))


def cost_of(values, inputs, targets, state, candidates=None):
  """Returns the cost of a window by the oracle, in float64 or complex."""
  x = values["Model/embedding"][inputs]
  for i, before in enumerate(state):
    cell = f"Model/RNN/multi_rnn_cell/cell_{i}/lstm_cell/"
    x, _ = oracle.layer("lstmp", x.astype(values[cell + "bias"].dtype), before,
                        *(values[cell + name] for name in (
                            "kernel", "bias", "projection/kernel")))
  counts = targets != reader.NO_TARGET
  rows, words = x[counts], targets[counts]
  if "Model/softmax_rows" in values:
    weights = values["Model/softmax_rows"]
  else:
    weights = values["Model/embedding"]
    rows = rows @ values["Model/softmax_projection"]
  bias = values["Model/softmax_b"]
  if candidates is None:
    logits = rows @ weights.T + bias
    nats = np.log(np.exp(logits).sum(axis=1)) - logits[
        np.arange(len(words)), words]
  else:
    nats = oracle.sampled_cross_entropy(rows, weights, bias, candidates, words)
  return nats.sum() / targets.shape[1]


@pytest.mark.parametrize("optimizer, tie_weights", [
    ("adagrad", False), ("sgd", False), ("adagrad", True)])
@pytest.mark.parametrize("full", [False, True])
def test_training_step_equals_oracle(session, full, optimizer, tie_weights):
  """The norm is that of the gradients whose rows are summed by word."""
  config = dataclasses.replace(
      CONFIG, optimizer=optimizer, max_grad_norm=0.5, tie_weights=tie_weights)
  inputs, targets, state, model = make_model(config, full_softmax=full)
  initialize(session)
  before = {k: v.astype("d") for k, v in parameters(session).items()}
  candidates = None if full else session.run(sampled.draw(
      config.num_sampled, V, SEED, tf.constant(STEP, tf.int64)))
  names = list(before)
  gradients = dict(zip(names, oracle.complex_step_gradients(
      lambda *arrays: cost_of(dict(zip(names, arrays, strict=True)), inputs,
                              targets, state, candidates),
      list(before.values())), strict=True))
  norm = np.sqrt(sum((g ** 2).sum() for g in gradients.values()))
  assert norm > config.max_grad_norm
  cost, actual, _ = session.run([model.cost, model.grad_norm, model.train_op])
  assert cost == pytest.approx(
      cost_of(before, inputs, targets, state, candidates), rel=1e-5)
  assert actual == pytest.approx(norm, rel=1e-5)
  for name, value in parameters(session).items():
    gradient = gradients[name] * config.max_grad_norm / norm
    step = 0.2 * gradient / (
        np.sqrt(0.1 + gradient ** 2) if optimizer == "adagrad" else 1)
    np.testing.assert_allclose(value, before[name] - step, rtol=2e-5,
                               atol=2e-6, err_msg=name)


@pytest.mark.parametrize("tie_weights", [False, True])
def test_evaluation_compares_all_words(session, tie_weights):
  inputs, targets, state, model = make_model(dataclasses.replace(
      CONFIG, tie_weights=tie_weights), is_training=False)
  initialize(session)
  values = {k: v.astype("d") for k, v in parameters(session).items()}
  losses, cost, logits, words = session.run(
      [model.losses, model.cost, model.logits, model.output_words])
  assert cost == pytest.approx(
      cost_of(values, inputs, targets, state), rel=1e-5)
  assert logits.shape == (*targets.shape, V)
  log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  expected = -np.take_along_axis(
      log_probs, np.maximum(targets, 0)[..., None], 2)[..., 0]
  np.testing.assert_allclose(
      losses, np.where(targets == reader.NO_TARGET, 0, expected), atol=1e-5)
  np.testing.assert_array_equal(words, logits.argmax(axis=-1))


def test_variables(session):
  """The names of a projection are those of TensorFlow 1's LSTMCell."""
  make_model()
  cell = "Model/RNN/multi_rnn_cell/cell_{}/lstm_cell/"
  assert {v.op.name: v.shape.as_list() for v in tf.trainable_variables()} == {
      "Model/embedding": [V, 4],
      **{cell.format(i) + name: shape for i, inputs in enumerate((4, 3))
         for name, shape in {
             "kernel": [inputs + 3, 20], "bias": [20],
             "projection/kernel": [5, 3]}.items()},
      "Model/softmax_rows": [V, 3], "Model/softmax_b": [V]}
  slots = {v.op.name for v in tf.global_variables()} - {
      v.op.name for v in tf.trainable_variables()}
  assert slots == {f"{v.op.name}/Adagrad" for v in tf.trainable_variables()} | {
      "global_step"}
  initialize(session)
  assert set(session.run(session.graph.get_tensor_by_name(
      "Model/softmax_rows/Adagrad/Read/ReadVariableOp:0")).flat) == {
          np.float32(0.1)}


def test_other_words_keep_their_bits(session):
  inputs, targets, _, model = make_model()
  initialize(session)
  before = parameters(session)
  session.run(model.train_op)
  after = parameters(session)
  changed = {name: set(np.flatnonzero(
      (before[name] != after[name]).reshape(V, -1).any(axis=1)))
             for name in ("Model/embedding", "Model/softmax_rows")}
  # The word at the end whose target does not count has no gradient.
  assert set(inputs[:-1].flat) <= changed["Model/embedding"] <= set(inputs.flat)
  assert changed["Model/softmax_rows"] < set(range(V))
  assert set(targets[targets >= 0]) <= changed["Model/softmax_rows"]


def test_several_workers_draw_the_same_candidates(session):
  """Each has other words; the step and the seed are the same."""
  drawn = []
  config = dataclasses.replace(CONFIG, optimizer="sgd")
  for worker in range(2):
    ids = tf.constant(np.full([4, 3], worker), tf.int32)
    ptb_word_lm.PTBModel(config, V, ids, ids, is_training=True,
                         step=tf.constant(STEP, tf.int64),
                         options=Options(seed=SEED))
  for op in session.graph.get_operations():
    if op.type == "StatelessRandomUniformV2" and op.outputs[0].dtype == (
        tf.float64):
      drawn.append(session.run(op.outputs[0]))
  assert len(drawn) == 2
  np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("precision, error", [("bfloat16", 0.1),
                                              ("float16", 0.02)])
def test_16_bits_are_near_32(precision, error):
  norms = []
  for dtype in precision, "float32":
    with tf.Graph().as_default(), repeatable_session() as session:
      *_, model = make_model(precision=dtype)
      initialize(session)
      norms.append(session.run([model.cost, model.grad_norm, model.train_op]))
  assert norms[0][:2] == pytest.approx(norms[1][:2], rel=error)
  assert norms[0][0] != norms[1][0]


def test_initial_values_are_no_constants():
  """Constants would be computed in advance and kept for good."""
  with tf.Graph().as_default() as graph:
    seeded.Parameters(0.1, 1).add("v", [3, 4])
    variable = tf.trainable_variables()[0]
    above, inputs = [variable.initializer.inputs[1].op], set()
    while above:
      op = above.pop()
      inputs.add(op.type)
      above += [x.op for x in op.inputs]
    assert "PlaceholderWithDefault" in inputs
    assert graph


def test_a_variable_can_be_read_in_place(session):
  """The ops run in any state of the variable."""
  variable = tf.get_variable("v", initializer=np.ones([4, 2], "f"),
                             use_resource=True)
  row = tf.gather(variable, [1])
  initialize(session)
  for fetch in row, read_in_place(variable), row:
    session.run(fetch)
  assert session.run(variable).sum() == 8
