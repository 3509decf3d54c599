"""One checkpoint: its files, and reading parameters out of it.

A checkpoint is a folder. The files model.ckpt.* have the variables, in
TensorFlow's format. journal.json has the rest.
"""

import dataclasses
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn import files
from rnn.errors import UserError
from rnn.files import DamagedError
from rnn.tf1 import error_cause, tf

# Values that are loaded together, except for a larger one.
_GROUP_BYTES = 1 << 27

# The errors with which TensorFlow reacts to a damaged checkpoint.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)


class RunError(UserError):
  """A run directory or one of its checkpoints cannot be used."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A checkpoint's folder, and what its name says.

  Attributes:
    path: the folder.
    step: the number of training steps.
    epoch: the epoch that ended here, after validation; None within an epoch.
    best: whether this is the best epoch by validation.
  """

  path: str
  step: int
  epoch: int | None
  best: bool

  @property
  def variables(self) -> str:
    """The prefix by which TensorFlow knows the files of the variables."""
    return os.path.join(self.path, "model.ckpt")

  def journal(self) -> dict:
    """Returns the training state that is not in variables.

    It is a dict with "rows" and "seconds", see `loop.Trainer`, and "config",
    the content of config.json.

    Raises:
      DamagedError: the file is unreadable, or not what was written.
    """
    path = os.path.join(self.path, "journal.json")
    journal = files.read_sealed(path)
    if not (isinstance(journal, dict)
            and isinstance(journal.get("config"), dict)
            and isinstance(journal.get("rows"), list)):
      raise DamagedError(f"{path}: garbled")
    return journal

  def read(self, variables: Iterable[tf.Variable]) -> dict[str, np.ndarray]:
    """Reads the values of variables, see `read_variables`."""
    return {variable.op.name: value
            for variable, value in self._values(variables)}

  def load(self, session: tf.Session,
           variables: Iterable[tf.Variable]) -> None:
    """Loads the values of variables into a session.

    It goes in groups, so that not all values are in memory twice. If it fails,
    some variables may have been loaded.

    Raises:
      DamagedError, RunError: see `read_variables`.
    """
    group: list[tf.Variable] = []
    values: dict[str, np.ndarray] = {}
    for variable, value in self._values(variables):
      group.append(variable)
      values[variable.op.name] = value
      del value
      if sum(value.nbytes for value in values.values()) >= _GROUP_BYTES:
        assign(session, group, values)
        group, values = [], {}
    assign(session, group, values)

  def _values(self, variables: Iterable[tf.Variable]
              ) -> Iterator[tuple[tf.Variable, np.ndarray]]:
    """Generates variables with their values, see `each_value`."""
    try:
      yield from each_value(self.variables, variables)
    except DamagedError as error:
      raise DamagedError(f"{self.path}: {error}") from None
    except RunError as error:
      raise RunError(f"{self.path}: {error}") from None


def read_variables(
    prefix: str, variables: Iterable[tf.Variable],
    aliases: Callable[[str], Iterable[str]] = lambda name: [name],
) -> dict[str, np.ndarray]:
  """Reads the values of variables from a checkpoint: a dict by name.

  Args, raises: see `each_value`.
  """
  return {variable.op.name: value
          for variable, value in each_value(prefix, variables, aliases)}


