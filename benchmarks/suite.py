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
from rnn.training.passes import StreamPass


def make(spec: dict[str, Any]) -> tuple:
  """Makes the contender, see `contender.serve`.

  Its settings are fields of Options. A report is the result of
  `breakdown.trace_steps`.
  """
  session, training = start_training(
      configs.Config(**spec["config"]), spec["vocab_size"], spec["ids"],
      Options(**spec["settings"]))
  if spec["parameters"]:
    checkpoints.assign(session, training.model.variables, spec["parameters"])
  nats = 0.0  # the sum over the epoch so far

  def step() -> float:
    nonlocal nats
    before, nats = nats, session.run(training.advance)["nats"]
    if nats < before:  # an epoch has begun
      before = 0.0
    return (nats - before) / spec["config"]["batch_size"]

  def report(steps: int) -> dict:
    return breakdown.trace_steps(session, training.advance, steps)

  return step, {"tensorflow": tf.version.VERSION}, report


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
