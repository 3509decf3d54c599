"""A run directory: what a run is, what it learned and what it came to.

    config.json         the model, its settings, the seed, the data it reads
    vocab.txt           its words, in order of id
    checkpoints/        step-N (within an epoch), step-N-epoch-M (at the end of
                        epoch M), best-step-N-epoch-M (the best by validation),
                        and aside-... (what was found to be of no use)
    metrics.csv         a row an epoch; learning_curve.png draws them
    tests.json          the metric of the test split, by epoch
    ids.int32           the texts as word ids, train, valid, test, so that a
                        restart need not read them; may be removed
    ids.json            which texts these are, by name, time and digest
    events.out.*        for TensorBoard, with projector_config.pbtxt and its
                        metadata.tsv; `checkpoint` tells it which is the newest
    lock                held by the process that writes here; its pid

A checkpoint is a folder: model.ckpt.* are the variables, as TensorFlow saves
them, journal.json the rest. All but the events and the lock is complete and on
the disk before it gets its name, so whoever reads, or dies, never leaves half
a file.
"""

import contextlib
import csv
import dataclasses
import fcntl
import fnmatch
import functools
import glob
import hashlib
import io
import itertools
import json
import logging
import os
import re
import shutil
import socket
import time

import numpy as np

import errors
import learning_curve
import reader
from tensorflow_v1 import tf

_FILES = ("config.json", "vocab.txt", "metadata.tsv", "projector_config.pbtxt",
          "metrics.csv", "learning_curve.png", "tests.json", "checkpoint",
          "ids.int32", "ids.json")
LANGUAGE_MODEL = "language model"
# What a run is whose config.json is older than the setting.
_OLDER = {"precision": "float32", "tokens": "words",
          "init_embeddings": None, "task": LANGUAGE_MODEL}
_OLDER_SETTINGS = {"cell": "lstm", "optimizer": "sgd", "epoch_size": 0}
_NAME = re.compile(r"(best-)?step-(\d+)(?:-epoch-(\d+))?")
# What ends so is being written or removed, or was when its process died.
_PARTIAL = ".partial"

_log = logging.getLogger(__name__)


class RunError(errors.UserError):
  """A run directory that cannot be used, said in one line fit for the user."""


class DamagedError(Exception):
  """A checkpoint that cannot be read, and why."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A checkpoint's folder, and what its name says.

  Attributes:
    path: of the folder.
    step: training steps taken.
    epoch: the epoch that ends here, validated; None in the midst of one.
    best: whether it was the best by validation.
  """

  path: str
  step: int
  epoch: int | None
  best: bool

  @property
  def variables(self):
    """The path that TensorFlow knows the variables by."""
    return os.path.join(self.path, "model.ckpt")

  def journal(self):
    """What was saved beside the variables; with "config", that of the run.

    Raises:
      DamagedError: it cannot be read, or is not what was written.
    """
    return _read_sealed(os.path.join(self.path, "journal.json"))

  def read(self, variables):
    """Values of variables, as `read_variables`: for all of them, or none."""
    try:
      return read_variables(self.variables, variables)
    except DamagedError as error:
      raise DamagedError(f"{self.path}: {error}") from None
    except RunError as error:
      raise RunError(f"{self.path}: {error}") from None

  def load(self, session, variables):
    """Brings variables into a session: all of them, or none.

    Raises:
      DamagedError, RunError: as `read_variables`.
    """
    assign(session, variables, self.read(variables))


