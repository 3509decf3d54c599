"""Dropout and penalties in the model of a window, against the oracle."""

import dataclasses

import numpy as np
import pytest

import ptb_word_lm
from rnn.layers import dropout, lstm
from rnn.options import Options
from rnn.tf1 import tf
from tests.helpers import regularized
from tests.helpers.tiny_model import TINY, VOCAB_SIZE, initialize, parameters

SEED, STEP = 8, 5
EVERYTHING = {
    "keep_prob": 0.6, "dropout_mask": "window", "keep_prob_input": 0.9,
    "keep_prob_output": 0.7, "keep_prob_word": 0.6, "keep_prob_recurrent": 0.6,
    "activation_penalty": 2.0, "slowness_penalty": 3.0}
CASES = {
    "sites": {"keep_prob_input": 0.8, "keep_prob_hidden": 0.6,
              "keep_prob_output": 0.5},
    "some sites": {"keep_prob": 0.6, "keep_prob_hidden": 1.0},
    "window": {"keep_prob": 0.6, "dropout_mask": "window"},
    "words": {"keep_prob_word": 0.6},
    "recurrent": {"keep_prob_recurrent": 0.6},
    "activation": {"activation_penalty": 2.0},
    "slowness": {"slowness_penalty": 3.0},
    "slowness, dropout": {"slowness_penalty": 3.0, "keep_prob": 0.5},
    "one word": {**EVERYTHING, "num_steps": 1},
    "everything": {**EVERYTHING, "hidden_sizes": (6, 3), "embedding_size": 4,
                   "num_steps": 5},
}


def make_model(config, precision="float32", rnn_mode=None):
  """Returns a model in training, its words, and its initial state."""
  rng = np.random.default_rng(0)
  shape = [config.num_steps, config.batch_size]
  inputs, targets = rng.integers(0, VOCAB_SIZE, [2, *shape])
  state = [tuple(rng.normal(size=(2, config.batch_size, size)))
           for size in config.layer_sizes]
  model = ptb_word_lm.PTBModel(
      config, VOCAB_SIZE, tf.constant(inputs), tf.constant(targets),
      [lstm.LSTMState(*(tf.constant(x, tf.float32) for x in s)) for s in state],
      is_training=True, step=tf.constant(STEP, tf.int64),
      options=Options(rnn_mode, SEED, precision))
  return model, inputs, targets, state


def masks(session, config, inputs):
  """Returns the masks of L + 1 sites, and of L kernels."""
  step = tf.constant(STEP, tf.int64)
  sites = session.run(dropout.masks(
      config, tf.constant(inputs), VOCAB_SIZE, step, Options(seed=SEED)))
  kernels = [] if config.keep_prob_recurrent == 1 else session.run([
      dropout.kernel_mask(config, layer, 4 * size, SEED, step)
      for layer, size in enumerate(config.layer_sizes)])
  return [sites.get(site, 1.0) for site in range(
      len(config.layer_sizes) + 1)], kernels


@pytest.mark.parametrize("case, rnn_mode", [
    *((case, "fused") for case in CASES), ("everything", "dynamic")])
def test_training_step_equals_oracle(session, case, rnn_mode):
  config = dataclasses.replace(TINY, init_scale=1, max_grad_norm=100,
                               learning_rate=0.5, **CASES[case])
  model, inputs, targets, state = make_model(config, rnn_mode=rnn_mode)
  initialize(session)
  of_sites, of_kernels = masks(session, config, inputs)
  before = parameters(session)
  expected = regularized.Model(
      before, of_kernels, config.activation_penalty, config.slowness_penalty)
  nats, final_state = expected.forward(inputs, targets, state, of_sites)
  norm = expected.step(config.learning_rate, config.max_grad_norm)

  results = session.run({
      "cost": model.cost, "nats": model.nats, "state": model.final_state,
      "norm": model.grad_norm, "train_op": model.train_op})
  assert results["nats"] == pytest.approx(nats.sum(), rel=1e-5)
  assert results["cost"] == pytest.approx(expected.cost(nats), rel=1e-5)
  assert results["norm"] == pytest.approx(norm, rel=1e-5)
  for got, (c, h) in zip(results["state"], final_state, strict=True):
    np.testing.assert_allclose(got.c, c, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.h, h, rtol=1e-4, atol=1e-6)
  for name, value in parameters(session).items():
    np.testing.assert_allclose(value, expected.parameters[name],
                               rtol=1e-5, atol=3e-6, err_msg=name)
  # A weight that the window drops keeps its bits.
  for name, mask in expected.kernel_masks.items():
    assert (parameters(session)[name] == before[name])[mask == 0].all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_stays_close(session, precision):
  config = dataclasses.replace(
      TINY, init_scale=1, max_grad_norm=100, **CASES["everything"])
  model, inputs, targets, state = make_model(config, precision)
  initialize(session)
  of_sites, of_kernels = masks(session, config, inputs)
  expected = regularized.Model(
      parameters(session), of_kernels, config.activation_penalty,
      config.slowness_penalty)
  nats, _ = expected.forward(inputs, targets, state, of_sites)
  norm = expected.step(1, 100)
  cost, got_norm = session.run([model.cost, model.grad_norm])
  assert cost == pytest.approx(expected.cost(nats), rel=0.02)
  assert got_norm == pytest.approx(norm, rel=0.05)


def test_evaluation_is_as_without(session):
  """So are its ops: nothing is added, and nothing is slower."""
  graphs = []
  for config in TINY, dataclasses.replace(TINY, **EVERYTHING):
    with tf.Graph().as_default() as graph:
      ids = tf.zeros([4, 3], tf.int32)
      ptb_word_lm.PTBModel(config, VOCAB_SIZE, ids, ids)
      graphs.append([(op.name, op.type) for op in graph.get_operations()])
  assert graphs[0] == graphs[1]
