"""The scripts of tasks/ on real data, in the folder that TASKS_DATA names.

The expected counts come from elsewhere: from the authors of the data, or from
other programs.
"""

import glob
import os
import re

import numpy as np
import pytest

from rnn.text import word_vectors
from tasks import (
  char_lm,
  classification,
  hyperparameters,
  letters,
  ocr,
  wikipedia,
  word2vec,
)


@pytest.fixture
def data():
  """A function, pattern -> path of a file; the test is skipped without it."""
  def find(pattern):
    paths = glob.glob(os.path.join(os.environ.get("TASKS_DATA", ""), pattern))
    if not (os.environ.get("TASKS_DATA") and paths):
      pytest.skip(f"TASKS_DATA names no folder with {pattern}")
    return paths[0]
  return find


def test_letters_have_the_known_counts(data):
  _, labels, folds = letters.read_words(data("ocr/letter.data.gz"))
  assert len(labels) == 6877
  assert labels.lengths.sum() == 52152
  assert (labels.lengths.min(), labels.lengths.max()) == (3, 14)
  assert len({labels[i].tobytes() for i in range(len(labels))}) == 55
  assert [sum(folds == fold) for fold in range(10)] == [
      626, 704, 684, 698, 693, 651, 739, 717, 690, 675]


@pytest.mark.slow
def test_reviews_have_the_known_counts(data):
  path = data("imdb/aclImdb_[rv]*.tar.gz")
  corpus = classification.read(path, 20000, hyperparameters.SENTIMENT, 1,
                               classification.usual_reading(path))
  counts = {split: np.zeros(2, int) for split in corpus.splits}
  for split, batches in corpus.splits.items():
    for step in range(batches.size):
      counts[split] += np.bincount(batches(step)[2], minlength=2)
  assert counts["test"].tolist() == [12500, 12500]
  assert (counts["train"] + counts["valid"]).tolist() == [12500, 12500]
  assert len(corpus.vocabulary) == 20000


def test_wikipedia_has_the_known_counts(data):
  articles = list(wikipedia.pages(data("wikipedia/*articles*.bz2")))
  assert len(articles) == 106
  assert articles[0][:3] == ["anarchism", "is", "a"]
  assert {"alabama", "autism", "albedo"} <= {word for words in articles
                                             for word in words[:9]}


def test_questions_have_the_known_counts(data):
  sections = word_vectors.read_questions(data("wikipedia/questions-words.txt"))
  assert len(sections) == 14
  assert sum(map(len, sections.values())) == 19544


@pytest.mark.parametrize("pattern, lines, characters", [
    ("arxiv/abstracts*.txt", 4782, 5188343),
    ("arxiv/*.tsv.xz", 7210, 7590116 + 7210)])
def test_abstracts_have_the_known_counts(data, pattern, lines, characters):
  abstracts = list(char_lm.read_lines(data(pattern)))
  assert len(abstracts) == lines
  assert sum(map(len, abstracts)) == characters


def test_the_penn_treebank_as_characters(data):
  path = data("ptb_char/ptb.char.test.txt")
  texts, vocabulary = char_lm.read_corpus(os.path.dirname(path))
  assert len(vocabulary) == 51  # with <eos>
  assert texts["test"].unknown == 0
  decoded = vocabulary.join(vocabulary.decode(texts["test"].ids))
  with open(path) as file:
    text = file.read().rstrip(" ").replace(" ", "").replace("_", " ")
  assert decoded == text
  assert len(text) == 442423


@pytest.mark.slow
def test_handwriting_is_learned(data, call_script, capsys):
  """One epoch; docs/tasks.md reports 1.57 % after five."""
  assert call_script(
      ocr, f"--data_path={data('ocr/letter.data.gz')}", "--bidirectional",
      "--config_override=max_max_epoch=1") == 0
  test = re.search(r"Test Letter Error: ([\d.]+)", capsys.readouterr().out)
  assert float(test[1]) < 20


@pytest.mark.slow
def test_word_vectors_are_learned(data, call_script, capsys):
  """One epoch; docs/tasks.md reports 4 % after five."""
  assert call_script(
      word2vec, f"--data_path={data('wikipedia/*articles*.bz2')}",
      f"--questions={data('wikipedia/questions-words.txt')}",
      "--config_override=max_epoch=1,max_max_epoch=1") == 0
  total = re.search(r"^total +([\d.]+)%", capsys.readouterr().out, re.MULTILINE)
  assert float(total[1]) > 1
