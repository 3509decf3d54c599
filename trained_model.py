"""A trained model, as a run or the classic script left it, ready for use.

    trained = trained_model.load("runs/small")
    with trained.open(num_steps=1, batch_size=3) as windows:
      found = windows.run(["logits", "final_state"], words)  # words: [1, 3]

Checkpoints of the classic script are read by their names of variables.
"""

import contextlib
import dataclasses
import os
import re

import numpy as np

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
  def open(self, num_steps, batch_size, **kwargs):
    """A context with a Windows of these sizes; `kwargs` are its others."""
    windows = Windows(self, num_steps, batch_size, **kwargs)
    try:
      yield windows
    finally:
      windows.close()


class Windows:
  """A trained model in a session of its own, to be run window by window.

  Attributes:
    num_steps: T.
  """

  def __init__(self, trained, num_steps, batch_size, learning_rate=None):
    """Builds the graph.

    Args:
      trained: a TrainedModel.
      num_steps, batch_size: T and B of a window.
      learning_rate: with it, a step of gradient descent can be taken too, on
        the sum of a window's losses, by fetching "train_op". It is clipped as
        in training; there is no dropout.
    """
    self.num_steps = num_steps
    trains = learning_rate is not None
    with tf.Graph().as_default() as graph:
      self._words = [tf.placeholder(tf.int32, [num_steps, batch_size])
                     for _ in range(2)]
      self._model = PTBModel(
          dataclasses.replace(trained.config, keep_prob=1.0),
          len(trained.vocabulary), *self._words, is_training=trains,
          learning_rate=learning_rate)
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
    if state is not None:
      feed[self._model.initial_state] = state
    return self._session.run(
        {name: getattr(self._model, name) for name in names}, feed)

  def close(self):
    """Frees the session."""
    self._session.close()


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
    values = checkpoints.read_variables(
        prefix, _variables(config, vocabulary), _classic_names)
  except (checkpoints.DamagedError, checkpoints.RunError) as error:
    raise checkpoints.RunError(f"{prefix}: {error}") from None
  return TrainedModel(prefix, config, vocabulary, values)


def classic_checkpoint(path):
  """The path of a checkpoint that is not of a run; None if there is none.

  In a folder it is the one of the highest step: what the file `checkpoint`
  says is the path on the machine that wrote it.
  """
  if os.path.isfile(f"{path}.index"):
    return path
  if not os.path.isdir(path) or os.path.exists(
      os.path.join(path, "config.json")):
    return None
  found = {}
  for name in os.listdir(path):
    if match := re.fullmatch(r"(.*?(?:-(\d+))?)\.index", name):
      found[int(match[2] or -1), match[1]] = os.path.join(path, match[1])
  return found[max(found)] if found else None


def _of_run(run, which, average_last):
  """The TrainedModel of a RunDirectory."""
  config, _ = run_config(run)
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
    values = (_mean([checkpoint.read(variables) for checkpoint in used])
              if used else None)
  except checkpoints.DamagedError as error:
    raise checkpoints.RunError(f"damaged checkpoint: {error}; leave out "
                               "--checkpoint and --average_last") from None
  if not used:
    checkpoint, _, values = run.read_newest(variables)
    used = [checkpoint]
  name = ", ".join(f"epoch {c.epoch}" if c.epoch else f"step {c.step}"
                   for c in used)
  return TrainedModel(f"{run.path} ({name})", config, vocabulary, values)


def _last(run, which, number):
  """The last checkpoints of a run, those kept as the best left aside."""
  if which != "last":
    raise checkpoints.RunError(
        f"{run.path}: --average_last averages the last checkpoints; leave out "
        "--checkpoint")
  found = [c for c in run.checkpoints() if not c.best]
  if len(found) < number:
    raise checkpoints.RunError(
        f"{run.path}: --average_last={number}, but it keeps {len(found)} "
        "checkpoints; lower it, or train with a larger --keep")
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
