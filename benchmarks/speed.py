"""Words per second of training steps, LSTM layers in turn within one run.

    python -m benchmarks.speed --model=medium --rnn_mode=fused --rnn_mode=basic

The machine's own ups and downs hit all alike: in each round every layer takes
some steps. Prints the median of the rounds for each, with the lowest and the
highest, and the median of the ratios to the last one named, round by round.
"""

import statistics
import time

import numpy as np
from absl import app, flags

import configs
import lstm
import ptb_word_lm
from tensorflow_v1 import repeatable_session, tf

VOCAB_SIZE = 10_000
ZIPF = 1 / np.arange(1, VOCAB_SIZE + 1)  # how frequent the words of a text are


def training(config, rnn_mode):
  """A session in which training steps can be run, and what to fetch."""
  graph = tf.Graph()
  with graph.as_default():
    ids = np.random.default_rng(0).choice(
        VOCAB_SIZE, size=200_000, p=ZIPF / ZIPF.sum())
    epoch = ptb_word_lm.Epoch("Train", config, VOCAB_SIZE, ids,
                              is_training=True, rnn_mode=rnn_mode)
    session = repeatable_session()
    session.run(tf.global_variables_initializer())
    epoch.load(session)
    return session, epoch.advance


def words_per_second(config, session, fetches, seconds):
  """The rate of as many training steps as take some seconds."""
  start, steps = time.perf_counter(), 0
  while (elapsed := time.perf_counter() - start) < seconds:
    session.run(fetches)
    steps += 1
  return steps * config.batch_size * config.num_steps / elapsed


def main(_):
  """Measures and prints."""
  config = configs.CONFIGS[FLAGS.model]
  trainings = {mode: training(config, mode) for mode in FLAGS.rnn_mode}
  rates = {mode: [] for mode in trainings}
  for round_ in range(-1, FLAGS.rounds):  # the first one is to warm up
    for mode, (session, fetches) in trainings.items():
      rate = words_per_second(config, session, fetches, FLAGS.seconds)
      if round_ >= 0:
        rates[mode].append(rate)
  last = FLAGS.rnn_mode[-1]
  print(f"{FLAGS.model}, {FLAGS.rounds} rounds of {FLAGS.seconds:g} s each")
  for mode, values in rates.items():
    ratio = statistics.median(
        a / b for a, b in zip(values, rates[last], strict=True))
    print(f"{mode:>8} {statistics.median(values):8.0f} words/s "
          f"({min(values):.0f} to {max(values):.0f}), "
          f"{ratio:.2f} times {last}")


if __name__ == "__main__":
  FLAGS = flags.FLAGS
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS), "The config.")
  flags.DEFINE_multi_enum("rnn_mode", ["fused", "block", "dynamic", "basic"],
                          list(lstm.LAYERS), "The layers to compare.")
  flags.DEFINE_integer("rounds", 9, "Turns of each layer.", 1)
  flags.DEFINE_float("seconds", 4, "Length of a turn.", 0.01)
  app.run(main)
