"""Notebooks of the tutorial's style: the ones in docs/classic.md, and more."""

import contextlib
import dataclasses
import itertools
import re

import numpy as np
import pytest

import classic
import configs
import ptb_word_lm
from rnn.errors import UserError
from rnn.options import Options
from rnn.tf1 import tf
from tests.docs import documents

CELL = "RNN/multi_rnn_cell/cell_{}/basic_lstm_cell/{}"
NAMES = ["embedding", *(CELL.format(layer, part) for layer in (0, 1)
                        for part in ("bias", "kernel")),
         "softmax_b", "softmax_w"]


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default() as graph:
    yield graph


@pytest.fixture
def short_corpus(tmp_path, monkeypatch):
  """The start of the bundled corpus, as `data/factbook` of this folder."""
  folder = tmp_path / "data" / "factbook"
  folder.mkdir(parents=True)
  for split, num_lines in ("train", 150), ("valid", 20), ("test", 5):
    with open(f"{ptb_word_lm.BUNDLED_CORPUS}/{split}.txt") as file:
      (folder / f"{split}.txt").write_text(
          "".join(itertools.islice(file, num_lines)))
  monkeypatch.chdir(tmp_path)
  # It would change all later tests. They, and this one, use a graph.
  monkeypatch.setattr(tf, "disable_v2_behavior", lambda: None)


def notebook(text):
  """Returns the code block in docs/classic.md that contains a text."""
  (block,) = (block.text for block in documents.blocks(
      documents.read("docs/classic.md"))
              if block.language == "python" and text in block.text)
  return block


def figures(pattern, text):
  return [float(figure) for figure in re.findall(pattern, text)]


def tiny_config(**changes):
  config = classic.TestConfig()
  config.vocab_size, config.batch_size = 11, 3
  config.num_layers, config.num_steps, config.hidden_size = 2, 4, 5
  config.rnn_mode = "BLOCK"  # builds fast
  for name, value in changes.items():
    setattr(config, name, value)
  return config


def input_of(seed, batch_size=3, num_steps=4):
  """Returns an input as a user's own class would have it."""
  class Input:
    input_data, targets = (tf.constant(ids, tf.int32) for ids in (
        np.random.default_rng(seed).integers(0, 11, (2, batch_size, num_steps))
    ))
  Input.batch_size, Input.num_steps = batch_size, num_steps
  return Input


@pytest.mark.parametrize("mode", [None, "basic", "dynamic"])
def test_placeholders_take_their_sizes_from_the_input(mode):
  """The tutorial's model takes the sizes from input_, not from the tensors."""
  class Input:
    batch_size, num_steps = 3, 4
    input_data, targets = (
        tf.placeholder(tf.int32, [None, None]) for _ in range(2))

  config = tiny_config(rnn_mode=mode)
  model = classic.PTBModel(False, config, Input)
  ids = np.ones([3, 4], np.int32)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run(model.logits, {
        Input.input_data: ids, Input.targets: ids}).shape == (3, 4, 11)


def test_a_notebook_of_the_tutorial(short_corpus, monkeypatch, capsys):
  for name, value in (("hidden_size", 32), ("max_max_epoch", 3),
                      ("max_epoch", 1), ("num_steps", 8)):
    monkeypatch.setattr(classic.SmallConfig, name, value)
  names = {}
  exec(notebook("Train Perplexity"), names)
  out = capsys.readouterr().out
  first, second, third = figures(r"Train Perplexity: (\S+)", out)
  assert third < second < first < len(names["vocabulary"])
  assert figures(r"Learning rate: (\S+)", out) == [1, 0.5, 0.25]
  assert len(re.findall(r"^0\.\d+ perplexity: \S+ speed: \d+ wps$", out,
                        re.MULTILINE)) >= 3 * 10
  # The classic script with BASIC saves exactly these.
  assert [name for name, _ in tf.train.list_variables("model.ckpt")] == sorted(
      [*(f"Model/{name}" for name in NAMES), "Model/global_step",
       "Train/Model/Variable"])


