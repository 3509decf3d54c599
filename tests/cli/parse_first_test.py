"""The command line is parsed before TensorFlow is imported."""

import os
import subprocess
import sys

import pytest

from rnn import cli
from rnn.layers import cells
from rnn.options import RNN_MODES
from tests.helpers.calls import ROOT, assert_one_line

# Runs scripts in forks of a process without TensorFlow, which takes three
# seconds to import. The last line of each says whether it is imported.
_RUN_EACH = """
import contextlib, os, runpy, sys
for script in sys.argv[2:]:
  if not os.fork():
    sys.argv = [script, sys.argv[1]]
    sys.path.insert(0, os.path.dirname(script))
    try:
      runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
      print(f"{stop.code} {'tensorflow' in sys.modules}", flush=True)
    os._exit(0)
  os.wait()
"""


def run_each(argument, paths, folder):
  """Returns what all scripts print with an argument: output, errors."""
  done = subprocess.run(
      [sys.executable, "-c", _RUN_EACH, argument, *paths], cwd=folder,
      capture_output=True, text=True, timeout=120,
      env=os.environ | {"PYTHONPATH": ""})
  assert done.returncode == 0, done.stderr
  return done.stdout, done.stderr


@pytest.fixture(scope="module")
def paths():
  # Benchmarks run as modules.
  return [path for path in cli.SCRIPTS if "benchmarks" not in path]


def test_help_needs_no_tensorflow_in_any_folder(paths, tmp_path):
  out, err = run_each("--help", paths, tmp_path)
  assert err == ""
  assert out.count("\n0 False\n") == len(paths) == 10, out
  assert out.count("\n  --save_path: ") == len(paths)
  assert out.count("\n  --epochs: ") == 6  # the scripts that train


def test_an_error_in_a_flag_needs_no_tensorflow(paths, tmp_path):
  out, err = run_each("--save_paht=x", paths, tmp_path)
  assert out == "1 False\n" * len(paths), out
  for line, path in zip(err.splitlines(keepends=True), paths, strict=True):
    assert_one_line(line, os.path.basename(path),
                    "'save_paht'. Did you mean: save_path")


def test_reproduce_parses_first():
  done = subprocess.run(
      [sys.executable, "-X", "importtime", "-m", "benchmarks.reproduce",
       "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert (done.returncode, "tensorflow" in done.stderr) == (0, False)
  assert "--output: " in done.stdout and "--epochs: " in done.stdout


def test_the_flag_names_every_implementation_of_a_layer():
  assert set(RNN_MODES) == {
      name for cell in cells.CELLS.values() for name in cell.layers}


def test_an_unknown_flag_that_is_a_setting_says_what_to_write(
    call_main, capsys):
  for flag, message in (
      ("--init_scale=0.2", "write --config_override=init_scale=0.2$"),
      ("--max_max_epoch=3", "write --epochs=3$"),
      ("--hidden_sizes=4,5", "write --config_override=hidden_sizes=4,5$"),
      ("--lr_decay", "write --config_override=lr_decay=VALUE$")):
    assert call_main(flag) == 1
    name = flag.partition("=")[0]
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                    f"{name}: is a setting; {message}")


def test_help_without_a_reader_ends_quietly():
  """As in --help | head, and with a full disk behind standard output."""
  read, write = os.pipe()
  os.close(read)
  with os.fdopen(write, "wb") as pipe, open("/dev/full", "wb") as full:
    for output, status, message in (
        (pipe, 0, ""), (full, 1, "generate.py: standard output: No space left "
                                 "on device\n")):
      done = subprocess.run(
          [sys.executable, os.path.join(ROOT, "generate.py"), "--help"],
          stdout=output, stderr=subprocess.PIPE, text=True, timeout=60)
      assert (done.returncode, done.stderr) == (status, message)
