"""The settings beyond the paper: what each one costs in speed and memory.

    python -m benchmarks.costs --model=medium --model=tied-medium

Trains the config, and its variants (`variants.py`), each in a process of its
own. In a round, each of them trains for some seconds while the others wait. The
ratio is the median, over the rounds, of its speed to that of the config. The
text is synthetic. optimizer=asgd is measured while it averages, and windows of
random length count with the words that they have.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import flags

import configs
from benchmarks import comparison, machine, report, texts, transcript
from benchmarks.comparison import Result
from benchmarks.contenders import Command, Workload
from benchmarks.variants import variants
from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS
# A schedule costs nothing within an epoch; the text has no sentences.
_LEFT_OUT = ("lr_schedule", "reset_state")


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_multi_enum("model", ["medium", "tied-medium"],
                          list(configs.CONFIGS), "The configs.")
  definitions.config_override(
      "Settings that replace the config's in all processes.")
  flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"],
                    "The precision of the GEMMs.")
  flags.DEFINE_integer("rounds", 7, "The turns of each variant.", 1)
  flags.DEFINE_float("seconds", 6, "The length of a turn.", 0.01)
  flags.DEFINE_string("output", os.path.join("results", "beyond", "costs.txt"),
                      "A file for the tables.")


def main(argv: Sequence[str]) -> None:
  """Measures, and writes one table per config."""
  with scripts.error_lines(argv[0], out_of_memory="out of memory"):
    output = transcript.Output(FLAGS.output, {})
    output.add(transcript.this_command("costs"))
    with tempfile.TemporaryDirectory() as folder:
      path = os.path.join(folder, "ids.npy")
      ids, vocab_size = texts.zipf_ids()
      np.save(path, ids)
      for model in FLAGS.model:
        compared = _compare(model, path, vocab_size)
        output.add(transcript.time_and_machine(compared.versions),
                   f"# {FLAGS.rounds} rounds of {FLAGS.seconds:g} s",
                   *table(compared.results),
                   *(f"# {line}" for line in report.remarks(compared)))
        output.save()


def _compare(model: str, path: str, vocab_size: int) -> comparison.Comparison:
  """Measures a config and its variants."""
  config = configs.override(configs.CONFIGS[model], FLAGS.config_override)
  commands = {name: Command("suite", {
      "precision": FLAGS.precision, "override": settings})
              for name, settings in {
                  model: "", **variants(config, _LEFT_OUT)}.items()}
  return comparison.compare(
      Workload(config, path, vocab_size, machine.cores()),
      commands, FLAGS.rounds, FLAGS.seconds)


def table(results: Mapping[str, Result]) -> Iterator[str]:
  """Generates the lines of a table; `read` reads them.

  Args:
    results: by variant, the config itself first.
  """
  yield f"{'variant':<30}{'words/s':>9}{'ratio':>8}{'peak MB':>9}"
  for name, result in results.items():
    yield (f"{name:<30}{result.rate:>9,.0f}{1 / result.ratio:>8.3f}"
           f"{result.peak / 1024:>9,.0f}")


def read(text: str) -> dict[str, dict[str, tuple[float, float, float]]]:
  """Returns config -> variant -> words/s, ratio to the config's, peak in MB."""
  tables: dict[str, dict[str, tuple[float, float, float]]] = {}
  current: dict[str, tuple[float, float, float]] = {}
  for name, *figures in re.findall(
      r"^(\S.*?) {2,}([\d,]+) +([\d.]+) +([\d,]+)$", text, re.MULTILINE):
    if name in configs.CONFIGS:
      current = tables.setdefault(name, {})
    speed, ratio, peak = (float(text.replace(",", "")) for text in figures)
    current[name] = speed, ratio, peak
  return tables


if __name__ == "__main__":
  scripts.run(main, define_flags)
