"""A language model in Python: generate, score, next words, hidden states.

model = trained.load("runs/small")
model.generate("the company said", num_words=30, temperature=0.8, seed=1)
model.score(["the company said it expects a loss"])
model.next_words("the company", k=5)
model.hidden_states("the company said")
"""

import contextlib
import dataclasses
import itertools
import math
import numbers
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

import configs
from rnn import memory
from rnn.errors import SettingError, UserError
from rnn.text.preparation import Preparation
from rnn.text.vocabulary import Vocabulary
from trained import model as trained_model
from trained import sampling, scoring
from trained.model import ModelSession, TrainedModel

_MANY = 10**9  # words of a text


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
  """The probabilities that a model gives to a sentence.

  Attributes:
    words: the N words, with `<eos>` at the end. A word that the vocabulary
      lacks is among them as it is, and was scored as `<unk>`.
    log_probs: float64 [N], natural logarithms of the probability of each word
      after `<eos>` and the words before it.
    unknown: the words that the vocabulary lacks.
  """

  words: list[str]
  log_probs: np.ndarray
  unknown: list[str]

  @property
  def log_prob(self) -> float:
    """The natural logarithm of the sentence's probability."""
    return float(self.log_probs.sum())

  @property
  def perplexity(self) -> float:
    """The perplexity of the words, with `<eos>`."""
    return scoring.perplexity_or_nan(-self.log_prob, len(self.words))

  @property
  def bits(self) -> float:
    """Bits per word; per character if this is a model of characters."""
    return -self.log_prob / len(self.words) / math.log(2)


class NextWord(NamedTuple):
  """A word that may come next, and its probability."""

  word: str
  probability: float


