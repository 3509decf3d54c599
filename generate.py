"""Writes text with a trained model.

    python generate.py --save_path=runs/small --prompt="the company said"

Each word is drawn given the words before, and fed back to the model.
"""

import math

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script; only `main` reads them."""
  definitions.trained_model()
  flags.DEFINE_string("prompt", "", "The beginning of the text; without it, "
                      "the text starts a new sentence.")
  flags.DEFINE_bool("interactive", False,
                    "Read prompts from the terminal, and show the most "
                    "probable next words, too.")
  flags.DEFINE_integer("num_words", 60,
                       "The number of words to write; <eos> counts.",
                       lower_bound=1, upper_bound=10**9)
  flags.DEFINE_integer("num_samples", 1, "The number of texts to write.",
                       lower_bound=1, upper_bound=10**6)
  flags.DEFINE_float("temperature", 1.0,
                     "Values below 1 make probable words more probable; 0 "
                     "always takes the most probable word.", lower_bound=0)
  flags.DEFINE_integer("top_k", 0, "Draw from this many of the most probable "
                       "words; 0 for all.", lower_bound=0)
  flags.DEFINE_float("top_p", 1.0,
                     "Draw from the fewest most probable words whose "
                     "probabilities add up to at least this.")
  flags.DEFINE_integer("seed", 1, "Determines the words that are drawn.",
                       lower_bound=0)
  flags.DEFINE_bool("no_unk", False, "Never write <unk>.")
  flags.DEFINE_bool("stop_at_eos", False, "Stop at the end of the sentence.")
  flags.register_validator("temperature", math.isfinite, "must be a number")
  flags.register_validator("top_p", lambda p: 0 < p <= 1,
                           "must be above 0 and at most 1")


scripts.parse_first(__name__, define_flags)

import io
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from rnn import memory
from rnn.errors import UserError
from rnn.text.vocabulary import Vocabulary
from trained import model_flags
from trained.sampling import Writer, split_prompt


def main(argv: Sequence[str]) -> None:
  """Writes text as the flags say."""
  with scripts.error_lines(argv[0], out_of_memory=(
      "out of memory; lower num_samples or num_words")):
    if FLAGS.interactive and FLAGS["prompt"].present:
      raise UserError("--prompt: --interactive asks for prompts; leave out one "
                      "of the two")
    model = model_flags.load()
    vocabulary = model.vocabulary
    # The logits of the words before and after each step, in float32.
    memory.check([memory.Part(
        2 * 4 * FLAGS.num_samples * len(vocabulary),
        f"{FLAGS.num_samples:,} samples from {len(vocabulary):,} words",
        "lower --num_samples")])
    rng = np.random.default_rng(FLAGS.seed)
    with model.open(num_steps=1) as windows:
      writer = Writer(windows, vocabulary, FLAGS.num_samples)
      for prompt in _read_prompts() if FLAGS.interactive else [FLAGS.prompt]:
        words = split_prompt(prompt, vocabulary)
        p = writer.read(words)
        if FLAGS.interactive:
          print("next: " + ", ".join(
              f"{vocabulary.words[i]} {p[i]:.1%}"
              for i in np.argsort(-p, kind="stable")[:5]))
        _write(writer, words, rng, vocabulary)


def _read_prompts() -> Iterator[str]:
  """Generates the lines of standard input."""
  if not sys.stdin:  # it was closed
    return
  if isinstance(sys.stdin, io.TextIOWrapper):  # not so in a notebook
    # A byte that is not UTF-8 becomes part of an unknown word, not an error.
    sys.stdin.reconfigure(errors="surrogateescape")
  while True:
    try:
      yield input("> " if sys.stdin.isatty() else "")
    except EOFError:
      return


def _write(writer: Writer, prompt: list[str], rng: np.random.Generator,
           vocabulary: Vocabulary) -> None:
  """Continues the prompt that the writer has read, and prints the texts."""
  samples = writer.write(
      FLAGS.num_words, rng, FLAGS.stop_at_eos, temperature=FLAGS.temperature,
      top_k=FLAGS.top_k, top_p=FLAGS.top_p,
      banned=[vocabulary.unk] if FLAGS.no_unk else [])
  for number, sample in enumerate(samples, 1):
    if len(samples) > 1:
      print(f"--- {number} of {len(samples)} ---")
    print(vocabulary.join(prompt + sample), flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
