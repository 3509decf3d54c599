"""Perplexity of a model that adapts to the text it reads, by setting.

    python -m benchmarks.adaptation --save_path=RUN --text=ptb.valid.txt

Tries each learning rate of dynamic evaluation, and the cache with each
combination of the given sizes, thetas and lambdas. This is how the defaults in
`trained/adaptation.py` were found, on the validation text of the Penn Treebank.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from absl import app, flags

import reader
from rnn.training.metrics import perplexity
from trained import adaptation
from trained import model as trained_model
from trained.model import TrainedModel

FLAGS = flags.FLAGS


def dynamic_log_probs(model: TrainedModel, ids: np.ndarray,
                      rate: float) -> np.ndarray:
  """Returns log-probabilities [N] of all words except the first."""
  with adaptation.Stream(model, dynamic=rate) as stream:
    return np.concatenate(
        [stream.read(ids)[1], stream.read(None)[1]])


def hidden_states(model: TrainedModel,
                  ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Runs a model over a text, which is the costly part of all cache settings.

  Returns:
    log_probs, hidden: [N] and [N, H], of all words except the first: natural
    logarithms of their probabilities, and the hidden states before them.
  """
  num_steps = model.config.num_steps
  rows = reader.evaluation_streams(ids, 1, num_steps)
  log_probs, hidden, state = [], [], None
  with model.open(num_steps) as windows:
    for start in range(0, len(rows) - 1, num_steps):
      window = rows[start:start + num_steps + 1]
      result = windows.run(["losses", "outputs", "final_state"], window[:-1],
                           window[1:], state)
      state = result["final_state"]
      log_probs.append(-result["losses"][:, 0].astype(np.float64))
      hidden.append(result["outputs"][:, 0])
  size = len(ids) - 1  # the last window may be filled up
  return np.concatenate(log_probs)[:size], np.concatenate(hidden)[:size]


def cache_log_probs(settings: adaptation.Cache, ids: np.ndarray,
                    log_probs: np.ndarray, hidden: np.ndarray,
                    num_steps: int) -> np.ndarray:
  """Returns log-probabilities [N] of all words except the first.

  Args:
    ids: [N + 1].
    log_probs, hidden: see `hidden_states`.
  """
  cache = adaptation.NeuralCache(settings, hidden.shape[1], num_steps)
  return np.concatenate([
      cache.mix(log_probs[start:start + num_steps],
                hidden[start:start + num_steps],
                ids[start + 1:start + num_steps + 1])
      for start in range(0, len(log_probs), num_steps)])


def show(name: str, log_probs: np.ndarray) -> None:
  """Prints the perplexity of a text."""
  figure = perplexity(-log_probs.sum(), len(log_probs))
  print(f"{name:<32} {figure:8.3f}", flush=True)


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_string("save_path", None, "The folder of the run.")
  flags.DEFINE_string("text", None, "The text, one sentence per line.")
  flags.DEFINE_list("rate", ["0.01", "0.03", "0.1", "0.3"],
                    "Learning rates of dynamic evaluation.")
  flags.DEFINE_list("size", ["500"], "Sizes of the cache.")
  flags.DEFINE_list("theta", ["0.1", "0.3", "0.5"], "Thetas of the cache.")
  flags.DEFINE_list("lambda", ["0.05", "0.1", "0.2"], "Lambdas of the cache.")
  flags.mark_flags_as_required(["save_path", "text"])


def main(_: Sequence[str]) -> None:
  """Prints one perplexity per setting."""
  model = trained_model.load(FLAGS.save_path)
  ids = model.vocabulary.encode(
      itertools.chain.from_iterable(
          [*words, reader.EOS] for words in reader.read_lines(FLAGS.text)))
  log_probs, hidden = hidden_states(model, ids)
  show("static", log_probs)
  # A keyword of Python cannot be an attribute of FLAGS.
  lambdas = FLAGS.get_flag_value("lambda", None)
  for size, theta, lambda_ in itertools.product(
      FLAGS.size, FLAGS.theta, lambdas):
    settings = adaptation.Cache(int(size), float(theta), float(lambda_))
    show(f"cache {','.join(f'{x:g}' for x in settings)}", cache_log_probs(
        settings, ids, log_probs, hidden, model.config.num_steps))
  for rate in map(float, FLAGS.rate):
    show(f"dynamic {rate:g}", dynamic_log_probs(model, ids, rate))


if __name__ == "__main__":
  define_flags()
  app.run(main)
