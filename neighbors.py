"""Lists the words with the nearest embeddings.

    python neighbors.py --save_path=runs/small --words=oil,bank

Embeddings are near if the cosine of the angle between them is large.
"""

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script; only `main` reads them."""
  definitions.trained_model()
  flags.DEFINE_list("words", [], "The words, separated by commas.")
  flags.DEFINE_integer("number", 10, "The number of neighbors of each word.",
                       lower_bound=1)


scripts.parse_first(__name__, define_flags)

from collections.abc import Sequence

from rnn.errors import UserError
from rnn.text.word_vectors import nearest
from trained import model_flags


def main(argv: Sequence[str]) -> None:
  """Prints each word, and one line for each of its neighbors."""
  with scripts.error_lines(argv[0]):
    if not all(FLAGS.words or [""]):
      raise UserError("--words: give some words, such as --words=oil,bank")
    model = model_flags.load()
    vocabulary = model.vocabulary
    for word in FLAGS.words:
      if word not in vocabulary:
        raise UserError(f"--words: {word} is not in the vocabulary; choose "
                        "another word")
    for word in FLAGS.words:
      print(word)
      for i, cosine in nearest(model.values["Model/embedding"],
                               vocabulary.ids[word], FLAGS.number):
        print(f"  {cosine:.3f} {vocabulary.words[i]}")


if __name__ == "__main__":
  scripts.run(main, define_flags)
