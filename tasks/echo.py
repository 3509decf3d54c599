"""Repeats random bits three steps later: a stacked LSTM has to remember them.

    python -m tasks.echo --save_path=runs/echo

The task is from the echo tutorial, https://github.com/erikhallstrm/echo_rnn.
"""

if not __package__:
  import by_path  # type: ignore[import-not-found] # noqa: F401

from absl import flags

from rnn.cli import definitions, scripts


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.training(data_help=None, mode=True)
  flags.FLAGS.set_default("rnn_mode", "dynamic")


scripts.parse_first(__name__, define_flags)

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import configs
from ptb_word_lm import PTBModel
from reader import NO_TARGET
from rnn import files
from rnn.cli import stored_flags, training_flags
from rnn.options import Options
from rnn.runs.directory import RunDirectory
from rnn.tf1 import repeatable_session, tf
from rnn.training import evaluation, metrics, passes
from tasks.hyperparameters import ECHO

DELAY, ERROR = 3, metrics.error_percent("bits")
BITS = {"train": 20_000, "valid": 5_000, "test": 5_000}


def make_series(batch_size: int, seed: int) -> dict[str, np.ndarray]:
  """Returns int32 items by split: a bit, + 2 * the echo due a step before."""
  rng, series = np.random.RandomState(seed), {}  # the same in any NumPy
  for split, total in BITS.items():
    bits = rng.randint(0, 2, [batch_size, total // batch_size], np.int32)
    echoes = np.full_like(bits, NO_TARGET)
    echoes[:, DELAY + 1:] = bits[:, :-DELAY - 1]
    series[split] = (bits + 2 * echoes).ravel()  # one stream after the other
  return series


class EchoModel(PTBModel):
  """A PTBModel that reads [T, B] items, and the items one step further on."""

  def __init__(self, config: configs.Config, items: tf.Tensor,
               following: tf.Tensor, **kwargs: Any) -> None:
    echoes = following // 2
    super().__init__(config, 2, items % 2, echoes, **kwargs)
    right = tf.equal(tf.cast(self.output_words, echoes.dtype), echoes)
    self.counts = {**self.counts, "errors":
                   self.num_targets - tf.math.count_nonzero(right)}


def make_passes(config: configs.Config, series: Mapping[str, np.ndarray],
                options: Options) -> dict[str, passes.StreamPass]:
  """Adds the passes over the series, a dict by split, to the default graph."""
  return {split: passes.StreamPass(
      split.capitalize(), config, items, lambda *args, **kwargs: EchoModel(
          config, *args, options=options, **kwargs), split == "train")
          for split, items in series.items()}


def draw(run: RunDirectory, items: np.ndarray, path: str) -> None:
  """Draws T + 1 items [.., 1], and the predictions of a run's best model."""
  from matplotlib import figure  # slow, so only when it is needed
  with tf.Graph().as_default(), repeatable_session() as session:
    model = EchoModel(run.settings("echo").config,
                      tf.constant(items[:-1]), tf.constant(items[1:]))
    run.restore_best(session, model.variables)
    predicted = session.run(tf.nn.softmax(model.logits))[..., 1]  # (T, 1)
  picture = figure.Figure(figsize=(12, 1), layout="constrained")
  axes = picture.subplots()
  echoes = np.where(items < 0, np.nan, items // 2)[1:]  # nan: none is due
  axes.imshow(np.hstack([items[:-1] % 2, echoes, predicted]).T, cmap="Blues")
  axes.set_yticks(range(3), ["bit", f"{DELAY} steps later", "predicted"])
  picture.savefig(path, format="png")


def main(argv: Sequence[str]) -> None:
  """Trains, tests and draws the picture; or evaluates, as the flags say."""
  with scripts.error_lines(argv[0]):
    if flags.FLAGS.mode == "eval":
      old = training_flags.run_to_read("--mode=eval")
      config = old.settings("echo").config
      series = make_series(config.batch_size, old.stored("seed"))
      del series["train"]
      evaluation.evaluate(old, lambda: make_passes(
          config, series, Options(flags.FLAGS.rnn_mode)), ERROR)
      return
    config, settings = training_flags.config(stored_flags.resume(
        "echo", ECHO), unused=("num_sampled", "window_jitter", "reset_state"))
    options = training_flags.options(config)
    series = make_series(config.batch_size, options.seed)
    run, tests = training_flags.train("echo", config, settings, {
        "task": "echo", "rnn_mode": options.rnn_mode,
        "data": {"path": "", "bits": BITS}}, lambda: list(
            make_passes(config, series, options).values()), ERROR)
    print(f"accuracy on test: {100 - next(iter(tests.values())):.2f} %")
    if run:
      path = f"{run.path}/echo.png"
      with run.adding(), files.atomic_write(path) as partial:
        draw(run, series["test"][:76, None], partial)
      print(f"{path}: test bits, their echoes, and the predictions")


if __name__ == "__main__":
  scripts.run(main, define_flags)