def test_a_notebook_that_feeds_its_windows(short_corpus, capsys):
  names = {}
  try:
    exec(notebook("InteractiveSession"), names)
  finally:
    names["session"].close()
  nats = figures(r": (\S+) nats per word", capsys.readouterr().out)
  size = len(names["vocabulary"])
  assert len(nats) == 15 and nats[-1] < 6.5 < nats[0] < np.log(size) + 0.1
  assert {v.op.name: v.shape.as_list() for v in tf.trainable_variables()} == (
      dict(zip((f"model/{name}" for name in NAMES), [
          [size, 200], [1024], [456, 1024], [512], [384, 512], [size],
          [128, size]], strict=True)))
  m = names["m"]
  assert m.logits.shape == (60, 20, size)
  assert m.final_output_words.shape == (60, 20)
  assert [(state.c.shape, state.h.shape) for state in m.final_state] == [
      ((60, 256),) * 2, ((60, 128),) * 2]


@pytest.mark.parametrize("scope, names", [
    ("Model", "Model/"), ("LM", "LM/"), ("a/Model", "a/Model/"),
    (None, "Model/")])
def test_variables_are_in_the_callers_scope(scope, names):
  with tf.variable_scope(scope) if scope else contextlib.nullcontext():
    model = classic.PTBModel(True, tiny_config(optimizer="adam"), input_of(0))
  assert {v.op.name for v in tf.trainable_variables()} == {
      f"{names}{name}" for name in NAMES}
  slots = {v.op.name for v in tf.global_variables()} - {
      v.op.name for v in tf.trainable_variables()}
  assert {f"{names}{name}/Adam" for name in NAMES} <= slots
  assert not any("Model/Model" in name for name in slots), slots
  assert model.lr.op.name not in {v.op.name for v in tf.trainable_variables()}


def test_models_share_variables_as_the_scope_says():
  """As `tf.get_variable` does."""
  def add(reuse, is_training=False):
    with tf.variable_scope("Model", reuse=reuse):
      classic.PTBModel(is_training, tiny_config(), input_of(0))

  with pytest.raises(ValueError, match="Model/embedding does not exist"):
    add(True)
  add(None, True)
  add(True)
  add(tf.AUTO_REUSE)
  assert len(tf.trainable_variables()) == len(NAMES)
  with pytest.raises(ValueError, match="Model/embedding already exists"):
    add(None)


def test_it_computes_what_the_model_behind_it_computes():
  """On transposed windows, with the same initial values."""
  input_ = input_of(0)
  with tf.variable_scope("LM"):
    model = classic.PTBModel(False, tiny_config(init_scale=1), input_)
  other = ptb_word_lm.PTBModel(
      configs.override(configs.TEST, {
          "num_layers": 2, "hidden_size": 5, "init_scale": 1.0}), 11,
      tf.transpose(input_.input_data), tf.transpose(input_.targets),
      options=Options("block"))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    state = session.run(model.final_state)
    ours = session.run([
        model.cost, model.logits, model.final_output_words, model.final_state],
        {model.initial_state: state})
    cost, logits, words, final_state = session.run(
        [other.cost, other.logits, other.output_words, other.final_state],
        {other.initial_state: state})
  assert ours[0] == cost
  assert (ours[1] == logits.transpose([1, 0, 2])).all()
  assert (ours[2] == words.T).all()
  for a, b in zip(tf.nest.flatten(ours[3]), tf.nest.flatten(final_state),
                  strict=True):
    assert (a == b).all()


def test_the_learning_rate_can_be_assigned():
  """The softmax bias changes in proportion to it."""
  config = tiny_config(max_grad_norm=100, learning_rate=3)
  model = classic.PTBModel(True, config, input_of(0))
  (bias,) = (v for v in tf.trainable_variables() if "softmax_b" in v.op.name)
  changes = []
  with tf.Session() as session:
    for rate in None, 0, 0.25, 0.5:
      session.run(tf.global_variables_initializer())
      assert session.run(model.lr) == 3
      if rate is not None:
        model.assign_lr(session, rate)
        assert session.run(model.lr) == rate
      before = session.run(bias)
      session.run(model.train_op)
      changes.append(session.run(bias) - before)
      assert session.run(tf.train.get_global_step()) == 1
  assert not changes[1].any() and np.abs(changes[2]).max() > 0.01
  np.testing.assert_allclose(changes[3], 2 * changes[2], rtol=1e-4)
  np.testing.assert_allclose(changes[0], 12 * changes[2], rtol=1e-4)


