"""Passes over a text: windows, carried state, dropout, learning rate, sums."""

import dataclasses
import math
import time

import numpy as np
import pytest

import configs
import ptb_word_lm
import reader
from rnn.options import Options
from rnn.text import streams
from rnn.tf1 import tf
from rnn.training import passes
from rnn.training.trainable import Trainable
from tests.helpers import oracle
from tests.helpers.tiny_model import (
    TINY,
    VOCAB_SIZE,
    dropout_masks,
    initialize,
    parameters,
)


def zero_state(batch_size):
  """Returns the zero state of TINY for the oracle."""
  zeros = np.zeros([batch_size, TINY.hidden_size])
  return [(zeros, zeros)] * TINY.num_layers


def test_uniform_logits_give_perplexity_v(session):
  for batch_size in (1, 4):
    config = dataclasses.replace(TINY, batch_size=batch_size)
    validation = ptb_word_lm.stream_pass(
        f"Valid{batch_size}", config, VOCAB_SIZE, np.arange(30) % VOCAB_SIZE)
    initialize(session, validation)
    for variable in tf.trainable_variables():
      variable.load(np.zeros(variable.shape), session)
    result = passes.run_pass(session, validation)
    assert result.perplexity == pytest.approx(VOCAB_SIZE, rel=1e-6)


@pytest.mark.parametrize("num_steps", [1, 4, 7, 50])
def test_one_stream_scores_like_the_oracle_for_any_window_length(
    session, num_steps):
  ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 30)
  config = dataclasses.replace(  # evaluation must ignore keep_prob
      TINY, batch_size=1, num_steps=num_steps, keep_prob=0.5)
  test = ptb_word_lm.stream_pass("Test", config, VOCAB_SIZE, ids)
  initialize(session, test)
  nats, _ = oracle.Model(parameters(session)).forward(
      ids[:-1, None], ids[1:, None], zero_state(1), [1.0] * 3)
  for _ in range(2):  # the second pass starts from zero again
    result = passes.run_pass(session, test)
    assert result.perplexity == pytest.approx(
        math.exp(nats.sum() / 29), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2, 3, 20])
@pytest.mark.parametrize("num_steps", [1, 5, 40])
def test_every_target_is_scored_once(session, batch_size, num_steps):
  config = dataclasses.replace(
      TINY, batch_size=batch_size, num_steps=num_steps)
  test = ptb_word_lm.stream_pass(
      "Test", config, VOCAB_SIZE, np.arange(37) % VOCAB_SIZE)
  initialize(session, test)
  for _ in range(test.size):
    sums = session.run(test.advance)
  assert sums["targets"] == 36
  assert 0 < sums["nats"] / 36 < 2 * math.log(VOCAB_SIZE)
  assert session.run(test.window) == 0


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_learning_rate_of_each_epoch(session, name):
  published = configs.CONFIGS[name]
  config = dataclasses.replace(
      published, hidden_size=1, num_steps=2, batch_size=2)
  training = ptb_word_lm.stream_pass(
      "Train", config, VOCAB_SIZE, np.arange(16) % VOCAB_SIZE,
      is_training=True)
  initialize(session, training)
  assert training.size == 3
  global_step = tf.train.get_global_step()
  for epoch in range(1, published.max_max_epoch + 1):
    decays = max(epoch - published.max_epoch, 0)
    expected = published.learning_rate * published.lr_decay ** decays
    for step in (3 * epoch - 3, 3 * epoch - 1):  # the first and last window
      global_step.load(step, session)
      assert session.run(training.model.lr) == pytest.approx(
          expected, rel=1e-6)


def test_learning_rate_after_plateaus(session):
  config = dataclasses.replace(
      TINY, lr_schedule="plateau", lr_decay=0.25, plateau_epochs=2, max_epoch=0)
  training = ptb_word_lm.stream_pass(
      "Train", config, VOCAB_SIZE, np.arange(33) % VOCAB_SIZE, is_training=True)
  initialize(session, training)
  names = {variable.op.name for variable in tf.global_variables()}
  assert not any("decays" in name for name in names)  # it follows from the rows
  for figures, decays in ([], 0), ([3, 3], 0), ([3, 3, 4], 1), ([3, 4, 2], 0):
    training.schedule.after_epoch(session, figures)
    assert session.run(training.model.lr) == 0.25 ** decays


@pytest.mark.parametrize("part", [streams._WINDOWS, 1])
def test_training_follows_the_oracle_window_by_window(
    session, monkeypatch, part):
  """Two epochs with dropout: windows, carried state, learning rate, masks.

  With parts of one window, the text is loaded anew before each window.
  """
  monkeypatch.setattr(streams, "_WINDOWS", part)
  config = dataclasses.replace(TINY, keep_prob=0.6)
  ids = np.random.default_rng(3).integers(0, VOCAB_SIZE, 32)
  training = ptb_word_lm.stream_pass(
      "Train", config, VOCAB_SIZE, ids, is_training=True,
      options=Options(seed=7))
  initialize(session, training)
  expected = oracle.Model(parameters(session))
  step = 0
  for learning_rate in (1.0, 0.5):
    state, nats = zero_state(3), []
    for x, y in reader.ptb_iterator(ids, 3, 4):
      costs, state = expected.forward(
          x.T, y.T, state, dropout_masks(session, config, seed=7, step=step))
      expected.step(learning_rate, config.max_grad_norm)
      nats.append(costs)
      step += 1
    result = passes.run_pass(session, training)
    assert result.perplexity == pytest.approx(
        math.exp(np.mean(nats)), rel=1e-4)
  for name, value in parameters(session).items():
    np.testing.assert_allclose(
        value, expected.parameters[name], rtol=1e-4, atol=1e-5)


