"""Lets models write one paragraph each, with the same prompt and seed.

    python -m benchmarks.paragraphs --save_path=runs/A,runs/B,runs/C

The paragraphs are written to results/paragraphs.txt, from which
`benchmarks.results` puts them into the documents.
"""

import os
from collections.abc import Sequence

from absl import flags

from benchmarks import records, transcript
from rnn.cli import scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_list("save_path", None, "The folders of the runs.")
  flags.DEFINE_string("prompt", "the company said",
                      "The beginning of each paragraph.")
  flags.DEFINE_integer("seed", 1, "Determines the words that are drawn.", 0)
  flags.DEFINE_integer("num_words", 80, "The words of a paragraph.", 1)
  flags.DEFINE_string("output", os.path.join("results", "paragraphs.txt"),
                      "The file for the paragraphs.")
  flags.mark_flag_as_required("save_path")


def main(argv: Sequence[str]) -> None:
  """Prints the paragraphs, and writes them to the file."""
  with scripts.error_lines(argv[0]):
    output = transcript.Output(FLAGS.output, {
        path: records.shown_path(path) for path in FLAGS.save_path})
    for path in FLAGS.save_path:
      output.add(transcript.run([
          "generate.py", f"--save_path={path}", f"--prompt={FLAGS.prompt}",
          f"--num_words={FLAGS.num_words}", "--top_p=0.9", "--no_unk",
          f"--seed={FLAGS.seed}"]))
    output.save()


if __name__ == "__main__":
  scripts.run(main, define_flags)
