"""Perplexity by the settings of what adapts a model to the text it reads.

    python -m benchmarks.adaptation --save_path=RUN --text=ptb.valid.txt

For each learning rate of dynamic evaluation, and each cache of all the sizes,
thetas and lambdas that are given. The defaults in adaptation.py are the best
that it found on the Penn Treebank's validation text.
"""

import itertools

import numpy as np
from absl import app, flags

import adaptation
import reader
import trained_model
import training


def dynamic_log_probs(trained, ids, rate):
  """[N], of all the words but the first."""
  with adaptation.Stream(trained, dynamic=rate) as stream:
    return np.concatenate(
        [stream.read(ids)[1], stream.read(None)[1]])


def hidden_states(trained, ids):
  """Log-probabilities [N] of all words but the first, and the states [N, H]."""
  num_steps = trained.config.num_steps
  rows = reader.evaluation_streams(ids, 1, num_steps)
  log_probs, hidden, state = [], [], None
  with trained.open(num_steps) as windows:
    for start in range(0, len(rows) - 1, num_steps):
      window = rows[start:start + num_steps + 1]
      found = windows.run(["losses", "outputs", "final_state"], window[:-1],
                          window[1:], state)
      state = found["final_state"]
      log_probs.append(-found["losses"][:, 0].astype(np.float64))
      hidden.append(found["outputs"][:, 0])
  size = len(ids) - 1
  return np.concatenate(log_probs)[:size], np.concatenate(hidden)[:size]


def cache_log_probs(settings, ids, log_probs, hidden, num_steps):
  """[N], of all the words but the first."""
  cache = adaptation.NeuralCache(settings, hidden.shape[1], num_steps)
  return np.concatenate([
      cache.mix(log_probs[start:start + num_steps],
                hidden[start:start + num_steps],
                ids[start + 1:start + num_steps + 1])
      for start in range(0, len(log_probs), num_steps)])


def show(name, log_probs):
  """Prints a perplexity."""
  figure = training.perplexity(-log_probs.sum(), len(log_probs))
  print(f"{name:<32} {figure:8.3f}", flush=True)


def main(_):
  """Measures and prints."""
  trained = trained_model.load(FLAGS.save_path)
  ids = trained.vocabulary.encode(
      itertools.chain.from_iterable(
          [*words, reader.EOS] for words in reader.read_lines(FLAGS.text)))
  log_probs, hidden = hidden_states(trained, ids)
  show("static", log_probs)
  for settings in itertools.product(
      map(int, FLAGS.size), map(float, FLAGS.theta),
      map(float, FLAGS["lambda"].value)):
    show(f"cache {','.join(f'{x:g}' for x in settings)}", cache_log_probs(
        adaptation.Cache(*settings), ids, log_probs, hidden,
        trained.config.num_steps))
  for rate in map(float, FLAGS.rate):
    show(f"dynamic {rate:g}", dynamic_log_probs(trained, ids, rate))


if __name__ == "__main__":
  FLAGS = flags.FLAGS
  flags.DEFINE_string("save_path", None, "The folder of the run.")
  flags.DEFINE_string("text", None, "The text.")
  flags.DEFINE_list("rate", [0.01, 0.03, 0.1, 0.3],
                    "Learning rates of dynamic evaluation.")
  flags.DEFINE_list("size", [500], "Sizes of the cache.")
  flags.DEFINE_list("theta", [0.1, 0.3, 0.5], "Its thetas.")
  flags.DEFINE_list("lambda", [0.05, 0.1, 0.2], "Its lambdas.")
  flags.mark_flags_as_required(["save_path", "text"])
  app.run(main)
