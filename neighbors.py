"""Lists the words with the nearest embeddings.

    python neighbors.py --save_path=runs/small --words=oil,bank

Embeddings are near if the cosine of the angle between them is large. The run
may also be one of tasks/word2vec.py.
"""

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.trained_model()
  flags.DEFINE_list("words", [], "The words, separated by commas.")
  flags.DEFINE_integer("number", 10, "The number of neighbors of each word.",
                       lower_bound=1)


scripts.parse_first(__name__, define_flags)

from collections.abc import Sequence

import numpy as np

from rnn.errors import UserError
from rnn.runs import selection
from rnn.text.vocabulary import Words
from trained import embeddings, model_flags


def main(argv: Sequence[str]) -> None:
  """Prints each word, and one line for each of its neighbors."""
  with scripts.error_lines(argv[0]):
    if not FLAGS.words:
      raise UserError("--words: give some words, such as --words=oil,bank")
    words, vectors = _load()
    whole = ",".join(FLAGS.words)  # a word may have commas
    asked = [whole] if whole in words.ids else FLAGS.words
    if not all(asked):
      raise UserError(f"--words={whole}: has a comma too many")
    try:
      found = {word: embeddings.neighbors(words, vectors, word, FLAGS.number)
               for word in asked}
    except UserError as error:
      raise UserError(f"--words: {error}") from None
    for word, neighbors in found.items():
      print(word)
      for other, cosine in neighbors:
        print(f"  {cosine:.3f} {other}")


def _load() -> tuple[Words, np.ndarray]:
  """Returns the words and the vectors [V, D] of the run in the flags."""
  if FLAGS.save_path and embeddings.is_word_vectors(FLAGS.save_path):
    model_flags.refuse_classic()
    run, checkpoint = selection.find(
        FLAGS.save_path, FLAGS.checkpoint, FLAGS.average_last)
    return embeddings.read_word_vectors(
        run, checkpoint, FLAGS.average_last)[1:]
  model = model_flags.load()
  return model.vocabulary, model.values["Model/embedding"]


if __name__ == "__main__":
  scripts.run(main, define_flags)
