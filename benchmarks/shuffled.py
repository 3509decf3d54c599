"""How often a model prefers a sentence to the same words in random order.

    python -m benchmarks.shuffled --save_path=RUN --text=ptb.test.txt

Sentences whose words have no other order are left out.
"""

import statistics
from collections.abc import Sequence

import numpy as np
from absl import flags

import reader
from rnn.cli import scripts
from rnn.errors import UserError
from trained import model as trained_model
from trained import scoring

FLAGS = flags.FLAGS


def shuffle(words: list[str], rng: np.random.Generator) -> list[str] | None:
  """Returns the words in another order; None if there is none."""
  if len(set(words)) < 2:
    return None
  while (other := list(rng.permutation(words))) == words:
    pass
  return other


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_string("save_path", None, "The folder of the run.")
  flags.DEFINE_string("text", None, "The text, one sentence per line.")
  flags.DEFINE_integer("seed", 1, "The seed of the shuffling.")
  flags.mark_flags_as_required(["save_path", "text"])


def main(argv: Sequence[str]) -> None:
  """Prints a line of figures."""
  with scripts.error_lines(argv[0]):
    model = trained_model.load(FLAGS.save_path)
    rng = np.random.default_rng(FLAGS.seed)
    pairs = [(words, other) for words in reader.read_lines(FLAGS.text)
             if (other := shuffle(words, rng))]
    if not pairs:
      raise UserError(f"--text={FLAGS.text}: has no sentence whose words can "
                      "be put in another order; name another text")
    sentences = [words for pair in pairs for words in pair]
    totals = [log_probs.sum() for _, log_probs in scoring.score_sentences(
        [model], scoring.lines_of(sentences, model.vocabulary))]
    margins = [real - shuffled for real, shuffled
               in zip(totals[::2], totals[1::2], strict=True)]
    won = sum(margin > 0 for margin in margins)
    num_words = sum(len(words) for words, _ in pairs)
    print(f"{model.name}: the sentence is more probable than its words "
          f"shuffled in {won:,} of {len(pairs):,} ({won / len(pairs):.2%}); "
          f"the margin is {statistics.median(margins):.1f} nats in the median, "
          f"{sum(margins) / num_words:.2f} nats per word")


if __name__ == "__main__":
  scripts.run(main, define_flags)
