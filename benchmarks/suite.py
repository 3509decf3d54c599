"""This suite as a contender of `speed.py`: the steps of its own training."""

from typing import Any

import numpy as np

import configs
import ptb_word_lm
from benchmarks import breakdown, contender
from rnn.layers import halves
from rnn.options import Options
from rnn.runs import checkpoints
from rnn.tf1 import repeatable_session, tf
from rnn.training.passes import StreamPass, Sums


def make(spec: dict[str, Any]) -> tuple:
  """Makes the contender, see `contender.serve`.

  Its settings are fields of Options, and possibly "override", settings of the
  config. A report is the result of `breakdown.trace_steps`.
  """
  config = configs.override(
      configs.Config(**spec["config"]), spec["settings"].pop("override", ""))
  session, training = start_training(
      config, spec["vocab_size"], spec["ids"], Options(**spec["settings"]))
  if config.optimizer == "asgd":  # it costs most when it averages
    training.model.averages.after_epoch(
        session, [1.0, *[2.0] * (config.asgd_patience + 1)])
  if spec["parameters"]:
    checkpoints.assign(session, training.model.variables, spec["parameters"])
  steps, words = 0, 0
  sums: Sums = {"nats": 0.0, "targets": 0}  # over the epoch so far

  def step() -> float:
    nonlocal steps, words, sums
    before, sums = sums, training.run(session, steps)
    steps += 1
    if sums["targets"] < before["targets"]:  # an epoch has begun
      before = {"nats": 0.0, "targets": 0}
    words += int(sums["targets"] - before["targets"])
    return (sums["nats"] - before["nats"]) / spec["config"]["batch_size"]

  def report(number: int) -> dict:
    nonlocal steps
    steps += number
    return breakdown.trace_steps(session, training.advance, number)

  return step, {"tensorflow": tf.version.VERSION}, report, lambda: words


def start_training(
    config: configs.Config, vocab_size: int, ids: np.ndarray,
    options: Options = Options()) -> tuple[tf.Session, StreamPass]:
  """Returns a session, and a training pass that was loaded into it."""
  halves.set_threads(config)
  with tf.Graph().as_default():
    training = ptb_word_lm.stream_pass(
        "Train", config, vocab_size, ids, is_training=True, options=options)
    session = repeatable_session()
    session.run(tf.global_variables_initializer())
    training.load(session)
    return session, training


if __name__ == "__main__":
  contender.serve(make)
