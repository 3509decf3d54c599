"""Passes over a split of the data: a model, applied window after window.

A window is the input of one step: T words of B parallel streams (`StreamPass`),
or one batch of padded rows (`BatchPass`). Position, carried state and sums are
variables, and everything else follows from them. So a checkpoint of a training
pass holds all of its state.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

import reader
from rnn import memory
from rnn.layers import cells
from rnn.parallel.workers import ALONE, STOP, Workers
from rnn.runs import checkpoints
from rnn.text import cutting, streams
from rnn.tf1 import on_host, tf
from rnn.training import schedule
from rnn.training.metrics import PERPLEXITY
from rnn.training.schedule import Schedule

Sums = Mapping[str, Any]  # name -> number or array
Report = Callable[[int, Sums, float], None]  # window, sums, targets per second


class Model(Protocol):
  """The attributes of a model that a pass uses.

  Attributes:
    counts: a dict of numbers or arrays to add up over the windows, with
      "nats" and "targets" among them.
    variables: the parameters.

  A model of streams has a `final_state` too. In training a model has `lr`,
  `grad_norm`, `max_grad_norm`, `train_op` and `averages`; see
  `trainable.Trainable`.
  """

  counts: dict[str, tf.Tensor]
  variables: list[tf.Variable]


class SplitPass:
  """The graph of a pass over a split, for any number of epochs.

  In training the position is the global step, and the variables of the pass
  are global variables, which checkpoints hold.

  Attributes:
    schedule: the learning rate.
    model: the model, as `build` returned it.
    size: windows per epoch.
    feed: a function, step -> the feed of `advance` at that step.
    step: scalar int64, the windows processed in all epochs.
    window: scalar int64, the index of the next window within its epoch.
    sums: sums over the windows so far in this epoch, a dict: the counts of the
      model; in training also "grad_norm" (norms before clipping) and "clipped"
      (windows whose norm exceeded max_grad_norm).
    advance: a dict of tensors; fetching it processes the next window and
      returns the new sums.
  """

  def __init__(self, name: str, size: int,
               build: Callable[[tf.Tensor, Any], Any], rates: Schedule,
               is_training: bool = False, state: Any = (),
               feed: Callable[[int], dict] = lambda step: {},
               period: int | None = None,
               initial_values: Mapping[str, np.ndarray] | None = None,
               workers: Workers = ALONE) -> None:
    """Adds the pass to the default graph; `load` prepares a session for it.

    Args:
      name: the split's name, which becomes the scope of the variables.
      build: a function, (step, state) -> `Model`.
      rates: the learning rate of the model.
      state: zeros, with the structure of the state carried between windows, of
        the streams of all workers. `build` gets the rows of this one.
      period: windows until the state becomes zero again; by default `size`.
      initial_values: a dict, variable name -> array, for parameters that shall
        not start at random.
      workers: the workers that share each window.
    """
    self.size, self.feed, self._workers = size, feed, workers
    self.schedule = rates
    self._initial_values = initial_values or {}
    self._collection = (tf.GraphKeys.GLOBAL_VARIABLES if is_training
                        else tf.GraphKeys.LOCAL_VARIABLES)
    with tf.name_scope(name):
      with on_host():
        position = (tf.train.get_or_create_global_step() if is_training
                    else self._variable("position", np.int64(0)))
        self.step = position.read_value()
        self.window = self.step % size
      carried = tf.nest.map_structure(
          functools.partial(self._variable, "state"), state)
      before = _zero_if(tf.equal(self.step % (period or size), 0), carried)
      self.model = build(
          self.step, tf.nest.map_structure(workers.share, before))
      counts = dict(self.model.counts)
      if is_training:
        counts["grad_norm"] = self.model.grad_norm
        counts["clipped"] = self.model.grad_norm > self.model.max_grad_norm
      requests = counts.pop(STOP, None)  # these are not added up
      variables, self.sums, after = self._add_up(counts)
      next_state = self.model.final_state if carried else ()
      # The data of other workers arrive before the first update. So a window
      # without an answer changes nothing.
      with tf.control_dependencies([
          *self.model.counts.values(), *after.values(),
          *tf.nest.flatten(next_state)]):
        updates = tf.nest.map_structure(
            tf.assign, (variables, carried), (after, next_state))
      # The position moves last: everything that depends on it comes before.
      with tf.control_dependencies([self.step, *self.model.counts.values()]):
        move_on = (self.model.train_op if is_training
                   else position.assign_add(1))
      with tf.control_dependencies([move_on, *tf.nest.flatten(updates)]):
        self.advance = {
            name: tf.identity(value) for name, value in after.items()}
        if requests is not None:
          self.advance[STOP] = tf.identity(requests)

  def _add_up(self, counts: Mapping[str, tf.Tensor]
              ) -> tuple[dict, dict, dict]:
    """Returns the variables of the sums, and their values before and after."""
    variables = {name: self._variable(name, np.zeros(
        value.shape.as_list(),
        np.float64 if value.dtype.is_floating else np.int64))
                 for name, value in counts.items()}
    before = _zero_if(tf.equal(self.window, 0), variables)
    after = {name: before[name] + tf.cast(value, before[name].dtype)
             for name, value in counts.items()}
    sums = {name: variable.read_value() for name, variable in variables.items()}
    return variables, sums, after

  def load(self, session: tf.Session) -> None:
    """Loads the initial values into a session.

    The variables must have been initialized.
    """
    checkpoints.assign(
        session, [v for v in self.model.variables
                  if v.op.name in self._initial_values], self._initial_values)

  def prepare(self, session: tf.Session, step: int) -> None:
    """Has to be called before `advance` is run at a step."""

  def run(self, session: tf.Session, step: int) -> Sums:
    """Processes the window of a step, and returns the new sums.

    Raises:
      WorkersError: a worker did not take part; the window changed nothing.
    """
    self.prepare(session, step)
    return self._workers.run(session, self.advance, self.feed(step))

  def _variable(self, name: str, value: Any) -> tf.Variable:
    return tf.Variable(value, trainable=False, name=name, use_resource=True,
                       collections=[self._collection])


def _zero_if(condition: tf.Tensor, variables: Any) -> Any:
  """Returns the values of a structure of variables, or zeros."""
  def read(variable: tf.Variable) -> tf.Tensor:
    value = variable.read_value()
    return tf.where_v2(condition, tf.zeros_like(value), value)
  return tf.nest.map_structure(read, variables)


def _zero_rows(condition: tf.Tensor, state: Any) -> Any:
  """Returns a state [B, ...] with zeros in the rows of a condition [B]."""
  return tf.nest.map_structure(lambda value: tf.where_v2(
      condition[:, None], tf.zeros_like(value), value), state)


class StreamPass(SplitPass):
  """A pass over a text in parallel streams. It needs no feed."""

  def __init__(self, name: str, config: Any, ids: streams.Ids,
               make_model: Callable[..., Any], is_training: bool = False,
               initial_values: Mapping[str, np.ndarray] | None = None,
               seed: int = 0, workers: Workers = ALONE,
               eos: int | None = None) -> None:
    """Adds the pass to the default graph; `load` prepares a session for it.

    Args:
      config: a `configs.Config`; its batch_size is that of all workers.
      ids: 1-D, the words of the split; or its shards.
      seed: determines the order of shards in training, and window_jitter.
      eos: the id of `<eos>`, for reset_state.
      make_model: a function of inputs, targets ([T, B] each), initial_state,
        is_training, step and learning_rate; returns a `Model`.
      name, initial_values, workers: see `SplitPass`.

    Raises:
      DataError: the split is too short.
      UserError: a window needs more memory than is available.
    """
    num_steps = cutting.longest(config, is_training)
    # A short text fills up the rows of one window.
    memory.check([memory.Part(
        4 * (num_steps + 1) * config.batch_size,
        f"windows of batch_size={config.batch_size:,} x "
        f"num_steps={num_steps:,}", "lower batch_size or num_steps"
        + " or window_jitter" * bool(config.window_jitter))])
    try:
      cut = cutting.cut(config, ids, is_training, seed, eos)
    except reader.DataError as error:
      raise reader.DataError(f"{name.lower()}: {error}") from None
    columns = range(config.batch_size)[workers.part(config.batch_size)]
    self._cut, self._batch_size = cut, len(columns)
    self._parts = streams.Parts(cut, workers.part(config.batch_size),
                                ahead=isinstance(ids, streams.ShardIds))
    self._place: tuple[int, int] | None = None  # of the part in the session
    windows = cut.windows
    size = is_training and config.epoch_size or windows
    rates = schedule.add(config, size)

    def build(step: tf.Tensor, state: Any) -> Any:
      # Fed part by part, so neither the graph nor a device holds the whole.
      self._feed = tf.placeholder(tf.int32, [None, self._batch_size])
      self._streams = tf.Variable(  # a GPU keeps no int32 variables
          tf.cast(self._feed, tf.int64), trainable=False, name="streams",
          use_resource=True, collections=[])
      with on_host():
        rate = rates.rate(step)
      inputs, targets = self._read_window(step % windows)
      if config.reset_state:  # only a sentence's first window begins with <eos>
        state = _zero_rows(tf.equal(inputs[0], eos), state)
      return make_model(inputs, targets, initial_state=state,
                        is_training=is_training, step=step, learning_rate=rate)

    super().__init__(
        name, size, build, rates, is_training,
        cells.zero_state(config, config.batch_size), period=windows,
        initial_values=initial_values, workers=workers)

  def load(self, session: tf.Session) -> None:
    """Loads the initial values and the text into a session."""
    super().load(session)
    self._place = None
    self.prepare(session, 0)

  def prepare(self, session: tf.Session, step: int) -> None:
    """Loads the part of the split that a step reads into the session."""
    place = self._cut.place(step)
    if place != self._place:
      session.run(self._streams.initializer,
                  {self._feed: self._parts.read(step)})
      self._place = place

  def _read_window(self, window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the words of a window, and the words that follow them: [T, B]."""
    with on_host():
      begin = tf.stack([window % self._cut.part * self._cut.stride, 0])
      size = tf.constant([self._cut.num_steps + 1, self._batch_size], tf.int64)
    rows = tf.slice(self._streams, begin, size)
    return rows[:-1], rows[1:]


