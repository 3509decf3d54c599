"""Terminals, on which this process or another one prints."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading


class Screen:
  """A context in which this process prints to a terminal.

  Attributes:
    text: what the terminal showed, after the context.
  """

  def __init__(self, columns=100):
    self._columns = columns

  def __enter__(self):
    self._ours, theirs = pty.openpty()
    set_columns(theirs, self._columns)
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


def set_columns(terminal, columns):
  """Sets the width of a terminal."""
  fcntl.ioctl(terminal, termios.TIOCSWINSZ,
              struct.pack("HHHH", 24, columns, 0, 0))


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
  set_columns(theirs, columns)
  os.write(ours, typed.encode())
  process = subprocess.Popen(
      command, stdin=theirs, stdout=theirs, stderr=theirs)
  os.close(theirs)
  text = read_screen(ours).decode()
  return process.wait(60), text
