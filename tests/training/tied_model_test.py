"""Models whose softmax weights are their embedding, against the oracle."""

import dataclasses
import math

import numpy as np
import pytest

import ptb_word_lm
import reader
from rnn.layers import lstm
from rnn.options import Options
from rnn.parallel.workers import Workers
from rnn.tf1 import repeatable_session, tf
from tests.helpers import oracle
from tests.helpers.tiny_model import (
    TINY,
    VOCAB_SIZE,
    dropout_masks,
    initialize,
    parameters,
)

TIED = dataclasses.replace(TINY, tie_weights=True, init_scale=1)
CASES = {
    "clipped": {"max_grad_norm": 0.05},
    "not clipped": {"max_grad_norm": 100},
    "projection": {"hidden_sizes": (6, 3), "embedding_size": 4},
    "dropout and projection": {"embedding_size": 7, "keep_prob": 0.6},
}
PROJECTED = dataclasses.replace(TIED, **CASES["projection"])
FEW = 3  # words in 12 positions


def make_model(config, is_training=True, **options):
  """Adds the model of a window with repeated words, one without a target."""
  rng = np.random.default_rng(0)
  shape = [config.num_steps, config.batch_size]
  inputs, targets = rng.integers(0, FEW, shape), rng.integers(
      0, VOCAB_SIZE, shape)
  targets[1, 0] = targets[-1, 1] = reader.NO_TARGET
  state = [tuple(rng.normal(size=(2, config.batch_size, size)))
           for size in config.layer_sizes]
  return inputs, targets, state, ptb_word_lm.PTBModel(
      config, VOCAB_SIZE, tf.constant(inputs), tf.constant(targets),
      [lstm.LSTMState(*(tf.constant(x, tf.float32) for x in s)) for s in state],
      is_training=is_training, step=tf.constant(5, tf.int64),
      options=Options(seed=8, **options))


@pytest.mark.parametrize("rnn_mode", lstm.LAYERS)
@pytest.mark.parametrize("case", CASES)
def test_training_step_equals_oracle(session, case, rnn_mode):
  config = dataclasses.replace(TIED, **CASES[case])
  inputs, targets, state, model = make_model(config, rnn_mode=rnn_mode)
  masks = ([1.0] * (len(state) + 1) if config.keep_prob == 1
           else dropout_masks(session, config, seed=8, step=5))
  initialize(session)
  expected = oracle.Model(parameters(session))
  nats, _ = expected.forward(inputs, targets, state, masks)
  gradient = expected.gradients()["Model/embedding"]
  norm = expected.step(config.learning_rate, config.max_grad_norm)
  looked_up = gradient.copy()  # as if words were not looked up
  np.subtract.at(looked_up, inputs, expected.d_embedded)
  # If one part of the gradient did not count, this test would notice.
  assert abs((looked_up ** 2).sum() - (gradient ** 2).sum()
             ) > 1e-4 * norm ** 2
  cost, actual_norm, _ = session.run(
      [model.cost, model.grad_norm, model.train_op])
  assert cost == pytest.approx(nats.sum() / config.batch_size, rel=1e-5)
  assert actual_norm == pytest.approx(norm, rel=1e-5)
  values = parameters(session)
  assert values.keys() == expected.parameters.keys()
  for name, value in values.items():
    np.testing.assert_allclose(value, expected.parameters[name],
                               rtol=1e-5, atol=3e-6, err_msg=name)


@pytest.mark.parametrize("config", [TIED, PROJECTED])
def test_evaluation_equals_oracle(session, config):
  inputs, targets, state, model = make_model(config, is_training=False)
  initialize(session)
  expected = oracle.Model(parameters(session))
  nats, _ = expected.forward(inputs, targets, state, [1.0] * 3)
  losses, logits, outputs = session.run(
      [model.losses, model.logits, model.outputs])
  np.testing.assert_allclose(losses, nats, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(outputs, expected.hidden, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(
      expected.hidden @ expected.projection() @ expected.softmax_w()
      + expected.parameters["Model/softmax_b"], logits, rtol=1e-5, atol=1e-5)


def test_variables(session):
  make_model(PROJECTED)
  shapes = {v.op.name: tuple(v.shape) for v in tf.global_variables()
            if "softmax" in v.op.name or "embedding" in v.op.name}
  assert shapes == {
      "Model/embedding": (VOCAB_SIZE, 4), "Model/softmax_b": (VOCAB_SIZE,),
      "Model/softmax_projection": (3, 4)}


def test_the_gradient_has_no_row_per_word_and_position(session):
  """Such rows would be summed by word in each step."""
  make_model(TIED)
  types = [op.type for op in session.graph.get_operations()]
  assert "UnsortedSegmentSum" not in types
  assert types.count("ResourceApplyGradientDescent") == len(
      tf.trainable_variables())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_frozen_embedding_stays_in_both_uses(session, optimizer):
  config = dataclasses.replace(
      PROJECTED, freeze="embedding", optimizer=optimizer, max_grad_norm=0.5)
  inputs, targets, state, model = make_model(config)
  initialize(session)
  before = parameters(session)
  expected = oracle.Model(before)
  expected.forward(inputs, targets, state, [1.0] * 3)
  norm = math.sqrt(sum(
      (gradient ** 2).sum() for name, gradient in expected.gradients().items()
      if name != "Model/embedding"))
  assert session.run([model.grad_norm, model.train_op])[0] == pytest.approx(
      norm, rel=1e-5)
  assert {name for name, value in parameters(session).items()
          if (value == before[name]).any()} == {"Model/embedding"}


@pytest.mark.parametrize("precision, error", [("bfloat16", 0.05),
                                              ("float16", 0.01)])
def test_16_bits_are_near_32(precision, error):
  """Of look-ups and softmax, in both parts of the embedding's gradient."""
  steps = []
  for dtype in precision, "float32":
    with tf.Graph().as_default(), repeatable_session() as session:
      *_, model = make_model(PROJECTED, precision=dtype)
      initialize(session)
      before = parameters(session)
      session.run(model.train_op)
      steps.append({name: value - before[name]
                    for name, value in parameters(session).items()})
  for name, step in steps[1].items():
    difference = np.linalg.norm(steps[0][name] - step)
    assert 0 < difference < error * np.linalg.norm(step), name


def train(devices, **settings):
  """Returns the variables after some steps on so many devices."""
  config = dataclasses.replace(TIED, keep_prob=0.6, batch_size=6, **settings)
  workers = Workers([f"/CPU:{n}" for n in range(devices)]
                    if devices > 1 else [""])
  ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=200)
  with tf.Graph().as_default():
    training = ptb_word_lm.stream_pass(
        "Train", config, VOCAB_SIZE, ids, is_training=True,
        options=Options(workers=workers))
    with repeatable_session("", workers.adjust) as session:
      initialize(session, training)
      for step in range(4):
        training.run(session, step)
      return parameters(session)


@pytest.mark.parametrize("settings", [
    {"embedding_size": 7}, {"num_sampled": 6}])
def test_devices_follow_a_single_one(settings):
  one, two = (train(devices, **settings) for devices in (1, 2))
  for name, value in two.items():
    np.testing.assert_allclose(value, one[name], rtol=1e-5, atol=4e-6,
                               err_msg=name)
