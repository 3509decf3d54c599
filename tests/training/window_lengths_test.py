"""Training on windows of random length, against the oracle on unpadded ones."""

import dataclasses
import math

import numpy as np
import pytest

import ptb_word_lm
from rnn.layers import lstm
from rnn.options import Options
from rnn.text.jitter import Lengths
from rnn.text.streams import NO_TARGET
from rnn.tf1 import tf
from rnn.training import passes
from tests.helpers import oracle
from tests.helpers.tiny_model import (
    TINY,
    VOCAB_SIZE,
    bits_after,
    initialize,
    masks_of_shapes,
    parameters,
)

# Windows of 5 to 11 words in graphs of 11 steps.
CONFIG = dataclasses.replace(
    TINY, num_steps=8, window_jitter=1.5, max_grad_norm=1.5)
IDS = np.random.default_rng(3).integers(0, VOCAB_SIZE, 3 * 61 + 2)


def windows(config, epoch, seed):
  """Generates the inputs and targets of an epoch, [length, B] each."""
  columns = IDS[:3 * 61].reshape(3, 61).T
  start = 0
  for length in Lengths(
      config.num_steps, config.window_jitter, 60, seed).draw(epoch):
    rows = columns[start:start + length + 1]
    yield rows[:-1], rows[1:]
    start += length
  assert start == 60


def masks(session, config, step, length):
  """Returns the masks of the first steps of a window; 1 without dropout."""
  if config.keep_prob == 1:
    return [1.0] * 3
  most = math.ceil(config.num_steps + 2 * config.window_jitter)
  return [mask[:length] for mask in masks_of_shapes(
      session, [(most, 3, 5)] * 3, config.keep_prob, 7, step)]


@pytest.mark.parametrize("rnn_mode, keep_prob", [
    *((mode, 1.0) for mode in lstm.LAYERS), ("fused", 0.6)])
def test_training_follows_the_oracle(session, rnn_mode, keep_prob):
  """Two epochs: cost, gradient, carried state, clipping, counts."""
  config = dataclasses.replace(CONFIG, keep_prob=keep_prob)
  training = ptb_word_lm.stream_pass(
      "Train", config, VOCAB_SIZE, IDS, is_training=True,
      options=Options(rnn_mode, seed=7))
  initialize(session, training)
  expected = oracle.Model(parameters(session))
  step, lengths = 0, []
  for epoch, learning_rate in enumerate((1.0, 0.5)):
    state = [(np.zeros([3, 5]),) * 2] * 2
    nats = norms = clipped = 0
    for x, y in windows(config, epoch, seed=7):
      costs, state = expected.forward(
          x, y, state, masks(session, config, step, len(x)))
      limit = config.max_grad_norm * len(x) / 8
      norm = expected.step(learning_rate, limit)
      sums = training.run(session, step)
      nats, norms = nats + costs.sum(), norms + norm
      clipped += norm > limit
      assert sums["nats"] == pytest.approx(nats, rel=1e-4)
      assert sums["grad_norm"] == pytest.approx(norms, rel=1e-4)
      assert sums["clipped"] == clipped
      step += 1
      lengths.append(len(x))
    assert sums["targets"] == 180 and session.run(training.window) == 0
    assert 0 < clipped  # and below, some windows are not
  assert len({*lengths}) > 3 and clipped < training.size
  for name, value in parameters(session).items():
    np.testing.assert_allclose(
        value, expected.parameters[name], rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("settings, precision, tolerance", [
    ({"cell": "gru"}, "float32", 1e-5),
    ({"cell": "lstmp", "projection_size": 3, "num_sampled": 4}, "float32",
     1e-5),
    ({}, "bfloat16", 2e-3)])
def test_padding_changes_nothing(session, settings, precision, tolerance):
  """Windows that fill the first half only partly, exactly, and both halves."""
  config = dataclasses.replace(CONFIG, num_layers=1, **settings)

  def build(inputs, targets, window_jitter):
    model = ptb_word_lm.PTBModel(
        dataclasses.replace(config, window_jitter=window_jitter), VOCAB_SIZE,
        inputs, targets, is_training=True, options=Options(precision=precision))
    return {"cost": model.cost, "norm": model.grad_norm,
            "targets": model.num_targets,
            "state": tf.concat(tf.nest.flatten(model.final_state), axis=1)}

  inputs, targets = (tf.placeholder(tf.int32, [11, 3]) for _ in range(2))
  padded, expected = build(inputs, targets, 1.5), {}
  words = np.random.default_rng(2).integers(0, VOCAB_SIZE, [12, 3])
  for length in 1, 4, 6:
    rows = tf.constant(words[:length + 1])
    expected[length] = build(rows[:-1], rows[1:], 0.0)
  initialize(session)
  for length, tensors in expected.items():
    shorter = np.where(np.arange(12)[:, None] <= length, words, NO_TARGET)
    result = session.run(
        padded, {inputs: shorter[:-1], targets: shorter[1:]})
    for name, value in session.run(tensors).items():
      np.testing.assert_allclose(
          result[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_evaluation_has_windows_of_t(session):
  ids = np.arange(40) % VOCAB_SIZE
  sums = []
  for jitter in 0.0, 5.0:
    config = dataclasses.replace(CONFIG, window_jitter=jitter)
    valid = ptb_word_lm.stream_pass(f"Valid{jitter:g}", config, VOCAB_SIZE, ids)
    initialize(session, valid)
    assert valid.model.outputs.shape[0] == 8
    for variable in tf.trainable_variables():
      variable.load(np.full(variable.shape, 0.1), session)
    sums.append(passes.run_pass(session, valid).sums)
  assert sums[0] == sums[1]


def test_training_in_several_sessions_has_the_same_bits():
  """Epochs of 5 windows, while a pass over the text has about 7."""
  config = dataclasses.replace(CONFIG, epoch_size=5, keep_prob=0.7)
  with tf.Graph().as_default():
    training = ptb_word_lm.stream_pass(
        "Train", config, VOCAB_SIZE, IDS, is_training=True,
        options=Options(seed=2, precision="bfloat16"))
    bits = bits_after(training, 17)
    assert bits_after(training, 9, 17) == bits != bits_after(training, 16)


def test_a_window_too_long_for_memory_is_refused():
  config = dataclasses.replace(CONFIG, window_jitter=1e30)
  with tf.Graph().as_default(), pytest.raises(
      Exception, match="lower batch_size or num_steps or window_jitter"):
    ptb_word_lm.stream_pass(
        "Train", config, VOCAB_SIZE, IDS, is_training=True)
