"""Results of runs on the Penn Treebank: results/ptb/ has one folder per run.

    config.json         as in the run: model, settings, seed, precision, data
    metrics.csv         as in the run: the metrics, one row per epoch
    tests.json          as in the run: test perplexity by epoch
    learning_curve.png  as in the run
    log.txt             what each start of the run printed, see `logbook`

`publish` makes such a folder from a run, whose log is next to its folder.
"""

import csv
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import configs
from benchmarks import logbook, transcript
from rnn import files
from rnn.errors import UserError
from rnn.options import PRECISIONS
from rnn.runs import config_file
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.text import corpora, sources

PAPER = ("small", "medium", "large")  # the models of Zaremba et al. 2014
FOLDER = os.path.join("results", "ptb")
LOG = "log.txt"

PRECISION_FLAGS: Mapping[str, Sequence[str]] = {
    "float32": [], "bfloat16": ["--use_bfloat16"], "float16": ["--use_fp16"]}


@dataclasses.dataclass(frozen=True)
class Record:
  """A run, or its result.

  Attributes:
    path: the folder.
    config: the content of config.json.
    rows: the metrics, one dict per epoch.
    tests: test perplexity by epoch.
    log: the text of the log; empty if there is none.
  """

  path: str
  config: dict[str, Any]
  rows: list[dict[str, float]]
  tests: dict[int, float]
  log: str

  @property
  def model(self) -> str:
    """The name of the config."""
    return self.config["model"]

  @property
  def epochs_in_total(self) -> int:
    """The epochs of a run of this model."""
    return configs.CONFIGS[self.model].max_max_epoch

  @property
  def is_finished(self) -> bool:
    """Whether the run has reached its last epoch and tested it."""
    epochs = len(self.rows)
    return epochs >= self.epochs_in_total and epochs in self.tests

  @property
  def is_on_ptb(self) -> bool:
    """Whether the texts are those of the Penn Treebank."""
    return corpora.is_ptb(self.config["data"])

  @property
  def is_of_the_table(self) -> bool:
    """Whether this is a published model, unchanged, on the Penn Treebank.

    It may be partial.
    """
    return (self.model in configs.PUBLISHED and self.is_on_ptb
            and not changes(self.config)
            and len(self.rows) <= self.epochs_in_total)

  @property
  def best_epoch(self) -> int:
    """The best epoch by validation."""
    return 1 + min(range(len(self.rows)),
                   key=lambda i: self.rows[i]["valid_perplexity"])

  def figures(self, epoch: int) -> tuple[float, float, float | None]:
    """Returns train, valid and test perplexity; None if it was not tested."""
    row = self.rows[epoch - 1]
    return (row["train_perplexity"], row["valid_perplexity"],
            self.tests.get(epoch))

  @property
  def shown_epoch(self) -> int:
    """The best epoch by validation if it was tested, otherwise the last."""
    return (self.best_epoch if self.best_epoch in self.tests
            else len(self.rows))

  @property
  def judged_epoch(self) -> int:
    """The epoch whose figures stand for the run.

    The paper has those of the last epoch; the sources of models beyond the
    paper, those of the best one by validation.
    """
    return len(self.rows) if self.model in PAPER else self.shown_epoch

  @property
  def parameters(self) -> str:
    """The number of parameters, from the log; empty without one."""
    match = re.search(r"^([\d,]+) parameters; ", self.log, re.MULTILINE)
    return match[1] if match else ""

  @property
  def words_per_second(self) -> float:
    """The median of the epochs."""
    return statistics.median(row["words_per_second"] for row in self.rows)

  @property
  def hours(self) -> float:
    """The time of all epochs, without the time between two starts."""
    return sum(row["seconds"] for row in self.rows) / 3600


