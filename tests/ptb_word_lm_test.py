"""The model against the oracle; the epoch, and learning."""

import dataclasses
import math
import time

import numpy as np
import oracle
import pytest

import configs
import lstm
import ptb_word_lm
import reader
import training
from tensorflow_v1 import repeatable_session, tf

TINY = dataclasses.replace(
    configs.TEST, num_layers=2, num_steps=4, hidden_size=5, batch_size=3,
    init_scale=0.3)
VOCAB_SIZE = 11


@pytest.fixture
def session():
  with tf.Graph().as_default(), tf.Session() as session:
    yield session


def initialize(session, *epochs):
  session.run([tf.global_variables_initializer(),
               tf.local_variables_initializer()])
  for epoch in epochs:
    epoch.load(session)


def variables(session):
  """The parameters: name -> array."""
  return {v.op.name: session.run(v) for v in tf.trainable_variables()}


def dropout_masks(session, config, seed, step):
  """The mask of each of the L + 1 places, [T, B, size]."""
  sizes = (config.input_size, *config.layer_sizes)
  return [session.run(tf.nn.experimental.stateless_dropout(
      tf.ones([config.num_steps, config.batch_size, size]),
      1 - config.keep_prob, seed=[seed, step * len(sizes) + site]))
          for site, size in enumerate(sizes)]


STEP_CASES = {
    "clipped": {"max_grad_norm": 0.05},
    "not clipped": {"max_grad_norm": 100},
    "dropout": {"keep_prob": 0.6, "max_grad_norm": 0.5},
    "unequal sizes": {"hidden_sizes": (6, 3), "embedding_size": 4},
    "three layers": {"num_layers": 3, "learning_rate": 0.25},
}


@pytest.mark.parametrize("rnn_mode", lstm.LAYERS)
@pytest.mark.parametrize("case", STEP_CASES)
def test_training_step_equals_oracle(session, case, rnn_mode):
  config = dataclasses.replace(TINY, init_scale=1, **STEP_CASES[case])
  rng = np.random.default_rng(0)
  shape = [config.num_steps, config.batch_size]
  inputs = rng.integers(0, 3, shape)  # 12 places for 3 words
  targets = rng.integers(0, VOCAB_SIZE, shape)
  state = [tuple(rng.normal(size=(2, config.batch_size, size)))
           for size in config.layer_sizes]
  masks = ([1.0] * (len(state) + 1) if config.keep_prob == 1
           else dropout_masks(session, config, seed=8, step=5))

  model = ptb_word_lm.PTBModel(
      config, VOCAB_SIZE, tf.constant(inputs), tf.constant(targets),
      [lstm.LSTMState(*(tf.constant(x, tf.float32) for x in s)) for s in state],
      is_training=True, step=tf.constant(5, tf.int64), rnn_mode=rnn_mode,
      seed=8)
  initialize(session)
  expected = oracle.Model(variables(session))
  nats, final_state = expected.forward(inputs, targets, state, masks)
  words_norm = np.linalg.norm(expected.gradients()["Model/embedding"])
  rows_norm = np.linalg.norm(expected.d_embedded)
  norm = expected.step(config.learning_rate, config.max_grad_norm)
  # The test can tell: rows that are not summed give another norm.
  assert abs(rows_norm ** 2 - words_norm ** 2) > 1e-4 * norm ** 2

  results = session.run({
      "cost": model.cost, "state": model.final_state, "norm": model.grad_norm,
      "train_op": model.train_op})
  assert results["cost"] == pytest.approx(
      nats.sum() / config.batch_size, rel=1e-5)
  assert results["norm"] == pytest.approx(norm, rel=1e-5)
  np.testing.assert_allclose(
      np.concatenate([np.concatenate(s, 1) for s in results["state"]], 1),
      np.concatenate([np.concatenate(s, 1) for s in final_state], 1),
      rtol=1e-4, atol=1e-6)
  for name, value in variables(session).items():
    np.testing.assert_allclose(value, expected.parameters[name],
                               rtol=1e-5, atol=2e-6, err_msg=name)


def test_variables_have_the_classic_names_and_shapes(session):
  config = dataclasses.replace(TINY, hidden_sizes=(6, 3), embedding_size=4)
  ids = tf.zeros([4, 3], tf.int32)
  ptb_word_lm.PTBModel(config, VOCAB_SIZE, ids, ids)
  cell = "Model/RNN/multi_rnn_cell/cell_{}/basic_lstm_cell/{}"
  assert {v.op.name: tuple(v.shape) for v in tf.global_variables()} == {
      "Model/embedding": (11, 4),
      cell.format(0, "kernel"): (10, 24), cell.format(0, "bias"): (24,),
      cell.format(1, "kernel"): (9, 12), cell.format(1, "bias"): (12,),
      "Model/softmax_w": (3, 11), "Model/softmax_b": (11,)}


