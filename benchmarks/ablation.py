"""The settings beyond the paper: what each one is worth to a config.

    python -m benchmarks.ablation --data_path=data/ptb

Trains the config, the same with each of its settings off, and with each other
setting on (`variants.py`), all with one seed and for the same epochs. Each is a
run in runs/ablation/. The table, of those that have ended, is written after
each of them. After a kill, the same command goes on.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import flags

import configs
from benchmarks import records, reproduce, training, transcript
from benchmarks.records import Record
from benchmarks.variants import variants
from rnn.cli import definitions, scripts, training_flags
from rnn.errors import SettingError, UserError
from rnn.tf1 import tf

FLAGS = flags.FLAGS
_OUTPUT = os.path.join("results", "beyond", "ablation.txt")


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_enum("model", "tied-small", list(configs.CONFIGS),
                    "The config.")
  flags.DEFINE_string("data_path", None, "The folder of the Penn Treebank; by "
                      "default PTB_DATA, or data/ptb.")
  flags.DEFINE_integer("epochs", 20, "The epochs of each run.", 1)
  flags.DEFINE_integer("seed", 1, "The seed of each run.", 0)
  definitions.config_override("Settings that replace the config's in all runs.")
  flags.DEFINE_multi_string("variant", [], "The variants, such as \"without "
                            "tie_weights\"; by default all.")
  definitions.precision()
  flags.DEFINE_string("runs", os.path.join("runs", "ablation"),
                      "The folder of the runs.")
  flags.DEFINE_string("output", None, f"A file for the table; by default "
                      f"{_OUTPUT}, if no other flag changes the table.")


def main(argv: Sequence[str]) -> None:
  """Trains the variants, and writes the table after each of them."""
  with scripts.error_lines(argv[0]):
    data_path = reproduce.find_ptb(FLAGS.data_path)
    chosen = _chosen(configs.override(
        configs.CONFIGS[FLAGS.model], FLAGS.config_override))
    done: dict[str, tuple[str, Record]] = {}
    for name, settings in chosen.items():
      print(f"{name}: {settings or 'as it is'}", flush=True)
      record = training.train(
          FLAGS.model, merged(FLAGS.config_override, settings), FLAGS.epochs,
          FLAGS.seed, training_flags.precision(), data_path, FLAGS.runs)
      if len(record.rows) > FLAGS.epochs:
        raise UserError(f"{record.path}: has {len(record.rows)} epochs, more "
                        f"than --epochs={FLAGS.epochs}; name another folder in "
                        "--runs")
      done[name] = settings, record
      _write(data_path, done)


def _chosen(config: configs.Config) -> dict[str, str]:
  """Returns the variants to train, the config itself first.

  Raises:
    SettingError: there is no variant of a name.
  """
  known = variants(config)
  for name in FLAGS.variant:
    if name not in known:
      raise SettingError("variant", "must be one of " + ", ".join(known), name)
  return {FLAGS.model: ""} | {
      name: settings for name, settings in known.items()
      if not FLAGS.variant or name in FLAGS.variant}


def merged(*settings: str) -> str:
  """Returns settings as one text; later ones replace earlier ones."""
  values: dict[str, object] = {}
  for text in settings:
    values |= configs.parse(text, configs.Config)
  return ",".join(f"{name}={configs.as_text(value)}"
                  for name, value in values.items())


def _write(data_path: str, done: Mapping[str, tuple[str, Record]]) -> None:
  runs = [record for _, record in done.values()]
  output = transcript.Output(
      FLAGS.output or training.usual_output(_OUTPUT, *runs),
      records.shown_data(data_path, *runs))
  output.add(transcript.this_command("ablation"),
             transcript.time_and_machine({
                 "tensorflow": tf.version.VERSION, "numpy": np.__version__}),
             f"# {FLAGS.epochs} epochs, seed {FLAGS.seed}; of each run, the "
             "best epoch by validation", *table(done))
  output.save()


def table(done: Mapping[str, tuple[str, Record]]) -> Iterator[str]:
  """Generates the lines of the table; `read` reads them.

  Args:
    done: a dict, variant -> the settings that it replaces, and its run.
  """
  yield f"{'variant':<30}{'epoch':>7}{'valid':>10}{'test':>10}  settings"
  for name, (settings, record) in done.items():
    epoch = record.shown_epoch
    _, valid, test = record.figures(epoch)
    yield (f"{name:<30}{epoch:>7}{valid:>10.2f}{test:>10.2f}"
           f"  {settings}").rstrip()


def read(text: str) -> dict[str, tuple[float, float, str]]:
  """Returns what a file says: variant -> valid, test, settings."""
  rows = re.findall(
      r"^(\S.*?) {2,}\d+ +([\d.]+) +([\d.]+)(?:  (.*))?$", text, re.MULTILINE)
  return {name: (float(valid), float(test), settings)
          for name, valid, test, settings in rows}


if __name__ == "__main__":
  scripts.run(main, define_flags)
