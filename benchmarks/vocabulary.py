"""Large vocabularies: memory and speed, and the sampled softmax on PTB.

    python -m benchmarks.vocabulary --words=100000,800000
    python -m benchmarks.vocabulary --data_path=data/ptb --steps=300

The first trains lm1b with few units and prints, for each vocabulary, words/s,
and the peak memory of training with a checkpoint, and of resuming, as a share
of what parameters and slots take. The text is made: words by Zipf's law. Each
measurement has a process of its own, so that peaks do not add up.

The second trains medium with the full softmax, and with a sampled one, for the
same number of steps, and prints the perplexity of the full softmax on the
validation text after them.
"""

import dataclasses
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import numpy as np
from absl import flags

import configs
import ptb_word_lm
import reader
from benchmarks import number_flags
from benchmarks.machine import memory
from benchmarks.transcript import last_line
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.layers import halves
from rnn.runs import config_file
from rnn.runs.training_run import TrainingRun
from rnn.text.streams import Ids
from rnn.tf1 import repeatable_session, tf
from rnn.training import loop
from rnn.training.passes import run_pass

FLAGS = flags.FLAGS

_VALID = 1  # windows of validation


def log_uniform_ids(vocab_size: int, size: int) -> np.ndarray:
  """Returns a text of ids, whose frequencies follow Zipf's law closely.

  It takes the same memory for any vocabulary.
  """
  u = np.random.default_rng(0).random(size)
  return np.minimum(
      np.exp(u * np.log(vocab_size + 1)) - 1, vocab_size - 1).astype(np.int32)


class _Watch(loop.Trainer):
  """A Trainer that prints the memory after restoring."""

  def __init__(self, *args: object, **kwargs: object) -> None:
    super().__init__(*args, **kwargs)  # type: ignore[arg-type]
    print(f"= restored {memory('VmHWM')}", flush=True)


def train_in_this_process(vocab_size: int, size: int, epochs: int,
                          path: str) -> None:
  """Trains to an epoch, resuming a run; prints figures for `measure`."""
  config = dataclasses.replace(
      configs.LM1B, hidden_size=size, projection_size=size,
      max_max_epoch=epochs, epoch_size=FLAGS.steps)
  length = (config.num_steps * FLAGS.steps + 1) * config.batch_size
  ids = log_uniform_ids(vocab_size, length)
  valid = ids[:(config.num_steps * _VALID + 1) * config.batch_size]
  run = TrainingRun(path, {
      "task": config_file.LANGUAGE_MODEL,
      "settings": dataclasses.asdict(config)},
      may_change=["settings.max_max_epoch"])
  loop.Trainer = _Watch  # type: ignore[misc]
  print(f"= before {memory('VmRSS')}", flush=True)
  words = range(vocab_size)  # only their number matters
  rows, _ = ptb_word_lm.train(
      config,
      (ids, valid, ids[:2 * config.num_steps], words),  # type: ignore[arg-type]
      run)
  with tf.Graph().as_default():
    tokens = tf.zeros([1, 1], tf.int32)
    ptb_word_lm.PTBModel(config, vocab_size, tokens, tokens, is_training=True)
    kept = 4 * sum(v.shape.num_elements() for v in tf.global_variables())
  print(f"= kept {kept}\n= peak {memory('VmHWM')}\n"
        f"= words/s {rows[-1]['words_per_second']:.0f}", flush=True)


def measure(vocab_size: int, size: int, steps: int) -> str:
  """Trains, and resumes, in processes of their own; returns a line."""
  first, second = figures(vocab_size, size, steps)
  kept = first["kept"]
  shares = [(of[name] - of["before"]) / kept for of, name in (
      (first, "peak"), (second, "restored"), (second, "peak"))]
  speed = statistics.median([first["words/s"], second["words/s"]])
  return (f"{vocab_size:>9,} x {size:<5}{kept / 1e9:>8.2f} GB"
          + "".join(f"{share:>10.2f}" for share in shares)
          + f"{first['peak'] / 1e9:>10.2f} GB{speed:>10,.0f}")


