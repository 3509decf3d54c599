"""The embeddings of a run: of a language model, or of word vectors."""

import numpy as np

from rnn.errors import UserError
from rnn.runs import config_file, selection
from rnn.runs.checkpoints import Checkpoint
from rnn.runs.directory import RunDirectory
from rnn.text import word_vectors
from rnn.text.preparation import near_in_spelling
from rnn.text.vocabulary import Vocabulary, Words
from rnn.tf1 import tf
from trained import classic_checkpoint


def is_word_vectors(path: str) -> bool:
  """Returns whether a path names a run of tasks/word2vec.py.

  Raises:
    RunError: there is no run.
  """
  if classic_checkpoint.find(path):
    return False
  run, _ = selection.find(path)
  return run.content()["task"] == config_file.WORD_VECTORS


def read_word_vectors(
    run: RunDirectory, checkpoint: str | Checkpoint = "last",
    average_last: int = 1) -> tuple[str, Words, np.ndarray]:
  """Reads the vectors of a run of tasks/word2vec.py.

  Args:
    checkpoint, average_last: see `selection.read`.

  Returns:
    name, words, vectors: the run with its epochs, and [V, D].

  Raises:
    RunError, SettingError: as in `selection.read`; or this is another run.
  """
  config = run.settings(config_file.WORD_VECTORS).config
  words = run.vocabulary()
  with tf.Graph().as_default():
    variable = tf.get_variable(
        "Model/embedding", [len(words), config.embedding_size])
  name, values = selection.read(run, [variable], checkpoint, average_last)
  return name, words, values["Model/embedding"]


def neighbors(words: Words, vectors: np.ndarray, word: str,
              number: int) -> list[tuple[str, float]]:
  """Returns the nearest neighbors of a word, by the cosine of the angle.

  Args:
    words: V words.
    vectors: [V, D].
    number: the number of neighbors; fewer if there are fewer words.

  Returns:
    A list of (word, cosine), the nearest first, without the word itself.

  Raises:
    UserError: the word is not among the words. The message has those with a
      similar spelling, and the most frequent ones.
  """
  if word not in words:
    near = near_in_spelling(word, words)
    frequent = [other for other in words[:12]
                if other not in Vocabulary.MARKS][:10]
    raise UserError(
        f"{word} is not in the vocabulary; "
        + (f"near in spelling: {', '.join(near)}; " if near else "")
        + f"the most frequent: {', '.join(frequent)}")
  return [(words[i], cosine) for i, cosine in word_vectors.nearest(
      vectors, words.ids[word], number)]
