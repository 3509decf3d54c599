"""The run directory: settings, vocabulary, checkpoints and metrics of a run.

    config.json         the model, its settings, the seed, the data
    vocab.txt           the words of the vocabulary, in order of id
    checkpoints/        step-N (within an epoch), step-N-epoch-M (at the end of
                        epoch M), best-step-N-epoch-M (the best by validation),
                        and aside-... (unusable ones, left to the user)
    metrics.csv         one row per epoch; learning_curve.png draws them
    tests.json          the metric on the test split, by epoch
    ids.int32           the texts as word ids (train, valid, test), so that a
                        restart need not read them; may be deleted
    ids.json            which texts these are: name, time and digest
    events.out.*        for TensorBoard, with projector_config.pbtxt and its
                        metadata.tsv; `checkpoint` names the newest checkpoint
    lock                held by the process that writes here; has its pid

`RunDirectory` reads all this. `training_run.TrainingRun` writes it.
"""

import dataclasses
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence

import numpy as np

import configs
import reader
from rnn import files
from rnn.errors import UserError
from rnn.files import DamagedError
from rnn.options import PRECISIONS
from rnn.runs import config_file
from rnn.runs.checkpoints import Checkpoint, RunError, absolute, assign
from rnn.text.vocabulary import Words
from rnn.tf1 import tf

_NAME = re.compile(r"(best-)?step-(\d+)(?:-epoch-(\d+))?")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunSettings:
  """The settings that a run was trained with.

  Attributes:
    config: the hyperparameters.
    data_path: the folder of the texts.
    precision: one of `options.PRECISIONS`.
  """

  config: configs.Config
  data_path: str
  precision: str


