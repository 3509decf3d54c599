"""Compares starting from a trained model with starting from scratch.

    python -m benchmarks.fine_tuning --origin=runs/small --text=data/factbook

Trains on the text with the vocabulary of the origin, and with its own
vocabulary, whose new words start as <unk> or at random. Each is next to
training from scratch with the same vocabulary. The validation perplexity per
epoch is printed, and added to the file in --output.
"""

import dataclasses
import os
from collections.abc import Sequence

from absl import flags

import configs
import ptb_word_lm
import reader
from rnn.cli import definitions, scripts, training_flags
from rnn.options import Options
from rnn.runs import origin as origins
from rnn.runs.origin import SIZES, Origin
from rnn.text.vocabulary import Vocabulary
from rnn.training import progress

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_string("origin", None, "The folder of the trained run.")
  flags.DEFINE_enum("checkpoint", "best", ["last", "best"],
                    "The checkpoint of the trained run.")
  flags.DEFINE_string("text", os.path.join("data", "factbook"),
                      "The folder of the texts to train on.")
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS),
                    "The config to train with; its sizes follow the origin.")
  definitions.config_override("Settings that replace the config's.")
  flags.DEFINE_integer("seed", 1, "Of the initial values.")
  flags.DEFINE_string("title", None, "The name of the comparison; by default "
                      "the names of the two folders.")
  definitions.precision()
  flags.DEFINE_string("output", os.path.join("results", "fine_tuning.txt"),
                      "The file to which the results are added.")
  flags.mark_flag_as_required("origin")


def main(argv: Sequence[str]) -> None:
  """Trains all variants, and writes their perplexities."""
  with scripts.error_lines(argv[0]):
    os.makedirs(os.path.dirname(FLAGS.output) or ".", exist_ok=True)
    with open(FLAGS.output, "a") as file:  # so an error comes before training
      file.write("\n".join([_title(), *_compare_all(), "", ""]))


def _compare_all() -> list[str]:
  """Trains all variants; returns the lines with their perplexities."""
  origin = origins.load(FLAGS.origin, ptb_word_lm.model_variables,
                        checkpoint=FLAGS.checkpoint)
  config = configs.override(
      dataclasses.replace(configs.CONFIGS[FLAGS.model], **{
          name: getattr(origin.config, name) for name in SIZES}),
      FLAGS.config_override)
  known = _compare(
      origin, config, origin.vocabulary, "the origin's words",
      {"from scratch": None, "from the origin": ()})
  own = reader.read_corpus(FLAGS.text)[1]
  new = _compare(
      origin, config, own, "the text's own words",
      {"from scratch": None, "new words as <unk>": tuple(origins.WORD_AXES),
       "the same, only their embedding": ("Model/embedding",),
       "new words at random": ()})
  return [*known, *new]


def _title() -> str:
  """Returns the heading of a comparison."""
  return (FLAGS.title or f"{os.path.basename(FLAGS.text.rstrip('/'))} from "
          f"{os.path.basename(FLAGS.origin.rstrip('/'))}") + (
              f"; {FLAGS.config_override}" * bool(FLAGS.config_override)
              + f"; seed {FLAGS.seed}")


def _compare(origin: Origin, config: configs.Config, vocabulary: Vocabulary,
             what: str, variants: dict[str, tuple[str, ...] | None]
             ) -> list[str]:
  """Trains variants with one vocabulary.

  Args:
    what: names the vocabulary.
    variants: a dict, name -> `as_unk` of `origins.initial_values`; None to
      start from scratch.

  Returns:
    The lines to print.
  """
  texts, _ = reader.read_corpus(
      FLAGS.text, choice=reader.Choice(vocabulary))
  new = sum(word not in origin.vocabulary for word in vocabulary.words)
  lines = ["", f"{what}: {len(vocabulary):,}, of which {new:,} are new; "
           "unknown: " + ", ".join(
               f"{text.unknown / len(text.ids):.2%} in {split}"
               for split, text in texts.items())]
  results = {}
  for name, as_unk in variants.items():
    values = None if as_unk is None else origins.initial_values(
        origin, vocabulary, config.init_scale, FLAGS.seed, as_unk)
    train, valid, test = (text.ids for text in texts.values())
    rows, tests = ptb_word_lm.train(
        config, (train, valid, test, vocabulary), initial_values=values,
        options=Options(seed=FLAGS.seed, precision=training_flags.precision()))
    results[name] = [*(row["valid_perplexity"] for row in rows),
                     tests[len(rows)]]
  epochs = config.max_max_epoch
  lines += progress.table(
      [*(f"valid {number}" for number in range(1, epochs + 1)), "test"],
      results)
  print("\n".join(lines), flush=True)
  return lines


if __name__ == "__main__":
  scripts.run(main, define_flags)
