"""Runs of the suite that comparisons train, each in a process of its own."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from absl import flags

import configs
from benchmarks import records, transcript
from benchmarks.records import Record
from rnn.errors import UserError

FLAGS = flags.FLAGS
_MAIN = os.path.join(transcript.ROOT, "ptb_word_lm.py")


def train(model: str, overrides: str, epochs: int, seed: int, precision: str,
          data_path: str, runs: str) -> Record:
  """Trains a run, as far as this has not been done, and returns it.

  A run that is finished is started, too: it compares itself with the flags and
  the text, and ends. What it prints is shown, and added to the log next to its
  folder.

  Args:
    overrides: settings that replace the model's, as in --config_override.
    runs: the folder of the run's folder, which has the name of `records.name`.

  Raises:
    UserError: training has failed, or was stopped; or the run has another text.
  """
  settings = dataclasses.asdict(
      configs.override(configs.CONFIGS[model], overrides))
  path = os.path.join(runs, records.name({
      "model": model, "seed": seed, "precision": precision,
      "settings": json.loads(json.dumps(settings))}))
  log = records.log_of(path)
  os.makedirs(runs or ".", exist_ok=True)
  with open(log, "a", encoding="utf-8") as file:
    run([sys.executable, _MAIN, f"--model={model}", f"--epochs={epochs}",
         f"--config_override={overrides}", f"--save_path={path}",
         f"--data_path={data_path}", f"--seed={seed}",
         *records.PRECISION_FLAGS[precision]], file)
  return records.read(path, log)


def usual_output(path: str, *runs: Record) -> str | None:
  """Returns the path of a committed table; None if this is another table.

  It is another one if a flag changes the runs, or they are not on the Penn
  Treebank.
  """
  changed = [name for name in (
      "model", "config_override", "epochs", "seed", "variant")
             if name in FLAGS and FLAGS[name].value != FLAGS[name].default]
  return path if not changed and all(run.is_on_ptb for run in runs) else None


def run(command: Sequence[str], log: IO[str] | None = None,
        cwd: str | None = None) -> list[str]:
  """Runs a command, and returns the lines of its standard output.

  They are also shown, and written to a log.

  Args:
    log: a file that is open for writing.
    cwd: the folder in which the command runs; by default the current one.

  Raises:
    UserError: it has failed, or was stopped.
  """
  lines = []
  with _passing_on_sigterm() as add, subprocess.Popen(
      command, stdout=subprocess.PIPE, encoding="utf-8",
      errors="backslashreplace", cwd=cwd) as process:
    add(process)
    assert process.stdout
    for line in process.stdout:
      print(line, end="", flush=True)
      lines.append(line)
      if log:
        log.write(line)
        log.flush()
  if process.returncode:
    raise UserError(f"{' '.join(command[1:3])} has ended with status "
                    f"{process.returncode}; see above, then give the same "
                    "command again")
  return lines


@contextlib.contextmanager
def _passing_on_sigterm() -> Iterator[Callable[[subprocess.Popen], None]]:
  """A context in which a process is stopped, too, when this one is.

  The process starts within the context, so no signal comes too early.

  Yields:
    A function to call with the process.
  """
  processes: list[subprocess.Popen] = []
  signals: list[int] = []

  def stop(signum: int, _: object) -> None:
    signals.append(signum)
    for process in processes:
      process.terminate()

  def add(process: subprocess.Popen) -> None:
    processes.append(process)
    if signals:
      process.terminate()

  before = signal.signal(signal.SIGTERM, stop)
  try:
    yield add
  finally:
    signal.signal(signal.SIGTERM, before)
