"""A trained model, loaded from a run or from a classic checkpoint.

    model = load("runs/small")
    with model.open(num_steps=1) as session:
      result = session.run(["logits", "final_state"], words)  # words: [1, B]

A TrainedModel is data, and needs no session. A ModelSession runs it.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import configs
from ptb_word_lm import PTBModel, model_variables
from rnn.errors import SettingError
from rnn.files import DamagedError
from rnn.layers import cells
from rnn.options import Options
from rnn.runs import checkpoints, selection
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory
from rnn.text.vocabulary import Vocabulary
from rnn.tf1 import repeatable_session, tf
from trained import classic_checkpoint


@dataclasses.dataclass(frozen=True)
class TrainedModel:
  """A config, a vocabulary, and the values of the parameters.

  Attributes:
    name: the origin of the model, as shown to the user.
    values: a dict, variable name -> array.
    precision: the precision that the model was trained in, and computes in;
      one of `options.PRECISIONS`.
  """

  name: str
  config: configs.Config
  vocabulary: Vocabulary
  values: Mapping[str, np.ndarray]
  precision: str = "float32"

  @contextlib.contextmanager
  def open(self, num_steps: int, learning_rate: float | None = None,
           has_padding: bool = False) -> Iterator["ModelSession"]:
    """Yields a `ModelSession` of these arguments, and closes it at the end."""
    session = ModelSession(self, num_steps, learning_rate, has_padding)
    try:
      yield session
    finally:
      session.close()


class ModelSession:
  """A trained model in its own session, which runs it window by window.

  Attributes:
    num_steps: T.
    resets: whether each sentence starts from a zero state; see `reset`.
  """

  def __init__(self, model: TrainedModel, num_steps: int,
               learning_rate: float | None = None,
               has_padding: bool = False) -> None:
    """Builds the graph.

    Args:
      num_steps: T of a window. B may vary.
      learning_rate: if given, fetching "train_op" takes a step of gradient
        descent on the sum of the window's losses, divided by B. The gradient is
        clipped as in training; there is no regularization.
      has_padding: whether many targets are NO_TARGET; they then cost little.
    """
    self.num_steps = num_steps
    self.resets, self._eos = model.config.reset_state, model.vocabulary.eos
    # Steps are plain gradient descent, whatever optimizer trained the model:
    # the values of a trained model do not include an optimizer's averages.
    config = dataclasses.replace(model.config.without_regularization(),
                                 optimizer="sgd", freeze="nothing")
    with tf.Graph().as_default() as graph:
      self._inputs, self._targets = (
          tf.placeholder(tf.int32, [num_steps, None]) for _ in range(2))
      self._model = PTBModel(
          config, len(model.vocabulary), self._inputs, self._targets,
          state_placeholders(config), is_training=learning_rate is not None,
          learning_rate=learning_rate,
          # The losses are the scores of words.
          options=Options(precision=model.precision, full_softmax=True,
                          has_padding=has_padding))
      # The parameters are assigned below, so they are never in memory twice.
      names = {v.op.name for v in self._model.variables}
      initialize = tf.variables_initializer(
          [v for v in tf.global_variables() if v.op.name not in names])
      self._session = repeatable_session()
    graph.finalize()
    self._session.run(initialize)
    checkpoints.assign(self._session, self._model.variables, model.values)

  def run(self, names: Sequence[str], inputs: np.ndarray,
          targets: np.ndarray | None = None,
          state: Any = None) -> dict[str, Any]:
    """Runs a window.

    Args:
      names: attributes of PTBModel, such as "losses". Some need `targets`.
      inputs, targets: [T, B] word ids.
      state: the "final_state" of the window before, perhaps after `reset`;
        zero by default.

    Returns:
      A dict, name -> NumPy value.
    """
    if state is None:
      state = tf.nest.map_structure(
          lambda part: np.zeros([inputs.shape[1], part.shape[1]]),
          self._model.initial_state)
    feed = {self._inputs: inputs, self._model.initial_state: state}
    if targets is not None:
      feed[self._targets] = targets
    return self._session.run(
        {name: getattr(self._model, name) for name in names}, feed)

  def reset(self, state: Any, inputs: np.ndarray) -> Any:
    """Returns a state with zeros where a window begins with `<eos>`.

    Nothing changes if the model was trained without reset_state. If it was, no
    window may have `<eos>` as a later input.

    Args:
      state: the "final_state" of the window before, or None.
      inputs: [T, B] word ids.
    """
    if state is None or not self.resets:
      return state
    return tf.nest.map_structure(
        lambda part: part * (inputs[0] != self._eos)[:, None], state)

  def close(self) -> None:
    """Frees the session."""
    self._session.close()


def state_placeholders(config: configs.Config,
                       batch_size: int | None = None) -> tuple:
  """Returns placeholders for the initial state of a PTBModel.

  Each is [B, H]; with a projection, h is [B, P].

  The name of a placeholder is the part of the state and the number of the
  layer: c_0, h_0, c_1, ...
  """
  cell = cells.CELLS[config.cell]
  return tuple(
      cell.state(*(
          tf.placeholder(tf.float32, [batch_size, width], f"{part}_{i}")
          for part, width in cell.widths(*sizes).items()))
      for i, sizes in enumerate(config.sizes))


def load(path: str, checkpoint: str = "last", average_last: int = 1,
         classic: tuple[configs.Config, Vocabulary] | None = None
         ) -> TrainedModel:
  """Loads a trained model.

  Args:
    path: a run directory, or one of its checkpoints; or a checkpoint of the
      classic script, or a folder of them, in which the newest counts.
    checkpoint: for a run, "last" or "best" (by validation perplexity).
    average_last: for a run, the number of last epochs whose parameters are
      averaged.
    classic: the config and the vocabulary of a classic checkpoint.

  Raises:
    RunError: there is no model, or it cannot be used.
    SettingError: there is a model, but no such checkpoints.
    ConfigError: the classic script has no models of this config.
  """
  run, chosen = selection.find(path, checkpoint, average_last)
  prefix = classic_checkpoint.find(path)
  if not prefix:
    return _load_run(run, chosen, average_last)
  if not classic:
    raise RunError(f"{path}: holds a checkpoint of the classic script, which "
                   "can be loaded only with its config and vocabulary")
  for setting, value, default in (("checkpoint", checkpoint, "last"),
                                  ("average_last", average_last, 1)):
    if value != default:
      raise SettingError(
          setting, f"{path} holds a checkpoint of the classic script, not a "
          f"run; leave it out", value)
  config, vocabulary = classic
  if config.tie_weights:
    raise configs.ConfigError("tie_weights=true: the classic script has no "
                              "such setting; leave it out")
  try:
    vocabulary = classic_checkpoint.pad_vocabulary(
        vocabulary, config.input_size, prefix)
    values = classic_checkpoint.read(
        prefix, model_variables(config, len(vocabulary)))
  except (DamagedError, RunError) as error:
    raise RunError(f"{prefix}: {error}") from None
  checkpoints.check_finite(prefix, values)
  return TrainedModel(prefix, config, vocabulary, values)


def _load_run(run: RunDirectory, checkpoint: str | Checkpoint,
              average_last: int) -> TrainedModel:
  """Loads the model of a run."""
  settings = run.settings()
  config, vocabulary = settings.config, run.vocabulary()
  if not isinstance(vocabulary, Vocabulary):
    raise RunError(f"{run.path}: the tokens in its config.json are neither "
                   "words nor characters; restore it from a copy")
  name, values = selection.read(
      run, model_variables(config, len(vocabulary)), checkpoint, average_last)
  return TrainedModel(name, config, vocabulary, values, settings.precision)