def read_variables(path, variables, aliases=lambda name: [name]):
  """Values of variables in a file of TensorFlow's, a dict by name.

  Args:
    path: as TensorFlow knows it, such as "model.ckpt".
    aliases: the names to look for in place of a variable's, the first first.

  Raises:
    DamagedError: one of them cannot be read.
    RunError: one is missing or of another shape; all such are named.
  """
  values, differences = {}, []
  try:
    saved = tf.train.load_checkpoint(path)
    shapes = saved.get_variable_to_shape_map()
    dtypes = saved.get_variable_to_dtype_map()
    # Their checksums are seen, too.
    for variable in variables:
      name = next(filter(shapes.__contains__, aliases(variable.op.name)), None)
      shape = variable.shape.as_list()
      if shapes.get(name) != shape:
        there = shapes.get(name, "missing")
        differences.append(
            f"{variable.op.name} ({there} there, {shape} here)")
      elif dtypes[name].is_floating != variable.dtype.is_floating:
        differences.append(f"{variable.op.name} ({dtypes[name].name} there)")
      else:
        values[variable.op.name] = saved.get_tensor(name)
  except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
    raise DamagedError(cause(error)) from None
  if differences:
    raise RunError("holds another model, which differs in "
                   + ", ".join(differences))
  return values


def shape_of(path, name):
  """The shape of a variable in a file of TensorFlow's.

  Raises:
    DamagedError: it cannot be read.
    RunError: there is no such variable.
  """
  try:
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
  except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
    raise DamagedError(cause(error)) from None
  if not shapes.get(name):
    raise RunError(f"holds another model, which has no {name}")
  return shapes[name]


def assign(session, variables, values):
  """Gives variables values, a dict by name, within a session."""
  session.run([v.initializer for v in variables],
              {v.initializer.inputs[1]: values[v.op.name] for v in variables})


def absolute(path, flag):
  """The absolute path of a folder that TensorFlow is to find files in.

  Also "ram://run" is a folder, and no place in TensorFlow's memory.

  Raises:
    RunError: it would not find them under this name.
  """
  folder = path if "\0" in path else os.path.abspath(path)
  # It takes these for wildcards.
  if any(mark in folder for mark in "[]\\\0"):
    raise RunError(f"{path}: the name of the folder may not hold [ or ] or \\ "
                   f"or NUL; give {flag} another")
  try:
    path.encode()
  except UnicodeEncodeError:
    raise RunError(f"{path}: the name of the folder must be UTF-8; "
                   f"give {flag} another") from None
  return folder


