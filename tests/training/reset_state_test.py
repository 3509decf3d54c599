"""Sentences that start from zero: training and evaluation with the oracle."""

import dataclasses

import numpy as np
import pytest

import ptb_word_lm
from rnn.layers import lstm
from rnn.options import Options
from rnn.text.sentence_streams import SentenceStreams
from rnn.tf1 import tf
from rnn.training import passes
from tests.helpers import oracle
from tests.helpers.tiny_model import (
    TINY,
    VOCAB_SIZE,
    bits_after,
    initialize,
    parameters,
)
from tests.text.sentence_streams_test import sentences_of, windows_of

EOS = 0
CONFIG = dataclasses.replace(TINY, reset_state=True, max_grad_norm=0.4)
# Among the sentences are empty ones and long ones; the last has no <eos>.
TEXT = np.random.default_rng(5).integers(1, VOCAB_SIZE, 90)
TEXT[[0, 5, 6, 20, 22, 26, 27, 28, 50, 53, 60, 70, 77, 83]] = EOS


def zeros():
  return [(np.zeros([1, TINY.hidden_size]),) * 2] * TINY.num_layers


def make_pass(config=CONFIG, text=TEXT, name="Valid", **kwargs):
  return ptb_word_lm.stream_pass(
      name, config, VOCAB_SIZE, text, eos=EOS, **kwargs)


def oracle_step(model, pieces, states, config, learning_rate):
  """Takes a step on the pieces of a window, each run by itself, unpadded.

  Returns:
    The nats of all pieces, the states after, and the norm of the gradient.
  """
  total, after, nats = None, [], 0
  for piece, state in zip(pieces, states, strict=True):
    if len(piece) < 2:
      after.append(state)
      continue
    costs, state = model.forward(
        piece[:-1, None], piece[1:, None], state, [1.0] * 3)
    gradients = model.gradients()
    total = {name: gradient / len(pieces) + (total[name] if total else 0)
             for name, gradient in gradients.items()}
    nats += costs.sum()
    after.append(state)
  norm = np.sqrt(sum((gradient ** 2).sum() for gradient in total.values()))
  for name, gradient in total.items():
    model.parameters[name] -= (
        learning_rate * min(1, config.max_grad_norm / norm) * gradient)
  return nats, after, norm


@pytest.mark.parametrize("rnn_mode, num_steps", [
    *((mode, 4) for mode in lstm.LAYERS), ("fused", 1), ("fused", 40)])
def test_training_follows_the_oracle(session, rnn_mode, num_steps):
  config = dataclasses.replace(CONFIG, num_steps=num_steps)
  training = make_pass(config, name="Train", is_training=True,
                       options=Options(rnn_mode))
  initialize(session, training)
  expected = oracle.Model(parameters(session))
  windows = windows_of(SentenceStreams(TEXT, 3, num_steps, EOS))
  assert training.size == len(windows)
  step = 0
  for learning_rate in 1.0, 0.5:
    states, nats, norms = [None] * 3, 0, 0
    for window in windows:
      pieces = [column[column >= 0] for column in window.T]
      states = [zeros() if len(piece) and piece[0] == EOS else state
                for piece, state in zip(pieces, states, strict=True)]
      of_window, states, norm = oracle_step(
          expected, pieces, states, config, learning_rate)
      nats, norms = nats + of_window, norms + norm
      sums = training.run(session, step)
      step += 1
      assert sums["nats"] == pytest.approx(nats, rel=1e-4)
      assert sums["grad_norm"] == pytest.approx(norms, rel=1e-4)
    assert sums["targets"] == len(TEXT)
  for name, value in parameters(session).items():
    np.testing.assert_allclose(
        value, expected.parameters[name], rtol=2e-4, atol=2e-5, err_msg=name)


def test_evaluation_depends_on_no_size(session):
  """Each sentence counts as if it were the whole text."""
  splits = [make_pass(dataclasses.replace(
      CONFIG, batch_size=batch_size, num_steps=num_steps),
                      name=f"Valid{batch_size}_{num_steps}")
            for batch_size, num_steps in ((1, 1), (3, 4), (20, 7), (2, 100))]
  initialize(session, *splits)
  model = oracle.Model(parameters(session))
  nats = sum(model.forward(
      np.array(sentence[:-1])[:, None], np.array(sentence[1:])[:, None],
      zeros(), [1.0] * 3)[0].sum() for sentence in sentences_of(TEXT.tolist()))
  for split in splits:
    for _ in range(2):
      sums = passes.run_pass(session, split).sums
      assert sums["targets"] == len(TEXT)
      assert sums["nats"] == pytest.approx(nats, rel=1e-6)


def test_the_order_of_sentences_does_not_matter(session):
  sentences = [*map(list, sentences_of([*TEXT, EOS]))]
  other = np.concatenate([s[1:] for s in reversed(sentences)])
  splits = [make_pass(text=text, name=name) for text, name in (
      (np.append(TEXT, EOS), "One"), (other, "Other"))]
  initialize(session, *splits)
  one, two = (passes.run_pass(session, split).sums for split in splits)
  assert (other[:9] != TEXT[:9]).any()
  assert one["nats"] == pytest.approx(two["nats"], rel=1e-6)


def test_without_the_id_of_eos_it_is_refused():
  with tf.Graph().as_default(), pytest.raises(
      ptb_word_lm.reader.DataError,
      match="^train: reset_state=true: the vocabulary has no <eos>"):
    ptb_word_lm.stream_pass(
        "Train", CONFIG, VOCAB_SIZE, TEXT, is_training=True)


def test_training_in_several_sessions_has_the_same_bits():
  """A long sentence goes on after a stop. The epochs do not end with the text.
  """
  config = dataclasses.replace(CONFIG, epoch_size=4, keep_prob=0.7)
  with tf.Graph().as_default():
    training = make_pass(config, name="Train", is_training=True,
                         options=Options(seed=2, precision="bfloat16"))
    assert bits_after(training, 9, 14) == bits_after(training, 14)
