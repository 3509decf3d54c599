"""Transcripts of commands: what the files in results/ have.

    $ python score.py --save_path=runs/small-seed-1-float32 ...
    the output

A transcript shows the names of the documents, such as data/ptb, in place of
the paths on this machine.
"""

import contextlib
import datetime
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import machine
from rnn import files
from rnn.errors import UserError

SHOWN_DATA = "data/ptb"  # the folder of the Penn Treebank in all documents
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def plain(text: str, shown: Mapping[str, str]) -> str:
  """Replaces the paths of this machine in a text.

  Args:
    shown: a dict, path -> the name to show, for a folder and all in it.
  """
  names = {sys.executable: "python"}
  for path, shown_name in shown.items():
    if path:  # it is empty for the folder of a file without a folder
      names |= dict.fromkeys(
          {path, os.path.normpath(path), os.path.abspath(path),
           os.path.realpath(path)}, shown_name)
  for path in sorted(names, key=len, reverse=True):
    text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", names[path],
                  text)
  return text.replace(ROOT + os.sep, "")


def this_command(script: str) -> str:
  """Returns the command line of this process, as a transcript shows it.

  Args:
    script: its name in this package.
  """
  flags = "".join(f" {shlex.quote(flag)}" for flag in sys.argv[1:])
  return f"$ python -m benchmarks.{script}{flags}"


def time_and_machine(versions: Mapping[str, str]) -> str:
  """Returns a line: the time, the machine, and the versions."""
  now = datetime.datetime.now(datetime.timezone.utc)
  return f"# {now:%Y-%m-%d %H:%M} UTC, {machine.describe(versions)}"


def run(arguments: Sequence[str], shows: str = "stdout") -> str:
  """Runs a script of the suite, and returns the transcript.

  Args:
    arguments: the script, and its flags.
    shows: "stdout" or "stderr", the stream to show. The transcript says so if
      the standard output is left out.

  Raises:
    UserError: the script fails.
  """
  script, *flags = arguments
  done = subprocess.run([sys.executable, os.path.join(ROOT, script), *flags],
                        capture_output=True, encoding="utf-8",
                        errors="backslashreplace")
  if done.returncode:
    raise UserError(last_line(done.stderr) or f"status {done.returncode}")
  command = f"$ python {shlex.join(arguments)}" + (
      " > /dev/null" if shows == "stderr" else "")
  return f"{command}\n{done.stdout if shows == 'stdout' else done.stderr}"


def last_line(text: str) -> str:
  """Returns the last line of a text that is not blank; "" if there is none."""
  return text.strip().rpartition("\n")[2]


class Output:
  """Text that is printed, and in the end saved in a file."""

  def __init__(self, path: str | None, shown: Mapping[str, str]) -> None:
    """Creates the folder of the file.

    Args:
      path: the file; None to save nothing.
      shown: see `plain`.

    Raises:
      UserError: the folder cannot be created.
    """
    self._path, self._shown = path, shown
    self._parts: list[str] = []
    if path:
      with _errors(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)

  def add(self, *parts: str) -> None:
    """Prints parts, each of one or more lines."""
    for part in parts:
      text = plain(part.rstrip("\n"), self._shown)
      print(text, flush=True)
      self._parts.append(text + "\n")

  def save(self) -> None:
    """Writes the file.

    Raises:
      UserError: it cannot be written.
    """
    if self._path:
      with _errors(self._path):
        with (files.atomic_write(self._path) as partial,
              open(partial, "w", encoding="utf-8") as file):
          file.writelines(self._parts)


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
  """A context in which an OSError becomes one line."""
  try:
    yield
  except OSError as error:
    raise UserError(f"--output={path}: {error.strerror}; choose another "
                    "file") from None
