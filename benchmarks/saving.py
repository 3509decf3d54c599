"""The cost of keeping a run, as a share of training time.

    python -m benchmarks.saving --model=small

Measures training steps; checkpoints within an epoch (one every 600 s) and at
its end (with metrics, curve, and a copy of the best); and the points that
TensorBoard gets. The length of an epoch is computed for a text of the size of
the Penn Treebank. Prints medians, and their share of the time of an epoch's
training steps.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

import configs
from benchmarks import contender, suite, texts
from rnn.cli import scripts
from rnn.runs.training_run import TrainingRun
from rnn.text.vocabulary import EOS, UNK, Vocabulary
from rnn.tf1 import tf

FLAGS = flags.FLAGS
_TOKENS = 929_589  # of the training split of the Penn Treebank
_SAVE_SECS = 600  # the default of --save_secs
_NUM_POINTS = 100  # of TensorBoard's curves, per epoch


def median_seconds(function: Callable[[int], Any],
                   numbers: Iterable[int]) -> float:
  """Returns the median time of a call, over calls with each number."""
  seconds = []
  for number in numbers:
    start = time.perf_counter()
    function(number)
    seconds.append(time.perf_counter() - start)
  return statistics.median(seconds)


def seconds_per_epoch(config: configs.Config, session: tf.Session,
                      training: Any) -> float:
  """Returns the time of an epoch's training steps."""
  def words_per_second() -> float:
    return contender.words_per_second(
        lambda: session.run(training.advance)["nats"], FLAGS.seconds,
        dataclasses.asdict(config))

  words_per_second()  # warms up
  return _TOKENS / words_per_second()


def save_times(session: tf.Session,
               vocab_size: int) -> tuple[float, float, float]:
  """Saves checkpoints and points in a temporary run.

  Returns:
    Seconds of a checkpoint within an epoch, of one at its end, and of the
    points of an epoch.
  """
  words = [f"word{i}" for i in range(vocab_size - 2)]
  row = {"learning_rate": 1.0, "train_perplexity": 100.0, "seconds": 1.0}
  rows = [row | {"epoch": i, "valid_perplexity": 100.0 - i}
          for i in range(1, 40)]
  # In the current folder, because /tmp may be in memory.
  with tempfile.TemporaryDirectory(dir=".") as folder, (
      session.graph.as_default()):
    saver = tf.train.Saver(max_to_keep=0)
    run = TrainingRun(folder, {}, Vocabulary((*words, EOS, UNK)))
    with run.open():
      run.begin(0)
      within = median_seconds(
          lambda step: run.save(session, saver, step, {"rows": rows[:9]}),
          range(1, 10))
      # Each epoch is the best so far, so its checkpoint is also copied.
      at_end = median_seconds(
          lambda step: run.save(session, saver, step, {"rows": rows[:step]},
                                ends_epoch=True), range(20, 29))
      points = _NUM_POINTS * median_seconds(
          lambda step: run.log(step, row), range(99))
  return within, at_end, points


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS), "The config.")
  flags.DEFINE_float("seconds", 8, "How long to take steps.", 0.01)


def main(argv: Sequence[str]) -> None:
  """Prints a line of figures."""
  with scripts.error_lines(argv[0]):
    config = configs.CONFIGS[FLAGS.model]
    ids, vocab_size = texts.zipf_ids()
    session, training = suite.start_training(config, vocab_size, ids)
    epoch = seconds_per_epoch(config, session, training)
    within, at_end, points = save_times(session, vocab_size)
    share = within / _SAVE_SECS + (at_end + points) / epoch
    print(f"{FLAGS.model}: {epoch:.0f} s of steps per epoch; a checkpoint "
          f"{within:.2f} s, at an epoch's end {at_end:.2f} s; {_NUM_POINTS} "
          f"points logged {points:.3f} s; in all {share:.2%} of training time")


if __name__ == "__main__":
  scripts.run(main, define_flags)
