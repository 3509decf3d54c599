"""Lists the words whose embeddings are nearest.

    python neighbors.py --save_path=runs/small --words=oil,bank

Near is what has a large cosine.
"""

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
from absl import app, flags

import errors
import model_flags

FLAGS = flags.FLAGS


def nearest(embedding, word, number):
  """The nearest neighbours of a word, by the cosine of the angle.

  Args:
    embedding: [V, H].
    word: an id.

  Returns:
    A list of (id, cosine), the nearest first, without the word itself.
  """
  lengths = np.linalg.norm(embedding, axis=1)
  cosines = embedding @ embedding[word] / np.maximum(
      lengths * lengths[word], np.finfo(np.float32).tiny)
  order = np.argsort(-cosines, kind="stable")
  return [(int(i), float(cosines[i])) for i in order[order != word][:number]]


def define_flags():
  """The flags of this script; `main` alone reads them."""
  model_flags.define()
  flags.adopt_module_key_flags(model_flags)  # for --help
  flags.DEFINE_list("words", [], "The words, with commas between.")
  flags.DEFINE_integer("number", 10, "Neighbours of each.", lower_bound=1)


def main(argv):
  """Prints a line for each word, and one for each of its neighbours."""
  with command_line.complaints(argv[0]):
    if not all(FLAGS.words or [""]):
      raise errors.UserError("--words: give some, such as --words=oil,bank")
    trained = model_flags.load()
    vocabulary = trained.vocabulary
    for word in FLAGS.words:
      if word not in vocabulary:
        raise errors.UserError(f"--words: {word} is not in the vocabulary")
    for word in FLAGS.words:
      print(word)
      for i, cosine in nearest(trained.values["Model/embedding"],
                               vocabulary.ids[word], FLAGS.number):
        print(f"  {cosine:.3f} {vocabulary.words[i]}")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