def test_initial_values_fill_the_range_and_follow_the_seed():
  config = dataclasses.replace(TINY, hidden_size=40)
  by_seed = []
  for seed in (1, 2, 1):
    with tf.Graph().as_default(), tf.Session() as session:
      ids = tf.zeros([4, 3], tf.int32)
      ptb_word_lm.PTBModel(config, VOCAB_SIZE, ids, ids, seed=seed)
      initialize(session)
      by_seed.append(variables(session))
  for name, value in by_seed[0].items():
    assert 0.2 < np.abs(value).max() <= 0.3, name
    if value.size > 1000:
      assert abs(value.mean()) < 0.02
      assert value.std() == pytest.approx(0.3 / math.sqrt(3), rel=0.05)
    assert (value == by_seed[2][name]).all()
    assert (value != by_seed[1][name]).mean() > 0.99
  kernels = [v for k, v in by_seed[0].items() if k.endswith("kernel")]
  assert (kernels[0] != kernels[1]).mean() > 0.99


def test_uniform_logits_give_perplexity_v(session):
  for batch_size in (1, 4):
    config = dataclasses.replace(TINY, batch_size=batch_size)
    epoch = ptb_word_lm.Epoch(
        f"Valid{batch_size}", config, VOCAB_SIZE, np.arange(30) % VOCAB_SIZE)
    initialize(session, epoch)
    for variable in tf.trainable_variables():
      variable.load(np.zeros(variable.shape), session)
    result = training.run_epoch(session, epoch)
    assert result.perplexity == pytest.approx(VOCAB_SIZE, rel=1e-6)


@pytest.mark.parametrize("num_steps", [1, 4, 7, 50])
def test_one_stream_scores_as_the_oracle_whatever_the_window(
    session, num_steps):
  ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 30)
  config = dataclasses.replace(
      TINY, batch_size=1, num_steps=num_steps, keep_prob=0.5)  # no dropout here
  epoch = ptb_word_lm.Epoch("Test", config, VOCAB_SIZE, ids)
  initialize(session, epoch)
  zeros = np.zeros([1, config.hidden_size])
  nats, _ = oracle.Model(variables(session)).forward(
      ids[:-1, None], ids[1:, None], [(zeros, zeros)] * 2, [1.0] * 3)
  for _ in range(2):  # a second pass starts anew
    result = training.run_epoch(session, epoch)
    assert result.perplexity == pytest.approx(
        math.exp(nats.sum() / 29), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2, 3, 20])
@pytest.mark.parametrize("num_steps", [1, 5, 40])
def test_every_target_is_scored_once(session, batch_size, num_steps):
  config = dataclasses.replace(
      TINY, batch_size=batch_size, num_steps=num_steps)
  epoch = ptb_word_lm.Epoch(
      "Test", config, VOCAB_SIZE, np.arange(37) % VOCAB_SIZE)
  initialize(session, epoch)
  for _ in range(epoch.size):
    sums = session.run(epoch.advance)
  assert sums["targets"] == 36
  assert 0 < sums["nats"] / 36 < 2 * math.log(VOCAB_SIZE)
  assert session.run(epoch.window) == 0


def test_a_batch_scores_as_its_rows_alone(session):
  rng = np.random.default_rng(0)
  inputs, targets = rng.integers(0, VOCAB_SIZE, (2, 4, 3))
  together = ptb_word_lm.PTBModel(
      TINY, VOCAB_SIZE, tf.constant(inputs), tf.constant(targets))
  alone = [ptb_word_lm.PTBModel(
      TINY, VOCAB_SIZE, tf.constant(inputs[:, [b]]),
      tf.constant(targets[:, [b]])) for b in range(3)]
  initialize(session)
  assert session.run(together.cost) == pytest.approx(
      np.mean(session.run([model.cost for model in alone])), rel=1e-5)