class LanguageModel:
  """A trained model, ready to be used.

  The first call that runs the model opens a session, which stays open for the
  next ones. `close`, or a `with` statement, frees it.

  Texts are words with blanks between them, in the form of the training text. A
  newline is `<eos>`. A word that the vocabulary lacks is read as `<unk>`; a
  warning (of the module `logging`) names it once, and the form that the
  vocabulary has. With `normalize`, texts may be ordinary English, which is
  prepared as the training text was: its case, punctuation and numbers. The
  vocabulary shows how, see `preparation.style_of`. In a model of characters,
  read "character" for "word".

  Attributes:
    data: the `TrainedModel`: name, config, vocabulary, values of parameters.
    vocabulary: the vocabulary.
    normalize: whether texts are prepared, unless a call says otherwise.
  """

  def __init__(self, data: TrainedModel, normalize: bool = False) -> None:
    """Opens no session yet; `load` is the usual way to get a model."""
    self.data, self.normalize = data, normalize
    self._prepare = {
        flag: Preparation(data.vocabulary, flag) for flag in (False, True)}
    self._warned: set[str] = set()
    self._sessions = contextlib.ExitStack()
    self._step: ModelSession | None = None

  @property
  def vocabulary(self) -> Vocabulary:
    """The words that the model knows."""
    return self.data.vocabulary

  def __repr__(self) -> str:
    return f"<LanguageModel {self.data.name}, {len(self.vocabulary):,} words>"

  def __enter__(self) -> "LanguageModel":
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  def close(self) -> None:
    """Frees the session; the next call would open a new one."""
    self._sessions.close()
    self._step = None

  def generate(self, prompt: str = "", num_words: int = 60,
               temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
               seed: int = 1, no_unk: bool = False, stop_at_eos: bool = False,
               normalize: bool | None = None) -> str:
    """Continues a text: the first of `generate_many`, which has the arguments.

    Returns:
      The prompt and its continuation; `<eos>` is a newline.
    """
    return self.generate_many(
        prompt, 1, num_words, temperature, top_k, top_p, seed, no_unk,
        stop_at_eos, normalize)[0]

  def generate_many(
      self, prompt: str = "", num_samples: int = 1, num_words: int = 60,
      temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
      seed: int | np.random.Generator = 1, no_unk: bool = False,
      stop_at_eos: bool = False, normalize: bool | None = None) -> list[str]:
    """Continues a text in several ways.

    Args:
      prompt: the beginning; "" begins a sentence.
      num_samples: the number of texts.
      num_words: the number of words to draw for each text; `<eos>` counts.
      temperature, top_k, top_p: see `sampling.distribution`.
      seed: determines the draws, together with the prompt. A larger
        num_samples or num_words keeps what a smaller one gives, and adds to it.
        A generator gives other samples in each call, because it spawns new
        children; its own draws do not matter.
      no_unk: whether `<unk>` is never drawn.
      stop_at_eos: whether a text ends with its first `<eos>`.
      normalize: see the class.

    Raises:
      SettingError: an argument is out of its range.
      UserError: the samples need more memory than is available.
    """
    _check_whole("num_samples", num_samples, 1, 10**6)
    _check_whole("num_words", num_words, 1, _MANY)
    _check_range("temperature", temperature, 0)
    _check_whole("top_k", top_k, 0)
    if not isinstance(seed, np.random.Generator):
      _check_whole("seed", seed, 0)
    if not (isinstance(top_p, numbers.Real) and 0 < top_p <= 1):
      raise SettingError("top_p", "must be above 0 and at most 1", top_p)
    # The logits of the words before and after each step, in float32.
    memory.check([memory.Part(
        2 * 4 * num_samples * len(self.vocabulary),
        f"{num_samples:,} samples from {len(self.vocabulary):,} words",
        "lower num_samples")])
    words = self._read_prompt(prompt, normalize)
    writer = sampling.Writer(self._open_session(), self.vocabulary, num_samples)
    writer.read(words)
    samples = writer.write(
        num_words, np.random.default_rng(seed), stop_at_eos,
        temperature=temperature, top_k=top_k, top_p=top_p,
        banned=[self.vocabulary.unk] if no_unk else [])
    return [self.vocabulary.join(words + sample) for sample in samples]

  def next_words(self, prompt: str = "", k: int = 5,
                 normalize: bool | None = None) -> list[NextWord]:
    """Returns the k most probable next words, the most probable first.

    Args:
      prompt: the text before; "" is the beginning of a sentence.
      k: fewer are returned if the vocabulary has fewer words.
      normalize: see the class.

    Raises:
      SettingError: k is no whole number from 1 on.
    """
    _check_whole("k", k, 1)
    p = sampling.Writer(self._open_session(), self.vocabulary, 1).read(
        self._read_prompt(prompt, normalize))
    return [NextWord(self.vocabulary[i], float(p[i]))
            for i in np.argsort(-p, kind="stable")[:k]]

  def score(self, sentences: Iterable[str], normalize: bool | None = None
            ) -> list[Score]:
    """Scores sentences, each by itself, as score.py does.

    Args:
      sentences: a sentence follows `<eos>` and ends with one.
      normalize: see the class.

    Returns:
      One Score per sentence.

    Raises:
      UserError: the sentences are a single string, or one is no string.
    """
    if isinstance(sentences, str):
      raise UserError("sentences: is one string; give a list of sentences")
    preparation = self._preparation(normalize)
    lines = list(scoring.lines_of((
        preparation.split(_checked(sentence)) for sentence in sentences),
        self.vocabulary))
    scores = [
        Score(line.words, log_probs[0].astype(np.float64),
              [word for word in line.words if word not in self.vocabulary])
        for line, log_probs in scoring.score_sentences([self.data], lines)]
    self._warn(itertools.chain.from_iterable(
        score.unknown for score in scores), preparation)
    return scores

  def hidden_states(self, text: str, normalize: bool | None = None
                    ) -> np.ndarray:
    """Returns the outputs of the last layer after each word of a text.

    Args:
      text: read after `<eos>`, the state zero before.
      normalize: see the class.

    Returns:
      float32 [words, H], or P with a projection; the last row is a feature
      vector of the whole text.
    """
    words = self._read_prompt(text, normalize)
    ids = [self.vocabulary.eos, *self.vocabulary.encode(words)]
    outputs, state = [], None
    for id_ in ids:
      session, word = self._open_session(), np.full([1, 1], id_)
      result = session.run(["outputs", "final_state"], word,
                           state=session.reset(state, word))
      state = result["final_state"]
      outputs.append(result["outputs"][0, 0].astype(np.float32))
    return np.array(outputs)[1:]

  def _open_session(self) -> ModelSession:
    """Returns a session with T = 1, which stays open."""
    if self._step is None:
      self._step = self._sessions.enter_context(self.data.open(num_steps=1))
    return self._step

  def _preparation(self, normalize: bool | None) -> Preparation:
    return self._prepare[self.normalize if normalize is None else normalize]

  def _read_prompt(self, text: str, normalize: bool | None) -> list[str]:
    """Splits a text into words; warns of those that are unknown."""
    preparation = self._preparation(normalize)
    words = preparation.split(_checked(text))
    self._warn(words, preparation)
    return words

  def _warn(self, words: Iterable[str], preparation: Preparation) -> None:
    """Warns of unknown words, of each of them only once."""
    new = [word for word in dict.fromkeys(words) if word not in self._warned]
    preparation.warn(new)
    self._warned.update(new)


def _checked(text: str) -> str:
  """Returns a text; raises a UserError if it is none."""
  if not isinstance(text, str):
    raise UserError(f"{type(text).__name__}: is no text; give a string")
  return text


def _check_whole(name: str, value: int, least: int,
                 most: float = math.inf) -> None:
  """Raises a SettingError if a value is no whole number, or out of range."""
  if not isinstance(value, numbers.Integral):
    raise SettingError(name, "must be a whole number", value)
  _check_range(name, value, least, most)


def _check_range(name: str, value: float, least: float,
                 most: float = math.inf) -> None:
  """Raises a SettingError if a number is out of its range, or not finite."""
  if not (isinstance(value, numbers.Real) and least <= value <= most
          and math.isfinite(value)):
    to = f" to {most:,}" if most < math.inf else " or more"
    raise SettingError(name, f"must be a number of {least:,}{to}", value)


def load(path: str | os.PathLike[str], checkpoint: str = "last",
         average_last: int = 1,
         classic: tuple[configs.Config, Vocabulary] | None = None,
         normalize: bool = False) -> LanguageModel:
  """Loads a trained model.

  Args:
    path: the folder of a run, or one of its checkpoints,
      RUN/checkpoints/step-...; or a checkpoint of the classic script.
    checkpoint, average_last, classic: see `model.load`.
    normalize: whether texts are ordinary English, see `LanguageModel`.

  Raises:
    UserError: there is no model, or it cannot be used. Its text is one line.
  """
  return LanguageModel(trained_model.load(
      os.fspath(path), checkpoint, average_last, classic), normalize)
