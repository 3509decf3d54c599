"""The initial values of recurrent layers, in all models that have them."""

import dataclasses

import numpy as np
import pytest

import configs
from ptb_word_lm import PTBModel
from rnn.layers import cells, seeded
from rnn.tf1 import tf
from tasks import hyperparameters, letters, ocr, sentiment
from tests.helpers.tiny_model import TINY, initialize, parameters

H = 5
ONE_LAYER = {"hidden_size": H, "num_layers": 1, "batch_size": 2, "num_steps": 3}


def add_ptb(config):
  words = tf.zeros([3, 2], tf.int32)
  PTBModel(config, 11, words, words)


def add_ocr(config):
  ocr.OCRModel(config, tf.zeros([3, 2, letters.PIXELS]),
               tf.zeros([3, 2], tf.int32), tf.constant([3, 1]), True)


def add_sentiment(config):
  sentiment.SentimentModel(
      config, 11, tf.zeros([3, 2], tf.int32), tf.constant([3, 1]),
      tf.constant([0, 1]))


MODELS = {
    add_ptb: dataclasses.replace(TINY, **ONE_LAYER | {"num_layers": 2}),
    add_ocr: dataclasses.replace(hyperparameters.OCR, **ONE_LAYER),
    add_sentiment: dataclasses.replace(hyperparameters.SENTIMENT, **ONE_LAYER)}


def initial(add, config):
  """Returns the initial values of a model: a dict, name -> array."""
  with tf.Graph().as_default(), tf.Session() as session:
    add(config)
    initialize(session)
    return parameters(session)


@pytest.mark.parametrize("add, cell", [
    (add_ptb, "lstm"), (add_ptb, "peephole"), (add_ptb, "lstmp"),
    (add_ocr, "lstm"), (add_sentiment, "lstmp")])
def test_forget_bias_is_added_to_the_forget_gate_and_to_nothing_else(
    add, cell):
  config = dataclasses.replace(
      MODELS[add], cell=cell, projection_size=4 * (cell == "lstmp"))
  before = initial(add, config)
  after = initial(add, dataclasses.replace(config, forget_bias=1.5))
  assert before.keys() == after.keys()
  changed = {name for name in before if (before[name] != after[name]).any()}
  assert changed == {name for name in before if name.endswith("cell/bias")}
  start = 1 if cell == "lstmp" else 0  # the cell's own forget bias
  for name in changed:
    parts = before[name].reshape(-1, H), after[name].reshape(-1, H)
    for number, (old, new) in enumerate(zip(*parts, strict=True)):
      if number == 2:  # of i, j, f, o
        assert np.abs(new - start - 1.5).max() <= config.init_scale
        np.testing.assert_allclose(new, old + 1.5, atol=1e-6)
      else:
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("add, cell", [
    (add_ptb, "lstm"), (add_ptb, "gru"), (add_ptb, "rnn"),
    (add_ptb, "peephole"), (add_ptb, "lstmp"), (add_ocr, "lstm"),
    (add_sentiment, "gru")])
def test_layer_init_replaces_the_scale_of_layers_and_of_nothing_else(add, cell):
  config = dataclasses.replace(
      MODELS[add], cell=cell, projection_size=4 * (cell == "lstmp"))
  if add is add_ptb:
    config = dataclasses.replace(config, hidden_sizes=(4, 9))
  before = initial(add, config)
  after = initial(add, dataclasses.replace(config, layer_init="size"))
  assert before.keys() == after.keys()
  for name in before:
    if "RNN" not in name:
      np.testing.assert_array_equal(after[name], before[name])
      continue
    units = 9 if "cell_1" in name else config.layer_sizes[0]
    center = np.zeros_like(before[name])
    if name.endswith("bias"):
      center = cells.CELLS[cell].bias_centers(units).reshape(center.shape)
    np.testing.assert_allclose(
        after[name] - center,
        (before[name] - center) / (config.init_scale * np.sqrt(units)),
        atol=1e-5)


def test_two_biases_start_as_a_sum():
  """Of two draws of the scale; all else starts as with one."""
  config = dataclasses.replace(
      MODELS[add_ptb], hidden_size=500, two_biases=True)
  before = initial(add_ptb, dataclasses.replace(config, two_biases=False))
  after = initial(add_ptb, config)
  for name, value in before.items():
    if not name.endswith("cell/bias"):
      np.testing.assert_array_equal(after[name], value)
      continue
    second = after[name] - value
    assert 0.99 < np.abs(second).max() / config.init_scale <= 1.001
    assert np.abs(np.corrcoef(value, second)[0, 1]) < 0.1
    for draw in value, second:
      assert abs(draw.mean()) < 0.05 * config.init_scale
      assert draw.std() == pytest.approx(config.init_scale / 3 ** 0.5, rel=0.05)


@pytest.mark.parametrize("cell", ["gru", "rnn", "peephole", "lstmp"])
def test_other_cells_have_one_bias(cell):
  """Also in the config of a model whose LSTM would have two."""
  config = dataclasses.replace(
      MODELS[add_ptb], cell=cell, projection_size=4 * (cell == "lstmp"))
  before = initial(add_ptb, config)
  config = dataclasses.replace(config, two_biases=True)
  for name, value in initial(add_ptb, config).items():
    np.testing.assert_array_equal(value, before[name])
    assert seeded.terms_of(name.rpartition("/")[2], config) == 1


def test_cells_without_a_forget_gate_say_so():
  """As the settings do, which refuse a forget bias for them."""
  for name, cell in cells.CELLS.items():
    try:
      dataclasses.replace(configs.TEST, cell=name, forget_bias=1,
                          projection_size=int(name == "lstmp"))
    except configs.ConfigError:
      assert cell.forget is None
    else:
      assert cell.forget is not None
