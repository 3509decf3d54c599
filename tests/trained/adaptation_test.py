"""Dynamic evaluation against the oracle, the cache against its definition."""

import dataclasses

import numpy as np
import pytest

import configs
from benchmarks import adaptation as benchmark
from rnn.text.vocabulary import Vocabulary
from tests.helpers import oracle
from trained import adaptation
from trained.model import TrainedModel

WORDS = ("<eos>", "<unk>", "a", "b", "c", "d", "e")
CONFIG = dataclasses.replace(
    configs.TEST, num_layers=2, num_steps=4, hidden_size=5, max_grad_norm=0.9,
    # Only training has these.
    keep_prob=0.5, keep_prob_word=0.5, keep_prob_recurrent=0.5,
    activation_penalty=2.0, slowness_penalty=2.0, optimizer="asgd",
    weight_decay=0.5)


@pytest.fixture(scope="module")
def model():
  rng = np.random.default_rng(3)
  cell = "Model/RNN/multi_rnn_cell/cell_{}/basic_lstm_cell/"
  shapes = {"Model/embedding": [7, 5], "Model/softmax_w": [5, 7],
            "Model/softmax_b": [7]}
  for i in range(2):
    shapes[cell.format(i) + "kernel"] = [10, 20]
    shapes[cell.format(i) + "bias"] = [20]
  return TrainedModel(
      "made", CONFIG, Vocabulary(WORDS),
      {name: rng.normal(size=shape).astype(np.float32)
       for name, shape in shapes.items()})


TEXT = np.random.default_rng(4).integers(0, 7, 31)


@pytest.fixture(autouse=True)
def windows_of_training(monkeypatch):
  """With the same windows, scores are equal to the last bit."""
  monkeypatch.setattr(adaptation, "_LONG_WINDOW", 1)


def read(model, pieces=(31,), **kwargs):
  """Returns [methods, N], the scores of TEXT, read in pieces."""
  scores, start = [], 0
  with adaptation.Stream(model, **kwargs) as stream:
    for size in pieces:
      scores.append(stream.read(TEXT[start:start + size]))
      start += size
    scores.append(stream.read(None))
  return np.concatenate(scores, axis=1)


def oracle_scores(model, learning_rate=None):
  """Returns log p of TEXT[1:], and the hidden states before these words.

  If there is a learning rate, takes a step after each window.
  """
  reference = oracle.Model(model.values)
  state = [(np.zeros([1, 5]), np.zeros([1, 5]))] * 2
  scores, hidden = [], []
  for start in range(0, 30, 4):
    rows = TEXT[start:min(start + 4, 30) + 1, None]
    nats, state = reference.forward(rows[:-1], rows[1:], state, [1] * 3)
    scores += list(-nats[:, 0])
    hidden += list(reference.hidden[:, 0])
    if learning_rate:
      norm = reference.step(learning_rate, CONFIG.max_grad_norm)
      assert norm > CONFIG.max_grad_norm  # so clipping matters
  return np.array(scores), np.array(hidden)


@pytest.mark.parametrize("pieces", [(31,), (1,) * 31, (5, 4, 0, 22)], ids=str)
def test_a_text_may_come_in_pieces_of_any_length(model, pieces):
  scores = read(model, pieces)
  np.testing.assert_allclose(scores, [oracle_scores(model)[0]], rtol=1e-4)


