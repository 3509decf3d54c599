"""Standard output and error: a terminal shows control characters escaped."""

import contextlib
import io
import os
import re
import sys
import unicodedata

import pytest
import tqdm

from rnn import terminal
from tests.helpers.calls import ROOT
from tests.helpers.screens import Screen

ODD = "a\x1b[2J\x9b1m\x07\r\x08\x7f\0\u202eb\u2066\tc\nd \u00a0\u00e9\u200d\\"
SHOWN = ("a\\x1b[2J\\x9b1m\\x07\\r\\x08\\x7f\\x00\\u202eb\\u2066\tc\n"
         "d \u00a0\u00e9\u200d\\")


def test_a_terminal_shows_control_characters_escaped():
  with Screen() as screen:
    with terminal.safe_output():
      print(ODD)
      print(ODD, file=sys.stderr)
      sys.stdout.writelines([ODD, "\n"])
      assert sys.stdout.isatty() and sys.stdout.encoding == "utf-8"
  assert screen.text == f"{SHOWN}\n" * 3


def test_files_and_pipes_get_the_data_as_they_are():
  out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    with terminal.safe_output():
      print(ODD)
      print(ODD, file=sys.stderr)
  for stream in out, err:
    stream.flush()
    assert stream.buffer.getvalue() == f"{ODD}\n".encode()


def test_all_control_characters_of_unicode_are_escaped():
  controls = "".join(
      chr(i) for i in range(0x3000) if unicodedata.category(chr(i)) == "Cc"
      or unicodedata.bidirectional(chr(i)) in (
          "LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"))
  with Screen() as screen, terminal.safe_output():
    print(controls, end="")
  assert re.fullmatch(r"[ -~\t\n]*", screen.text)
  assert screen.text.count("\\") == len(controls) - 2 == 72


def test_a_progress_bar_still_moves():
  with Screen() as screen, terminal.safe_output():
    tqdm.tqdm(total=9, file=terminal.controllable(sys.stderr), ncols=40,
              nrows=9).close()
  assert screen.text.startswith("\r  0%|")


def test_the_streams_are_restored():
  with Screen() as screen:
    before = sys.stdout
    with contextlib.suppress(KeyError), terminal.safe_output():
      assert sys.stdout is not before
      with terminal.safe_output():  # a script that calls another
        print("\x1b", end="")
      raise KeyError
    assert sys.stdout is sys.stderr is before
    with terminal.safe_output():
      sys.stdout = redirected = io.StringIO()
    assert sys.stdout is redirected
  assert screen.text == "\\x1b"


@pytest.mark.parametrize("folder, context", [
    (".", "scripts.error_lines("), ("tasks", "scripts.error_lines("),
    ("data", "command.run(")])
def test_all_scripts_print_safely(folder, context):
  """And an error becomes one line."""
  scripts = 0
  for name in os.listdir(os.path.join(ROOT, folder)):
    if name.endswith(".py"):
      with open(os.path.join(ROOT, folder, name), encoding="utf-8") as file:
        text = file.read()
      if '__name__ == "__main__"' in text:
        scripts += 1
        assert context in text, name
  assert scripts >= 2
