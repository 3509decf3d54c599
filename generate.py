"""Writes text with a trained model.

    python generate.py --save_path=runs/small --prompt="the company said"

Each word is drawn given the words before, and fed back to the model.
"""

import math

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.trained_model()
  flags.DEFINE_string("prompt", "", "The beginning of the text; without it, "
                      "the text starts a new sentence.")
  flags.DEFINE_string("prompt_file", None, "A file with the prompt, which may "
                      "have several lines; - is standard input. The newline at "
                      "the end does not count.")
  flags.DEFINE_bool("interactive", False,
                    "Read prompts from the terminal, one per line, and show "
                    "the most probable next words, too. \\n is a newline.")
  definitions.normalize()
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
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from rnn.errors import UserError
from rnn.text import sources
from trained import LanguageModel, model_flags


def main(argv: Sequence[str]) -> None:
  """Writes text as the flags say."""
  with scripts.error_lines(argv[0], out_of_memory=(
      "out of memory; lower num_samples or num_words")):
    prompts = _prompts()
    rng = np.random.default_rng(FLAGS.seed)
    with LanguageModel(model_flags.load(), FLAGS.normalize) as model:
      for prompt in prompts:
        _write(model, prompt, rng)


def _prompts() -> Iterator[str]:
  """Returns the prompts that the flags name.

  Raises:
    UserError: they name several, or the file cannot be read.
  """
  if FLAGS.prompt_file is not None and FLAGS["prompt"].present:
    raise UserError("--prompt: --prompt_file has the prompt; leave out one of "
                    "the two")
  if FLAGS.interactive:
    for name in "prompt", "prompt_file":
      if FLAGS[name].present:
        raise UserError(f"--{name}: --interactive asks for prompts; leave out "
                        "one of the two")
    return _read_prompts()
  if FLAGS.prompt_file is None:
    return iter([FLAGS.prompt])
  text = sources.read_utf_8(
      sources.standard_input() if FLAGS.prompt_file == "-" else
      sources.of_file(FLAGS.prompt_file))
  return iter([text.replace("\r\n", "\n").removesuffix("\n")])


def _read_prompts() -> Iterator[str]:
  """Generates the lines of standard input."""
  if not sys.stdin:  # it was closed
    return
  if isinstance(sys.stdin, io.TextIOWrapper):  # not so in a notebook
    # A byte that is not UTF-8 becomes part of an unknown word, not an error.
    sys.stdin.reconfigure(errors="surrogateescape")
  while True:
    try:
      yield _unescaped(input("> " if sys.stdin.isatty() else ""))
    except EOFError:
      return


def _unescaped(line: str) -> str:
  """Returns a prompt in which backslash and n became a newline.

  Two backslashes became one.
  """
  return re.sub(r"\\([n\\])", lambda m: "\n" if m[1] == "n" else "\\", line)


def _write(model: LanguageModel, prompt: str, rng: np.random.Generator) -> None:
  """Continues a prompt, and prints the texts."""
  if FLAGS.interactive:
    print("next: " + ", ".join(
        f"{word} {p:.1%}" for word, p in model.next_words(prompt)))
  samples = model.generate_many(
      prompt, FLAGS.num_samples, FLAGS.num_words, FLAGS.temperature,
      FLAGS.top_k, FLAGS.top_p, rng, FLAGS.no_unk, FLAGS.stop_at_eos)
  for number, sample in enumerate(samples, 1):
    if len(samples) > 1:
      print(f"--- {number} of {len(samples)} ---")
    print(sample, flush=True)


def command() -> None:
  """Runs the script; `pip install` makes it the command ptb-generate."""
  scripts.run(main, define_flags)


if __name__ == "__main__":
  command()