@pytest.mark.parametrize("size", [9, 80])
def test_windows_longer_than_those_of_training(model, monkeypatch, size):
  settings = adaptation.Cache(6, 0.5, 0.3)
  expected = read(model, cache=settings)
  monkeypatch.setattr(adaptation, "_LONG_WINDOW", size)
  with adaptation.Stream(model) as stream:
    assert stream.read(TEXT).shape == (1, 30 // size * size)
  np.testing.assert_allclose(
      read(model, (5, 4, 0, 22), cache=settings), expected, rtol=1e-5)
  # Dynamic evaluation takes a step after each window, so they stay short.
  with adaptation.Stream(model, dynamic=0.3) as stream:
    assert stream.read(TEXT).shape == (2, 28)


def test_words_are_scored_before_the_step_on_them(model):
  static, dynamic = read(model, dynamic=0.3)
  np.testing.assert_allclose(static, oracle_scores(model)[0], rtol=1e-4)
  expected = oracle_scores(model, 0.3)[0]
  np.testing.assert_allclose(dynamic, expected, rtol=1e-3)
  np.testing.assert_allclose(dynamic[:4], static[:4], rtol=1e-4)
  assert np.abs(dynamic[4:] - static[4:]).min() > 1e-3
  # The model itself has not changed.
  np.testing.assert_array_equal(read(model), [static])


def mix_by_definition(log_probs, hidden, words, settings):
  """Computes the definition word by word; words[t] follows hidden[t]."""
  size, theta, lambda_ = settings
  mixed = []
  for t, log_prob in enumerate(log_probs):
    visible = range(max(t - size, 0), t)
    weights = {i: np.exp(theta * hidden[t] @ hidden[i]) for i in visible}
    same = sum(weight for i, weight in weights.items() if words[i] == words[t])
    mixed.append(np.exp(log_prob) if not weights else
                 (1 - lambda_) * np.exp(log_prob)
                 + lambda_ * same / sum(weights.values()))
  return np.log(mixed)


@pytest.mark.parametrize("settings", [
    (1, 0.5, 0.3), (3, 2.0, 0.3), (4, 1.0, 0.9), (9, 0.0, 0.2), (500, 1.0, 0.5),
    (6, 1.0, 0.0)], ids=str)
def test_the_cache_equals_its_definition(model, settings):
  settings = adaptation.Cache(*settings)
  scores, hidden = oracle_scores(model)
  expected = mix_by_definition(scores, hidden, TEXT[1:], settings)
  static, cache = read(model, cache=settings)
  np.testing.assert_allclose(static, scores, rtol=1e-4)
  np.testing.assert_allclose(cache, expected, rtol=1e-3)


@pytest.mark.slow
def test_dynamic_evaluation_with_a_cache(model):
  settings = adaptation.Cache(7, 0.5, 0.4)
  static, cache, dynamic, both = read(
      model, pieces=(9, 22), dynamic=0.3, cache=settings)
  assert adaptation.list_methods(0.3, settings) == [
      "", "cache", "dynamic", "dynamic_cache"]
  np.testing.assert_array_equal([static, dynamic], read(model, dynamic=0.3))
  np.testing.assert_array_equal([static, cache], read(model, cache=settings))
  np.testing.assert_allclose(
      both, mix_by_definition(
          *oracle_scores(model, 0.3), TEXT[1:], settings), rtol=1e-3)


@pytest.mark.parametrize("dynamic", [None, 0.1])
@pytest.mark.parametrize("size", [1, 80])
def test_the_memory_of_the_caches(model, monkeypatch, dynamic, size):
  monkeypatch.setattr(adaptation, "_LONG_WINDOW", size)
  settings = adaptation.Cache(5, 0.3, 0.2)
  with adaptation.Stream(model, dynamic=dynamic, cache=settings) as stream:
    caches = [scorer._cache for scorer in stream._scorers]
  num_steps = size if dynamic is None and size > 1 else CONFIG.num_steps
  scores = 3 * 8 * settings.size * num_steps
  assert adaptation.cache_bytes(settings, model, dynamic) == sum(
      cache._hidden.nbytes + cache._words.nbytes + scores for cache in caches)


def test_a_long_text_wraps_around_in_the_cache():
  settings = adaptation.Cache(3, 1.0, 0.4)
  cache = adaptation.NeuralCache(settings, hidden_size=2, num_steps=4)
  rng = np.random.default_rng(0)
  hidden, words = rng.normal(size=[400, 2]), rng.integers(0, 3, 400)
  log_probs = np.log(rng.uniform(size=400))
  mixed = np.concatenate([
      cache.mix(log_probs[i:i + 4], hidden[i:i + 4], words[i:i + 4])
      for i in range(0, 400, 4)])
  np.testing.assert_allclose(
      mixed, mix_by_definition(log_probs, hidden, words, settings), rtol=1e-5)


def test_large_products_do_not_overflow():
  cache = adaptation.NeuralCache(adaptation.Cache(5, 1e6, 0.5), 1, 4)
  mixed = cache.mix(np.log([0.5] * 4), np.full([4, 1], 3.0),
                    np.array([2, 2, 3, 2]))
  np.testing.assert_allclose(np.exp(mixed), [0.5, 0.75, 0.25, 7 / 12])


@pytest.mark.slow
def test_the_benchmark_equals_a_stream(model):
  settings = adaptation.Cache(6, 0.5, 0.3)
  ids = TEXT.astype(np.int32)
  scores, hidden = benchmark.hidden_states(model, ids)
  static, cache, dynamic, _ = read(model, cache=settings, dynamic=0.3)
  np.testing.assert_allclose(scores, static, rtol=1e-6)
  np.testing.assert_allclose(
      benchmark.cache_log_probs(settings, ids, scores, hidden, 4), cache,
      rtol=1e-6)
  np.testing.assert_allclose(
      benchmark.dynamic_log_probs(model, ids, 0.3), dynamic, rtol=1e-6)
