"""Checks a row of the table of results: trains, tests, and compares.

    python -m benchmarks.reproduce --model=medium [--use_bfloat16] [--seed=2]

The run is runs/MODEL-seed-SEED-PRECISION, and what it prints is kept in a log
next to it, such as runs/medium-seed-1-float32.log. The same command resumes a
run that was stopped or killed. In the end, the script prints the row, says
whether it holds, and writes the result to results/ptb/.

The flags of ptb_word_lm.py work here, too, except those for several processes,
other words and other initial values. A run that was trained by ptb_word_lm.py
is taken over by naming it in --save_path.
"""

import os

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.language_model()
  flags.DEFINE_string("output", os.path.join("results", "ptb"),
                      "The folder of all results.")


scripts.parse_first(__name__, define_flags)

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import configs
import ptb_word_lm
from benchmarks import logbook, machine, records
from rnn.cli import training_flags
from rnn.errors import UserError
from rnn.runs.checkpoints import RunError
from rnn.tf1 import tf
from rnn.training import progress

# How far above the first published figures a run may be: two runs with
# different seeds differ by about as much.
TOLERANCE = {"small": 1.0, "medium": 0.7, "large": 0.7, "awd": 0.7}
# The highest test perplexity of models beyond the paper, whose sources differ
# in more than the seed.
HIGHEST = {"tied-small": 86.0, "tied-medium": 75.9}
# A row has the words of its text, and starts anew.
_LEFT_OUT = ("vocab_path", "vocab_size", "min_count", "init_from",
             "init_checkpoint", "init_average_last", "init_embeddings")
_WORDS = {True: "the row holds", False: "THE ROW DOES NOT HOLD"}


def main(argv: Sequence[str]) -> None:
  """Trains or resumes, tests, writes the result and prints the row."""
  with scripts.error_lines(argv[0]):
    if FLAGS.mode != "train":
      raise UserError("--mode: this script trains and tests; leave it out")
    if FLAGS.workers is not None or os.environ.get("TF_CONFIG"):
      raise UserError("--workers, TF_CONFIG: this script trains in one "
                      "process; leave them out")
    for name in _LEFT_OUT:
      if FLAGS[name].present:
        raise UserError(f"--{name}: a row of the table has the words of its "
                        "text, and starts anew; leave it out")
    config = _config_of_flags()
    FLAGS["data_path"].value = find_ptb(FLAGS.data_path)
    for name in "model", "data_path":
      FLAGS[name].present = 1  # a run's values must not replace the default
    FLAGS["save_path"].value = FLAGS.save_path or os.path.join(
        "runs", records.name(config))
    if FLAGS.fresh or not _is_finished(FLAGS.save_path, config):
      try:
        _train(argv, config)
      except SystemExit:  # it was stopped, or has failed
        if os.path.exists(os.path.join(FLAGS.save_path, "config.json")):
          _publish(FLAGS.save_path)
        raise
    record, done = _publish(FLAGS.save_path)
    lines, holds = row(record)
    print("", *lines, done, sep="\n", flush=True)
    if holds is False:
      sys.exit(1)


def find_ptb(data_path: str | None) -> str:
  """Returns the folder of the Penn Treebank.

  Args:
    data_path: the folder to use; by default the one that the environment
      variable PTB_DATA names, or data/ptb.

  Raises:
    UserError: there is no such folder.
  """
  path = data_path or os.environ.get("PTB_DATA") or os.path.join("data", "ptb")
  if not os.path.isdir(path):
    raise UserError(
        f"{path}: no such folder; run python data/fetch_ptb.py, or name the "
        "folder of the Penn Treebank in --data_path or PTB_DATA")
  return path