class RunDirectory:
  """Read-only view of a run directory.

  It needs no lock, even while another process trains.
  """

  def __init__(self, path: str) -> None:
    """Does not touch the folder yet.

    Raises:
      RunError: TensorFlow cannot find checkpoints in a folder with this name.
    """
    self.path = path
    self._folder = absolute(path)

  def config(self, task: str | None = None) -> dict:
    """Returns the content of config.json, with defaults for older runs.

    Args:
      task: the task that the run must have been trained for.

    Raises:
      RunError: the file does not exist, is unreadable, or has another task.
    """
    config = config_file.read(self._folder, self.path)
    if task not in (None, config["task"]):
      raise RunError(f"{self.path}: holds a run of another task, "
                     f"{config['task']!s:.99}, not {task}; choose another "
                     "folder", "save_path")
    return config

  def settings(self, task: str = config_file.LANGUAGE_MODEL) -> RunSettings:
    """Returns the settings of the run.

    Args:
      task: the task that the run must have been trained for.

    Raises:
      RunError: config.json lacks them, or has another task.
    """
    content = self.config(task)
    try:
      precision = content["precision"]
      if precision not in PRECISIONS:
        raise ValueError(f"precision={precision}: must be one of "
                         + ", ".join(PRECISIONS))
      return RunSettings(configs.Config(**content["settings"]),
                         os.fspath(content["data"]["path"]), precision)
    except (KeyError, TypeError, ValueError) as error:  # or a ConfigError
      raise RunError(f"{self.path}: the content of its config.json cannot be "
                     f"used: {error}") from None

  def vocabulary(self) -> Words:
    """Returns the vocabulary, of one of the classes in VOCABULARIES.

    Raises:
      RunError: the file does not exist, or is unreadable.
    """
    tokens = self.config()["tokens"]
    if tokens not in reader.VOCABULARIES:
      raise RunError(f"{self._join('config.json')}: tokens {tokens!s:.99}: "
                     "must be one of " + ", ".join(reader.VOCABULARIES))
    try:
      return reader.VOCABULARIES[tokens].load(self._join("vocab.txt"))
    except reader.DataError as error:
      raise RunError(error) from None

  def checkpoints(self) -> list[Checkpoint]:
    """Returns the checkpoints, newest first.

    Raises:
      RunError: the folder exists, but cannot be read.
    """
    checkpoints = []
    try:
      for name in os.listdir(self._join("checkpoints")):
        if match := _NAME.fullmatch(name):
          best, step, epoch = match.groups()
          checkpoints.append(Checkpoint(
              self._join("checkpoints", name), int(step),
              int(epoch) if epoch else None, bool(best)))
    except PermissionError as error:
      raise RunError(
          f"{self._join('checkpoints')}: {error.strerror}") from None
    except OSError:  # the folder does not exist
      return []
    return sorted(checkpoints, reverse=True,
                  key=lambda c: (c.step, c.epoch is not None, not c.best))

  def best(self) -> Checkpoint | None:
    """Returns the best checkpoint by validation; None if there is none yet."""
    return next((c for c in self.checkpoints() if c.best), None)

  def restore(self, session: tf.Session, variables: Sequence[tf.Variable]
              ) -> tuple[Checkpoint, dict] | None:
    """Loads the newest readable checkpoint into a session.

    Returns:
      checkpoint, journal; None if there is no checkpoint. See `read_newest`,
      also for the errors.
    """
    newest = self.read_newest(variables)
    if not newest:
      return None
    checkpoint, journal, values = newest
    assign(session, variables, values)
    return checkpoint, journal

  def read_newest(self, variables: Sequence[tf.Variable]
                  ) -> tuple[Checkpoint, dict, dict[str, np.ndarray]] | None:
    """Reads the newest readable checkpoint. Warnings name unreadable ones.

    Returns:
      checkpoint, journal, values: the Checkpoint, its `journal()`, and the
      values of the variables by name. None if there is no checkpoint at all.

    Raises:
      RunError: no checkpoint is readable, or the newest readable one is of
        another model.
    """
    reasons = []
    for checkpoint in self.checkpoints():
      try:
        journal = checkpoint.journal()
        values = checkpoint.read(variables)
      except DamagedError as error:
        if not os.path.isdir(checkpoint.path):  # deleted in the meantime
          return self.read_newest(variables)
        reasons.append(str(error))
        continue
      for reason in reasons:
        _log.warning("damaged checkpoint: %s; using %s", reason,
                     checkpoint.path)
      return checkpoint, journal, values
    if reasons:
      raise RunError(f"{self.path}: no checkpoint is readable; tried "
                     + "; ".join(reasons))
    return None

  def restore_best(self, session: tf.Session,
                   variables: Sequence[tf.Variable]) -> Checkpoint:
    """Loads the best model into a session; the newest if none is marked best.

    Raises:
      RunError: there is no checkpoint yet, none is readable, or it is of
        another model.
    """
    if best := self.best():
      try:
        best.load(session, variables)
        return best
      except DamagedError as error:
        _log.warning("damaged checkpoint: %s; using the newest", error)
    restored = self.restore(session, variables)
    if not restored:
      raise RunError(f"{self.path}: has no checkpoint yet")
    return restored[0]

  def tests(self) -> dict[int, float]:
    """Returns the metric on the test split, by epoch, for those measured."""
    try:
      return {int(epoch): figure for epoch, figure
              in files.read_sealed(self._join("tests.json")).items()}
    except DamagedError:
      return {}  # they can be measured again

  def corpus(self, data_path: str
             ) -> tuple[dict[str, reader.Text], Words] | None:
    """Returns the result of `reader.read_corpus` without reading the texts.

    The texts count as unchanged since an earlier process read them if their
    names, inodes, sizes and times are the same; see `files.stamp`.

    Returns:
      texts, vocabulary; None if the texts have changed, or if the run has no
      usable ids of them.

    Raises:
      DataError: as in `reader.find_corpus`.
    """
    paths = reader.find_corpus(data_path)
    try:
      saved = files.read_sealed(self._join("ids.json"))
      if saved["stamps"] != {s: files.stamp(p) for s, p in paths.items()}:
        return None
      texts = {}
      # A copy: the file itself may change under a process that maps it.
      with (open(self._join("ids.int32"), "rb") as file,
            files.temporary_file() as copy):
        shutil.copyfileobj(file, copy)
        copy.flush()
        ids = files.memory_map(copy)
      for split, fingerprint in saved["identities"].items():
        split_ids, ids = np.split(ids, [fingerprint["tokens"]])
        texts[split] = reader.Text(split_ids, saved["unknown"][split],
                                   fingerprint, saved["stamps"][split])
      vocabulary = self.vocabulary()
    except (DamagedError, UserError, ValueError, OSError):
      return None
    if saved != describe_ids(texts, vocabulary):
      return None
    for split, text in texts.items():
      reader.log_size(split, len(text.ids), text.unknown)
    return texts, vocabulary

  def _join(self, *names: str) -> str:
    return os.path.join(self._folder, *names)


def describe_ids(texts: Mapping[str, reader.Text], vocabulary: Words) -> dict:
  """Returns the content of ids.json, by which the ids are checked."""
  digest = hashlib.sha256()
  for text in texts.values():
    digest.update(text.ids.data)
  return {
      "identities": {split: text.fingerprint for split, text in texts.items()},
      "unknown": {split: text.unknown for split, text in texts.items()},
      "stamps": {split: text.stamp for split, text in texts.items()},
      "vocabulary": files.json_digest(vocabulary.words),
      "sha256": digest.hexdigest()}
