"""Text from a trained model: its distribution above all."""

import io
import os
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from script_test import assert_one_line

import generate
import reader
import trained_model

WORDS = ("<eos>", "<unk>", "a", "b", "c", "d")
# By the word before, the logits of the next one.
LOGITS = np.random.default_rng(5).normal(size=[len(WORDS)] * 2) * 1.5


class MarkovWindows:
  """Stands in for a model: the next word follows from the one before.

  The state counts the words read, and must come back as it was given.
  """

  def __init__(self, logits):
    self._logits = logits

  def run(self, names, inputs, state=None):
    assert inputs.shape[0] == 1
    return {"logits": self._logits[inputs],
            "final_state": 1 if state is None else state + 1}


def stand_in(num_samples):
  return generate.Writer(
      MarkovWindows(LOGITS), reader.Vocabulary(WORDS), num_samples)


def assert_drawn_from(counts, p):
  """A chi-square test: its statistic lies within 4 deviations of the mean.

  What is impossible must not occur; cells of less than 5 join one another.
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
    return  # one cell alone: there was no choice
  statistic = ((counts - expected) ** 2 / expected).sum()
  assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def softmax(logits):
  exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
  return exps / exps.sum(axis=-1, keepdims=True)


def expected_distribution(logits, temperature=1, top_k=0, top_p=1, banned=()):
  """One row, word by word, from the likeliest on."""
  weights = {i: np.exp(logit / temperature) for i, logit in enumerate(logits)
             if i not in banned}
  total = sum(weights.values())
  kept, mass = {}, 0
  for i in sorted(weights, key=weights.get, reverse=True):
    if (top_k and len(kept) == top_k) or mass >= top_p:
      break
    kept[i] = weights[i]
    mass += weights[i] / total
  return [kept.get(i, 0) / sum(kept.values()) for i in range(len(logits))]


CASES = [{}, {"temperature": 0.5}, {"temperature": 2.0}, {"top_k": 1},
         {"top_k": 3}, {"top_k": 99}, {"top_p": 0.6}, {"top_p": 1e-9},
         {"banned": [1]}, {"temperature": 0.7, "top_k": 4, "top_p": 0.8,
                           "banned": [0, 1]}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_distribution(case):
  p = generate.distribution(LOGITS, **case)
  np.testing.assert_allclose(
      p, [expected_distribution(row, **case) for row in LOGITS], atol=1e-12)


def test_ties_do_not_let_in_more_than_top_k():
  p = generate.distribution(np.zeros([1, 5]), top_k=2)
  np.testing.assert_array_equal(p, [[0.5, 0.5, 0, 0, 0]])


def test_no_temperature_takes_the_likeliest():
  for temperature in 0, 1e-300:
    p = generate.distribution(LOGITS, temperature)
    np.testing.assert_array_equal(
        p, np.eye(len(WORDS))[LOGITS.argmax(axis=1)])


@hypothesis.given(
    strategies.lists(strategies.floats(0, 1), min_size=1, max_size=9).filter(
        lambda p: sum(p) > 1e-9), strategies.floats(0, 1, exclude_max=True))
def test_what_is_drawn_is_possible(p, u):
  p = np.array([p])
  (word,) = generate.draw(p, np.array([u]))
  assert p[0, word] > 0
  cumulative = np.cumsum(p[0])
  assert cumulative[word] >= u * cumulative[-1] * (1 - 1e-12)
  assert cumulative[word] - p[0, word] <= u * cumulative[-1]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stand_in_is_drawn_as_it_says(case):
  """Pairs of words that follow each other, the third and the fourth."""
  size = 20_000
  writer = stand_in(size)
  writer.read(["a", "b"])
  texts = writer.write(4, np.random.default_rng(1), **case)
  ids = reader.Vocabulary(WORDS).ids
  counts = np.zeros(LOGITS.shape)
  for text in texts:
    counts[ids[text[2]], ids[text[3]]] += 1
  p = np.array([expected_distribution(row, **case) for row in LOGITS])
  third = p[ids["b"]] @ p @ p
  assert_drawn_from(counts, third[:, None] * p)


@pytest.fixture(scope="module")
def trained(trained_runs):
  return trained_model.load(str(trained_runs / "a"))


def own_probabilities(trained, words):
  """[T, V]: of what follows on <eos> and each of the words, in one window."""
  ids = np.array([trained.vocabulary.eos, *trained.vocabulary.encode(words)])
  with trained.open(len(ids)) as windows:
    return softmax(windows.run(["logits"], ids[:, None])["logits"][:, 0]
                   .astype(np.float64))


@pytest.mark.slow
@pytest.mark.parametrize("case", [
    {}, {"temperature": 0.6, "top_k": 40}, {"top_p": 0.5}], ids=str)
def test_a_real_model_is_drawn_as_it_says(trained, case):
  """The first word after a prompt, and the second, which needs the state."""
  size, prompt = 3000, "the population of the".split()
  with trained.open(1) as windows:
    writer = generate.Writer(windows, trained.vocabulary, size)
    p = writer.read(prompt)
    texts = writer.write(2, np.random.default_rng(2), **case)
  np.testing.assert_allclose(
      p, own_probabilities(trained, prompt)[-1], rtol=1e-4)
  first, second = trained.vocabulary.encode(
      [word for text in texts for word in text]).reshape(size, 2).T
  p = expected_distribution(np.log(p), **case)
  assert_drawn_from(np.bincount(first, minlength=len(p)), p)
  common = np.bincount(first).argmax()
  after = own_probabilities(
      trained, [*prompt, trained.vocabulary.words[common]])[-1]
  assert_drawn_from(
      np.bincount(second[first == common], minlength=len(p)),
      expected_distribution(np.log(after), **case))


def test_the_likeliest_words_are_fed_back_with_their_state(trained):
  with trained.open(1) as windows:
    writer = generate.Writer(windows, trained.vocabulary, 2)
    writer.read(["the"])
    one, other = writer.write(30, np.random.default_rng(1), temperature=0)
  assert one == other
  p = own_probabilities(trained, ["the", *one])
  assert one == trained.vocabulary.decode(p[1:-1].argmax(axis=1))


def test_a_sentence_ends_with_its_first_eos():
  texts = stand_in(50).write(40, np.random.default_rng(1), stop_at_eos=True)
  whole = stand_in(50).write(40, np.random.default_rng(1))
  for text, untrimmed in zip(texts, whole, strict=True):
    assert text == untrimmed[:len(text)]
    assert (text.index("<eos>") == len(text) - 1 if "<eos>" in text
            else len(text) == 40)
  assert len({len(text) for text in texts}) > 5


def test_samples_follow_from_the_seed_alone():
  def texts(num_samples, seed):
    return stand_in(num_samples).write(9, np.random.default_rng(seed))

  assert texts(3, 1) == texts(3, 1) != texts(3, 2)
  assert texts(2, 1) == texts(3, 1)[:2]
  longer = stand_in(3).write(20, np.random.default_rng(1))
  assert [text[:9] for text in longer] == texts(3, 1)


def test_prompts_are_parted_as_training_texts_are(caplog):
  vocabulary = reader.Vocabulary((*WORDS, "a\u00a0b"))
  assert generate.words_of("a\u00a0b\t c\nd", vocabulary) == [
      "a\u00a0b", "c", "<eos>", "d"]
  assert not caplog.text
  assert vocabulary.join(["\u2003", "<eos>"]) == "\u2003\n"


@pytest.mark.parametrize("words, text", [
    ("the cat <eos> it sat", "the cat\nit sat"), ("a <eos>", "a\n"),
    ("<eos> <eos> a", "\n\na"), ("", "")])
def test_words_joined(words, text):
  assert reader.Vocabulary.join(words.split()) == text


def test_the_script(trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a", "--prompt=the Xyz population xyz",
           "--num_words=12", "--num_samples=2", "--temperature=0.8", "--seed=3"]
  assert call_script(generate, *flags) == 0
  out, err = capsys.readouterr()
  assert err == "".join(
      f"generate.py: warning: {word} is not in the vocabulary; read as <unk>\n"
      for word in ("Xyz", "xyz"))
  title, one, other = out.partition("\n--- 2 of 2 ---\n")
  texts = [x for x in (title.removeprefix("--- 1 of 2 ---\n"), other)]
  for text in texts:
    assert text.startswith("the Xyz population xyz")
    assert len(text.replace("\n", " <eos> ").split()) in (16, 17)
  assert texts[0] != texts[1].strip()
  assert call_script(generate, *flags) == 0
  assert capsys.readouterr().out == out
  assert call_script(generate, *flags, "--num_samples=1") == 0
  assert capsys.readouterr().out.strip() == texts[0].strip()
  assert call_script(generate, *flags, "--seed=4") == 0
  assert capsys.readouterr().out != out


def test_no_unk_and_the_end_of_the_sentence(trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a", "--num_samples=40",
           "--num_words=30"]
  assert call_script(generate, *flags) == 0
  assert "<unk>" in capsys.readouterr().out
  assert call_script(generate, *flags, "--no_unk", "--stop_at_eos") == 0
  out = capsys.readouterr().out
  assert "<unk>" not in out
  for text in out.split(" of 40 ---\n")[1:]:
    assert "\n" not in text.partition("\n---")[0].strip()


def test_prompts_from_the_terminal(trained_runs, trained, call_script, capsys,
                                   monkeypatch):
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(
      io.BytesIO(b"the population\n\nqqq \xff\n"), "utf-8"))
  assert call_script(generate, f"--save_path={trained_runs}/a",
                     "--interactive", "--num_words=3", "--stop_at_eos") == 0
  out, err = capsys.readouterr()
  assert "qqq is not in the vocabulary" in err
  shown = [line for line in out.splitlines() if line.startswith("next: ")]
  assert len(shown) == 3
  for line, prompt in zip(shown, (["the", "population"], [])):  # noqa: B905
    p = own_probabilities(trained, prompt)[-1]
    likeliest = p.argsort()[::-1][:5]
    assert line == "next: " + ", ".join(
        f"{trained.vocabulary.words[i]} {p[i]:.1%}" for i in likeliest)
  assert "\nthe population" in out


def test_a_closed_terminal_is_the_end(trained_runs, call_script, capsys,
                                      monkeypatch):
  monkeypatch.setattr(sys, "stdin", None)
  assert call_script(
      generate, f"--save_path={trained_runs}/a", "--interactive") == 0
  assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("flag, message", [
    ("--temperature=-0.1", "temperature=-0.1"),
    ("--temperature=nan", "temperature.* must be a number"),
    ("--temperature=inf", "temperature.* must be a number"),
    ("--top_p=0", r"top_p.*must be above 0 and at most 1"),
    ("--top_p=1.01", r"top_p.*must be above 0 and at most 1"),
    ("--top_p=nan", r"top_p.*must be above 0 and at most 1"),
    ("--top_k=-1", "top_k=-1"), ("--num_words=0", "num_words=0"),
    ("--num_samples=0", "num_samples=0"), ("--seed=-1", "seed=-1"),
    ("--num_samples=9999999999", "num_samples=9999999999"),
    ("--num_words=99999999999999999999999", "num_words=99999999999999999999"),
    ("--prompt=a --interactive", "--prompt: --interactive asks for it"),
])
def test_bad_flags_get_one_line(trained_runs, call_script, capsys, flag,
                                message):
  assert call_script(
      generate, f"--save_path={trained_runs}/a", *flag.split()) == 1
  assert_one_line(
      capsys.readouterr().err, os.path.basename(generate.__file__), message)