def test_predictions_and_fed_states(session):
  """The classic ways: look at predictions, feed the state back by hand."""
  words = tf.placeholder(tf.int32, [5, 3])
  model = ptb_word_lm.PTBModel(TINY, VOCAB_SIZE, words[:-1], words[1:])
  initialize(session)
  ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, (9, 3))
  feed = {words: ids[:5]}
  logits, output_words, state = session.run(
      [model.logits, model.output_words, model.final_state], feed)
  assert (output_words == logits.argmax(axis=-1)).all()
  second = {words: ids[4:]}
  cost_from_zero = session.run(model.cost, second)
  for tensors, values in zip(model.initial_state, state, strict=True):
    second |= {tensors.c: values.c, tensors.h: values.h}
  cost = session.run(model.cost, second)
  zeros = np.zeros([3, TINY.hidden_size])
  nats, _ = oracle.Model(variables(session)).forward(
      ids[:-1], ids[1:], [(zeros, zeros)] * 2, [1.0] * 3)
  assert cost == pytest.approx(nats[4:].sum() / 3, rel=1e-5)
  assert cost != cost_from_zero


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_learning_rate_of_each_epoch(session, name):
  published = configs.CONFIGS[name]
  config = dataclasses.replace(
      published, hidden_size=1, num_steps=2, batch_size=2)
  epoch = ptb_word_lm.Epoch(
      "Train", config, VOCAB_SIZE, np.arange(16) % VOCAB_SIZE,
      is_training=True)
  initialize(session, epoch)
  assert epoch.size == 3
  step = tf.train.get_global_step()
  for number in range(1, published.max_max_epoch + 1):
    decays = max(number - published.max_epoch, 0)
    expected = published.learning_rate * published.lr_decay ** decays
    for at in (3 * number - 3, 3 * number - 1):  # its first and last window
      step.load(at, session)
      assert session.run(epoch.model.lr) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("part", [ptb_word_lm._PART, 1])
def test_training_goes_through_the_windows_as_the_oracle_does(
    session, monkeypatch, part):
  """Two epochs with dropout: windows, carried state, learning rate, masks."""
  monkeypatch.setattr(ptb_word_lm, "_PART", part)
  config = dataclasses.replace(TINY, keep_prob=0.6)
  ids = np.random.default_rng(3).integers(0, VOCAB_SIZE, 32)
  epoch = ptb_word_lm.Epoch("Train", config, VOCAB_SIZE, ids,
                            is_training=True, seed=7)
  initialize(session, epoch)
  expected = oracle.Model(variables(session))
  step = 0
  for number in (1, 2):
    state = [(np.zeros([3, 5]), np.zeros([3, 5]))] * 2
    nats = []
    for x, y in reader.ptb_iterator(ids, 3, 4):
      costs, state = expected.forward(
          x.T, y.T, state, dropout_masks(session, config, seed=7, step=step))
      expected.step(1.0 if number == 1 else 0.5, config.max_grad_norm)
      nats.append(costs)
      step += 1
    result = training.run_epoch(session, epoch)
    assert result.perplexity == pytest.approx(
        math.exp(np.mean(nats)), rel=1e-4)
  for name, value in variables(session).items():
    np.testing.assert_allclose(
        value, expected.parameters[name], rtol=1e-4, atol=1e-5)


def test_an_epoch_that_is_no_pass_over_the_text(session):
  """Of 3 windows where the text has 2: the state follows the text."""
  config = dataclasses.replace(TINY, epoch_size=3)
  ids = np.random.default_rng(3).integers(0, VOCAB_SIZE, 32)
  epoch = ptb_word_lm.Epoch("Train", config, VOCAB_SIZE, ids, is_training=True)
  initialize(session, epoch)
  expected = oracle.Model(variables(session))
  windows = list(reader.ptb_iterator(ids, 3, 4))
  assert (len(windows), epoch.size) == (2, 3)
  nats = []
  for step in range(6):
    if step % 2 == 0:
      state = [(np.zeros([3, 5]), np.zeros([3, 5]))] * 2
    x, y = windows[step % 2]
    costs, state = expected.forward(x.T, y.T, state, [1.0] * 3)
    expected.step(1.0 if step < 3 else 0.5, config.max_grad_norm)
    nats.append(costs)
  for part in nats[:3], nats[3:]:
    result = training.run_epoch(session, epoch)
    assert result.sums["targets"] == 3 * 12
    assert result.perplexity == pytest.approx(math.exp(np.mean(part)), rel=1e-4)


def test_dropout_masks_differ_by_seed_step_and_place(session):
  """The masks as the two tests above find them in the model."""
  config = dataclasses.replace(TINY, keep_prob=0.4, hidden_size=50)
  masks = {(seed, step, site): mask
           for seed in (1, 2) for step in (0, 1) for site, mask in enumerate(
               dropout_masks(session, config, seed, step))}
  for mask in masks.values():
    assert np.unique(mask) == pytest.approx([0, 2.5])
  assert np.mean([m.mean() for m in masks.values()]) == pytest.approx(
      1, abs=0.05)
  assert len({mask.tobytes() for mask in masks.values()}) == len(masks)


def run_steps(seed, rnn_mode):
  """The bits of all variables after some steps of a model with dropout."""
  config = dataclasses.replace(
      configs.SMALL, keep_prob=0.5, hidden_size=64, num_steps=6)
  ids = np.random.default_rng(0).integers(0, 500, 500)
  with tf.Graph().as_default(), tf.Session() as session:
    epoch = ptb_word_lm.Epoch("Train", config, 500, ids, is_training=True,
                              rnn_mode=rnn_mode, seed=seed)
    initialize(session, epoch)
    for _ in range(8):
      session.run(epoch.advance)
    return [value.tobytes() for value in session.run(tf.global_variables())]