class RunDirectory:
  """What there is to read of a run; needs no lock, not even while it trains."""

  def __init__(self, path):
    """Touches nothing yet.

    Raises:
      RunError: TensorFlow could not find checkpoints in a folder of this name.
    """
    self.path = path
    self._folder = absolute(path, "--save_path")

  def config(self, task=None):
    """The content of config.json, and what it is too old to say.

    Args:
      task: what the run is to have been trained for.

    Raises:
      RunError: it is not there, or not readable, or of another task.
    """
    try:
      with open(self._join("config.json")) as file:
        config = json.load(file)
      if not isinstance(config, dict):
        raise ValueError
      config = _with_older(config)
    except FileNotFoundError:
      what = "holds no run" if os.path.isdir(self.path) else "no such folder"
      raise RunError(f"{self.path}: {what}") from None
    except OSError as error:
      raise RunError(f"{self._join('config.json')}: {error.strerror}") from None
    except (ValueError, RecursionError):
      raise RunError(
          f"{self._join('config.json')}: garbled; bring back a copy") from None
    if task not in (None, config["task"]):
      raise RunError(f"{self.path}: holds a run of another task, "
                     f"{config['task']!s:.99}, not {task}; give --save_path "
                     "another folder")
    return config

  def vocabulary(self):
    """The vocabulary of the run: one of reader.VOCABULARIES.

    Raises:
      RunError: it is not there, or not readable.
    """
    tokens = self.config()["tokens"]
    if tokens not in reader.VOCABULARIES:
      raise RunError(f"{self._join('config.json')}: tokens {tokens!s:.99}: "
                     "there are " + ", ".join(reader.VOCABULARIES))
    try:
      return reader.VOCABULARIES[tokens].load(self._join("vocab.txt"))
    except reader.DataError as error:
      raise RunError(error) from None

  def checkpoints(self):
    """A list of Checkpoint, newest first.

    Raises:
      RunError: the folder is there, but cannot be read.
    """
    found = []
    try:
      for name in os.listdir(self._join("checkpoints")):
        if match := _NAME.fullmatch(name):
          best, step, epoch = match.groups()
          found.append(Checkpoint(
              self._join("checkpoints", name), int(step),
              int(epoch) if epoch else None, bool(best)))
    except PermissionError as error:
      raise RunError(
          f"{self._join('checkpoints')}: {error.strerror}") from None
    except OSError:  # there is none
      return []
    return sorted(found, reverse=True,
                  key=lambda c: (c.step, c.epoch is not None, not c.best))

  def best(self):
    """The best Checkpoint by validation; None before the first."""
    return next((c for c in self.checkpoints() if c.best), None)

  def restore(self, session, variables):
    """Brings the newest checkpoint that is readable into a session.

    Returns, raises: as `read_newest`, but for the values.
    """
    found = self.read_newest(variables)
    if not found:
      return None
    checkpoint, journal, values = found
    assign(session, variables, values)
    return checkpoint, journal

  def read_newest(self, variables):
    """Reads the newest checkpoint that is readable.

    A warning names those that are not.

    Returns:
      checkpoint, journal, values: the Checkpoint, what was saved beside its
      variables, and theirs, a dict by name. None where there is no checkpoint
      at all.

    Raises:
      RunError: there are some, but none is readable, or that one is of another
        model.
    """
    reasons = []
    for checkpoint in self.checkpoints():
      try:
        journal = checkpoint.journal()
        values = checkpoint.read(variables)
      except DamagedError as error:
        if not os.path.isdir(checkpoint.path):  # let go of in the meantime
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

  def restore_best(self, session, variables):
    """Brings the best model into a session; the newest, where none is the best.

    Returns:
      Its Checkpoint.

    Raises:
      RunError: there is no checkpoint yet, or none is readable, or it is of
        another model.
    """
    if best := self.best():
      try:
        best.load(session, variables)
        return best
      except DamagedError as error:
        _log.warning("damaged checkpoint: %s; using the newest", error)
    found = self.restore(session, variables)
    if not found:
      raise RunError(f"{self.path}: has no checkpoint yet")
    return found[0]

  def tests(self):
    """The metric of the test split, by epoch: where it was measured."""
    try:
      return {int(epoch): figure for epoch, figure
              in _read_sealed(self._join("tests.json")).items()}
    except DamagedError:
      return {}  # they can be measured again

  def corpus(self, data_path):
    """What `reader.read_corpus` would return, without reading the texts.

    They are taken for those that were read by an earlier process if their
    names, inodes, sizes and times are the same; see `reader.stamp`.

    Returns:
      None where they are others, or nothing usable is kept of them.

    Raises:
      reader.DataError: as `reader.find_corpus`.
    """
    paths = reader.find_corpus(data_path)
    try:
      kept = _read_sealed(self._join("ids.json"))
      if kept["stamps"] != {s: reader.stamp(p) for s, p in paths.items()}:
        return None
      texts = {}
      # A copy: the file's own bytes may change under a process that maps them.
      with (open(self._join("ids.int32"), "rb") as file,
            reader.temporary_file() as copy):
        shutil.copyfileobj(file, copy)
        copy.flush()
        ids = reader.mapped(copy)
      for split, identity in kept["identities"].items():
        split_ids, ids = np.split(ids, [identity["tokens"]])
        texts[split] = reader.Text(
            split_ids, kept["unknown"][split], identity, kept["stamps"][split])
      vocabulary = self.vocabulary()
    except (DamagedError, ValueError, OSError):
      return None
    if kept != _about(texts, vocabulary):
      return None
    for split, text in texts.items():
      reader.report(split, len(text.ids), text.unknown)
    return texts, vocabulary

  def _join(self, *names):
    return os.path.join(self._folder, *names)


