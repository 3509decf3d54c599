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
    NAME.????????.partial  half-written, see `files.atomic_write`

`RunDirectory` reads all this. `training_run.TrainingRun` writes it.
"""

import dataclasses
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

import configs
import reader
from rnn import files
from rnn.errors import UserError
from rnn.files import DamagedError
from rnn.runs import config_file
from rnn.runs.checkpoints import Checkpoint, RunError, absolute
from rnn.text import corpora, sources
from rnn.text.vocabulary import Words
from rnn.tf1 import tf

_T = TypeVar("_T")

_NAME = re.compile(r"(best-)?step-(\d+)(?:-epoch-(\d+))?")

# The errors of using JSON that has another structure than expected.
_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunSettings:
  """The settings that a run was trained with.

  Attributes:
    config: the hyperparameters: a `configs.Config`, or the task's own record.
    data_path: the folder of the texts, or the path of the task's data.
    encoding: their encoding; None if they are UTF-8.
    precision: one of `options.PRECISIONS`.
  """

  config: Any
  data_path: str
  precision: str
  encoding: str | None = None


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

  def content(self, task: str | None = None) -> dict:
    """Returns the content of config.json, with defaults for older runs.

    Args:
      task: the task that the run must have been trained for.

    Raises:
      RunError: the file does not exist, is unreadable, or has another task.
    """
    content = config_file.read(self._folder, self.path)
    if task not in (None, content["task"]):
      raise RunError(f"{self.path}: holds a run of another task, "
                     f"{content['task']!s:.99}, not {task}; choose another "
                     "folder", "save_path")
    return content

  def settings(self, task: str = config_file.LANGUAGE_MODEL) -> RunSettings:
    """Returns the settings of the run.

    Args:
      task: the task that the run must have been trained for.

    Raises:
      RunError: config.json lacks them, or has another task.
    """
    content = self.content(task)
    try:
      record = config_file.record(task)
      return RunSettings(record.from_dict(content["settings"]),
                         content["data"]["path"], content["precision"],
                         content["data"].get("encoding"))
    except KeyError as error:
      reason = f"lacks {error}"
    except configs.ConfigError as error:
      reason = str(error)
    raise RunError(f"{self._join('config.json')}: {reason}; restore it from a "
                   "copy")

  def stored(self, name: str) -> Any:
    """Returns a property of the run in config.json, such as "seed".

    Raises:
      RunError: config.json lacks it.
    """
    content = self.content()
    if name not in content:
      raise RunError(f"{self._join('config.json')}: lacks {name!r}; restore it "
                     "from a copy")
    return content[name]

  def check_data(self, path: str,
                 fingerprints: Mapping[str, Mapping[str, Any]]) -> None:
    """Compares data that were read for this run with what it was trained on.

    Args:
      path: where the data were read.
      fingerprints: a dict, split -> a dict with the "sha256" of the split.

    Raises:
      RunError: a split differs.
    """
    there = self.stored("data")
    for split, fingerprint in fingerprints.items():
      known = there.get(split)
      if not (isinstance(known, dict)
              and known.get("sha256") == fingerprint["sha256"]):
        raise RunError(f"{path}: differs in {split} from the data that "
                       f"{self.path} was trained on; give the "
                       "path of those", "data_path")

  def vocabulary(self) -> Words:
    """Returns the vocabulary, of one of the classes in VOCABULARIES.

    Raises:
      RunError: the file does not exist, is unreadable, or has other words than
        the run.
    """
    tokens, digest = self.content()["tokens"], self.vocabulary_digest()
    if tokens not in reader.VOCABULARIES:
      raise RunError(f"{self._join('config.json')}: tokens {tokens!s:.99}: "
                     "must be one of " + ", ".join(reader.VOCABULARIES))
    path = self._join("vocab.txt")
    try:
      vocabulary = reader.VOCABULARIES[tokens].load(path)
      if digest and digest != files.json_digest(vocabulary.words):
        raise reader.DataError(f"{path}: not as training wrote it")
    except reader.DataError as error:
      problem, _, _ = str(error).partition("; ")
      raise RunError(f"{problem}; restore it from a copy, or repeat the "
                     "command that trained the run") from None
    return vocabulary

  def vocabulary_digest(self) -> str | None:
    """Returns the digest of the run's words; None if an older run has none."""
    if digest := self.content()["vocabulary"]:
      return digest
    try:  # an older run has it only where it may be deleted
      return files.read_sealed(self._join("ids.json"))["vocabulary"]
    except (DamagedError, *_MALFORMED):
      return None

  def checkpoints(self) -> list[Checkpoint]:
    """Returns the checkpoints, newest first.

    Raises:
      RunError: the folder exists, but cannot be read.
    """
    folder, checkpoints = self._join("checkpoints"), []
    try:
      names = os.listdir(folder)
    except FileNotFoundError:
      names = []
    except OSError as error:
      raise RunError(f"{folder}: cannot be read: {error.strerror}") from None
    for name in names:
      if match := _NAME.fullmatch(name):
        best, step, epoch = match.groups()
        checkpoints.append(Checkpoint(
            os.path.join(folder, name), int(step),
            int(epoch) if epoch else None, bool(best)))
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
    return self._newest(lambda checkpoint: self.load(
        session, checkpoint, variables))

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
    newest = self._newest(lambda checkpoint: self.read(checkpoint, variables))
    return newest and (newest[0], *newest[1])

  def _newest(self, read: Callable[[Checkpoint], _T]
              ) -> tuple[Checkpoint, _T] | None:
    """Reads checkpoints until one is readable, see `read_newest`."""
    tried: dict[Checkpoint, str] = {}
    # Training may save and delete checkpoints in the meantime, so the list is
    # read again after each failure.
    while checkpoint := next(
        (c for c in self.checkpoints() if c not in tried), None):
      try:
        result = read(checkpoint)
      except DamagedError as error:
        tried[checkpoint] = str(error)
        continue
      for reason in _damage(tried):
        _log.warning("damaged checkpoint: %s; using %s", reason,
                     checkpoint.path)
      return checkpoint, result
    if damage := _damage(tried):
      raise RunError(f"{self.path}: no checkpoint is readable; restore one, or "
                     "train anew in another folder; tried " + "; ".join(damage))
    return None

  def read(self, checkpoint: Checkpoint, variables: Iterable[tf.Variable]
           ) -> tuple[dict, dict[str, np.ndarray]]:
    """Reads one checkpoint of this run.

    Returns:
      journal, values: as in `read_newest`.

    Raises:
      DamagedError: it cannot be read.
      RunError: it is of another model, or does not agree with config.json.
    """
    return self._journal(checkpoint, variables), checkpoint.read(variables)

  def load(self, session: tf.Session, checkpoint: Checkpoint,
           variables: Iterable[tf.Variable]) -> dict:
    """Loads one checkpoint of this run into a session; returns its journal.

    Raises:
      DamagedError, RunError: as in `read`.
    """
    journal = self._journal(checkpoint, variables)
    checkpoint.load(session, variables)
    return journal

  def _journal(self, checkpoint: Checkpoint,
               variables: Iterable[tf.Variable]) -> dict:
    """Returns the journal of a checkpoint of this run and this model."""
    journal = checkpoint.journal()
    checkpoint.check(variables)
    differences, _ = config_file.differences(
        journal["config"], self.content(), config_file.CHANGEABLE)
    if differences:
      raise RunError(f"{checkpoint.path}: holds another run than config.json, "
                     f"which differs in {', '.join(differences)}; restore "
                     "config.json from a copy")
    return journal

  def restore_best(self, session: tf.Session,
                   variables: Sequence[tf.Variable]) -> Checkpoint:
    """Loads the best model into a session; the newest if none is marked best.

    Raises:
      RunError: there is no checkpoint yet, none is readable, or it is of
        another model.
    """
    if best := self.best():
      try:
        self.load(session, best, variables)
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
      return {int(epoch): float(figure) for epoch, figure
              in files.read_sealed(self._join("tests.json")).items()}
    except (DamagedError, *_MALFORMED):
      return {}  # they can be measured again

  def saved_texts(self, data_path: str, encoding: str | None = None,
                  choice: reader.Choice = reader.Choice()
                  ) -> tuple[dict[str, reader.Text], Words] | None:
    """Returns the result of `reader.read_corpus` without reading the texts.

    The texts count as unchanged since an earlier process read them if their
    names, inodes, sizes and times are the same; see `files.stamp`. An indexed
    text has ids of its own.

    Args:
      data_path, encoding, choice: see `reader.read_corpus`.

    Returns:
      texts, vocabulary; None if the texts have changed, if the vocabulary was
      chosen in another way, or if the run has no usable ids of them.

    Raises:
      DataError: as in `corpora.find`.
    """
    if sources.is_indexed(data_path):
      return reader.read_index(data_path, choice)
    found = corpora.find(data_path, encoding)
    try:
      saved = files.read_sealed(self._join("ids.json"))
      if saved["stamps"] != {
          split: source.stamp() for split, source in found.items()}:
        return None
      texts = {}
      # A copy: the file itself may change under a process that maps it.
      with (files.open_regular(self._join("ids.int32")) as file,
            files.temporary_file() as copy):
        shutil.copyfileobj(file, copy)
        copy.flush()
        ids = files.memory_map(copy)
      for split, fingerprint in saved["identities"].items():
        split_ids, ids = np.split(ids, [fingerprint["tokens"]])
        texts[split] = reader.Text(split_ids, saved["unknown"][split],
                                   fingerprint, saved["stamps"][split])
      vocabulary = self.vocabulary()
    except (DamagedError, UserError, OSError, *_MALFORMED):
      return None
    if saved != describe_ids(texts, vocabulary, choice.describe()):
      return None
    for split, text in texts.items():
      reader.log_size(split, len(text.ids), text.unknown)
    reader.warn_of_unlearned(texts, vocabulary)
    return texts, vocabulary

  def _join(self, *names: str) -> str:
    return os.path.join(self._folder, *names)


def _damage(tried: Mapping[Checkpoint, str]) -> list[str]:
  """Returns the reasons for which checkpoints that still exist are damaged."""
  return [reason for checkpoint, reason in tried.items()
          if os.path.lexists(checkpoint.path)]


def describe_ids(texts: Mapping[str, reader.Text], vocabulary: Words,
                 choice: Mapping[str, object]) -> dict:
  """Returns the content of ids.json, by which the ids are checked.

  Args:
    choice: see `Choice.describe`. If it is empty, as in older runs, the file
      does not mention it.
  """
  digest = hashlib.sha256()
  for text in texts.values():
    digest.update(np.asarray(text.ids).data)
  return {
      "identities": {split: text.fingerprint for split, text in texts.items()},
      "unknown": {split: text.unknown for split, text in texts.items()},
      "stamps": {split: text.stamp for split, text in texts.items()},
      "vocabulary": files.json_digest(vocabulary.words),
      "sha256": digest.hexdigest(),
      **({"choice": choice} if choice else {})}
