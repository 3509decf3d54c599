"""Dynamic evaluation against the oracle, the cache against its definition."""

import dataclasses

import numpy as np
import oracle
import pytest

import adaptation
import configs
import reader
import trained_model
from benchmarks import adaptation as benchmark
from benchmarks import shuffled

WORDS = ("<eos>", "<unk>", "a", "b", "c", "d", "e")
CONFIG = dataclasses.replace(
    configs.TEST, num_layers=2, num_steps=4, hidden_size=5, max_grad_norm=0.9,
    keep_prob=0.5)  # which is for training alone


@pytest.fixture(scope="module")
def trained():
  rng = np.random.default_rng(3)
  cell = "Model/RNN/multi_rnn_cell/cell_{}/basic_lstm_cell/"
  shapes = {"Model/embedding": [7, 5], "Model/softmax_w": [5, 7],
            "Model/softmax_b": [7]}
  for i in range(2):
    shapes[cell.format(i) + "kernel"] = [10, 20]
    shapes[cell.format(i) + "bias"] = [20]
  return trained_model.TrainedModel(
      "made", CONFIG, reader.Vocabulary(WORDS),
      {name: rng.normal(size=shape).astype(np.float32)
       for name, shape in shapes.items()})


TEXT = np.random.default_rng(4).integers(0, 7, 31)


def read(trained, pieces=(31,), **kwargs):
  """[kinds, N]: of TEXT, read in pieces of these lengths."""
  found, start = [], 0
  with adaptation.Stream(trained, **kwargs) as stream:
    for size in pieces:
      found.append(stream.read(TEXT[start:start + size]))
      start += size
    found.append(stream.read(None))
  return np.concatenate(found, axis=1)


def oracle_scores(trained, learning_rate=None):
  """log p of TEXT[1:], and the hidden states; steps are taken with a rate."""
  model = oracle.Model(trained.values)
  state = [(np.zeros([1, 5]), np.zeros([1, 5]))] * 2
  scores, hidden = [], []
  for start in range(0, 30, 4):
    rows = TEXT[start:min(start + 4, 30) + 1, None]
    nats, state = model.forward(rows[:-1], rows[1:], state, [1] * 3)
    scores += list(-nats[:, 0])
    hidden += list(model.hidden[:, 0])
    if learning_rate:
      norm = model.step(learning_rate, CONFIG.max_grad_norm)
      assert norm > CONFIG.max_grad_norm  # so that the clipping shows
  return np.array(scores), np.array(hidden)


@pytest.mark.parametrize("pieces", [(31,), (1,) * 31, (5, 4, 0, 22)], ids=str)
def test_a_text_is_read_however_it_comes(trained, pieces):
  scores = read(trained, pieces)
  np.testing.assert_allclose(scores, [oracle_scores(trained)[0]], rtol=1e-4)


def test_words_are_scored_before_they_are_learned_from(trained):
  static, dynamic = read(trained, dynamic=0.3)
  np.testing.assert_allclose(static, oracle_scores(trained)[0], rtol=1e-4)
  expected = oracle_scores(trained, 0.3)[0]
  np.testing.assert_allclose(dynamic, expected, rtol=1e-3)
  np.testing.assert_allclose(dynamic[:4], static[:4], rtol=1e-4)
  assert np.abs(dynamic[4:] - static[4:]).min() > 1e-3
  # And nothing of it stays.
  np.testing.assert_array_equal(read(trained), [static])


def cached(log_probs, hidden, words, settings):
  """The definition, word by word; words[t] follows on hidden[t]."""
  size, theta, lambda_ = settings
  mixed = []
  for t, log_prob in enumerate(log_probs):
    seen = range(max(t - size, 0), t)
    weights = {i: np.exp(theta * hidden[t] @ hidden[i]) for i in seen}
    same = sum(weight for i, weight in weights.items() if words[i] == words[t])
    mixed.append(np.exp(log_prob) if not weights else
                 (1 - lambda_) * np.exp(log_prob)
                 + lambda_ * same / sum(weights.values()))
  return np.log(mixed)


@pytest.mark.parametrize("settings", [
    (1, 0.5, 0.3), (3, 2.0, 0.3), (4, 1.0, 0.9), (9, 0.0, 0.2), (500, 1.0, 0.5),
    (6, 1.0, 0.0)], ids=str)
def test_the_cache(trained, settings):
  settings = adaptation.Cache(*settings)
  scores, hidden = oracle_scores(trained)
  expected = cached(scores, hidden, TEXT[1:], settings)
  static, cache = read(trained, cache=settings)
  np.testing.assert_allclose(static, scores, rtol=1e-4)
  np.testing.assert_allclose(cache, expected, rtol=1e-3)


@pytest.mark.slow
def test_both_at_once(trained):
  settings = adaptation.Cache(7, 0.5, 0.4)
  static, cache, dynamic, both = read(
      trained, pieces=(9, 22), dynamic=0.3, cache=settings)
  assert adaptation.kinds(0.3, settings) == [
      "", "cache", "dynamic", "dynamic_cache"]
  np.testing.assert_array_equal([static, dynamic], read(trained, dynamic=0.3))
  np.testing.assert_array_equal([static, cache], read(trained, cache=settings))
  np.testing.assert_allclose(
      both, cached(*oracle_scores(trained, 0.3), TEXT[1:], settings), rtol=1e-3)


def test_the_cache_does_not_grow_with_the_text():
  settings = adaptation.Cache(3, 1.0, 0.4)
  cache = adaptation.NeuralCache(settings, hidden_size=2, num_steps=4)
  rng = np.random.default_rng(0)
  hidden, words = rng.normal(size=[400, 2]), rng.integers(0, 3, 400)
  log_probs = np.log(rng.uniform(size=400))
  mixed = np.concatenate([
      cache.mix(log_probs[i:i + 4], hidden[i:i + 4], words[i:i + 4])
      for i in range(0, 400, 4)])
  np.testing.assert_allclose(
      mixed, cached(log_probs, hidden, words, settings), rtol=1e-5)


def test_large_products_do_not_overflow():
  cache = adaptation.NeuralCache(adaptation.Cache(5, 1e6, 0.5), 1, 4)
  mixed = cache.mix(np.log([0.5] * 4), np.full([4, 1], 3.0),
                    np.array([2, 2, 3, 2]))
  np.testing.assert_allclose(np.exp(mixed), [0.5, 0.75, 0.25, 7 / 12])


@pytest.mark.slow
def test_the_benchmark_measures_what_is_used(trained):
  settings = adaptation.Cache(6, 0.5, 0.3)
  ids = TEXT.astype(np.int32)
  scores, hidden = benchmark.hidden_states(trained, ids)
  static, cache, dynamic, _ = read(trained, cache=settings, dynamic=0.3)
  np.testing.assert_allclose(scores, static, rtol=1e-6)
  np.testing.assert_allclose(
      benchmark.cache_log_probs(settings, ids, scores, hidden, 4), cache,
      rtol=1e-6)
  np.testing.assert_allclose(
      benchmark.dynamic_log_probs(trained, ids, 0.3), dynamic, rtol=1e-6)


@pytest.mark.parametrize("words", ["a b", "a a b", "a b c d e f"])
def test_shuffled_words_are_in_another_order(words):
  words = words.split()
  for seed in range(20):
    other = shuffled.shuffle(words, np.random.default_rng(seed))
    assert other != words and sorted(other) == sorted(words)
  assert shuffled.shuffle(["a", "a"], np.random.default_rng(0)) is None
  assert shuffled.shuffle([], np.random.default_rng(0)) is None