def row(record: records.Record) -> tuple[list[str], bool | None]:
  """Compares a run with the published figures.

  Returns:
    lines, holds: the row in words, and whether it holds; None if there is
    nothing to compare the run with, or if it is not finished.
  """
  published = configs.PUBLISHED.get(record.model, {})
  epochs = len(record.rows)
  text = ("the Penn Treebank" if record.is_on_ptb
          else "another text than the Penn Treebank")
  epoch = record.judged_epoch
  train, valid, test = record.figures(epoch)
  verdict, holds = _verdict(record, valid, test)
  peak = logbook.peak_memory(record.log)
  starts = logbook.starts(record.log)
  return [
      " ".join([record.model, *records.flags(record.config),
                f"on {text}: {epochs} of {record.epochs_in_total} epochs"]),
      *progress.table(("train", "valid", "test"), {
          "this run" + f", epoch {epoch}" * (epoch != epochs): (
              train, valid, test), **published}),
      f"{record.hours:.2f} hours in all epochs, peak memory "
      + (f"{peak:,} kB" if peak else "unknown"),
      f"starts: {'; '.join(map(str, starts)) or 'no log'}",
      *records.machines(record), verdict], holds


def _verdict(record: records.Record, valid: float,
             test: float | None) -> tuple[str, bool | None]:
  """Returns a sentence about a run, and whether its row holds; see `row`."""
  if not record.is_of_the_table:
    return ("not a row of a table: this needs one of "
            + ", ".join(configs.PUBLISHED)
            + ", as it is, on the Penn Treebank"), None
  if not record.is_finished or test is None:
    return "partial: the row can be judged after the last epoch", None
  if record.model in HIGHEST:
    highest = HIGHEST[record.model]
    holds = test <= highest
    return (f"{_WORDS[holds]}: test is {test:.2f}; at most {highest:.1f} is "
            "expected"), holds
  tolerance = TOLERANCE[record.model]
  _, *paper = next(iter(configs.PUBLISHED[record.model].values()))
  above = [figure - of_paper for figure, of_paper
           in zip((valid, test), paper, strict=True) if of_paper is not None]
  holds = max(above) <= tolerance
  return (f"{_WORDS[holds]}: valid is {above[0]:+.2f} and test {above[1]:+.2f} "
          f"from the paper's figures; at most {tolerance:+.1f} is "
          "tolerated"), holds


def _config_of_flags() -> dict[str, Any]:
  """Returns the part of config.json that flags determine."""
  config, _ = training_flags.config(configs.CONFIGS[FLAGS.model])
  return {
      "model": FLAGS.model, "seed": FLAGS.seed,
      "settings": json.loads(json.dumps(dataclasses.asdict(config))),
      "overrides": FLAGS.config_override,
      "precision": training_flags.options(config).precision}


def _is_finished(path: str, config: dict[str, Any]) -> bool:
  """Returns whether a run needs no training.

  Raises:
    RunError: it is finished, but it is another run than `config` describes.
  """
  if not os.path.exists(os.path.join(path, "config.json")):
    return False
  record = records.read(path, records.log_of(path))
  epochs = config["settings"]["max_max_epoch"]
  if len(record.rows) != epochs or epochs not in record.tests:
    return False
  there, here = records.name(record.config), records.name(config)
  if there != here:
    raise RunError(f"{path}: holds another run, {there}, not {here}; choose "
                   "another folder for the run", "save_path")
  return True


def _train(argv: Sequence[str], config: dict[str, Any]) -> None:
  """Trains and tests, as far as the run has not done so yet."""
  folder = os.path.dirname(os.path.normpath(FLAGS.save_path))
  try:
    os.makedirs(folder or ".", exist_ok=True)
  except OSError as error:
    raise UserError(f"{folder}: cannot be created: {error.strerror}; choose "
                    "another folder for the run", "save_path") from None
  with logbook.recording(
      records.log_of(FLAGS.save_path),
      records.command(config, FLAGS.data_path, FLAGS.save_path),
      machine.describe({
          "tensorflow": tf.version.VERSION, "numpy": np.__version__})):
    ptb_word_lm.main(argv)


def _publish(path: str) -> tuple[records.Record, str]:
  """Writes the result of a run; returns it, and what has been done."""
  record = records.read(path, records.log_of(path))
  return record, records.publish(
      record, FLAGS.output, [FLAGS.data_path, record.config["data"]["path"]])


if __name__ == "__main__":
  scripts.run(main, define_flags)