def test_run_epoch_carries_the_state_over_all_windows(capsys):
  """Perplexity equals that of one long window; a short text can be verbose."""
  config, ids = tiny_config(init_scale=1), np.arange(50) * 7 % 11
  with tf.variable_scope("Model"):
    model = classic.PTBModel(False, config, classic.PTBInput(config, ids))
  assert model.input.epoch_size == 3
  whole = tiny_config(init_scale=1, num_steps=12)
  with tf.variable_scope("Model", reuse=True):
    long = classic.PTBModel(False, whole, classic.PTBInput(whole, ids))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(2):
      assert classic.run_epoch(session, model) == pytest.approx(
          np.exp(session.run(long.cost) / 12), rel=1e-5)
    assert not capsys.readouterr().out
    classic.run_epoch(session, model, verbose=True)
  assert re.findall(r"^(\S+) perplexity: \S+ speed: \d+ wps$",
                    capsys.readouterr().out, re.MULTILINE) == [
                        "0.000", "0.333", "0.667"]


def test_run_epoch_cannot_feed_placeholders():
  config = tiny_config()
  model = classic.PTBModel(False, config, classic.PTBInput(config))
  with pytest.raises(UserError, match="^run_epoch: .* reader.ptb_iterator"):
    classic.run_epoch(None, model)


def test_run_epoch_needs_a_window():
  config = tiny_config()
  ids = np.zeros(config.batch_size * config.num_steps, np.int32)
  model = classic.PTBModel(False, config, classic.PTBInput(config, ids))
  with pytest.raises(UserError, match="^run_epoch: the data are too short for"):
    classic.run_epoch(None, model)


def test_configs_have_the_settings_and_can_be_changed():
  for name in "small", "medium", "large", "test":
    config = configs.CONFIGS[name]
    classic_config = getattr(classic, f"{name.title()}Config")()
    # The tutorial's layers have one bias, and its rate falls earlier.
    assert classic._settings(classic_config) == dataclasses.replace(
        config, two_biases=False, max_epoch={"medium": 6, "large": 14}.get(
            name, config.max_epoch))
    assert classic_config.vocab_size == 10_000
  config = classic.SmallConfig()
  config.batch_size = 1
  assert classic.SmallConfig().batch_size == classic.SmallConfig.batch_size

  class MyConfig:
    hidden_size, keep_prob = 7, 1  # an int

  assert classic._settings(MyConfig()) == configs.override(
      configs.SMALL, {"hidden_size": 7})


@pytest.mark.parametrize("rnn_mode, op", [
    ("BLOCK", "BlockLSTM"), (classic.BLOCK, "BlockLSTM"), ("Dynamic", "While")])
def test_rnn_mode_chooses_the_layer_in_any_case(graph, rnn_mode, op):
  classic.PTBModel(False, tiny_config(rnn_mode=rnn_mode), input_of(0))
  ops = {operation.type for operation in graph.get_operations()}
  assert any(op in name for name in ops)
  assert ("BlockLSTM" in ops) == (op == "BlockLSTM")


def test_a_model_may_have_tied_weights(graph):
  config = tiny_config(tie_weights=True, forget_bias=1.0)
  with tf.variable_scope("Model"):
    classic.PTBModel(True, config, input_of(0))
  names = {variable.op.name for variable in tf.trainable_variables()}
  assert {"Model/embedding", "Model/softmax_b"} <= names
  assert "Model/softmax_w" not in names


def test_bad_settings_are_refused():
  for name, value, message in [
      ("rnn_mode", "LSTM", "^rnn_mode=lstm: .* choose one of "),
      ("hidden_size", 0, "^hidden_size=0: must be from 1 to"),
      ("num_sampled", 9, "^num_sampled=9: the tutorial's model has no such "
       "setting; use ptb_word_lm.PTBModel$"),
      ("dropout_mask", "window", "^dropout_mask=window: the tutorial's model"),
      ("keep_prob_output", 0.5, "^keep_prob_output=0.5: the tutorial's"),
      ("slowness_penalty", 1, "^slowness_penalty=1: the tutorial's model"),
      ("lr_schedule", "plateau", "^lr_schedule=plateau: .* no such setting"),
      ("optimizer", "asgd", "^optimizer=asgd: averages depend on "),
      ("window_jitter", 5.0, "^window_jitter=5.0: the tutorial's model has no"),
      ("reset_state", True, "^reset_state=True: the tutorial's model has no")]:
    with pytest.raises(UserError, match=message):
      classic.PTBModel(False, tiny_config(**{name: value}), input_of(0))