def changes(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns how a run differs from its model, except for its epochs.

  Args:
    config: the content of config.json, or as much of it.

  Returns:
    A dict, setting -> value; and "given" for words and initial values.
  """
  base = json.loads(json.dumps(  # turns tuples into lists
      dataclasses.asdict(configs.CONFIGS[config["model"]])))
  changed = {name: value for name, value in config["settings"].items()
             if name != "max_max_epoch" and value != base[name]}
  return changed | {name: "given" for name in (
      "vocabulary_choice", "init_from", "init_embeddings") if config.get(name)}


def name(config: Mapping[str, Any]) -> str:
  """Returns the name of a run: model, seed, precision, and `changes`."""
  def text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)

  return "-".join([
      config["model"], f"seed-{config['seed']}", config["precision"],
      *(f"{key}={text(value)}" for key, value
        in sorted(changes(config).items()))])


def flags(config: Mapping[str, Any]) -> list[str]:
  """Returns the flags that tell a run from others of its model."""
  return [*PRECISION_FLAGS[config["precision"]],
          *([f"--seed={config['seed']}"] if config["seed"] != 1 else []),
          *([f"--config_override={config['overrides']}"]
            if config.get("overrides") else [])]


def command(config: Mapping[str, Any], data_path: str = transcript.SHOWN_DATA,
            save_path: str | None = None) -> str:
  """Returns the command that trains a run.

  Args:
    data_path, save_path: the folders of the texts and of the run; by default
      those of the documents.
  """
  return shlex.join([
      "python", "ptb_word_lm.py", f"--model={config['model']}",
      f"--data_path={data_path}", *flags(config),
      f"--save_path={save_path or os.path.join('runs', name(config))}"])


def read(path: str, log: str | None = None) -> Record:
  """Reads a result, or a run.

  Args:
    path: the folder.
    log: the path of the log; by default it is in the folder.

  Raises:
    RunError: the folder has no usable config.json.
    UserError: another file is not readable.
  """
  run = RunDirectory(path)
  run.settings()  # raises an error if something is missing
  config = run.content(config_file.LANGUAGE_MODEL)
  if config.get("model") not in configs.CONFIGS:
    raise RunError(f"{path}: the model in its config.json must be one of "
                   + ", ".join(configs.CONFIGS))
  try:
    with files.open_regular(os.path.join(path, "metrics.csv")) as file:
      rows = [{key: float(value) for key, value in row.items()}
              for row in csv.DictReader(io.TextIOWrapper(file, newline=""))]
  except FileNotFoundError:  # no epoch has ended
    rows = []
  except (OSError, TypeError, ValueError, csv.Error) as error:
    raise UserError(f"{path}/metrics.csv: cannot be read ({error}); restore it "
                    "from a copy") from None
  return Record(path, config, rows, run.tests(),
                read_log(os.path.join(path, LOG) if log is None else log))


def read_log(path: str) -> str:
  """Returns the text of a log; an empty one if there is no log."""
  if not os.path.exists(path):
    return ""
  with files.open_text(path) as file:
    return file.read()


def read_all(folder: str = FOLDER) -> list[Record]:
  """Reads all results in a folder, sorted by model, precision and seed."""
  paths = [os.path.join(folder, name) for name in os.listdir(folder)
           if os.path.exists(os.path.join(folder, name, "config.json"))]
  order = list(configs.CONFIGS)
  return sorted(map(read, paths), key=lambda r: (
      order.index(r.model), PRECISIONS.index(r.config["precision"]),
      r.config["seed"]))


def shown_path(run_path: str) -> str:
  """Returns the path of a run in all documents, runs/NAME.

  Raises:
    RunError: there is no run in the folder.
  """
  config = RunDirectory(run_path).content(config_file.LANGUAGE_MODEL)
  return os.path.join("runs", name(config))


def shown_data(data_path: str, *trained: Record) -> dict[str, str]:
  """Returns the name of a folder of texts in documents, as `Output` takes it.

  Args:
    trained: runs on these texts.
  """
  return {data_path: transcript.SHOWN_DATA} if all(
      record.is_on_ptb for record in trained) else {}


def shown_text(path: str) -> dict[str, str]:
  """Returns the name of a text's folder in documents, as `Output` takes it.

  Only a text of the Penn Treebank has such a name.

  Raises:
    UserError: there is no such file.
  """
  digest = sources.Digest()
  for _ in sources.of_file(path).parts(digest):
    pass
  return {os.path.dirname(path): transcript.SHOWN_DATA
          } if digest.hexdigest() in corpora.PTB.values() else {}


def log_of(run_path: str) -> str:
  """Returns the path of a run's log, which is next to its folder."""
  return os.path.normpath(run_path) + ".log"


def publish(record: Record, folder: str, data_paths: Iterable[str]) -> str:
  """Writes the result of a run that is a row of the table.

  A result of another run with the same name is replaced, unless it is finished
  and this run is not, or it has more epochs.

  Args:
    record: of the run.
    folder: the folder of all results.
    data_paths: names of the folder of the Penn Treebank. They become data/ptb
      in the log, and the run becomes runs/NAME.

  Returns:
    A sentence that says what has been done.

  Raises:
    UserError: the folder cannot be written.
  """
  target = os.path.join(folder, name(record.config))
  if not record.is_of_the_table:
    return f"{target}: is not written, because this is no row of the table"
  if not record.rows:
    return f"{target}: is written when an epoch has ended"
  if os.path.exists(os.path.join(target, "config.json")):
    other = read(target)
    if (other.is_finished, len(other.rows)) > (
        record.is_finished, len(record.rows)):
      return (f"{target}: keeps the result of another run, until this one has "
              "as many epochs, and is tested")
  shown = {record.path: shown_path(record.path),
           **dict.fromkeys(data_paths, transcript.SHOWN_DATA)}
  config = record.config | {
      "data": record.config["data"] | {"path": transcript.SHOWN_DATA}}
  try:
    os.makedirs(target, exist_ok=True)
    files.write_json(os.path.join(target, "config.json"), config)
    for copied in "metrics.csv", "tests.json", "learning_curve.png":
      source = os.path.join(record.path, copied)
      if not os.path.exists(source):
        files.remove(os.path.join(target, copied))
        continue
      with files.atomic_write(os.path.join(target, copied)) as partial:
        shutil.copyfile(source, partial)
    with files.atomic_write(os.path.join(target, LOG)) as partial:
      with open(partial, "w", encoding="utf-8") as file:
        file.write(transcript.plain(record.log, shown))
  except OSError as error:
    raise UserError(f"{target}: cannot be written: {error.strerror}; fix this, "
                    "then give the same command again") from None
  return f"{target}: written; `python -m benchmarks.results` updates the tables"


def machines(record: Record) -> list[str]:
  """Returns the machines that trained a run, with their versions."""
  return list(dict.fromkeys(
      start.machine for start in logbook.starts(record.log) if start.machine))
