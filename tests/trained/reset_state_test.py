"""Models with reset_state start each sentence from zero, however it is read."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.helpers import oracle
from tests.helpers.trained_models import next_word_probabilities, softmax
from trained import adaptation, scoring
from trained.language_model import LanguageModel
from trained.model import load
from trained.sampling import Writer

LINES = [line.split() for line in (
    "the population of the xyz", "", "the", "a b the economy " * 4, "the")]


@pytest.fixture(scope="module")
def models(trained_runs):
  """Two models that reset their state, and one that does not."""
  one, other = (load(str(trained_runs / name)) for name in "ab")
  return [dataclasses.replace(model, config=dataclasses.replace(
      model.config, reset_state=True)) for model in (one, other)] + [one]


def probabilities_after(model, words):
  """Returns next-word probabilities after each word, from its sentence only."""
  sentences = [[]]  # each follows an <eos>; the first one begins the text
  for word in words:
    if word == "<eos>":
      sentences.append([])
    else:
      sentences[-1].append(word)
  return np.concatenate([
      next_word_probabilities(model, sentence) for sentence in sentences])[1:]


def test_a_stream_of_sentences_has_their_scores(models):
  vocabulary = models[0].vocabulary
  lines = list(scoring.lines_of(LINES, vocabulary))
  alone = [scores for _, scores in scoring.score_sentences(models, lines)]
  stream = [scores for _, scores in scoring.score_stream(models, lines)]
  alone, stream = (np.concatenate(s, axis=1) for s in (alone, stream))
  np.testing.assert_allclose(stream[1:3], alone[1:3], rtol=1e-5, atol=1e-6)
  assert np.isnan(stream[[0, 3], 0]).all()  # of the third, and of the average
  assert np.abs(stream[3] - alone[3])[1:].max() > 1e-3  # it carries its state


def test_a_line_of_two_sentences_is_scored_as_two(models):
  first, second = ["the", "population"], ["of", "the", "economy", "of", "a"]
  lines = list(scoring.lines_of(
      [[*first, "<eos>", *second], *[["a"]] * 70, first, second],
      models[0].vocabulary))
  scores = [scores for _, scores in scoring.score_sentences(models, lines)]
  parts = np.concatenate(scores[-2:], axis=1)
  np.testing.assert_allclose(scores[0][1:3], parts[1:3], rtol=1e-5, atol=1e-6)
  assert np.abs(scores[0][3] - parts[3]).max() > 1e-3


def test_each_sample_starts_again_after_its_own_eos(models):
  model, steps = models[0], []
  with model.open(num_steps=1) as session:
    run = session.run

    def spy(names, inputs, state=None):
      result = run(names, inputs, state=state)
      steps.append((inputs[0], result["logits"][0]))
      return result

    session.run = spy
    writer = Writer(session, model.vocabulary, 3)
    writer.read(["the"])
    writer.write(60, np.random.default_rng(2))
  for sample in range(3):
    words = [model.vocabulary[ids[sample]] for ids, _ in steps]
    assert "<eos>" in words[1:]
    np.testing.assert_allclose(
        softmax(np.array([logits[sample] for _, logits in steps])),
        probabilities_after(model, words), rtol=1e-4)


def test_prompts_and_hidden_states_start_again_after_a_newline(models):
  with LanguageModel(models[0]) as resets, LanguageModel(models[2]) as carries:
    assert resets.next_words("a the\nthe") == resets.next_words("the")
    assert carries.next_words("a the\nthe") != carries.next_words("the")
    two, one = resets.hidden_states("a the\nthe"), resets.hidden_states("the")
    np.testing.assert_array_equal(two[-1], one[-1])
    assert (carries.hidden_states("a the\nthe")[-1] != one[-1]).all()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_dynamic_evaluation_learns_from_windows_of_a_sentence(models, size):
  model = models[0]
  vocabulary, num_steps = model.vocabulary, model.config.num_steps
  ids = np.concatenate([line.ids for line in scoring.lines_of(
      LINES, vocabulary)])
  with adaptation.Stream(model, dynamic=0.3) as stream:
    assert stream.num_unscored == 0
    scores = np.concatenate([
        stream.read(part) for part in (
            *np.split(ids, range(size, len(ids), size)), None)], axis=1)
  reference, expected = oracle.Model(model.values), []
  for words in LINES:
    sentence = vocabulary.encode(["<eos>", *words, "<eos>"])
    state = [(np.zeros([1, units]),) * 2 for units in model.config.layer_sizes]
    for start in range(0, len(sentence) - 1, num_steps):
      rows = sentence[start:start + num_steps + 1, None]
      nats, state = reference.forward(rows[:-1], rows[1:], state, [1] * 3)
      reference.step(0.3, model.config.max_grad_norm)
      expected += list(-nats[:, 0])
  np.testing.assert_allclose(scores[1], expected, rtol=1e-3, atol=1e-4)
  assert len(ids) == len(expected) == scores.shape[1]


def test_all_of_a_text_is_read_once(models):
  """The parts in which the text comes do not matter, nor does a last <eos>."""
  text = np.random.default_rng(1).integers(0, 40, 60)
  text[[0, 9, 10, 30]] = models[0].vocabulary.eos
  results = []
  for pieces in [60], [1] * 60, [7, 0, 13, 40]:
    with adaptation.Stream(models[0]) as stream:
      ends = [0, *itertools.accumulate(pieces)]
      results.append(np.concatenate([
          *(stream.read(text[start:end])
            for start, end in itertools.pairwise(ends)),
          stream.read(None)], axis=1))
    np.testing.assert_allclose(results[-1], results[0], rtol=1e-5, atol=1e-6)
  assert results[0].shape == (1, 60)