def test_epochs_need_not_end_with_the_text(session):
  """Epochs of 3 windows on a text of 2: the state restarts with the text."""
  config = dataclasses.replace(TINY, epoch_size=3)
  ids = np.random.default_rng(3).integers(0, VOCAB_SIZE, 32)
  training = ptb_word_lm.stream_pass(
      "Train", config, VOCAB_SIZE, ids, is_training=True)
  initialize(session, training)
  expected = oracle.Model(parameters(session))
  windows = list(reader.ptb_iterator(ids, 3, 4))
  assert (len(windows), training.size) == (2, 3)
  nats = []
  for step in range(6):
    if step % 2 == 0:
      state = zero_state(3)
    x, y = windows[step % 2]
    costs, state = expected.forward(x.T, y.T, state, [1.0] * 3)
    expected.step(1.0 if step < 3 else 0.5, config.max_grad_norm)
    nats.append(costs)
  for epoch_nats in nats[:3], nats[3:]:
    result = passes.run_pass(session, training)
    assert result.sums["targets"] == 3 * 12
    assert result.perplexity == pytest.approx(
        math.exp(np.mean(epoch_nats)), rel=1e-4)


def test_a_pass_can_run_in_several_sessions(session):
  test = ptb_word_lm.stream_pass(
      "Test", TINY, VOCAB_SIZE, np.arange(30) % VOCAB_SIZE)
  with tf.Session(graph=session.graph) as other:
    results = []
    for each in session, other:
      initialize(each, test)
      results.append(passes.run_pass(each, test))
  assert results[0].perplexity == results[1].perplexity


def test_a_step_decays_all_but_frozen_parameters():
  config = dataclasses.replace(TINY, learning_rate=0.5, freeze="embedding")
  results = {}
  for decay in 0.0, 0.1:
    with tf.Graph().as_default(), tf.Session() as session:
      training = ptb_word_lm.stream_pass(
          "Train", dataclasses.replace(config, weight_decay=decay), VOCAB_SIZE,
          np.arange(33) % VOCAB_SIZE, is_training=True)
      initialize(session, training)
      before = parameters(session)
      session.run(training.advance)
      results[decay] = parameters(session)
  for name, value in before.items():
    lost = 0 if name == "Model/embedding" else 0.5 * 0.1 * value
    np.testing.assert_allclose(
        results[0.1][name], results[0.0][name] - lost, atol=1e-7)


class Numbers:
  """Batches of numbers."""

  inputs = [("float32", [None])]

  def __init__(self, *batches):
    self._batches, self.size = batches, len(batches)

  def __call__(self, step):
    return [self._batches[step % self.size]]


def test_batches_train_from_initial_values_at_the_rate_of_the_epoch(session):
  config = dataclasses.replace(
      TINY, learning_rate=0.5, lr_decay=0.5, max_epoch=1, max_grad_norm=99)

  def make_model(x, is_training, step, learning_rate):
    with tf.variable_scope("model", reuse=tf.AUTO_REUSE):
      variable = tf.get_variable("v", initializer=1.0, use_resource=True)
    cost = tf.reduce_sum(x * variable)
    return Trainable(config, cost, {"nats": cost, "targets": tf.size(x)},
                     [variable], is_training, learning_rate)

  training, validation, _ = passes.batch_passes(config, {
      "train": Numbers([1, 2], [3]), "valid": Numbers([4]),
      "test": Numbers([5])}, make_model, {"model/v": np.float32(7)})
  initialize(session, training)
  value = 7.0
  for rate in 0.5, 0.25:
    result = passes.run_pass(session, training)
    assert result.sums["nats"] == 3 * value + 3 * (value - rate * 3)
    assert (result.sums["targets"], result.sums["grad_norm"]) == (3, 6)
    value -= rate * (3 + 3)
    assert passes.run_pass(session, validation).sums["nats"] == 4 * value


class SlowFirstWindow:
  """A stub for a pass: 6 windows of 100 words, the first one slow."""

  step, size, sums = 0, 6, {"nats": 0.0, "targets": 0}

  def run(self, session, step):
    time.sleep(0.01 if step else 1)
    return self.sums | {"targets": 100 * (step + 1)}


class ReturnsFetches:
  """A stub for a session, for fetches that are values already."""

  def run(self, fetches):
    return fetches


def test_speed_excludes_the_first_window():
  result = passes.run_pass(ReturnsFetches(), SlowFirstWindow())
  # With the first window, it would be below 600.
  assert 600 < result.per_second < 100 / 0.01


def test_the_ptb_test_split_is_scored_whole(session, ptb_folder):
  *_, ids, vocabulary = reader.ptb_raw_data(ptb_folder)
  config = dataclasses.replace(configs.TEST, batch_size=1, num_steps=500)
  test = ptb_word_lm.stream_pass(
      "Test", config, len(vocabulary), ids, options=Options("block"))
  initialize(session, test)
  for _ in range(test.size):
    sums = session.run(test.advance)
  assert sums["targets"] == 82_429
