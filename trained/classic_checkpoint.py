"""Checkpoints of TensorFlow's classic script: files, variables, vocabulary."""

import glob
import os
import re
from collections.abc import Iterator, Sequence

import numpy as np

from rnn import memory
from rnn.files import DamagedError
from rnn.runs import checkpoints, selection
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.text.vocabulary import Vocabulary
from rnn.tf1 import tf

# Of a word in a vocabulary: its text, and its entries in a list and in a dict.
_WORD_BYTES = 100


def find(path: str) -> str | None:
  """Returns the prefix of a checkpoint that is not part of a run.

  Args:
    path: a checkpoint, one of its files, or a folder. In a folder the highest
      step counts. The file `checkpoint` there is ignored, because it names
      paths on the machine where the script ran.

  Returns:
    The prefix, such as "old/model.ckpt-13"; None if there is no checkpoint.

  Raises:
    RunError: the folder cannot be read.
  """
  if isinstance(selection.find(path)[1], Checkpoint):
    return None
  path = re.sub(r"\.(index|data-\d+-of-\d+)$", "", path)
  if os.path.isfile(f"{path}.index"):
    return path
  if not os.path.isdir(path) or os.path.exists(
      os.path.join(path, "config.json")):
    return None
  try:
    names = os.listdir(path)
  except OSError as error:
    raise RunError(f"{path}: {error.strerror}") from None
  by_step = {}
  for name in names:
    if match := re.fullmatch(r"(.*?(?:-(\d+))?)\.index", name):
      by_step[int(match[2] or -1), match[1]] = os.path.join(path, match[1])
  return by_step[max(by_step)] if by_step else None


def pad_vocabulary(vocabulary: Vocabulary, width: int,
                   prefix: str) -> Vocabulary:
  """Adds words that never occur, one per surplus row of the embedding.

  The classic script's embedding has 10,000 rows even if the text has fewer
  words.

  Args:
    width: of the embedding. If the checkpoint's has another width, it is of
      another model, and nothing is added.

  Raises:
    DamagedError, RunError: the checkpoint has no readable embedding.
    UserError: so many words need more memory than is available.
  """
  shape = checkpoints.shape_of(prefix, "Model/embedding")
  if shape[1:] != [width]:
    return vocabulary
  size = shape[0]
  stored = sum(map(os.path.getsize, glob.glob(
      f"{glob.escape(prefix)}.data-*")))
  if 2 * size * width > stored:  # a number has at least 16 bits
    raise DamagedError(f"Model/embedding has the shape {shape}, for which the "
                       f"files of the checkpoint are too short: {stored:,} "
                       "bytes; restore them from a copy")
  memory.check([memory.Part(
      _WORD_BYTES * (size - len(vocabulary)),
      f"{size:,} words, as many as Model/embedding in {prefix} has rows,",
      "restore the checkpoint from a copy")])
  unused = (f"<unused-{i}>" for i in range(len(vocabulary), size))
  return Vocabulary((*vocabulary.words, *unused))


def num_words(path: str) -> int | None:
  """Returns the number of words of the model in a checkpoint; None if unknown.

  Args:
    path: see `find`.
  """
  try:
    return checkpoints.shape_of(find(path) or path, "Model/embedding")[0]
  except (DamagedError, RunError):  # reading the model reports it
    return None


def read(prefix: str,
         variables: Sequence[tf.Variable]) -> dict[str, np.ndarray]:
  """Reads the values of variables: a dict by the names in this suite.

  Raises:
    RunError: the checkpoint is damaged, or is of another model.
  """
  try:
    return checkpoints.read_variables(prefix, variables, _classic_names)
  except DamagedError as error:
    raise RunError(str(error)) from None


def _classic_names(name: str) -> Iterator[str]:
  """Generates a variable's names in the versions of the classic script.

  `lstm_cell` is the scope of its block cell, whose gates have the same order.
  TensorFlow 1.0 said `weights` and `biases`.
  """
  for cell in "basic_lstm_cell", "lstm_cell":
    renamed = name.replace("basic_lstm_cell", cell)
    yield renamed
    yield renamed.replace("/kernel", "/weights").replace("/bias", "/biases")
