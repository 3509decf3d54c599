"""Scores averages of models on the Penn Treebank: valid and test.

    python -m benchmarks.averages

Needs the runs that `benchmarks.reproduce` trains, in runs/. An average with a
run that is missing or has not finished is left out. The others are written to
results/averages/, one file each, from which `benchmarks.results` makes tables.
"""

import os
from collections.abc import Sequence

from absl import flags

import reader
from benchmarks import records, reproduce, tables, transcript
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.runs.checkpoints import RunError

FLAGS = flags.FLAGS

# The names of the runs that are averaged, by the name of the average.
AVERAGES = {
    **{f"small-{number}": [f"small-seed-{seed}-bfloat16"
                           for seed in range(1, number + 1)]
       for number in (2, 5, 10)},
    "medium-2": ["medium-seed-1-float32", "medium-seed-2-bfloat16"],
    tables.SIZES: ["small-seed-1-bfloat16", "medium-seed-1-float32",
                   "large-seed-1-bfloat16"],
}


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_multi_enum("average", list(AVERAGES), list(AVERAGES),
                          "The averages; by default all.")
  flags.DEFINE_string("runs", "runs", "The folder of the runs.")
  flags.DEFINE_string("data_path", None, "The folder of the Penn Treebank; by "
                      "default PTB_DATA, or data/ptb.")
  flags.DEFINE_string("output", os.path.join("results", "averages"),
                      "The folder of the results.")


def main(argv: Sequence[str]) -> None:
  """Scores the averages that the flags name, as far as their runs exist."""
  with scripts.error_lines(argv[0]):
    texts = reader.find_corpus(
        reproduce.find_ptb(FLAGS.data_path), ("valid", "test"))
    left_out = {name: _missing(AVERAGES[name]) for name in FLAGS.average}
    for name, reason in left_out.items():
      if reason:
        print(f"{name} is left out: {reason}", flush=True)
      else:
        score(name, AVERAGES[name], [text.name for text in texts.values()])
    if all(left_out.values()):
      raise UserError("no average has all of its runs; python -m "
                      "benchmarks.reproduce trains them")


def _missing(names: Sequence[str]) -> str:
  """Returns why runs cannot be averaged; an empty text if they can."""
  for name in names:
    path = os.path.join(FLAGS.runs, name)
    try:
      if not records.read(path, "").is_finished:
        return f"{path}: has not finished"
    except RunError as error:
      return str(error)
  return ""


def score(average: str, names: Sequence[str], texts: Sequence[str]) -> None:
  """Scores an average on texts, and writes the result."""
  paths = [os.path.join(FLAGS.runs, name) for name in names]
  output = transcript.Output(
      os.path.join(FLAGS.output, f"{average}.txt"),
      {**records.shown_text(texts[0]),
       **{path: f"runs/{name}"
          for path, name in zip(paths, names, strict=True)}})
  for text in texts:
    output.add(transcript.run(
        ["score.py", f"--save_path={','.join(paths)}", f"--text={text}",
         "--state=carry"], shows="stderr"))
  output.save()


if __name__ == "__main__":
  scripts.run(main, define_flags)