class TrainingRun(RunDirectory):
  """A run directory, for the process that trains.

  Every method raises a RunError where the folder cannot be written to.
  """

  def __init__(self, path, config, vocabulary=None, fresh=False, may_change=(),
               keep=3, title="", reference=None, texts=None,
               metric="perplexity", embedding="Model/embedding"):
    """Touches nothing yet.

    Args:
      path: of the folder; may be missing.
      config: what config.json is to hold, a dict of JSON's types.
      vocabulary: the reader.Words of the run, if there are any.
      fresh: whether to refuse a folder that is not empty.
      may_change: names within `config` that a later start may change, such as
        "settings.learning_rate", also with wildcards.
      keep: how many of the newest checkpoints to keep, beside the best.
      title, reference: see `learning_curve.draw`.
      texts: a dict, split -> reader.Text, to keep for a later `corpus`.
      metric: what "valid_..." and "train_..." of a row are; the best epoch has
        the lowest.
      embedding: the variable that has a row for each word.
    """
    super().__init__(path)
    self._config = json.loads(json.dumps(config))  # tuples become lists
    self._vocabulary = vocabulary
    self._fresh = fresh
    self._may_change = may_change
    self._keep = keep
    self._draw = functools.partial(
        learning_curve.draw, title=title, reference=reference, metric=metric)
    self._texts, self._metric, self._embedding = texts, metric, embedding

  @contextlib.contextmanager
  def open(self):
    """A context in which the folder is this process's alone.

    Raises:
      RunError: the folder is in use, or holds something else than this run
        (the differences are listed), or `fresh` and not empty.
    """
    with self.writing():
      os.makedirs(self.path, exist_ok=True)
      self._refuse_other_content()
      lock = open(self._join("lock"), "a+")
    with lock:
      with self.writing():
        self._acquire(lock)
        if self.checkpoints():
          self._compare()
        elif os.path.exists(self._join("metrics.csv")):
          raise RunError(f"{self.path}: holds metrics.csv but no checkpoint; "
                         "give --save_path another folder")
        for path in self._partials():
          _remove(path)
      yield

  def restore(self, session, variables):
    """As a RunDirectory does, and makes the rest of the folder agree.

    What is damaged is set aside; what is shown of epochs that the checkpoint
    knows nothing of is gone; what a kill has left undone is done.

    Raises:
      RunError: also where the checkpoint is of another run.
    """
    found = super().restore(session, variables)
    if not found:
      return None
    checkpoint, journal = found
    refused, _ = self._differences(journal["config"])
    self._refuse(checkpoint.path, refused)
    with self.writing():
      for newer in itertools.takewhile(
          lambda other: other != checkpoint, self.checkpoints()):
        _move_aside(newer)
      self._keep_best(journal["rows"])
      self._name_newest()
      self._show(journal["rows"])
    tests = self.tests()
    valid = {epoch: figure for epoch, figure in tests.items()
             if epoch <= len(journal["rows"])}
    if valid != tests:
      self.keep_tests(valid)
    return found

  def begin(self, step):
    """Says what the run is, before the step after `step` is taken."""
    with self.writing():
      _write_json(self._join("config.json"), self._config)
      os.makedirs(self._join("checkpoints"), exist_ok=True)
      if self._vocabulary:
        self._keep_vocabulary()
      if self._texts:
        self._keep_ids()
      # TensorBoard drops what an earlier process logged of the steps to come.
      self._add_event(step + 1, session_log=tf.SessionLog(
          status=tf.SessionLog.START))

  def save(self, session, saver, step, journal, ends_epoch=False):
    """Keeps a checkpoint, and lets go of old ones.

    Args:
      saver: a tf.train.Saver of all global variables; max_to_keep=0.
      step: training steps taken.
      journal: a dict of JSON's types, with the metrics at "rows": one dict an
        epoch, with "epoch" among its keys, and the metric on validation where
        one is to be the best.
      ends_epoch: whether the last row is that of an epoch that ended here.
    """
    rows = journal["rows"]
    ended = f"-epoch-{rows[-1]['epoch']}" if ends_epoch else ""
    path = self._join("checkpoints", f"step-{step:09d}{ended}")
    if os.path.exists(path):
      return  # nothing has happened since
    with self.writing():
      with complete(path) as partial:
        os.mkdir(partial)
        saver.save(session, os.path.join(partial, "model.ckpt"),
                   write_meta_graph=False, write_state=False)
        _write_sealed(os.path.join(partial, "journal.json"),
                      {**journal, "config": self._config})
      self._name_newest()
      if ends_epoch:
        self._keep_best(rows)
        self._show(rows)
      self._let_go()

  def log(self, step, figures):
    """Adds points to TensorBoard's curves: a dict, name -> number."""
    with self.writing():
      self._add_event(step, summary=tf.Summary(value=[
          tf.Summary.Value(tag=name, simple_value=figure)
          for name, figure in figures.items()]))

  def set_aside(self, step):
    """Makes `aside-...` of the checkpoint within an epoch at a step, if any."""
    with self.writing():
      for checkpoint in self.checkpoints():
        if checkpoint.step == step and not checkpoint.epoch:
          _move_aside(checkpoint)

  def keep_tests(self, tests):
    """Keeps the metric of the test split: a dict by epoch."""
    with self.writing():
      _write_sealed(self._join("tests.json"),
                    {str(epoch): figure for epoch, figure in tests.items()})

  def _keep_vocabulary(self):
    for name in "vocab.txt", "metadata.tsv":
      with complete(self._join(name)) as partial:
        self._vocabulary.save(partial)
    with complete(self._join("projector_config.pbtxt")) as partial:
      with open(partial, "w") as file:
        file.write(f'embeddings {{ tensor_name: "{self._embedding}" '
                   'metadata_path: "metadata.tsv" }\n')

  def _keep_ids(self):
    """Spares a restart the reading; where that fails, it is no reason to stop.

    A kill in between leaves ids that are not those of ids.json.
    """
    try:
      with complete(self._join("ids.int32")) as partial:
        with open(partial, "wb") as file:
          for text in self._texts.values():
            file.write(np.asarray(text.ids, "<i4"))
      _write_sealed(self._join("ids.json"),
                    _about(self._texts, self._vocabulary))
    except OSError as error:
      _log.warning("%s: cannot keep ids: %s; a restart reads the texts again",
                   self.path, error.strerror)

  def _compare(self):
    """Refuses to go on with another run than the one that is kept here."""
    refused, changed = self._differences(self.config())
    if self._vocabulary:
      words = self.vocabulary().words
      if words != self._vocabulary.words:
        refused.append(f"the vocabulary ({len(words)} words there, "
                       f"{len(self._vocabulary)} here, not the same)")
    self._refuse(self.path, refused)
    if changed:
      _log.info("changed since the run was started: %s", ", ".join(changed))

  def _differences(self, there):
    """Of another config to ours: those that may not be, those that may."""
    refused, changed = [], []
    there, here = map(_flatten, map(_with_older, (there, self._config)))
    for name in dict.fromkeys([*there, *here]):
      if there.get(name) != here.get(name):
        may = any(fnmatch.fnmatch(name, p) for p in self._may_change)
        (changed if may else refused).append(
            f"{name} ({_short(there.get(name))} there, "
            f"{_short(here.get(name))} here)")
    return refused, changed

  def _refuse(self, path, differences):
    if differences:
      raise RunError(
          f"{path}: holds another run, which differs in "
          + ", ".join(differences)
          + "; repeat its flags, or give --save_path another folder")

  def _refuse_other_content(self):
    """Refuses a folder that is neither empty nor that of a run."""
    held = {self._join(name) for name in os.listdir(self.path)}
    held -= {self._join("lock"), *self._partials()}
    if held and self._fresh:
      raise RunError(f"{self.path}: not empty; --fresh wants a new folder: "
                     "remove this one, or give --save_path another")
    task = _with_older(self._config)["task"]
    if held and not (self._join("config.json") in held
                     and self._config.keys() <= self.config(task).keys()):
      raise RunError(f"{self.path}: not empty, but holds no run; give "
                     "--save_path another folder")

  def _partials(self):
    """Paths of what another process left half-written, or half-removed."""
    paths = [self._join(name + _PARTIAL) for name in _FILES]
    paths += glob.glob(os.path.join(
        glob.escape(self._join("checkpoints")), "*step-*" + _PARTIAL))
    return [path for path in paths if os.path.lexists(path)]

  def _acquire(self, lock):
    """Locks a file, and writes into it who holds it."""
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      lock.seek(0)
      raise RunError(
          f"{self.path}: in use by process {lock.read().strip() or '?'}; wait "
          "for its end, or give --save_path another folder") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()

  def _show(self, rows):
    """Writes metrics.csv and draws its curves, where they are not these."""
    if not rows:
      for name in "metrics.csv", "learning_curve.png":
        _remove(self._join(name))
      return
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    with contextlib.suppress(FileNotFoundError):
      with open(self._join("metrics.csv"), newline="") as file:
        if file.read() == table.getvalue() and os.path.exists(
            self._join("learning_curve.png")):
          return
    with complete(self._join("learning_curve.png")) as partial:
      self._draw(rows, partial)
    with complete(self._join("metrics.csv")) as partial:
      with open(partial, "w", newline="") as file:
        file.write(table.getvalue())

  def _keep_best(self, rows):
    """Copies the best of the epochs that are kept, if it is not yet."""
    name = f"valid_{self._metric}"
    figures = {row["epoch"]: row[name] for row in rows if name in row}
    kept = {checkpoint.epoch: checkpoint for checkpoint in self.checkpoints()
            if checkpoint.epoch in figures}  # the copy, where there are both
    best = min(kept, key=lambda epoch: (figures[epoch], epoch), default=None)
    if best is None or kept[best].best:
      return
    folder, name = os.path.split(kept[best].path)
    with complete(os.path.join(folder, f"best-{name}")) as partial:
      os.mkdir(partial)
      for file in os.listdir(kept[best].path):
        shutil.copy(os.path.join(kept[best].path, file), partial)

  def _name_newest(self):
    """Says which checkpoint is the newest, as TensorFlow's own tools read."""
    path = os.path.relpath(self.checkpoints()[0].variables, self._folder)
    state = str(tf.train.generate_checkpoint_state_proto(self.path, path))
    with complete(self._join("checkpoint")) as partial:
      with open(partial, "w") as file:
        file.write(state)

  def _let_go(self):
    """Removes all checkpoints but the newest few and the best."""
    found = self.checkpoints()
    old = [c for c in found if not c.best][self._keep:]
    old += [c for c in found if c.best][1:]
    for checkpoint in old:  # not half a checkpoint at any moment
      name = f"{checkpoint.path}-old{_PARTIAL}"
      os.rename(checkpoint.path, name)
      _remove(name)

  @functools.cached_property
  def _events(self):
    """An event file is a file of records, each an Event; a version leads.

    tf.summary.FileWriter would write it from a thread of its own, which ends
    in a traceback where the disk is full.
    """
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
    writer = tf.io.TFRecordWriter(self._join(f"{name}.{os.getpid()}"))
    writer.write(tf.Event(
        wall_time=time.time(), file_version="brain.Event:2"
    ).SerializeToString())
    return writer

  def _add_event(self, step, **content):
    self._events.write(tf.Event(
        wall_time=time.time(), step=step, **content).SerializeToString())
    self._events.flush()

  @contextlib.contextmanager
  def writing(self):
    """A context that says in one line what keeps from writing to the folder."""
    try:
      yield
      return
    except OSError as error:
      reason = error.strerror or str(error)
    except tf.errors.OpError as error:
      reason = cause(error)
    except RecursionError:  # of makedirs
      reason = "File name too long"
    kept = self.checkpoints()
    raise RunError(
        f"{self.path}: cannot be written to: {reason}; "
        + (f"mend that, then go on from {os.path.basename(kept[0].path)}"
           if kept else "mend that, or give --save_path another folder"))