@pytest.mark.slow
def test_sums_of_many_gradients_have_an_order():
  """The textbook cell of medium: 35 terms to the gradient of a kernel."""
  ids = np.random.default_rng(0).integers(0, 9, 3600)
  with tf.Graph().as_default():
    epoch = ptb_word_lm.Epoch("Train", configs.MEDIUM, 9, ids, is_training=True,
                              rnn_mode="basic")
    found = set()
    for _ in range(4):
      with repeatable_session() as session:
        initialize(session, epoch)
        for _ in range(2):
          session.run(epoch.advance)
        found.add(b"".join(
            x.tobytes() for x in session.run(tf.trainable_variables())))
  assert len(found) == 1


@pytest.mark.slow
@pytest.mark.parametrize("rnn_mode", lstm.LAYERS)
def test_a_seed_gives_the_same_bits(rnn_mode):
  assert run_steps(1, rnn_mode) == run_steps(1, rnn_mode)
  assert run_steps(1, rnn_mode)[1] != run_steps(2, rnn_mode)[1]


@pytest.mark.slow
@pytest.mark.parametrize("rnn_mode", lstm.LAYERS)
def test_learns_what_only_a_memory_can_know(session, rnn_mode):
  """Sentences "a 8 A", "b 8 B": what follows the 8 is not in the 8.

  Of the three words, the first is a free choice of 8 and the others follow, so
  the best perplexity is 8 ** (1/3) = 2; from the last word alone it is 4.
  """
  first = np.random.default_rng(0).integers(0, 8, 3000)
  ids = np.stack([first, np.full(3000, 8), 9 + first], axis=1).ravel()
  config = dataclasses.replace(
      configs.TEST, hidden_size=24, num_steps=6, max_grad_norm=5, max_epoch=9)
  epoch = ptb_word_lm.Epoch("Train", config, 17, ids, is_training=True,
                            rnn_mode=rnn_mode)
  valid = ptb_word_lm.Epoch("Valid", config, 17, ids[-900:], rnn_mode=rnn_mode)
  initialize(session, epoch, valid)
  for _ in range(9):
    training.run_epoch(session, epoch)
  assert 1.9 < training.run_epoch(session, valid).perplexity < 2.15


class SlowToStart:
  """In place of session and epoch: 6 windows of 100 words, the first slow."""

  step, size, sums, advance = 0, 6, "sums", "advance"

  def __init__(self):
    self.done = 0

  def feed(self, step):
    return {"step": step}

  def prepare(self, session, step):
    assert session is self and step == self.done

  def run(self, fetches, feed=None):
    sums = {"nats": 0.0, "targets": 100 * self.done}
    if fetches != self.advance:
      return self.done, sums
    assert feed == {"step": self.done}
    time.sleep(0.01 if self.done else 0.5)
    self.done += 1
    return sums | {"targets": 100 * self.done}


def test_words_per_second_leave_out_the_first_window():
  slow = SlowToStart()
  result = training.run_epoch(slow, slow)
  assert 500 / 0.55 < 2000 < result.per_second < 100 / 0.01
  assert result.seconds > 0.5


def test_perplexity_beyond_a_float_is_infinite():
  assert training.perplexity(1e6, 10) == math.inf
  assert training.perplexity(0, 10) == 1


@pytest.mark.parametrize("size, num_lines", [
    (1, 1), (2, 2), (3, 3), (9, 9), (10, 10), (19, 19), (20, 10), (25, 12),
    (2323, 10)])
def test_progress_lines(capsys, size, num_lines):
  with training.Progress("Epoch 1", size, lines=True) as progress:
    for window in range(size):
      progress.report(window, {"nats": 2 * math.log(100), "targets": 2},
                      math.nan if window == 0 else 4521.4)
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == num_lines
  assert all(" perplexity: 100.000 speed: " in line for line in lines)
  if size == 2323:
    assert lines[1] == "0.104 perplexity: 100.000 speed: 4521 wps"


def test_ptb_test_split_is_scored_whole(session, ptb_folder):
  *_, test, vocabulary = reader.ptb_raw_data(ptb_folder)
  config = dataclasses.replace(configs.TEST, batch_size=1, num_steps=500)
  epoch = ptb_word_lm.Epoch(
      "Test", config, len(vocabulary), test, rnn_mode="block")
  initialize(session, epoch)
  for _ in range(epoch.size):
    sums = session.run(epoch.advance)
  assert sums["targets"] == 82_429