def figures(vocab_size: int, size: int,
            steps: int) -> list[dict[str, float]]:
  """Returns what training, and resuming, print about memory and speed.

  A dict of each: "before", "restored" and "peak" of memory, and what is "kept",
  parameters and slots, in bytes; and "words/s".
  """
  # In the current folder, because /tmp may be in memory.
  with tempfile.TemporaryDirectory(dir=".") as folder:
    return [_figures(folder, f"--words={vocab_size}", f"--size={size}",
                     f"--steps={steps}", f"--epochs={epochs}")
            for epochs in (1, 2)]


def _figures(path: str, *options: str) -> dict[str, float]:
  """Returns what a process that trains the run at a path prints."""
  done = subprocess.run(
      [sys.executable, "-m", "benchmarks.vocabulary", f"--save_path={path}",
       *options], capture_output=True, text=True, check=False)
  if done.returncode:
    raise UserError(last_line(done.stderr) or f"status {done.returncode}")
  pairs = (line[2:].rsplit(" ", 1) for line in done.stdout.splitlines()
           if line.startswith("= "))
  return {name: float(value) for name, value in pairs}


def compare(data_path: str) -> None:
  """Prints the perplexity of medium by number of candidates."""
  train_ids, valid_ids, _, vocabulary = reader.ptb_raw_data(data_path)
  halves.set_threads(configs.MEDIUM)
  print(f"{'num_sampled':>11}{'valid perplexity':>18}{'words/s':>9}",
        flush=True)
  for number in FLAGS.num_sampled:
    config = dataclasses.replace(
        configs.MEDIUM, num_sampled=number, epoch_size=FLAGS.steps)
    perplexity, speed = _train_and_validate(
        config, train_ids, valid_ids, len(vocabulary))
    print(f"{number:>11,}{perplexity:>18.2f}{speed:>9,.0f}", flush=True)


def _train_and_validate(
    config: configs.Config, train_ids: Ids, valid_ids: Ids,
    vocab_size: int) -> tuple[float, float]:
  """Trains for an epoch; returns the perplexity on valid, and words/s."""
  with tf.Graph().as_default(), repeatable_session() as session:
    training, validation = (
        ptb_word_lm.stream_pass(name, config, vocab_size, ids, is_training)
        for name, ids, is_training in (("Train", train_ids, True),
                                       ("Valid", valid_ids, False)))
    session.run([tf.global_variables_initializer(),
                 tf.local_variables_initializer()])
    for split_pass in training, validation:
      split_pass.load(session)
    speed = run_pass(session, training).per_second
    return run_pass(session, validation).perplexity, speed


def define_flags() -> None:
  """Defines the flags of this script."""
  number_flags.define("words", [100_000], number_flags.whole(2, 10**6),
                      "Sizes of vocabularies.")
  flags.DEFINE_integer("size", 512, "Numbers per vector of a word, and units.")
  flags.DEFINE_string("data_path", None, "The folder of the Penn Treebank, to "
                      "compare on.")
  number_flags.define("num_sampled", [0, 512, 2048],
                      number_flags.whole(0, 10**6), "Numbers of candidates to "
                      "compare; 0 is the full softmax.")
  flags.DEFINE_integer("steps", 30, "Steps of each training.")
  flags.DEFINE_string("save_path", None, "Trains a run in this process.")
  flags.DEFINE_integer("epochs", 1, "The epochs of this run.")


def main(argv: Sequence[str]) -> None:
  """Prints one of the two tables."""
  with scripts.error_lines(argv[0]):
    if FLAGS.save_path:
      train_in_this_process(
          FLAGS.words[0], FLAGS.size, FLAGS.epochs, FLAGS.save_path)
    elif FLAGS.data_path:
      compare(FLAGS.data_path)
    else:
      print(f"{'words x size':>15}{'kept':>14}{'training':>10}{'restore':>10}"
            f"{'resumed':>10}{'peak':>13}{'words/s':>10}", flush=True)
      for vocab_size in FLAGS.words:
        print(measure(vocab_size, FLAGS.size, FLAGS.steps), flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
