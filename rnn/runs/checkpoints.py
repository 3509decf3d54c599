"""One checkpoint: its files, and reading parameters out of it.

A checkpoint is a folder. The files model.ckpt.* have the variables, in
TensorFlow's format. journal.json has the rest.
"""

import contextlib
import dataclasses
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn import files
from rnn.errors import UserError
from rnn.files import DamagedError
from rnn.tf1 import error_cause, read_in_place, tf

# Variables are loaded in groups of at least this size.
_GROUP_BYTES = 1 << 27

# The errors with which TensorFlow reacts to a damaged checkpoint.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)


@contextlib.contextmanager
def _read_errors() -> Iterator[None]:
  """Turns errors of reading into a DamagedError, but not lack of memory."""
  try:
    yield
  except tf.errors.ResourceExhaustedError:
    raise
  except _READ_ERRORS as error:
    raise DamagedError(error_cause(error)) from None


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
      raise DamagedError(f"{path}: damaged")
    return journal

  def read(self, variables: Iterable[tf.Variable]) -> dict[str, np.ndarray]:
    """Reads the values of variables, see `read_variables`."""
    with self._naming():
      return read_variables(self.variables, variables)

  def check(self, variables: Iterable[tf.Variable]) -> None:
    """Checks that it has the variables, and no other shapes of them.

    Raises:
      DamagedError, RunError: see `read_variables`.
    """
    with self._naming():
      _find(_open(self.variables), variables)

  def load(self, session: tf.Session,
           variables: Iterable[tf.Variable]) -> None:
    """Loads the values of variables into a session; adds ops to its graph.

    No value is in memory twice, except while it replaces an older one. If it
    fails, some variables may have been loaded.

    Raises:
      DamagedError, RunError: see `read_variables`.
    """
    with self._naming():
      found = _find(_open(self.variables), variables)
      for group in _groups(found):
        _load(session, self.variables, group)

  @contextlib.contextmanager
  def _naming(self) -> Iterator[None]:
    """A context that puts the path into error messages."""
    try:
      yield
    except DamagedError as error:
      raise DamagedError(f"{self.path}: {error}") from None
    except RunError as error:
      raise RunError(f"{self.path}: {error}") from None


class _Found(NamedTuple):
  """A variable, and where its value is in a checkpoint."""

  variable: tf.Variable
  name: str
  dtype: tf.DType


def read_variables(
    prefix: str, variables: Iterable[tf.Variable],
    aliases: Callable[[str], Iterable[str]] = lambda name: [name],
) -> dict[str, np.ndarray]:
  """Reads the values of variables from a checkpoint: a dict by name.

  Args:
    prefix: of the files, such as "model.ckpt".
    aliases: returns the names to look for instead of a variable's, the
      preferred one first.

  Raises:
    DamagedError: a value cannot be read.
    RunError: a variable is missing or has another shape; the message names
      every such variable.
  """
  saved = _open(prefix)
  found = _find(saved, variables, aliases)
  with _read_errors():
    # Reading a tensor verifies its checksum, too.
    return {variable.op.name: saved.get_tensor(name)
            for variable, name, _ in found}


def _find(saved: Any, variables: Iterable[tf.Variable],
          aliases: Callable[[str], Iterable[str]] = lambda name: [name]
          ) -> list[_Found]:
  """Finds variables in a checkpoint that was opened, see `read_variables`."""
  found, differences = [], []
  with _read_errors():
    shapes = saved.get_variable_to_shape_map()
    dtypes = saved.get_variable_to_dtype_map()
  for variable in variables:
    name = next(filter(shapes.__contains__, aliases(variable.op.name)), "")
    shape = variable.shape.as_list()
    if shapes.get(name) != shape:
      there = shapes.get(name, "missing")
      differences.append(f"{variable.op.name} ({there} there, {shape} here)")
    elif dtypes[name].is_floating != variable.dtype.is_floating:
      differences.append(f"{variable.op.name} ({dtypes[name].name} there)")
    else:
      found.append(_Found(variable, name, dtypes[name]))
  if differences:
    raise RunError("holds another model, which differs in "
                   + ", ".join(differences))
  return found


def _groups(found: Iterable[_Found]) -> Iterator[list[_Found]]:
  """Generates groups of variables to load together."""
  group, size = [], 0
  for item in found:
    group.append(item)
    size += item.variable.shape.num_elements() * item.dtype.size
    if size >= _GROUP_BYTES:
      yield group
      group, size = [], 0
  if group:
    yield group


def _load(session: tf.Session, prefix: str, group: Sequence[_Found]) -> None:
  """Loads some variables from a checkpoint into a session.

  The values come from an op. Those of a feed would be arrays that NumPy shares
  with the variable, and the first update would copy it.
  """
  with session.graph.as_default():
    values = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=[name for _, name, _ in group],
        shape_and_slices=[""] * len(group), dtypes=[d for _, _, d in group])
    is_set = [tf.raw_ops.VarIsInitializedOp(resource=variable.handle)
              for variable, _, _ in group]
    assign_all = [
        tf.assign(variable, tf.cast(value, variable.dtype)).op
        for (variable, _, _), value in zip(group, values, strict=True)]
    reset = [read_in_place(variable) for variable, _, _ in group]
  with _read_errors():
    session.run([op for op, is_set in zip(
        reset, session.run(is_set), strict=True) if is_set])
    session.run(assign_all)


def shape_of(prefix: str, name: str) -> list[int]:
  """Returns the shape of a variable in a checkpoint.

  Raises:
    DamagedError: the checkpoint cannot be read.
    RunError: it has no such variable.
  """
  saved = _open(prefix)
  with _read_errors():
    shapes = saved.get_variable_to_shape_map()
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
  with _read_errors():
    return tf.train.load_checkpoint(prefix)


def assign(session: tf.Session, variables: Sequence[tf.Variable],
           values: Mapping[str, Any]) -> None:
  """Assigns values, a dict by name, to variables in a session."""
  # The initializer's input is fed: this adds no op to the graph.
  session.run([v.initializer for v in variables],
              {v.initializer.inputs[1]: values[v.op.name] for v in variables})


def average(values: Iterable[Mapping[str, np.ndarray]]) -> dict:
  """Returns the mean of each array over several dicts of parameters.

  Sums are float64. A single dict is returned as it is. Of values that are
  generated, memory holds one dict, next to the sums.
  """
  rest = iter(values)
  mean, number = dict(next(rest)), 1
  for value in rest:
    other = dict(value)
    del value  # so that each array can go when it is added
    for name in mean:
      if number == 1:
        mean[name] = mean[name].astype(np.float64)
      mean[name] += other.pop(name)
    number += 1
  if number > 1:
    for array in mean.values():
      array /= number
  return mean


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
