"""Standard output and error: anything may be printed, and controls no terminal.

The words of a text, a prompt, or the answer of a server can hold control
characters, which clear a terminal's screen or hide text. A terminal gets them
escaped as in Python. Files and pipes get them as they are.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from rnn.errors import escaped

# Control characters except tab and newline, marks that change the direction of
# a text, and halves of characters.
_CONTROL = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e"
    "\u2066-\u2069\ud800-\udfff]")


class _Escaping:
  """A text stream to a terminal that escapes control characters."""

  def __init__(self, stream: TextIO) -> None:
    self.stream = stream

  def write(self, text: str) -> int:
    self.stream.write(_CONTROL.sub(lambda match: escaped(match[0]), text))
    return len(text)

  def writelines(self, lines: Iterable[str]) -> None:
    for line in lines:
      self.write(line)

  def __getattr__(self, name: str) -> Any:
    return getattr(self.stream, name)


@contextlib.contextmanager
def safe_output(encoding: str | None = None) -> Iterator[None]:
  """A context in which printing to standard output and error is safe.

  A character that the encoding lacks is escaped. A closed stream swallows what
  is printed.

  Args:
    encoding: of standard output; None leaves it as it is.
  """
  sys.stdout = sys.stdout or open(os.devnull, "w")
  sys.stderr = sys.stderr or open(os.devnull, "w")
  if isinstance(sys.stdout, io.TextIOWrapper):  # not so in a notebook
    sys.stdout.reconfigure(
        encoding=encoding, errors="backslashreplace")  # as on standard error
  before = sys.stdout, sys.stderr
  inside = tuple(map(_escaping, before))
  sys.stdout, sys.stderr = inside
  try:
    yield
  finally:
    if sys.stdout is inside[0]:
      sys.stdout = before[0]
    if sys.stderr is inside[1]:
      sys.stderr = before[1]


def _escaping(stream: TextIO) -> TextIO:
  return cast(TextIO, _Escaping(stream)) if stream.isatty() else stream


def controllable(stream: TextIO) -> TextIO:
  """Returns a stream that passes control characters, for a progress bar."""
  return stream.stream if isinstance(stream, _Escaping) else stream