class Batches(Protocol):
  """The batches of a split; a call with a step returns its arrays.

  Attributes:
    size: batches per pass over the split.
    inputs: dtype and shape of each array.
  """

  size: int
  inputs: Sequence[tuple[str, list]]

  def __call__(self, step: int) -> Sequence[np.ndarray]:
    """Returns the arrays of a step."""


class BatchPass(SplitPass):
  """A pass over the batches of a split, which are fed."""

  def __init__(self, name: str, config: Any, batches: Batches,
               make_model: Callable[..., Any], is_training: bool = False,
               initial_values: Mapping[str, np.ndarray] | None = None) -> None:
    """Adds the pass to the default graph.

    Args:
      config: the `configs.Settings` with the learning rate and epoch_size.
      make_model: a function of the inputs, and by name of is_training, step and
        learning_rate; returns a `Model`.
      name, initial_values: see `SplitPass`.
    """
    inputs = [tf.placeholder(*spec) for spec in batches.inputs]
    size = is_training and config.epoch_size or batches.size
    rates = schedule.add(config, size)

    def build(step: tf.Tensor, _: Any) -> Any:
      return make_model(
          *inputs, is_training=is_training, step=step,
          learning_rate=rates.rate(step))

    super().__init__(
        name, size, build, rates, is_training, initial_values=initial_values,
        feed=lambda step: dict(zip(inputs, batches(step), strict=True)))


