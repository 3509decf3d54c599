"""Ways to call scripts, and to check their error messages."""

import os
import re
import signal
import subprocess
import sys

from absl import flags

import ptb_word_lm
from rnn.cli import scripts
from tests.helpers import warm_python

ROOT = os.path.dirname(os.path.abspath(ptb_word_lm.__file__))
_FLAGS_OF_ABSL = set(flags.FLAGS)


def parse(script, *args):
  """Parses the flags of a script as the script does; returns argv."""
  for name in set(flags.FLAGS) - _FLAGS_OF_ABSL:
    delattr(flags.FLAGS, name)  # the script before has defined it
  script.define_flags()
  return scripts.parse_flags([script.__file__, *args])


def call(script, *args):
  """Runs a script in this process: its module, flags -> exit status."""
  try:
    script.main(parse(script, *args))
  except SystemExit as stop:
    return stop.code
  return 0


def run_script(*args, **kwargs):
  """Runs `ptb_word_lm.py` in a process of its own, to its end."""
  return subprocess.run(
      [*warm_python.command(), os.path.join(ROOT, "ptb_word_lm.py"), *args],
      capture_output=True, text=True, timeout=120, **kwargs)


def start_script(*args, cold=False):
  """Starts `ptb_word_lm.py` in a process of its own, as from a terminal.

  Args:
    cold: starts Python itself, not a `warm_python`.
  """
  python = [sys.executable] if cold else warm_python.command()
  return warm_python.Process(
      [*python, os.path.join(ROOT, "ptb_word_lm.py"), *args],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      preexec_fn=allow_sigint)


def allow_sigint():
  """Lets a child receive SIGINT; call it in the child.

  A process in the background ignores this signal, and so do its children.
  """
  signal.signal(signal.SIGINT, signal.default_int_handler)


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


def assert_refused(text, script, *differences):
  """Asserts that a run is refused, and names differences, one per line."""
  summary, *lines = text.splitlines()
  assert_one_line(summary + "\n", script, "holds another run, which differs")
  assert all(line.startswith("  ") for line in lines), text
  for difference in differences:
    assert any(re.match(f"  {difference}", line) for line in lines), text
