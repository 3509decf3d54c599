"""A trained model, as a run or the classic script left it, ready for use.

    trained = trained_model.load("runs/small")
    with trained.open(num_steps=1) as windows:
      found = windows.run(["logits", "final_state"], words)  # words: [1, B]

Checkpoints of the classic script are read by their names of variables.
"""

import contextlib
import dataclasses
import os
import re

import numpy as np

import cells
import checkpoints
import configs
import reader
from ptb_word_lm import PTBModel, run_config
from tensorflow_v1 import repeatable_session, tf


@dataclasses.dataclass(frozen=True)
class TrainedModel:
  """A config, a vocabulary, and values of the parameters.

  Attributes:
    name: where it is from, as shown to the user.
    values: a dict, name of the variable -> array.
  """

  name: str
  config: configs.Config
  vocabulary: reader.Vocabulary
  values: dict

  @contextlib.contextmanager
  def open(self, num_steps, learning_rate=None):
    """A context with a Windows, which has the same arguments."""
    windows = Windows(self, num_steps, learning_rate)
    try:
      yield windows
    finally:
      windows.close()


class Windows:
  """A trained model in a session of its own, to be run window by window.

  Attributes:
    num_steps: T.
  """

  def __init__(self, trained, num_steps, learning_rate=None):
    """Builds the graph.

    Args:
      trained: a TrainedModel.
      num_steps: T of a window; its B is free.
      learning_rate: with it, a step of gradient descent can be taken too, on
        the sum of a window's losses, by fetching "train_op". It is clipped as
        in training; there is no dropout.
    """
    self.num_steps = num_steps
    trains = learning_rate is not None
    with tf.Graph().as_default() as graph:
      self._words = [tf.placeholder(tf.int32, [num_steps, None])
                     for _ in range(2)]
      state = state_placeholders(trained.config)
      self._model = PTBModel(
          dataclasses.replace(
              trained.config, keep_prob=1.0, optimizer="sgd"),
          len(trained.vocabulary), *self._words, state,
          is_training=trains, learning_rate=learning_rate)
      initialize = tf.global_variables_initializer()
      self._session = repeatable_session()
    graph.finalize()
    self._session.run(initialize)
    checkpoints.assign(self._session, self._model.variables, trained.values)

  def run(self, names, inputs, targets=None, state=None):
    """Goes through a window.

    Args:
      names: attributes of PTBModel, such as "losses"; those that are to do
        with targets need `targets`.
      inputs, targets: [T, B] word ids.
      state: the "final_state" of the window before; zero without it.

    Returns:
      A dict, name -> NumPy's value.
    """
    feed = dict(zip(self._words, (inputs, targets)))  # noqa: B905
    feed = {key: value for key, value in feed.items() if value is not None}
    feed[self._model.initial_state] = state or tf.nest.map_structure(
        lambda part: np.zeros([inputs.shape[1], part.shape[1]]),
        self._model.initial_state)
    return self._session.run(
        {name: getattr(self._model, name) for name in names}, feed)

  def close(self):
    """Frees the session."""
    self._session.close()


def state_placeholders(config):
  """What the initial state of a PTBModel can be fed by.

  Their names are those of the parts of a state, with the layer: c_0, h_0, ...
  """
  parts = cells.CELLS[config.cell].state._fields
  return tuple(
      cells.CELLS[config.cell].state(*(
          tf.placeholder(tf.float32, [None, size], f"{part}_{i}")
          for part in parts))
      for i, size in enumerate(config.layer_sizes))


def load(path, which="last", average_last=1, classic=None):
  """Reads a trained model.

  Args:
    path: the folder of a run; or the folder of the classic script's
      checkpoints, of which the newest counts, or one of them.
    which: of a run, "last" or "best" (by validation perplexity).
    average_last: of a run, how many of its last checkpoints to average the
      parameters of.
    classic: the configs.Config and the reader.Vocabulary of the classic
      script's checkpoint.

  Returns:
    A TrainedModel.

  Raises:
    checkpoints.RunError: there is none, or it cannot be used.
  """
  run = checkpoints.RunDirectory(path)
  prefix = classic_checkpoint(path)
  if not prefix:
    return _of_run(run, which, average_last)
  if not classic:
    raise checkpoints.RunError(
        f"{path}: holds a checkpoint of the classic script; say of which "
        "--model, and give its words by --vocab_path or --data_path")
  config, vocabulary = classic
  if which != "last" or average_last != 1:
    raise checkpoints.RunError(
        f"{path}: of the classic script's checkpoints one alone can be used; "
        "leave out --checkpoint and --average_last")
  try:
    vocabulary = _filled_up(
        vocabulary, checkpoints.shape_of(prefix, "Model/embedding")[0])
    values = checkpoints.read_variables(
        prefix, _variables(config, vocabulary), _classic_names)
  except (checkpoints.DamagedError, checkpoints.RunError) as error:
    raise checkpoints.RunError(f"{prefix}: {error}") from None
  return _finite(TrainedModel(prefix, config, vocabulary, values))


