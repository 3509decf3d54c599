"""Averaged parameters: optimizer=asgd.

NT-ASGD of Merity, Keskar and Socher 2018 (arXiv 1708.02182), algorithm 1.
Training is plain gradient descent until validation is worse than in some epoch
more than `asgd_patience` epochs earlier. From then on the mean of the
parameters after each step is kept. It is used for everything except the steps.

The paper's mean begins one step earlier, with the parameters at that time, and
PyTorch's ASGD, with t0=0, one step later.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnn.tf1 import filled, in_turn, on_host, tf


class Averages:
  """No averages: the parameters stay as trained.

  `RunningAverages` replaces them outside of training.
  """

  def after(self, step: tf.Operation) -> tf.Operation:
    """Returns an op that takes a training step, and what comes with it."""
    return step

  def after_epoch(self, session: tf.Session, figures: Sequence[float]) -> None:
    """Reacts to the validation figures so far.

    Args:
      figures: the metric on the validation split after each epoch so far.
    """

  def swapped(self, session: tf.Session
              ) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which the parameters have the trained values."""
    return contextlib.nullcontext()


class RunningAverages(Averages):
  """The averages of parameters, in one slot per parameter.

  All state is in global variables, which checkpoints hold: the slots, and the
  global step at which averaging began, or -1 before.
  """

  def __init__(self, parameters: Sequence[tf.Variable], patience: int) -> None:
    """Adds the slots to the default graph.

    Args:
      parameters: those that are trained.
      patience: n; averaging begins if validation is worse than in the best
        epoch, leaving out the newest epoch and the n before it.
    """
    self._parameters, self._patience = parameters, patience
    with tf.variable_scope("asgd", reuse=tf.AUTO_REUSE):
      with on_host():
        self._start = tf.get_variable(
            "start", initializer=np.int64(-1), trainable=False,
            use_resource=True)
      self._slots = [_add_slot(parameter) for parameter in parameters]
    with tf.control_dependencies([in_turn(_copy, parameters, self._slots)]):
      self._begin = self._start.assign(
          tf.train.get_or_create_global_step().read_value())
    self._swap = in_turn(_swap, parameters, self._slots)

  def after(self, step: tf.Operation) -> tf.Operation:
    """See `Averages`. A step that float16 skips counts, too."""
    with tf.control_dependencies([step]):
      start = self._start.read_value()

    def update() -> tf.Operation:
      with on_host():
        steps = tf.train.get_or_create_global_step().read_value() - start
        rate = tf.cast(1 / steps, tf.float32)

      def move(parameter: tf.Variable, slot: tf.Variable) -> tf.Operation:
        """Adds (parameter - slot) / steps to the slot, in place."""
        return tf.raw_ops.ResourceApplyGradientDescent(
            var=slot.handle, alpha=rate,
            delta=slot.read_value() - parameter.read_value())

      return in_turn(move, self._parameters, self._slots)

    return tf.group(tf.cond(start >= 0, update, tf.no_op))

  def after_epoch(self, session: tf.Session, figures: Sequence[float]) -> None:
    """Begins to average if validation says so; prints a line then."""
    better = better_epoch(figures, self._patience)
    if better and not self._has_begun(session):
      session.run(self._begin)
      print("Averaging of the parameters begins, because validation was better "
            f"in epoch {better} (asgd_patience={self._patience})", flush=True)

  @contextlib.contextmanager
  def swapped(self, session: tf.Session) -> Iterator[None]:
    """See `Averages`; averages and trained values trade places.

    Outside of the context the parameters have the averages, so that checkpoints
    do, too. A second context within the first one has them as well.
    """
    # It begins only between two epochs, not within the context.
    if not self._has_begun(session):
      yield
      return
    session.run(self._swap)
    try:
      yield
    finally:
      session.run(self._swap)

  def _has_begun(self, session: tf.Session) -> bool:
    return bool(session.run(self._start) >= 0)


def add(config: Any, parameters: Sequence[tf.Variable]) -> Averages:
  """Adds the averages that a config asks for to the default graph.

  Args:
    config: a `configs.Settings` with `optimizer`.
  """
  return RunningAverages(parameters, config.asgd_patience) if (
      config.optimizer == "asgd") else Averages()


def better_epoch(figures: Sequence[float], patience: int) -> int | None:
  """Returns the best epoch before the last ones, if it beats the newest.

  The newest epoch comes on top of the `patience` last ones, as in the code of
  Merity et al.

  Args:
    figures: the metric after each epoch; lower is better.

  Returns:
    The epoch, counted from 1; None if no such epoch is better.
  """
  before = figures[:-1][:-patience]
  if not before or figures[-1] <= min(before):
    return None
  return 1 + before.index(min(before))


def _add_slot(parameter: tf.Variable) -> tf.Variable:
  """Adds a variable of zeros, next to its parameter."""
  with tf.device(parameter.device):
    return tf.get_variable(
        parameter.op.name, initializer=filled(parameter.shape, 0.0),
        trainable=False, use_resource=True)


def _copy(parameter: tf.Variable, slot: tf.Variable) -> tf.Operation:
  return slot.assign(parameter.read_value()).op


def _swap(parameter: tf.Variable, slot: tf.Variable) -> tf.Operation:
  values = parameter.read_value(), slot.read_value()
  with tf.control_dependencies(values):
    return tf.group(parameter.assign(values[1]), slot.assign(values[0]))
