"""A trained model in Python: generate, score, next words, hidden states."""

import math

import numpy as np
import pytest

import generate
import trained
from rnn.errors import SettingError, UserError
from rnn.runs.directory import RunDirectory
from tests.helpers.trained_models import (
  next_word_probabilities,
  oracle_probabilities,
)


@pytest.fixture(scope="module")
def model(trained_runs):
  with trained.load(trained_runs / "a") as model:
    yield model


def test_generate_continues_the_prompt_as_the_script_does(
    model, trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a", "--prompt=the population",
           "--num_words=9", "--temperature=0.8", "--seed=3"]
  assert call_script(generate, *flags) == 0
  text = model.generate("the population", num_words=9, temperature=0.8, seed=3)
  assert capsys.readouterr().out == text + "\n"
  assert text == model.generate(
      "the population", num_words=9, temperature=0.8, seed=3)
  many = model.generate_many(
      "the population", 3, num_words=12, temperature=0.8, seed=3)
  assert many[0].startswith(text.rstrip("\n")) and len(set(many)) == 3


def test_scores_are_the_models_probabilities(model):
  sentences = ["the population of Xyz", "", "the\neconomy"]
  scores = model.score(sentences)
  assert [score.words for score in scores] == [
      ["the", "population", "of", "Xyz", "<eos>"], ["<eos>"],
      ["the", "<eos>", "economy", "<eos>"]]
  assert [score.unknown for score in scores] == [["Xyz"], [], []]
  for score in scores:
    p = oracle_probabilities(model.data, score.words, "<eos>")
    np.testing.assert_allclose(score.log_probs, np.log(p), atol=1e-5)
    assert score.log_prob == pytest.approx(score.log_probs.sum())
    assert score.perplexity == pytest.approx(
        math.exp(-score.log_prob / len(p)))
    assert score.bits == pytest.approx(math.log2(score.perplexity))


def test_next_words_are_the_most_probable(model):
  p = next_word_probabilities(model.data, ["the", "population"])[-1]
  words = model.next_words("the population", k=3)
  assert [word for word, _ in words] == [
      model.vocabulary[i] for i in p.argsort()[::-1][:3]]
  np.testing.assert_allclose(
      [word.probability for word in words], np.sort(p)[::-1][:3], rtol=1e-5)
  assert len(model.next_words(k=10**6)) == len(model.vocabulary)


def test_hidden_states_follow_each_word(model):
  words = ["the", "population", "of"]
  hidden = model.hidden_states(" ".join(words))
  assert hidden.shape == (3, 24) and hidden.dtype == np.float32
  values = model.data.values
  logits = hidden[-1] @ values["Model/softmax_w"] + values["Model/softmax_b"]
  p = np.exp(logits - logits.max())
  np.testing.assert_allclose(
      p / p.sum(), next_word_probabilities(model.data, words)[-1], rtol=1e-4)
  np.testing.assert_allclose(
      model.hidden_states("the")[0], hidden[0], atol=1e-6)
  assert model.hidden_states("").shape == (0, 24)


def test_normalize_prepares_english(trained_runs, model):
  plain, english = "the population 's N %", "The Population's 1,000%!"
  assert model.score([english], normalize=True)[0].words == [
      *plain.split(), "<eos>"]
  with trained.load(str(trained_runs / "a"), normalize=True) as normal:
    np.testing.assert_array_equal(
        normal.hidden_states(english), model.hidden_states(plain))
    assert normal.next_words(english) == model.next_words(plain)
    assert normal.generate(english, 2).startswith(plain)
    assert normal.score(["The"], normalize=False)[0].unknown == ["The"]


def test_a_warning_names_unknown_words_once(trained_runs, caplog):
  with trained.load(trained_runs / "a") as model:
    model.next_words("The 1,000 xyz")
    model.score(["The xyz population"])
    assert [record.getMessage() for record in caplog.records] == [
        "not in the vocabulary, read as <unk>: The (the vocabulary has the), "
        "1,000 (the vocabulary has N), xyz; normalize prepares ordinary "
        "English"]
    model.next_words("xyz qqq", normalize=True)
  assert caplog.messages[1:] == ["not in the vocabulary, read as <unk>: qqq"]


def test_a_checkpoint_can_be_named(trained_runs):
  run = RunDirectory(str(trained_runs / "a"))
  for checkpoint in run.checkpoints():
    for path in checkpoint.path, f"{checkpoint.path}/model.ckpt.index":
      with trained.load(path) as model:
        assert model.data.name == f"{run.path} (epoch {checkpoint.epoch})"
        for name, value in checkpoint.read([]).items():
          np.testing.assert_array_equal(model.data.values[name], value)
  path = run.checkpoints()[0].path
  with pytest.raises(SettingError, match=r"checkpoint=best: .* itself; leave"):
    trained.load(path, checkpoint="best")
  with pytest.raises(UserError, match=r"no such checkpoint; the run has .*ste"):
    trained.load(f"{run.path}/checkpoints/step-1")


@pytest.mark.parametrize("call, message", [
    (lambda m: m.generate(num_words=0), "num_words=0: must be a number of 1 "),
    (lambda m: m.generate(temperature=math.nan), "temperature=nan: must be"),
    (lambda m: m.generate(temperature=-1), "temperature=-1: must be a number"),
    (lambda m: m.generate(top_p=0), "top_p=0: must be above 0"),
    (lambda m: m.next_words(k=0), "k=0: must be a number of 1 or more"),
    (lambda m: m.next_words(k=2.5), "k=2.5: must be a whole number"),
    (lambda m: m.generate(top_k=2.5), "top_k=2.5: must be a whole number"),
    (lambda m: m.generate(seed=-1), "seed=-1: must be a number of 0 or more"),
    (lambda m: m.generate(top_p="x"), "top_p=x: must be above 0"),
    (lambda m: m.score([1]), "int: is no text; give a string"),
    (lambda m: m.score("the economy"), "give a list of sentences"),
    (lambda m: trained.load("no/run"), "no/run: no such folder")])
def test_errors_are_exceptions_of_one_line(model, call, message):
  with pytest.raises(UserError, match=message) as caught:
    call(model)
  assert "\n" not in str(caught.value)


def test_a_closed_model_opens_a_new_session(trained_runs):
  model = trained.load(trained_runs / "b")
  before = model.next_words("the")
  model.close()
  assert model.next_words("the") == before
  model.close()