@contextlib.contextmanager
def complete(path):
  """Gives a name to write a file or folder under, which then becomes `path`."""
  partial = path + _PARTIAL
  _remove(partial)  # what a killed process left
  try:
    yield partial
    if os.path.isdir(partial):
      for name in os.listdir(partial):
        _sync(os.path.join(partial, name))
    _sync(partial)
    os.replace(partial, path)
    _sync(os.path.dirname(path) or ".")
  finally:
    _remove(partial)  # to make room, where the disk is full


def _move_aside(checkpoint):
  """Leaves a checkpoint to the user, under a name that nothing reads."""
  folder, name = os.path.split(checkpoint.path)
  _remove(os.path.join(folder, f"aside-{name}"))
  os.rename(checkpoint.path, os.path.join(folder, f"aside-{name}"))


def _sync(path):
  """Waits until a file or a folder's list of names is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _remove(path):
  """Removes a file, or a folder with all in it, if there is one."""
  with contextlib.suppress(FileNotFoundError):
    if os.path.isdir(path):
      shutil.rmtree(path)
    else:
      os.remove(path)


def _write_json(path, content):
  with complete(path) as partial, open(partial, "w") as file:
    json.dump(content, file, indent=2)
    file.write("\n")


def _write_sealed(path, content):
  """Writes a dict of JSON's types, with a digest of it."""
  _write_json(path, {"sha256": _digest(content), "content": content})


