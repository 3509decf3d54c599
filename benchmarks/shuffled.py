"""How often a model holds a sentence for likelier than its words shuffled.

    python -m benchmarks.shuffled --save_path=RUN --text=ptb.test.txt

Sentences whose words cannot be put in another order are left out.
"""

import statistics

import numpy as np
from absl import app, flags

import reader
import score
import trained_model


def shuffle(words, rng):
  """The words in another order; None if there is none."""
  if len(set(words)) < 2:
    return None
  while (other := list(rng.permutation(words))) == words:
    pass
  return other


def main(_):
  """Measures and prints."""
  trained = trained_model.load(FLAGS.save_path)
  rng = np.random.default_rng(FLAGS.seed)
  pairs = [(words, other) for words in reader.read_lines(FLAGS.text)
           if (other := shuffle(words, rng))]
  texts = [words for pair in pairs for words in pair]
  totals = [log_probs.sum() for _, log_probs in score.score_sentences(
      [trained], score.lines_of(texts, trained.vocabulary))]
  margins = [real - shuffled for real, shuffled
             in zip(totals[::2], totals[1::2], strict=True)]
  won = sum(margin > 0 for margin in margins)
  words = sum(len(words) for words, _ in pairs)
  print(f"{trained.name}: the sentence is likelier than its words shuffled in "
        f"{won:,} of {len(pairs):,} ({won / len(pairs):.2%}), by "
        f"{statistics.median(margins):.1f} nats in the median, "
        f"{sum(margins) / words:.2f} a word")


if __name__ == "__main__":
  FLAGS = flags.FLAGS
  flags.DEFINE_string("save_path", None, "The folder of the run.")
  flags.DEFINE_string("text", None, "The text, a sentence a line.")
  flags.DEFINE_integer("seed", 1, "Of the shuffling.")
  flags.mark_flags_as_required(["save_path", "text"])
  app.run(main)
