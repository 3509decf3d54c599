"""Scores of sentences and of streams: against the oracle and each other."""

import threading

import numpy as np
import pytest

import reader
from rnn.errors import SettingError
from tests.helpers.trained_models import oracle_probabilities
from trained import scoring
from trained.model import load

LINES = [line.split() for line in (
    "the population of the xyz", "", "the", "a b the economy " * 9, "the")]


@pytest.fixture(scope="module")
def models(trained_runs):
  return [load(str(trained_runs / name)) for name in "ab"]


def score_sentences(models, texts):
  lines = scoring.lines_of(texts, models[0].vocabulary)
  return [log_probs for _, log_probs in scoring.score_sentences(models, lines)]


def test_sentences_equal_the_oracle(models):
  """Lines of several lengths, unknown words; models of different sizes."""
  scores = score_sentences(models, LINES)
  for log_probs, words in zip(scores, LINES, strict=True):
    expected = [oracle_probabilities(model, [*words, "<eos>"], "<eos>")
                for model in models]
    np.testing.assert_allclose(np.exp(log_probs), [
        np.mean(expected, axis=0), *expected], rtol=1e-4)


@pytest.mark.parametrize("window", [1, 80])
def test_a_stream_equals_the_oracle(models, monkeypatch, window):
  monkeypatch.setattr(scoring.adaptation, "_LONG_WINDOW", window)
  vocabulary = models[0].vocabulary
  scores = list(scoring.score_stream(
      models, scoring.lines_of(LINES, vocabulary)))
  assert [line.words[:-1] for line, _ in scores] == LINES
  words = [word for line, _ in scores for word in line.words]
  p = np.exp(np.concatenate([log_probs for _, log_probs in scores], axis=1))
  assert np.isnan(p[:, 0]).all()
  expected = [oracle_probabilities(model, words[1:], words[0])
              for model in models]
  np.testing.assert_allclose(
      p[:, 1:], [np.mean(expected, axis=0), *expected], rtol=1e-4)


def test_a_line_has_the_same_score_in_any_batch(models):
  rng = np.random.default_rng(0)
  words = models[0].vocabulary.words
  texts = [list(rng.choice(words, rng.integers(0, 40))) for _ in range(150)]
  together = score_sentences(models[:1], texts)
  for i in 0, 1, 77, 149:
    (alone,) = score_sentences(models[:1], texts[i:i + 1])
    np.testing.assert_allclose(alone, together[i], rtol=1e-6, atol=1e-6)
    assert alone.shape == (1, len(texts[i]) + 1)


def test_few_lines_are_read_ahead(models, monkeypatch):
  """And all are scored in their order."""
  monkeypatch.setattr(scoring.adaptation, "_LONG_WINDOW", 1)
  monkeypatch.setattr(scoring, "_CHUNK_LINES", 10)
  monkeypatch.setattr(scoring, "_CHUNK_WORDS", 30)
  read = []

  def texts():
    for i in range(100):
      read.append(i)
      yield ["the"] * (i % 4)

  lines = scoring.lines_of(texts(), models[0].vocabulary)
  for number, (line, _) in enumerate(scoring.score_sentences(models, lines), 1):
    assert line.key == number and len(read) - number < 20  # two chunks
  assert number == 100
  read.clear()
  lines = scoring.lines_of(texts(), models[0].vocabulary)
  for number, (line, _) in enumerate(scoring.score_stream(models, lines), 1):
    assert line.key == number and len(read) - number < 10
  assert number == 100


def test_batches_are_dropped_if_nobody_wants_their_scores(models, monkeypatch):
  monkeypatch.setattr(scoring, "_CHUNK_LINES", 300)
  monkeypatch.setattr(scoring, "_BATCH_SIZE", 1)
  scored, score_batch = [], scoring._score_batch
  monkeypatch.setattr(scoring, "_score_batch", lambda *args: (
      scored.append(1), score_batch(*args))[1])
  threads = threading.active_count()
  scores = scoring.score_sentences(
      models, scoring.lines_of([["the"]] * 600, models[0].vocabulary))
  next(scores)
  scores.close()
  assert threading.active_count() == threads
  assert 300 <= len(scored) < 600


@pytest.mark.parametrize("limits", [(10, 10**9), (10**9, 30)], ids=str)
def test_a_chunk_has_few_lines_and_few_words(models, monkeypatch, limits):
  monkeypatch.setattr(scoring, "_CHUNK_LINES", limits[0])
  monkeypatch.setattr(scoring, "_CHUNK_WORDS", limits[1])
  lines = list(scoring.lines_of(
      [["the"] * (i % 4) for i in range(100)], models[0].vocabulary))
  chunks = list(scoring._chunks(lines))
  assert [line for chunk in chunks for line in chunk] == lines
  for chunk in chunks:
    num_words = sum(len(line.ids) for line in chunk[:-1])
    assert len(chunk) <= limits[0] and num_words < limits[1]
  assert 5 < len(chunks) < 20


def test_a_line_starts_with_its_id(models):
  vocabulary = models[0].vocabulary
  (line,) = scoring.lines_of([["utt-1", "the"]], vocabulary, with_ids=True)
  assert (line.key, line.words) == ("utt-1", ["the", "<eos>"])
  lines = scoring.lines_of([["a"], []], vocabulary, with_ids=True)
  with pytest.raises(SettingError, match="^with_ids: line 2 is blank, but"):
    list(lines)


@pytest.mark.parametrize("text, expected", [
    (b"\xef\xbb\xbfa  b\tc\r\n\n d", [["a", "b", "c"], [], ["d"]]),
    ("a\u00a0b \u2028\n".encode(), [["a\u00a0b", "\u2028"]]),
    (b"a\n  ", [["a"]]), (b"\n", [[]])])
def test_lines_are_split_as_training_texts_are(tmp_path, text, expected):
  (tmp_path / "text").write_bytes(text)
  path = str(tmp_path / "text")
  assert list(reader.read_lines(path)) == expected
  numbered = reader.read_text(path)
  assert [numbered.words[i] for i in numbered.indices] == [
      word for line in expected for word in [*line, "<eos>"]]
