"""Trains a config here and in PyTorch, and compares epoch by epoch.

    python -m benchmarks.awd --data_path=data/ptb --epochs=3
    python -m benchmarks.awd --model=medium --epochs=10 --output=medium.txt

Each side is a process of its own, one after the other. `peer_awd.py` is the
side of PyTorch, which `make peers` sets up. After a kill, the same command goes
on at the beginning of an epoch (PyTorch), or where it was (the suite).

The two draw their own initial values, masks and windows, so they are as close
as two runs with different seeds. A smaller model reaches the point at which
averaging begins sooner. PyTorch's side may end before it:

    python -m benchmarks.awd --epochs=56 --peer_epochs=3 --use_bfloat16
        --config_override=hidden_sizes=400,400,400,layer_init=init_scale
        --output=results/beyond/awd-400.txt
"""

import dataclasses
import hashlib
import json
import os
import re
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

import configs
import reader
from benchmarks import records, reproduce, training, transcript
from rnn.cli import definitions, scripts, training_flags
from rnn.errors import UserError
from rnn.tf1 import tf

FLAGS = flags.FLAGS
MODELS = ("awd", "small", "medium", "large", "tied-small", "tied-medium")
# The settings that the peer reads; all others must be those of `awd`.
READS = ("init_scale", "layer_init", "learning_rate", "max_grad_norm",
         "num_steps", "num_layers", "hidden_size", "hidden_sizes",
         "embedding_size", "batch_size", "max_epoch", "max_max_epoch",
         "lr_decay", "epoch_size", "optimizer", "tie_weights", "two_biases",
         "dropout_mask", "keep_prob", "keep_prob_input", "keep_prob_hidden",
         "keep_prob_output", "keep_prob_word", "keep_prob_recurrent",
         "activation_penalty", "slowness_penalty", "weight_decay",
         "window_jitter", "asgd_patience")

# Of an epoch: "train" and "valid" perplexity, "words_per_second", and whether
# validation had averaged parameters, "averages".
Row = Mapping[str, Any]

_OUTPUT = os.path.join("results", "beyond", "awd.txt")
_PEERS_PYTHON = ".venv-peers/bin/python"  # of `make peers`
_NONE = "-"  # in the table, in place of a figure of an epoch without a peer


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_string("data_path", None, "The folder of the Penn Treebank; by "
                      "default PTB_DATA, or data/ptb.")
  flags.DEFINE_enum("model", "awd", MODELS, "The config.")
  flags.DEFINE_integer("epochs", 3, "The epochs of each side.", 1)
  flags.DEFINE_integer("peer_epochs", None, "The epochs of PyTorch's side; by "
                       "default as many.", 1)
  definitions.config_override("Settings that replace the config's, on both "
                              "sides, such as epoch_size=100 for short epochs.")
  flags.DEFINE_integer("seed", 1, "The seed of both sides.", 0)
  definitions.precision()  # of this suite's side
  flags.DEFINE_string("runs", "runs", "The folder of the runs.")
  flags.DEFINE_string("output", None, f"A file for the table; by default "
                      f"{_OUTPUT}, if no other flag changes the table.")
  flags.DEFINE_string("peers_python", _PEERS_PYTHON,
                      "The interpreter that has PyTorch.")


def main(argv: Sequence[str]) -> None:
  """Trains both sides, and writes the table."""
  with scripts.error_lines(argv[0]):
    config = dataclasses.replace(
        configs.override(configs.CONFIGS[FLAGS.model], FLAGS.config_override),
        max_max_epoch=FLAGS.epochs)
    check(config)
    peer_epochs = FLAGS.peer_epochs or FLAGS.epochs
    if peer_epochs > FLAGS.epochs:
      raise UserError(f"--peer_epochs={peer_epochs}: must be at most --epochs, "
                      f"which is {FLAGS.epochs}")
    if not os.path.exists(FLAGS.peers_python):
      raise UserError(f"--peers_python={FLAGS.peers_python}: no such file; "
                      "`make peers` sets up PyTorch")
    data_path = reproduce.find_ptb(FLAGS.data_path)
    shown = {FLAGS.peers_python: _PEERS_PYTHON}
    output = transcript.Output(
        FLAGS.output or training.usual_output(_OUTPUT), shown)
    record = training.train(
        FLAGS.model, FLAGS.config_override, FLAGS.epochs, FLAGS.seed,
        training_flags.precision(), data_path, FLAGS.runs)
    theirs, version = train_peer(config, peer_epochs, data_path, os.path.join(
        FLAGS.runs, f"peer-{records.name(record.config)}.pt"))
    shown |= records.shown_data(data_path, record)
    if not (FLAGS.output or record.is_on_ptb):
      output = transcript.Output(None, shown)
    output.add(transcript.this_command("awd"),
               transcript.time_and_machine({
                   "tensorflow": tf.version.VERSION, "torch": version}),
               *table(rows(record), theirs))
    output.save()


