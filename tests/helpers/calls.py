"""Ways to call scripts, and to check their error messages."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading

from absl import flags

import ptb_word_lm
from rnn.cli import scripts

ROOT = os.path.dirname(os.path.abspath(ptb_word_lm.__file__))
_FLAGS_OF_ABSL = set(flags.FLAGS)


def call(script, *args):
  """Runs a script in this process: its module, flags -> exit status."""
  for name in set(flags.FLAGS) - _FLAGS_OF_ABSL:
    delattr(flags.FLAGS, name)  # the script before has defined it
  script.define_flags()
  try:
    script.main(scripts.parse_flags([script.__file__, *args]))
  except SystemExit as stop:
    return stop.code
  return 0


def run_script(*args, **kwargs):
  """Runs `ptb_word_lm.py` in a process of its own, to its end."""
  return subprocess.run(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), *args],
      capture_output=True, text=True, timeout=120, **kwargs)


def start_script(*args):
  """Starts `ptb_word_lm.py` in a process of its own, as from a terminal."""
  return subprocess.Popen(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), *args],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      # A process in the background ignores SIGINT, and so do its children.
      preexec_fn=lambda: signal.signal(
          signal.SIGINT, signal.default_int_handler))


def wait_for(process, text):
  """Reads lines of a process's output up to one with the text; returns them."""
  lines = []
  while text not in (lines or [""])[-1]:
    lines.append(process.stdout.readline())
    assert lines[-1], process.communicate()
  return lines


def assert_one_line(text, script, message):
  """Asserts that a script's error is one line that matches a pattern."""
  assert text.startswith(f"{script}: ") and text.count("\n") == 1, text
  assert re.search(message, text), text


class Screen:
  """A context in which this process prints to a terminal.

  Attributes:
    text: what the terminal showed, after the context.
  """

  def __enter__(self):
    self._ours, theirs = pty.openpty()
    self._reader = threading.Thread(target=self._read)
    self._reader.start()
    self._stream = os.fdopen(theirs, "w", encoding="utf-8")
    self._stack = contextlib.ExitStack()
    self._stack.enter_context(contextlib.redirect_stdout(self._stream))
    self._stack.enter_context(contextlib.redirect_stderr(self._stream))
    return self

  def _read(self):
    self._bytes = read_screen(self._ours)

  def __exit__(self, *_):
    self._stack.close()
    self._stream.close()
    self._reader.join()
    self.text = self._bytes.decode().replace("\r\n", "\n")


def read_screen(ours):
  """Returns the bytes that a terminal gets; closes our end of it."""
  text = b""
  with contextlib.suppress(OSError):  # raised at the end of the output
    while piece := os.read(ours, 1 << 16):
      text += piece
  os.close(ours)
  return text


def on_terminal(*command, typed="", columns=100):
  """Runs a program in a terminal of its own; returns the status and output.

  Args:
    typed: what is typed, such as a prompt and a newline.
  """
  ours, theirs = pty.openpty()
  fcntl.ioctl(theirs, termios.TIOCSWINSZ,
              struct.pack("HHHH", 24, columns, 0, 0))
  os.write(ours, typed.encode())
  process = subprocess.Popen(
      command, stdin=theirs, stdout=theirs, stderr=theirs)
  os.close(theirs)
  text = read_screen(ours).decode()
  return process.wait(60), text
