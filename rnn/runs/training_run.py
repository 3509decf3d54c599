"""Writes a run directory during training. See `directory` for the files.

Everything except the events and the lock is complete and on the disk before it
gets its name, so no reader sees half a file, even after a kill.
"""

import contextlib
import csv
import errno
import functools
import io
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import reader
from rnn import files
from rnn.files import DamagedError
from rnn.runs import cleanup, config_file, learning_curve
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory, describe_ids
from rnn.runs.events import EventFile
from rnn.runs.lock import Lock
from rnn.runs.rows import ranking, valid_figures
from rnn.text.vocabulary import Words
from rnn.tf1 import error_cause, tf

_log = logging.getLogger(__name__)


class TrainingRun(RunDirectory):
  """A run directory that this process writes during training.

  Every method raises a RunError if the folder cannot be written.
  """

  def __init__(self, path: str, config: Mapping[str, Any],
               vocabulary: Words | None = None, fresh: bool = False,
               may_change: Iterable[str] = (), keep: int = 3, title: str = "",
               reference: tuple[str, float] | None = None,
               texts: Mapping[str, reader.Text] | None = None,
               metric: str = "perplexity",
               embedding: str = "Model/embedding") -> None:
    """Does not touch the folder yet.

    Args:
      path: the folder; it need not exist.
      config: the content of config.json, a dict of JSON types.
      vocabulary: the words of the run, if it has any.
      fresh: whether to refuse a folder that is not empty.
      may_change: see `config_file.differences`.
      keep: the number of newest checkpoints to keep, and of newest ends of
        epochs, in addition to the best.
      title, reference: see `learning_curve.draw`.
      texts: a dict, split -> reader.Text, whose ids are saved for
        `saved_texts`.
      metric: the metric's name in the rows, as in "valid_perplexity". The best
        epoch has the lowest.
      embedding: the variable with one row per word.
    """
    super().__init__(path)
    self._config = json.loads(json.dumps({  # turns tuples into lists
        **config, "format": config_file.FORMAT,
        "vocabulary": vocabulary and files.json_digest(vocabulary.words)}))
    self._vocabulary = vocabulary
    self._fresh = fresh
    self._may_change = tuple(may_change)
    self._keep = keep
    self._draw = functools.partial(
        learning_curve.draw, title=title, reference=reference, metric=metric)
    self._texts, self._metric, self._embedding = texts, metric, embedding
    self._events = EventFile(self._folder)
    self._lock = Lock(self._join("lock"), path)

  @contextlib.contextmanager
  def open(self) -> Iterator[None]:
    """A context in which no other process trains in the folder.

    Raises:
      RunError: the folder is in use, holds anything other than this run (the
        message lists the differences), or is not empty although `fresh`.
    """
    with contextlib.ExitStack() as stack:
      with self.writing():
        os.makedirs(self._folder, exist_ok=True)
        self._refuse_other_content()  # before it gets a lock file
        stack.enter_context(self._lock.hold())
        self._refuse_other_content()  # another process may just have ended
        if self.checkpoints():
          self._compare()
        elif os.path.exists(self._join("metrics.csv")):
          raise RunError(f"{self.path}: holds metrics.csv but no checkpoint; "
                         "choose another folder for the run", "save_path")
        cleanup.delete_leftovers(self._folder)
      yield

  @contextlib.contextmanager
  def adding(self) -> Iterator[None]:
    """A context in which to write other files after training.

    No other process trains in the folder meanwhile.
    """
    with self.writing(), self._lock.hold():
      yield

  def restore(self, session: tf.Session, variables: Sequence[tf.Variable]
              ) -> tuple[Checkpoint, dict] | None:
    """Loads the newest readable checkpoint, and brings the other files in line.

    Damaged checkpoints are set aside. Metrics of epochs after the checkpoint
    are removed. Work that a kill interrupted is completed.

    Raises:
      RunError: as in `RunDirectory.restore`; also if the checkpoint is of
        another run.
    """
    restored = super().restore(session, variables)
    if not restored:
      return None
    checkpoint, journal = restored
    self._refuse(checkpoint.path, self._differences(journal["config"])[0])
    with self.writing():
      for newer in itertools.takewhile(
          lambda other: other != checkpoint, self.checkpoints()):
        cleanup.move_aside(newer)
      self._keep_best(journal["rows"])
      self._name_newest(checkpoint)
      self._show(journal["rows"])
    tests = self.tests()
    kept = {epoch: figure for epoch, figure in tests.items()
            if epoch <= len(journal["rows"])}
    if kept != tests:
      self.keep_tests(kept)
    return restored

  def begin(self, step: int) -> None:
    """Writes the files that describe the run, before step `step` + 1."""
    with self.writing():
      files.write_json(self._join("config.json"), self._config)
      os.makedirs(self._join("checkpoints"), exist_ok=True)
      if self._vocabulary:
        self._save_vocabulary(self._vocabulary)
        if self._texts:
          self._save_ids(self._texts, self._vocabulary)
      self._events.restart_at(step + 1)

  def save(self, session: tf.Session, saver: tf.train.Saver, step: int,
           journal: Mapping[str, Any], ends_epoch: bool = False) -> None:
    """Saves a checkpoint, and deletes old ones.

    Args:
      saver: a tf.train.Saver of all global variables, with max_to_keep=0.
      step: the number of training steps.
      journal: a dict of JSON types. Its "rows" are the metrics, one dict per
        epoch, with "epoch" among the keys; the best epoch is determined from
        the validation metric.
      ends_epoch: whether the epoch of the last row ended at this step.
    """
    rows = journal["rows"]
    ended = f"-epoch-{rows[-1]['epoch']}" if ends_epoch else ""
    path = self._join("checkpoints", f"step-{step:09d}{ended}")
    if os.path.exists(path):
      return  # nothing has happened since
    with self.writing():
      with files.atomic_write(path) as partial:
        os.mkdir(partial)
        try:
          saver.save(session, os.path.join(partial, "model.ckpt"),
                     write_meta_graph=False, write_state=False)
        except ValueError:  # raised if the folder is gone
          raise FileNotFoundError(
              errno.ENOENT, os.strerror(errno.ENOENT)) from None
        files.write_sealed(os.path.join(partial, "journal.json"),
                           {**journal, "config": self._config})
      self._name_newest(Checkpoint(path, step, None, best=False))
      if ends_epoch:
        self._keep_best(rows)
        self._show(rows)
      self._delete_old()

  def log(self, step: int, figures: dict[str, float]) -> None:
    """Adds points to TensorBoard's curves: a dict, name -> number."""
    with self.writing():
      self._events.add_figures(step, figures)

  def set_aside(self, step: int) -> None:
    """Renames the mid-epoch checkpoint of a step, if any, to aside-..."""
    with self.writing():
      for checkpoint in self.checkpoints():
        if checkpoint.step == step and not checkpoint.epoch:
          cleanup.move_aside(checkpoint)

  def keep_tests(self, tests: Mapping[int, float]) -> None:
    """Saves the metric on the test split: a dict by epoch."""
    with self.writing():
      files.write_sealed(
          self._join("tests.json"),
          {str(epoch): figure for epoch, figure in tests.items()})

  def _save_vocabulary(self, vocabulary: Words) -> None:
    for name in "vocab.txt", "metadata.tsv":
      with files.atomic_write(self._join(name)) as partial:
        vocabulary.save(partial)
    with files.atomic_write(self._join("projector_config.pbtxt")) as partial:
      with open(partial, "w") as file:
        file.write(f'embeddings {{ tensor_name: "{self._embedding}" '
                   'metadata_path: "metadata.tsv" }\n')

  def _save_ids(self, texts: Mapping[str, reader.Text],
                vocabulary: Words) -> None:
    """Saves the ids for a restart. A failure is no reason to stop.

    If the process is killed between writing the two files, the ids do not match
    ids.json, and the restart reads the texts.
    """
    try:
      with files.atomic_write(self._join("ids.int32")) as partial:
        with open(partial, "wb") as file:
          for text in texts.values():
            file.write(np.asarray(text.ids, "<i4").data)
      files.write_sealed(self._join("ids.json"),
                         describe_ids(texts, vocabulary, self._config.get(
                             "vocabulary_choice", {})))
    except OSError as error:
      _log.warning("%s: cannot save the ids: %s; a restart will read the texts "
                   "again", self.path, error.strerror)

  def _compare(self) -> None:
    """Refuses to resume if the folder holds a different run."""
    refused, changed = self._differences(self.content())
    if self._vocabulary:
      refused += self._compare_words(self._vocabulary, may_repair=not refused)
    self._refuse(self.path, refused)
    if changed:
      _log.info("changed since the run was started:\n  %s",
                "\n  ".join(changed))

  def _compare_words(self, ours: Words, may_repair: bool) -> list[str]:
    """Returns the difference in words to the run in the folder.

    Args:
      may_repair: whether to write vocab.txt again if the words are the same,
        but the file is damaged.
    """
    same = self.vocabulary_digest() == self._config["vocabulary"]
    try:
      number = len(words := self.vocabulary().words)
      same = same or words == ours.words
    except RunError as error:
      if not same:
        raise
      if may_repair:
        problem, _, _ = str(error).partition("; ")
        _log.warning("%s; it is written again", problem)
        self._save_vocabulary(ours)
    return [] if same else [f"the vocabulary ({number} words there, "
                            f"{len(ours)} here, not the same)"]

  def _differences(self, there: dict) -> tuple[list[str], list[str]]:
    # `_compare_words` compares the vocabularies.
    return config_file.differences(
        there, self._config, [*self._may_change, "vocabulary"])

  def _refuse(self, path: str, differences: Sequence[str]) -> None:
    if differences:
      raise RunError(
          f"{path}: holds another run, which differs as listed below; leave "
          "out the flags that differ, or choose another folder for the run",
          "save_path", differences)

  def _refuse_other_content(self) -> None:
    """Refuses a folder that is neither empty nor a run directory."""
    names = {name for name in os.listdir(self._folder)
             if name != "lock" and not cleanup.is_leftover(name)}
    if names and self._fresh:
      raise RunError(f"{self.path}: not empty, but a fresh run needs a new "
                     "folder: remove this one, or choose another",
                     "save_path")
    task = config_file.with_defaults(self._config)["task"]
    if names and not ("config.json" in names
                      and self._config.keys() <= self.content(task).keys()):
      raise RunError(f"{self.path}: not empty, but holds no run; choose "
                     "another folder for the run", "save_path")

  def _show(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes metrics.csv and draws its curves, unless they are up to date."""
    if not rows:
      for name in "metrics.csv", "learning_curve.png":
        files.remove(self._join(name))
      return
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = table.getvalue().encode()
    with contextlib.suppress(OSError):  # then it is written again
      with files.open_regular(self._join("metrics.csv")) as file:
        if file.read() == content and os.path.isfile(
            self._join("learning_curve.png")):
          return
    with files.atomic_write(self._join("learning_curve.png")) as partial:
      self._draw(rows, partial)
    with files.atomic_write(self._join("metrics.csv")) as partial:
      with open(partial, "wb") as file:
        file.write(content)

  def _keep_best(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Copies the checkpoint of the best epoch, unless that was done before."""
    # The best- copy of an epoch comes after the original, so it replaces it.
    by_epoch = {c.epoch: c for c in self.checkpoints()}
    for epoch in ranking(valid_figures(rows, self._metric)):
      checkpoint = by_epoch.get(epoch)
      if not checkpoint:
        continue
      if not checkpoint.best:
        try:
          checkpoint.journal()
        except DamagedError as error:
          _log.warning("damaged checkpoint: %s; it is not the best", error)
          cleanup.move_aside(checkpoint)
          continue
        _copy_as_best(checkpoint)
      return

  def _name_newest(self, checkpoint: Checkpoint) -> None:
    """Writes the file `checkpoint`, which names the newest to TensorFlow.

    The file has its path relative to the run, so the run can be moved.
    """
    path = os.path.relpath(checkpoint.variables, self._folder)
    # Given a relative path of the run, TensorFlow would make `path` relative
    # to it once more.
    state = str(tf.train.generate_checkpoint_state_proto(self._folder, path))
    with files.atomic_write(self._join("checkpoint")) as partial:
      with open(partial, "w") as file:
        file.write(state)

  def _delete_old(self) -> None:
    """Deletes old checkpoints.

    The best stays, as many of the newest as `keep` says, and as many of the
    newest ends of epochs.
    """
    checkpoints = self.checkpoints()
    best = [c for c in checkpoints if c.best]
    others = [c for c in checkpoints if not c.best]
    ends = [c for c in others if c.epoch is not None]
    kept = {*best[:1], *others[:self._keep], *ends[:self._keep]}
    for checkpoint in checkpoints:
      if checkpoint not in kept:
        cleanup.delete_checkpoint(checkpoint)

  @contextlib.contextmanager
  def writing(self) -> Iterator[None]:
    """A context that turns write errors into a one-line RunError."""
    try:
      self._lock.check()
      yield
      return
    except OSError as error:
      reason = error.strerror or str(error)
      if error.filename2 and isinstance(
          error, (IsADirectoryError, NotADirectoryError)):
        reason = f"{os.path.basename(error.filename2)}: {reason}"
    except tf.errors.OpError as error:
      reason = error_cause(error)
    except RecursionError:  # os.makedirs
      reason = "File name too long"
    checkpoints = []
    with contextlib.suppress(RunError):  # the first error is the one to report
      checkpoints = self.checkpoints()
    raise RunError(
        f"{self.path}: cannot be written to: {reason}; fix this, then "
        + (f"resume from {os.path.basename(checkpoints[0].path)}"
           if checkpoints else "try again, or choose another folder"),
        None if checkpoints else "save_path")


def _copy_as_best(checkpoint: Checkpoint) -> None:
  """Copies a checkpoint, so that it stays when it is no longer a newest one."""
  folder, name = os.path.split(checkpoint.path)
  with files.atomic_write(os.path.join(folder, f"best-{name}")) as partial:
    os.mkdir(partial)
    for entry in os.scandir(checkpoint.path):
      if entry.is_file():
        shutil.copy(entry.path, partial)