def check(config: configs.Config) -> None:
  """Raises a UserError if the peer lacks a setting of a config."""
  for name, value in vars(config).items():
    expected = getattr(configs.AWD, name)
    if name not in READS and value != expected:
      raise UserError(f"{name}={configs.as_text(value)}: PyTorch's side has no "
                      f"other value than {configs.as_text(expected)}; leave it "
                      "out")
  if config.tie_weights and config.input_size != config.layer_sizes[-1]:
    raise UserError(
        f"embedding_size={config.input_size}: with tie_weights, PyTorch's "
        "side needs the size of the last layer; set embedding_size="
        f"{config.layer_sizes[-1]}")


def rows(record: records.Record) -> list[Row]:
  """Returns one row per epoch of this suite's side."""
  begin = averaging_begins(record.log)
  return [{"train": row["train_perplexity"], "valid": row["valid_perplexity"],
           "words_per_second": row["words_per_second"],
           "averages": begin is not None and number > begin}
          for number, row in enumerate(record.rows[:FLAGS.epochs], 1)]


def averaging_begins(log: str) -> int | None:
  """Returns the epoch after which the suite averages, by the log of a run."""
  before, found, _ = log.partition("\nAveraging of the parameters begins")
  epochs = re.findall(r"^Epoch: (\d+) Valid", before, re.MULTILINE)
  return int(epochs[-1]) if found and epochs else None


def as_dict(config: configs.Config) -> dict[str, Any]:
  """Returns a config as the peer reads it."""
  return dataclasses.asdict(config) | {
      "hidden_sizes": config.layer_sizes, "embedding_size": config.input_size}


def train_peer(config: configs.Config, epochs: int, data_path: str,
               checkpoint: str) -> tuple[list[Row], str]:
  """Trains PyTorch's side; returns one row per epoch, and the version.

  Raises:
    UserError: training ends with an error, or is stopped.
  """
  train, valid, _, vocabulary = reader.ptb_raw_data(data_path)
  texts = {"train": train, "valid": valid}
  digests = [hashlib.sha256(np.array(ids[:]).tobytes()).hexdigest()
             for ids in texts.values()]
  os.makedirs(os.path.dirname(checkpoint) or ".", exist_ok=True)
  with tempfile.TemporaryDirectory() as folder:
    for name, ids in texts.items():
      np.save(os.path.join(folder, f"{name}.npy"), ids[:])  # also reads shards
    spec = {
        "config": as_dict(config), "vocab_size": len(vocabulary),
        **{name: os.path.join(folder, f"{name}.npy") for name in texts},
        "digests": digests, "epochs": epochs, "seed": FLAGS.seed,
        "parameters": None, "checkpoint": os.path.abspath(checkpoint)}
    version, *lines = training.run(
        [os.path.abspath(FLAGS.peers_python), "-m", "benchmarks.peer_awd",
         json.dumps(spec)], cwd=transcript.ROOT)
  return list(map(json.loads, lines)), version.strip()


def table(ours: Sequence[Row], theirs: Sequence[Row]) -> Iterator[str]:
  """Generates the lines of the comparison, one per epoch; `read` reads them.

  Args:
    ours, theirs: the epochs of both sides; PyTorch's may be fewer.
  """
  yield (f"{'perplexity':<10}{'train, here':>13}{'PyTorch':>11}"
         f"{'valid, here':>13}{'PyTorch':>11}{'difference':>12}")
  for number, here in enumerate(ours, 1):
    there = theirs[number - 1] if number <= len(theirs) else None
    train, valid, difference = (_NONE,) * 3 if there is None else (
        f"{there['train']:.2f}", f"{there['valid']:.2f}",
        f"{100 * (here['valid'] / there['valid'] - 1):+.1f} %")
    yield (f"{number:>10}{here['train']:>13.2f}{train:>11}"
           f"{here['valid']:>13.2f}{valid:>11}{difference:>12}"
           + "  averages here" * here["averages"]
           + "  averages in PyTorch" * bool(there and there["averages"]))
  speeds = (statistics.median(row["words_per_second"] for row in rows)
            for rows in (ours, theirs))
  yield "words/s: {:,.0f} here, {:,.0f} in PyTorch".format(*speeds)


class Line(NamedTuple):
  """The line of an epoch in a file, as text; "-" is a figure that is missing.

  Attributes:
    figures: perplexities: train here and in PyTorch, valid here and in PyTorch.
    difference: such as "-0.4 %".
    notes: which side averages.
  """

  figures: list[str]
  difference: str
  notes: list[str]


def read(text: str) -> list[Line]:
  """Returns what a file has from `table`, one line per epoch."""
  cell = rf"[\d.]+|{_NONE}"
  return [Line(figures.split(), difference, notes.split("  ")[1:])
          for figures, difference, notes in re.findall(
              rf"^ *\d+((?: +(?:{cell})){{4}}) +([+-][\d.]+ %|{_NONE})(.*)$",
              text, re.MULTILINE)]


if __name__ == "__main__":
  scripts.run(main, define_flags)
