"""Sampling: the distribution of the words that are drawn."""

import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.text.preparation import Preparation
from rnn.text.vocabulary import Vocabulary
from tests.helpers.trained_models import next_word_probabilities
from trained import sampling
from trained.model import load
from trained.sampling import Writer, distribution, draw

VOCABULARY = Vocabulary(("<eos>", "<unk>", "a", "b", "c", "d"))
# A Markov chain: row i has the logits of the word after word i.
LOGITS = np.random.default_rng(5).normal(size=[len(VOCABULARY)] * 2) * 1.5


class MarkovSession:
  """A `ModelSession` whose next word follows from LOGITS.

  Its state counts words, and has to come back as it was returned.
  """

  def __init__(self):
    self._num_words = None

  def run(self, names, inputs, state=None):
    assert inputs.shape[0] == 1
    assert state in (None, self._num_words)
    self._num_words = 1 if state is None else state + 1
    return {"logits": LOGITS[inputs], "final_state": self._num_words}

  def reset(self, state, inputs):
    return state


def markov_writer(num_samples):
  writer = Writer(MarkovSession(), VOCABULARY, num_samples)
  writer.read([])
  return writer


def assert_drawn_from(counts, p):
  """A chi-square test: its statistic lies within 4 deviations of the mean.

  An impossible word must not occur. Cells that expect fewer than 5 words are
  joined.
  """
  counts, p = np.ravel(counts), np.ravel(p)
  assert counts[p == 0].sum() == 0
  expected = counts.sum() * p
  rare = expected < 5
  counts = np.append(counts[~rare], counts[rare].sum())
  expected = np.append(expected[~rare], expected[rare].sum())
  counts, expected = counts[expected > 0], expected[expected > 0]
  freedom = len(counts) - 1
  if not freedom:
    return  # only one cell: there was no choice
  statistic = ((counts - expected) ** 2 / expected).sum()
  assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def expected_distribution(logits, temperature=1, top_k=0, top_p=1, banned=()):
  """Computes one row word by word, starting with the most probable word."""
  weights = {i: np.exp(logit / temperature) for i, logit in enumerate(logits)
             if i not in banned}
  total = sum(weights.values())
  allowed, mass = {}, 0
  for i in sorted(weights, key=weights.get, reverse=True):
    if (top_k and len(allowed) == top_k) or mass >= top_p:
      break
    allowed[i] = weights[i]
    mass += weights[i] / total
  return [allowed.get(i, 0) / sum(allowed.values())
          for i in range(len(logits))]


