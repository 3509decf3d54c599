"""The log of a run: one file to which every start of the run adds.

    $ python ptb_word_lm.py --model=small --data_path=data/ptb ...
    # 2026-11-27 14:00 UTC, AMD EPYC, family 25, model 17, ..., 2 cores, ...
    train: 929,589 tokens, 0 of them unknown words, read as <unk>
    ...
    resuming at epoch 4, step 0 of 2323
    ...
    ptb_word_lm.py: stopped by SIGTERM; everything is saved, resume with: ...
      Maximum resident set size (kbytes): 846504
      Exit status: 143

The two lines before a start can be missing. The last lines, which begin with a
tab, are as GNU time prints them. So this makes a log, too:

    /usr/bin/time -v python ptb_word_lm.py ... >> LOG 2>&1

A start that was killed has no last lines.
"""

import contextlib
import dataclasses
import datetime
import io
import re
import sys
from collections.abc import Iterator
from typing import IO, TextIO

from benchmarks import contender
from rnn.errors import UserError
from rnn.runs import lock

_READ = r"train: [\d,]+ tokens"
_START = re.compile(rf"^(?:\$ .*\n(?:# .*\n)?(?:{_READ})?|{_READ})",
                    re.MULTILINE)
_HEADER = re.compile(r"^# (.+? UTC), (.+)$", re.MULTILINE)
_EPOCH = re.compile(r"^Epoch: (\d+) ", re.MULTILINE)
_RESUMED = re.compile(r"^resuming at (.+)$", re.MULTILINE)
_SIGNAL = re.compile(r": stopped by (SIG\w+);")
_SUMMARY = re.compile(
    r" in training \(median of \d+ epochs\)| in (1 epoch|all \d+ epochs)$",
    re.MULTILINE)
_PEAK = re.compile(r"^\tMaximum resident set size \(kbytes\): (\d+)$",
                   re.MULTILINE)
_STATUS = re.compile(r"^\tExit status: (\d+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Start:
  """What a log says about one start of its run.

  Attributes:
    machine: the machine and the versions; None if the log does not say.
    resumed: the position from which training went on, in words; None at the
      beginning.
    epoch: the last epoch in which it trained, from 1; None if it did not train.
    end: "finished", the name of the signal that stopped it, "failed" or
      "killed".
  """

  machine: str | None
  resumed: str | None
  epoch: int | None
  end: str

  def __str__(self) -> str:
    where = f" in epoch {self.epoch}" if self.epoch else ""
    return self.end + where if self.end != "finished" else self.end


def starts(log: str) -> list[Start]:
  """Returns the starts of a run, from its log.

  Those that failed before they read the text do not count.
  """
  begins = [match.start() for match in _START.finditer(log)]
  parts = (log[begin:end] for begin, end in zip(
      begins, [*begins, None][1:], strict=True))
  return [_start(part) for part in parts if re.search(_READ, part)]


def _start(part: str) -> Start:
  """Returns the start that printed a part of a log."""
  header, resumed = _HEADER.search(part), _RESUMED.search(part)
  epochs, signal = _EPOCH.findall(part), _SIGNAL.search(part)
  if _SUMMARY.search(part):
    end = "finished"
  elif signal:
    end = signal[1]
  else:
    end = "failed" if _STATUS.search(part) else "killed"
  return Start(header and header[2], resumed and resumed[1],
               int(epochs[-1]) if epochs else None, end)


def peak_memory(log: str) -> int | None:
  """Returns the peak memory of all starts in kB; None if no start says it."""
  return max(map(int, _PEAK.findall(log)), default=None)


@contextlib.contextmanager
def recording(path: str, command: str, machine: str) -> Iterator[None]:
  """A context in which all that is printed is added to a log, too.

  Args:
    command: the command that trains.
    machine: the machine and the versions, see `machine.describe`.

  Raises:
    UserError: the log cannot be written, or another process writes it.
  """
  now = datetime.datetime.now(datetime.timezone.utc)
  try:
    log = open(path, "ab", buffering=0)
  except OSError as error:
    raise _unwritable(path, error) from None
  with log:
    if not lock.try_lock(log):
      raise UserError(f"{path}: another process writes this log; wait until "
                      "it ends")
    add = _Adder(log)
    add(f"$ {command}\n# {now:%Y-%m-%d %H:%M} UTC, {machine}\n")
    status: object = 1
    try:
      with _copied("stdout", add), _copied("stderr", add):
        yield
      status = 0
    except SystemExit as stop:
      status = stop.code
      raise
    finally:
      add("\tMaximum resident set size (kbytes): "
          f"{contender.peak_memory()}\n\tExit status: {status or 0}\n")


def _unwritable(path: str, error: OSError) -> UserError:
  return UserError(f"{path}: the log cannot be written: {error.strerror}; fix "
                   "this, then give the same command again")


class _Adder:
  """A function that adds text to a log.

  It fails once only, so that the message about the failure can be printed.
  """

  def __init__(self, log: IO[bytes]) -> None:
    self._logs = [log]

  def __call__(self, text: str) -> None:
    for log in self._logs:
      try:
        log.write(text.encode("utf-8", "backslashreplace"))
      except OSError as error:
        self._logs.clear()
        raise _unwritable(log.name, error) from None


@contextlib.contextmanager
def _copied(name: str, add: _Adder) -> Iterator[None]:
  """A context in which the text of sys.stdout or sys.stderr is also added."""
  stream = getattr(sys, name)
  copy = _Copied(stream, add)
  setattr(sys, name, copy)
  try:
    yield
  finally:
    if getattr(sys, name) is copy:  # `error_lines` replaces one that fails
      setattr(sys, name, stream)


class _Copied(io.TextIOBase):
  """A text stream whose text is also added to a log.

  It is no terminal, so progress takes the form of lines.
  """

  def __init__(self, stream: TextIO, add: _Adder) -> None:
    self._stream, self._add = stream, add

  def write(self, text: str) -> int:
    self._add(text)
    return self._stream.write(text)

  def flush(self) -> None:
    self._stream.flush()
