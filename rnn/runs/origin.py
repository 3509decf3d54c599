"""The parameters of another run, from which a new run starts.

Words are matched by name, because the new run may have another vocabulary.
"""

import dataclasses
import hashlib
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

import configs
from rnn.runs import selection
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.text.vocabulary import VOCABULARIES, Vocabulary
from rnn.tf1 import tf

# The axis of a parameter that has one entry per word.
WORD_AXES = {"Model/embedding": 0, "Model/softmax_w": 1, "Model/softmax_b": 0,
             "Model/softmax_rows": 0}
# Settings that give the parameters their shapes and meaning. The others say how
# to train them.
SIZES = ("cell", "num_layers", "hidden_size", "hidden_sizes", "embedding_size",
         "projection_size", "num_sampled", "tie_weights")

MakeVariables = Callable[[configs.Config, int], Sequence[tf.Variable]]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Origin:
  """The model of another run.

  Attributes:
    name: the run and the epochs used, as shown to the user.
    model: the name of its config.
    config, vocabulary: of that run.
    description: identifies it in config.json: a dict with "path", "checkpoint",
      "average_last", and "sha256" of the words and parameters.
    values: a dict, variable name -> array; empty if a run that started from it
      resumes.
  """

  name: str
  model: str
  config: configs.Config
  vocabulary: Vocabulary
  description: dict
  values: Mapping[str, np.ndarray]


def load(path: str, make_variables: MakeVariables, tokens: str = "words",
         checkpoint: str = "last", average_last: int = 1) -> Origin:
  """Reads the model of a run.

  Args:
    path: the folder of the run, or one of its checkpoints.
    make_variables: a function, (config, vocabulary size) -> the variables.
    tokens: "words" or "characters", which the run must have.
    checkpoint, average_last: see `selection.read`.

  Raises:
    RunError: it is no such run, or it has no checkpoint that can be used.
    SettingError: there are no such checkpoints.
  """
  run, chosen = selection.find(path, checkpoint, average_last)
  config, content = run.settings().config, run.content()
  vocabulary = _vocabulary(run, tokens)
  name, values = selection.read(
      run, make_variables(config, len(vocabulary)), chosen, average_last)
  return Origin(name, content["model"], config, vocabulary, {
      **_description(path, checkpoint, average_last),
      "sha256": _digest(vocabulary.words, values)}, values)


def recorded(run: RunDirectory, path: str, tokens: str = "words",
             checkpoint: str = "last", average_last: int = 1) -> Origin | None:
  """Returns the origin of a run that has begun, as far as the run knows it.

  So the run resumes without its origin, which may be gone or trained further.

  Args:
    run: the run to resume.
    path, checkpoint, average_last: as in `load`.

  Returns:
    The Origin without values; None if the run has no checkpoint, or started
    from something else.
  """
  try:
    if not run.checkpoints():
      return None
    content = run.content()
    description = content.get("init_from")
    wanted = _description(path, checkpoint, average_last)
    if not description or wanted.items() - description.items():
      return None
    return Origin(path, content["model"], run.settings().config,
                  _vocabulary(run, tokens), description, {})
  except RunError:
    return None  # the run itself reports this


def _description(path: str, checkpoint: str, average_last: int) -> dict:
  """Returns the part of the description that the user gives."""
  return {"path": os.path.abspath(path), "checkpoint": checkpoint,
          "average_last": average_last}


def _vocabulary(run: RunDirectory, tokens: str) -> Vocabulary:
  """Returns the vocabulary of a run."""
  vocabulary = run.vocabulary()
  if type(vocabulary) is not VOCABULARIES[tokens] or not isinstance(
      vocabulary, Vocabulary):
    raise RunError(f"{run.path}: its model is not one of {tokens}; name a run "
                   "of the same script", "init_from")
  return vocabulary


def _digest(words: Sequence[str], values: Mapping[str, np.ndarray]) -> str:
  """Returns the SHA-256 of words and parameters."""
  digest = hashlib.sha256("\n".join(words).encode())
  for name in sorted(values):
    digest.update(f"\0{name} {values[name].dtype} {values[name].shape}\0"
                  .encode())
    digest.update(np.ascontiguousarray(values[name]).data)
  return digest.hexdigest()


def initial_values(origin: Origin, vocabulary: Vocabulary, scale: float,
                   seed: int, as_unk: Collection[str] = ()
                   ) -> dict[str, np.ndarray]:
  """Returns the values from which the model of another vocabulary starts.

  A log line says how many of its words the origin knows. New words start at
  random, which benchmarks/fine_tuning.py found to be better than copies of
  `<unk>`: these share its high probability.

  Args:
    scale, seed: random numbers are uniform in +-scale.
    as_unk: the variables, of WORD_AXES, in which a new word starts as a copy of
      `<unk>` instead.

  Returns:
    A dict, variable name -> array.
  """
  ids, words = origin.vocabulary.ids, vocabulary.words
  if words == origin.vocabulary.words:
    _log.info("starts from %s, with its %s words", origin.name,
              f"{len(words):,}")
    return dict(origin.values)
  sources = np.array([ids.get(word, origin.vocabulary.unk) for word in words])
  is_new = np.array([word not in ids for word in words])
  _log.info("starts from %s: it knows %s of the %s words; the others start at "
            "random", origin.name, f"{len(words) - is_new.sum():,}",
            f"{len(words):,}")
  values = dict(origin.values)
  for number, (name, axis) in enumerate(WORD_AXES.items(), 3):
    if name not in values:
      continue
    value = np.take(origin.values[name], sources, axis)
    if name not in as_unk:
      noise = np.random.default_rng([seed, number]).uniform(
          -scale, scale, value.shape).astype(value.dtype)
      shape = [1] * value.ndim
      shape[axis] = -1
      value = np.where(is_new.reshape(shape), noise, value)
    values[name] = value
  return values
