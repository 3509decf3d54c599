"""The values from which a run starts that continues another one."""

import dataclasses
import logging

import numpy as np
import pytest

import configs
from rnn.runs import origin as origins
from rnn.runs.origin import Origin
from rnn.text.vocabulary import Vocabulary
from tests.helpers.tiny_model import TINY

OLD = Vocabulary(("the", "<eos>", "cat", "<unk>"))
NEW = Vocabulary(("owl", "cat", "<unk>", "fox", "<eos>"))
ROWS = [3, 2, 3, 3, 1]  # of OLD for each word of NEW: <unk> for owl and fox


def values_of(words):
  rng = np.random.default_rng(0)
  shapes = {"Model/embedding": (words, 5), "Model/kernel": (10, 20),
            "Model/softmax_w": (5, words), "Model/softmax_b": (words,)}
  return {name: rng.normal(size=shape).astype("f")
          for name, shape in shapes.items()}


@pytest.fixture
def origin():
  return Origin("runs/a (epoch 1)", "test", TINY, OLD, {}, values_of(4))


def test_new_words_may_start_as_unk(origin):
  values = origins.initial_values(
      origin, NEW, scale=0.1, seed=1, as_unk=tuple(origins.WORD_AXES))
  old = origin.values
  np.testing.assert_array_equal(
      values["Model/embedding"], old["Model/embedding"][ROWS])
  np.testing.assert_array_equal(
      values["Model/softmax_w"], old["Model/softmax_w"][:, ROWS])
  np.testing.assert_array_equal(
      values["Model/softmax_b"], old["Model/softmax_b"][ROWS])
  np.testing.assert_array_equal(values["Model/kernel"], old["Model/kernel"])


def test_new_words_start_at_random(origin, caplog):
  caplog.set_level(logging.INFO)
  values = origins.initial_values(origin, NEW, 0.1, seed=1)
  for name in values.keys() & origins.WORD_AXES:
    axis = origins.WORD_AXES[name]
    rows = np.moveaxis(values[name], axis, 0)
    old = np.moveaxis(origin.values[name], axis, 0)
    np.testing.assert_array_equal(rows[[1, 2, 4]], old[[2, 3, 1]])
    assert rows.dtype == np.float32 and 0 < abs(rows[[0, 3]]).max() <= 0.1
    assert (rows[0] != rows[3]).all()
  assert ("starts from runs/a (epoch 1): it knows 3 of the 5 words; the others "
          "start at random") in caplog.text


def test_a_softmax_with_one_row_per_word(origin):
  rows = np.random.default_rng(1).normal(size=(4, 5)).astype("f")
  values = dict(origin.values)
  del values["Model/softmax_w"]
  values = origins.initial_values(dataclasses.replace(
      origin, values=values | {"Model/softmax_rows": rows}), NEW, 0.1, seed=1)
  np.testing.assert_array_equal(
      values["Model/softmax_rows"][[1, 2, 4]], rows[[2, 3, 1]])
  assert 0 < abs(values["Model/softmax_rows"][[0, 3]]).max() <= 0.1
  assert "Model/softmax_w" not in values


def test_the_same_words_keep_all_values(origin, caplog):
  caplog.set_level(logging.INFO)
  values = origins.initial_values(origin, OLD, 0.1, 1)
  assert values == dict(origin.values)
  assert "with its 4 words" in caplog.text


def test_the_digest_is_of_words_and_values():
  digests = {origins._digest(words, values | change)
             for words in (OLD.words, NEW.words)
             for values in [values_of(4)]
             for change in ({}, {"Model/kernel": values["Model/kernel"].T},
                            {"Model/kernel": values["Model/kernel"] + 1})}
  assert len(digests) == 6


def test_settings_of_size_are_settings():
  assert set(origins.SIZES) < set(configs.Config.defaults()) | {
      "num_layers", "hidden_size"}