def _filled_up(vocabulary, size):
  """A vocabulary with words that do not occur, up to a size.

  The classic script has 10,000 rows, also for a text of fewer words.
  """
  unused = (f"<unused-{i}>" for i in range(len(vocabulary), size))
  return reader.Vocabulary((*vocabulary.words, *unused))


def classic_checkpoint(path):
  """The path of a checkpoint that is not of a run; None if there is none.

  In a folder it is the one of the highest step: what the file `checkpoint`
  says is the path on the machine that wrote it.
  """
  path = re.sub(r"\.(index|data-\d+-of-\d+)$", "", path)
  if os.path.isfile(f"{path}.index"):
    return path
  if not os.path.isdir(path) or os.path.exists(
      os.path.join(path, "config.json")):
    return None
  try:
    names = os.listdir(path)
  except OSError as error:
    raise checkpoints.RunError(f"{path}: {error.strerror}") from None
  found = {}
  for name in names:
    if match := re.fullmatch(r"(.*?(?:-(\d+))?)\.index", name):
      found[int(match[2] or -1), match[1]] = os.path.join(path, match[1])
  return found[max(found)] if found else None


def _of_run(run, which, average_last):
  """The TrainedModel of a RunDirectory."""
  config, *_ = run_config(run)
  vocabulary = run.vocabulary()
  variables = _variables(config, vocabulary)
  if average_last > 1:
    used = _last(run, which, average_last)
  elif which == "best":
    used = [run.best()]
  else:
    used = []
  if None in used or not run.checkpoints():
    raise checkpoints.RunError(f"{run.path}: has no checkpoint yet")
  try:
    if used:
      values = _mean([checkpoint.read(variables) for checkpoint in used])
    else:
      checkpoint, _, values = run.read_newest(variables)
      used = [checkpoint]
  except checkpoints.DamagedError as error:
    if not all(os.path.isdir(c.path) for c in used):  # let go of by a training
      return _of_run(run, which, average_last)
    raise checkpoints.RunError(f"damaged checkpoint: {error}; leave out "
                               "--checkpoint and --average_last") from None
  name = ", ".join(f"epoch {c.epoch}" if c.epoch else f"step {c.step}"
                   for c in used)
  return _finite(
      TrainedModel(f"{run.path} ({name})", config, vocabulary, values))


def _finite(trained):
  """The model, if its parameters can be used."""
  for name, value in trained.values.items():
    if not np.isfinite(value).all():
      raise checkpoints.RunError(
          f"{trained.name}: {name} is not finite; its training has diverged")
  return trained


def _last(run, which, number):
  """The last checkpoints of a run that end epochs; copies are left aside."""
  if which != "last":
    raise checkpoints.RunError(
        f"{run.path}: --average_last averages the last checkpoints; leave out "
        "--checkpoint")
  found = [c for c in run.checkpoints() if c.epoch and not c.best]
  if len(found) < number:
    raise checkpoints.RunError(
        f"{run.path}: --average_last={number}, but it keeps those of "
        f"{len(found)} epochs; lower it, or train with a larger --keep")
  return found[:number]


def _mean(values):
  """Of a list of dicts of arrays, the mean of each."""
  if len(values) == 1:
    return values[0]
  return {name: np.mean([v[name] for v in values], axis=0, dtype=np.float64)
          for name in values[0]}


def _variables(config, vocabulary):
  """The variables of a model, for their names and shapes."""
  with tf.Graph().as_default():
    word = tf.zeros([1, 1], tf.int32)
    return PTBModel(config, len(vocabulary), word, word).variables


def _classic_names(name):
  """Names of a variable in the versions of the classic script.

  `lstm_cell` is that of its block cell, whose gates have the same order;
  TensorFlow 1.0 had `weights` and `biases`.
  """
  for cell in "basic_lstm_cell", "lstm_cell":
    renamed = name.replace("basic_lstm_cell", cell)
    yield renamed
    yield renamed.replace("/kernel", "/weights").replace("/bias", "/biases")