def each_value(
    prefix: str, variables: Iterable[tf.Variable],
    aliases: Callable[[str], Iterable[str]] = lambda name: [name],
) -> Iterator[tuple[tf.Variable, np.ndarray]]:
  """Generates variables with their values in a checkpoint.

  Args:
    prefix: of the files, such as "model.ckpt".
    aliases: returns the names to look for instead of a variable's, the
      preferred one first.

  Raises:
    DamagedError: a value cannot be read.
    RunError: a variable is missing or has another shape; the message names
      every such variable. Then there was no value.
  """
  found, differences = [], []
  saved = _open(prefix)
  try:
    shapes = saved.get_variable_to_shape_map()
    dtypes = saved.get_variable_to_dtype_map()
  except _READ_ERRORS as error:
    raise DamagedError(error_cause(error)) from None
  for variable in variables:
    name = next(filter(shapes.__contains__, aliases(variable.op.name)), None)
    shape = variable.shape.as_list()
    if shapes.get(name) != shape:
      there = shapes.get(name, "missing")
      differences.append(f"{variable.op.name} ({there} there, {shape} here)")
    elif dtypes[name].is_floating != variable.dtype.is_floating:
      differences.append(f"{variable.op.name} ({dtypes[name].name} there)")
    else:
      found.append((variable, name))
  if differences:
    raise RunError("holds another model, which differs in "
                   + ", ".join(differences))
  for variable, name in found:
    try:
      value = saved.get_tensor(name)  # this verifies its checksum, too
    except _READ_ERRORS as error:
      raise DamagedError(error_cause(error)) from None
    yield variable, value
    del value


def shape_of(prefix: str, name: str) -> list[int]:
  """Returns the shape of a variable in a checkpoint.

  Raises:
    DamagedError: the checkpoint cannot be read.
    RunError: it has no such variable.
  """
  saved = _open(prefix)
  try:
    shapes = saved.get_variable_to_shape_map()
  except _READ_ERRORS as error:
    raise DamagedError(error_cause(error)) from None
  if not shapes.get(name):
    raise RunError(f"holds another model, which has no {name}")
  return shapes[name]


def _open(prefix: str) -> Any:
  """Returns TensorFlow's reader of a checkpoint.

  Raises:
    DamagedError: the checkpoint cannot be read.
  """
  for path in glob.glob(f"{glob.escape(prefix)}.*"):
    if not os.path.isfile(path):  # TensorFlow would wait for a pipe
      raise DamagedError(f"{os.path.basename(path)}: not a regular file")
  try:
    return tf.train.load_checkpoint(prefix)
  except _READ_ERRORS as error:
    raise DamagedError(error_cause(error)) from None


def assign(session: tf.Session, variables: Sequence[tf.Variable],
           values: Mapping[str, Any]) -> None:
  """Assigns values, a dict by name, to variables in a session."""
  # The initializer's input is fed: this adds no op to the graph.
  session.run([v.initializer for v in variables],
              {v.initializer.inputs[1]: values[v.op.name] for v in variables})


def average(values: Sequence[Mapping[str, np.ndarray]]) -> dict:
  """Returns the mean of each array over several dicts of parameters.

  Sums are float64. A single dict is returned as it is.
  """
  if len(values) == 1:
    return dict(values[0])
  return {name: np.mean([v[name] for v in values], axis=0, dtype=np.float64)
          for name in values[0]}


def check_finite(name: str, values: Mapping[str, np.ndarray]) -> None:
  """Raises a RunError if one of the parameters of a model is not finite.

  Args:
    name: the model's name for the error.
  """
  for variable, value in values.items():
    if not np.isfinite(value).all():
      raise RunError(f"{name}: {variable} is not finite, because training "
                     "diverged; use another checkpoint")


def absolute(path: str, setting: str = "save_path") -> str:
  """Returns the absolute path of a folder for TensorFlow's files.

  Even "ram://run" names a folder on disk, not in TensorFlow's file system in
  memory.

  Args:
    setting: the setting that has the path, for error messages.

  Raises:
    RunError: TensorFlow would not find files under this name.
  """
  folder = path if "\0" in path else os.path.abspath(path)
  # TensorFlow reads these characters as wildcards.
  if any(character in folder for character in "[]\\\0"):
    raise RunError(f"{path}: the name of the folder may not contain [ or ] or "
                   "\\ or NUL; choose another folder", setting)
  try:
    path.encode()
  except UnicodeEncodeError:
    raise RunError(f"{path}: the name of the folder must be UTF-8; choose "
                   "another folder", setting) from None
  return folder