CASES = [{}, {"temperature": 0.5}, {"temperature": 2.0}, {"top_k": 1},
         {"top_k": 3}, {"top_k": 99}, {"top_p": 0.6}, {"top_p": 1e-9},
         {"banned": [1]}, {"temperature": 0.7, "top_k": 4, "top_p": 0.8,
                           "banned": [0, 1]}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_distribution(case):
  p = distribution(LOGITS, **case)
  np.testing.assert_allclose(
      p, [expected_distribution(row, **case) for row in LOGITS], atol=1e-12)


def test_ties_do_not_add_words_to_top_k():
  p = distribution(np.zeros([1, 5]), top_k=2)
  np.testing.assert_array_equal(p, [[0.5, 0.5, 0, 0, 0]])


def test_temperature_0_takes_the_most_probable_word():
  for temperature in 0, 1e-300:
    p = distribution(LOGITS, temperature)
    np.testing.assert_array_equal(
        p, np.eye(len(VOCABULARY))[LOGITS.argmax(axis=1)])


@pytest.mark.parametrize("case", [{"temperature": 0}, *CASES], ids=str)
def test_memory_is_proportional_to_the_vocabulary(case):
  """It holds a few arrays [B, V] at a time, but nothing of [V, V]."""
  logits = np.random.default_rng(0).normal(size=[2, 50_000])
  tracemalloc.start()
  try:
    p = distribution(logits, **case)
    words = draw(p, np.array([0.3, 0.6]))
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 10 * logits.nbytes
  assert (p[[0, 1], words] > 0).all()
  if case == {"temperature": 0}:
    np.testing.assert_array_equal(words, logits.argmax(axis=1))


def test_many_samples_are_drawn_in_blocks(monkeypatch):
  """Their distributions are never in memory all at once."""
  size, logits = 300, np.random.default_rng(0).normal(size=20_000)
  vocabulary = Vocabulary((*VOCABULARY.words, *map(str, range(6, 20_000))))

  class ModelSession:
    def run(self, names, inputs, state=None):
      return {"final_state": None,
              "logits": np.broadcast_to(logits, [1, size, len(logits)])}

    def reset(self, state, inputs):
      return state

  writer = Writer(ModelSession(), vocabulary, size)
  writer.read([])

  def write():
    tracemalloc.start()
    try:
      return (writer.write(1, np.random.default_rng(1)),
              tracemalloc.get_traced_memory()[1])
    finally:
      tracemalloc.stop()

  texts, peak = write()
  assert len({text for text, in texts}) > size / 2
  monkeypatch.setattr(sampling, "_BLOCK_SIZE", 30 * len(logits))
  texts_in_blocks, lower = write()
  assert texts_in_blocks == texts and lower < 0.3 * peak


@hypothesis.given(
    strategies.lists(strategies.floats(0, 1), min_size=1, max_size=9).filter(
        lambda p: sum(p) > 1e-9), strategies.floats(0, 1, exclude_max=True))
def test_draws_invert_the_cumulative_distribution(p, u):
  p = np.array([p])
  (word,) = draw(p, np.array([u]))
  assert p[0, word] > 0
  cumulative = np.cumsum(p[0])
  assert cumulative[word] >= u * cumulative[-1] * (1 - 1e-12)
  assert cumulative[word] - p[0, word] <= u * cumulative[-1]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_samples_of_a_markov_chain_have_its_distribution(case):
  """Counts pairs of adjacent words: the third and the fourth."""
  size = 20_000
  writer = markov_writer(size)
  writer.read(["a", "b"])
  texts = writer.write(4, np.random.default_rng(1), **case)
  ids = VOCABULARY.ids
  counts = np.zeros(LOGITS.shape)
  for text in texts:
    counts[ids[text[2]], ids[text[3]]] += 1
  p = np.array([expected_distribution(row, **case) for row in LOGITS])
  third = p[ids["b"]] @ p @ p
  assert_drawn_from(counts, third[:, None] * p)


@pytest.fixture(scope="module")
def model(trained_runs):
  return load(str(trained_runs / "a"))


@pytest.mark.slow
@pytest.mark.parametrize("case", [
    {}, {"temperature": 0.6, "top_k": 40}, {"top_p": 0.5}], ids=str)
def test_samples_of_a_model_have_its_distribution(model, case):
  """The first word after a prompt, and the second, which needs the state."""
  size, prompt = 3000, "the population of the".split()
  with model.open(1) as session:
    writer = Writer(session, model.vocabulary, size)
    p = writer.read(prompt)
    texts = writer.write(2, np.random.default_rng(2), **case)
  np.testing.assert_allclose(
      p, next_word_probabilities(model, prompt)[-1], rtol=1e-4)
  first, second = model.vocabulary.encode(
      [word for text in texts for word in text]).reshape(size, 2).T
  p = expected_distribution(np.log(p), **case)
  assert_drawn_from(np.bincount(first, minlength=len(p)), p)
  common = np.bincount(first).argmax()
  after = next_word_probabilities(
      model, [*prompt, model.vocabulary.words[common]])[-1]
  assert_drawn_from(
      np.bincount(second[first == common], minlength=len(p)),
      expected_distribution(np.log(after), **case))


def test_drawn_words_are_fed_back_with_their_state(model):
  with model.open(1) as session:
    writer = Writer(session, model.vocabulary, 2)
    writer.read(["the"])
    one, other = writer.write(30, np.random.default_rng(1), temperature=0)
  assert one == other
  p = next_word_probabilities(model, ["the", *one])
  assert one == model.vocabulary.decode(p[1:-1].argmax(axis=1))


def test_stop_at_eos_cuts_after_the_first_eos():
  texts = markov_writer(50).write(
      40, np.random.default_rng(1), stop_at_eos=True)
  whole = markov_writer(50).write(40, np.random.default_rng(1))
  for text, untrimmed in zip(texts, whole, strict=True):
    assert text == untrimmed[:len(text)]
    assert (text.index("<eos>") == len(text) - 1 if "<eos>" in text
            else len(text) == 40)
  assert len({len(text) for text in texts}) > 5


def test_a_sample_depends_only_on_the_seed_and_its_index():
  def texts(num_samples, seed):
    return markov_writer(num_samples).write(9, np.random.default_rng(seed))

  assert texts(3, 1) == texts(3, 1) != texts(3, 2)
  assert texts(2, 1) == texts(3, 1)[:2]
  longer = markov_writer(3).write(20, np.random.default_rng(1))
  assert [text[:9] for text in longer] == texts(3, 1)


def test_prompts_are_split_as_training_texts_are(caplog):
  vocabulary = Vocabulary((*VOCABULARY.words, "a\u00a0b"))
  preparation = Preparation(vocabulary)
  words = preparation.split("a\u00a0b\t c\nd")
  assert words == ["a\u00a0b", "c", "<eos>", "d"]
  preparation.warn(words)
  assert not caplog.text
  assert vocabulary.join(["\u2003", "<eos>"]) == "\u2003\n"
