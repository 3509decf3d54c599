"""The names of TensorFlow's PTB tutorial, for notebooks that use them.

    with tf.Graph().as_default():
      config = classic.SmallConfig()
      train_input = classic.PTBInput(config, train_data, name="TrainInput")
      with tf.variable_scope("Model"):
        m = classic.PTBModel(is_training=True, config=config,
                             input_=train_input)

Everything here is batch-major, as in the tutorial. docs/classic.md has whole
notebooks, and says what differs.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import configs
import ptb_word_lm
import reader
from rnn.errors import UserError
from rnn.options import Options
from rnn.tf1 import tf
from rnn.training.metrics import PERPLEXITY
from rnn.training.progress import Progress

# Values of a config's `rnn_mode`.
BASIC, BLOCK, CUDNN = "basic", "block", "cudnn"


class _Config:
  """Base of the configs: the settings of `configs.Config` as attributes.

  In contrast to those, they may be changed.

  Attributes:
    vocab_size: the tutorial's 10,000 words. Set it to `len(vocabulary)`.
    rnn_mode: see `options.Options`.
  """

  vocab_size = 10_000
  rnn_mode: str | None = None

  def __init_subclass__(cls, base: configs.Config | None = None) -> None:
    for name, value in (dataclasses.asdict(base) if base else {}).items():
      if name not in vars(cls):
        setattr(cls, name, value)


class SmallConfig(_Config, base=configs.SMALL):
  """The small model."""


class MediumConfig(_Config, base=configs.MEDIUM):
  """The medium model, as in the tutorial."""

  max_epoch = 6
  two_biases = False


class LargeConfig(_Config, base=configs.LARGE):
  """The large model, as in the tutorial."""

  max_epoch = 14
  two_biases = False


class TestConfig(_Config, base=configs.TEST):
  """A tiny model, for tests."""

  __test__ = False  # pytest would collect it


class PTBInput:
  """The windows of a text.

  Attributes:
    batch_size, num_steps: B and T.
    epoch_size: the number of windows; None with placeholders.
    input_data, targets: int32 [B, T], the words of a window and those that
      follow.
  """

  def __init__(self, config: Any,
               data: Sequence[int] | np.ndarray | None = None,
               name: str | None = None) -> None:
    """Adds `reader.ptb_producer` to the default graph.

    Args:
      config: has batch_size and num_steps.
      data: 1-D sequence of word ids. Without it, the attributes `input_data`
        and `targets` are placeholders, to feed from `reader.ptb_iterator`.
      name: the scope of the ops.
    """
    self.batch_size, self.num_steps = config.batch_size, config.num_steps
    if data is None:
      shape = [self.batch_size, self.num_steps]
      self.epoch_size = None
      with tf.name_scope(name, "PTBInput"):
        self.input_data = tf.placeholder(tf.int32, shape, "input_data")
        self.targets = tf.placeholder(tf.int32, shape, "targets")
    else:
      self.epoch_size = (len(data) // self.batch_size - 1) // self.num_steps
      self.input_data, self.targets = reader.ptb_producer(
          data, self.batch_size, self.num_steps, name)


class PTBModel:
  """A `ptb_word_lm.PTBModel` as the tutorial has it.

  Its variables are in the caller's variable scope, or in "Model" outside of
  any. Models share them as the scope's `reuse` says.

  Attributes:
    input: the argument `input_`.
    batch_size, num_steps, input_data, targets: see `PTBInput`.
    initial_state, final_state: one `LSTMState` (c, h) per layer, [B, H] each.
      The initial state may be fed.
    cost: the cross entropy in nats, summed over T and averaged over B.
    logits: [B, T, V].
    final_output_words: [B, T], the most probable next word at each position.
    lr, train_op: only in training. The learning rate, a variable that starts
      with the config's; and the op that takes a step.
  """

  def __init__(self, is_training: bool, config: Any, input_: Any) -> None:
    """Adds the model to the default graph.

    Args:
      config: a config of this module, or any object with such attributes.
        Settings that it lacks are those of `SmallConfig`.
      input_: a `PTBInput`, or any object with its attributes. `epoch_size`
        is only for `run_epoch`.

    Raises:
      ConfigError, SettingError: a setting has a value that cannot be used.
      UserError: the model needs more memory than is available.
      ValueError: the variables exist already, and the scope does not reuse
        them; or the other way round.
    """
    settings, rnn_mode = _settings(config), getattr(config, "rnn_mode", None)
    self.input = input_
    self.batch_size, self.num_steps = input_.batch_size, input_.num_steps
    self.input_data, self.targets = input_.input_data, input_.targets
    if is_training:
      tf.train.get_or_create_global_step()  # in the caller's scope, too
      self.lr = tf.Variable(
          float(settings.learning_rate), trainable=False, use_resource=True)
      self._new_lr = tf.placeholder(tf.float32, [], "new_learning_rate")
      self._update_lr = tf.assign(self.lr, self._new_lr)
    scope = tf.get_variable_scope()
    with tf.variable_scope(  # the root, whatever the caller's scope is
        tf.VariableScope(reuse=False, name=""), auxiliary_name_scope=False,
        custom_getter=_getter(scope.name or "Model", scope.reuse)):
      inputs, targets = (tf.ensure_shape(
          tf.transpose(ids), [input_.num_steps, input_.batch_size])
                         for ids in (self.input_data, self.targets))
      model = ptb_word_lm.PTBModel(
          settings, config.vocab_size, inputs, targets, is_training=is_training,
          learning_rate=self.lr if is_training else None,
          options=Options(rnn_mode and rnn_mode.lower()))
    self.initial_state = model.initial_state
    self.final_state = model.final_state
    self.cost = model.cost
    self.logits = tf.transpose(model.logits, [1, 0, 2])
    self.final_output_words = tf.transpose(model.output_words)
    if is_training:
      self.train_op = model.train_op

  def assign_lr(self, session: tf.Session, lr_value: float) -> None:
    """Sets the learning rate."""
    session.run(self._update_lr, {self._new_lr: lr_value})


def _settings(config: Any) -> configs.Config:
  """Returns the attributes of any config as the suite's record.

  Raises:
    ConfigError: a setting has a value that cannot be used.
  """
  names = (field.name for field in dataclasses.fields(configs.Config))
  settings = dataclasses.replace(configs.SMALL, **{
      name: getattr(config, name) for name in names if hasattr(config, name)})
  defaults = settings.defaults()
  for name in ("projection_size", "keep_prob_input", "keep_prob_output",
               "asgd_patience", "lr_schedule", "plateau_epochs", "epoch_size",
               "early_stop",
               *configs.ONLY_PTB_MODEL):
    if (value := getattr(settings, name)) != defaults[name]:
      raise configs.ConfigError(
          f"{name}={value}: the tutorial's model has no such setting; use "
          "ptb_word_lm.PTBModel")
  if settings.optimizer == "asgd":
    raise configs.ConfigError(
        "optimizer=asgd: averages depend on validation, which the tutorial's "
        "model does not see; use ptb_word_lm.train")
  return settings


def _getter(scope: str, reuse: Any) -> Callable[..., tf.Variable]:
  """Returns a custom getter that moves variables from "Model" to a scope.

  Args:
    reuse: the scope's.
  """
  def get(getter: Callable[..., tf.Variable], name: str, *args: Any,
          **kwargs: Any) -> tf.Variable:
    if name.startswith("Model/"):  # a parameter
      name = f"{scope}/{name.removeprefix('Model/')}"
      kwargs["reuse"] = reuse
    return getter(name, *args, **kwargs)
  return get


def run_epoch(session: tf.Session, model: PTBModel, eval_op: Any = None,
              verbose: bool = False) -> float:
  """Runs a model over its input once, and carries the state along.

  Args:
    eval_op: run with every window; in training `model.train_op`.
    verbose: whether to print perplexity and words per second ten times; on a
      terminal, a bar shows them.

  Returns:
    The perplexity.

  Raises:
    UserError: the input has placeholders, or has no whole window.
  """
  size, targets = model.input.epoch_size, model.batch_size * model.num_steps
  if size is None:
    raise UserError("run_epoch: cannot feed placeholders; give PTBInput the "
                    "data, or feed windows of reader.ptb_iterator yourself")
  if size < 1:
    raise UserError("run_epoch: the data are too short for one window of "
                    f"batch_size={model.batch_size} x num_steps="
                    f"{model.num_steps}; lower one of them")
  fetches = {"cost": model.cost, "final_state": model.final_state}
  if eval_op is not None:
    fetches["eval_op"] = eval_op
  start, sums = time.monotonic(), {"nats": 0.0, "targets": 0}
  state = session.run(model.initial_state)
  with contextlib.ExitStack() as stack:
    progress = verbose and stack.enter_context(
        Progress("Epoch", size, lines=True))
    for window in range(size):
      results = session.run(fetches, {model.initial_state: state})
      state = results["final_state"]
      sums["nats"] += float(results["cost"]) * model.batch_size
      sums["targets"] += targets
      if progress:
        progress.report(
            window, sums, sums["targets"] / (time.monotonic() - start))
  return PERPLEXITY.compute(sums)