def _read_sealed(path):
  """Reads what `_write_sealed` wrote.

  Raises:
    DamagedError: it cannot be read, or is not what was written.
  """
  try:
    with open(path) as file:
      sealed = json.load(file)
    if sealed["sha256"] == _digest(sealed["content"]):
      return sealed["content"]
    raise DamagedError(f"{path}: checksum does not match")
  except OSError as error:
    raise DamagedError(f"{path}: {error.strerror}") from None
  except (ValueError, KeyError, TypeError, RecursionError):
    raise DamagedError(f"{path}: garbled") from None


def _about(texts, vocabulary):
  """The content of ids.json: all that the ids are to be believed by."""
  digest = hashlib.sha256()
  for text in texts.values():
    digest.update(text.ids)
  return {
      "identities": {split: text.identity for split, text in texts.items()},
      "unknown": {split: text.unknown for split, text in texts.items()},
      "stamps": {split: text.stamp for split, text in texts.items()},
      "vocabulary": _digest(vocabulary.words), "sha256": digest.hexdigest()}


def _digest(content):
  return hashlib.sha256(
      json.dumps(content, sort_keys=True).encode()).hexdigest()


def _with_older(config):
  """The content of config.json, and what it may be too old to say."""
  config = _OLDER | config
  if isinstance(config.get("settings"), dict):
    config["settings"] = _OLDER_SETTINGS | config["settings"]
  return config


def _flatten(config, prefix=""):
  """{"a": {"b": 1}} -> {"a.b": 1}."""
  flat = {}
  for name, value in config.items():
    if isinstance(value, dict):
      flat.update(_flatten(value, f"{prefix}{name}."))
    else:
      flat[prefix + name] = value
  return flat


def _short(value):
  """A value as shown to the user: of a hash, the beginning will do."""
  text = "nothing" if value is None else str(value)
  return text[:8] + "..." if re.fullmatch("[0-9a-f]{64}", text) else text


def cause(error):
  """What went wrong, out of the many lines of TensorFlow's error."""
  message = str(getattr(error, "message", error))
  # The file's name and the cause stand before the name of the node, if any.
  found = re.search(r"(?:^|; )([^;\n]+?)\s*(?:\n\s*\[\[|$)", message)
  return found[1] if found else type(error).__name__