def batch_passes(
    config: Any, splits: Mapping[str, Batches],
    make_model: Callable[..., Any],
    initial_values: Mapping[str, np.ndarray] | None = None) -> list[BatchPass]:
  """Returns a BatchPass for each of "train", "valid" and "test".

  Args:
    splits: a dict with these keys, in this order.
    make_model: see `BatchPass`.
    initial_values: for the training pass only.
  """
  return [
      BatchPass(name.capitalize(), config, split, make_model, name == "train",
                initial_values if name == "train" else None)
      for name, split in splits.items()]


@dataclasses.dataclass(frozen=True)
class PassResult:
  """The result of a pass over a split.

  Attributes:
    sums: the sums of the SplitPass, as numbers.
    per_second: targets per second. The first window, in which TensorFlow
      prepares the graph, does not count; NaN if there is no other.
  """

  sums: Sums
  per_second: float

  @property
  def perplexity(self) -> float:
    """The perplexity on the whole split."""
    return PERPLEXITY.compute(self.sums)


def run_pass(session: tf.Session, split_pass: SplitPass,
             report: Report | None = None,
             first: int | None = None) -> PassResult:
  """Processes a split up to its last window.

  Args:
    report: called after each window with its index from 0, the sums so far, and
      the targets per second since the first window.
    first: the first window; `split_pass.size` only reads the sums. By default
      it is the window at which an earlier call stopped.
  """
  start: tuple[float, int] | None = None  # time, targets after first window
  per_second = math.nan
  step, sums = session.run([split_pass.step, split_pass.sums])
  first = int(step) % split_pass.size if first is None else first
  for number, window in enumerate(range(first, split_pass.size), int(step)):
    sums = split_pass.run(session, number)
    now = time.perf_counter()
    if start:
      per_second = (sums["targets"] - start[1]) / (now - start[0])
    else:
      start = now, sums["targets"]
    if report:
      report(window, sums, per_second)
  return PassResult(sums, per_second)
