"""Behaviour that all scripts share when a shell calls them."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from tests.helpers import warm_python
from tests.helpers.calls import ROOT, assert_one_line


@pytest.fixture
def in_shell(trained_runs, tmp_path):
  """Calls a script: name, flags -> status, output in bytes, error messages.

  The working folder has the file `text`. Python is warm, or the one given.
  """
  (tmp_path / "text").write_text("the population\nh\u00f4tel\n",
                                 encoding="utf-8")

  def call(script, flags, python=None, **environment):
    python = python or shlex.join(warm_python.command())
    done = subprocess.run(
        f"{python} {ROOT}/{script} --save_path={trained_runs}/a {flags}",
        shell=True, cwd=tmp_path, capture_output=True, timeout=120,
        env=os.environ | environment)
    return done.returncode, done.stdout, done.stderr.decode()

  return call


@pytest.mark.slow
@pytest.mark.parametrize("script, flags", [
    ("neighbors.py", "--words=the"), ("score.py", "--text=text")])
def test_a_full_disk_gives_one_line(in_shell, script, flags):
  status, _, err = in_shell(script, f"{flags} > /dev/full")
  assert status == 1
  assert_one_line(err, script, "standard output: No space left on device$")


@pytest.mark.slow
def test_a_folder_that_is_gone_gives_one_line(tmp_path):
  done = subprocess.run(
      ["sh", "-c", "mkdir gone && cd gone && rmdir ../gone && exec "
       f"{sys.executable} {ROOT}/ptb_word_lm.py "
       "--save_path=run"], cwd=tmp_path, capture_output=True, text=True,
      timeout=120)
  assert done.returncode == 1
  assert_one_line(done.stderr, "ptb_word_lm.py",
                  "the current folder does not exist any more$")


@pytest.mark.slow
def test_streams_may_be_closed(in_shell):
  status, out, err = in_shell("score.py", "--text=text")
  assert status == 0 and out.count(b"\n") == 3 and "perplexity" in err
  assert in_shell("score.py", "--text=text 2>&-", sys.executable) == (
      0, out, "")
  status, _, summary = in_shell(
      "score.py", "--text=text >&-", sys.executable)
  assert status == 0
  assert summary.splitlines()[1:] == err.splitlines()[1:]  # line 0: the speed


@pytest.mark.slow
def test_output_is_utf_8_in_any_locale(in_shell):
  status, out, _ = in_shell(
      "score.py", "--text=text --per_word", sys.executable,
      PYTHONIOENCODING="latin-1")
  assert status == 0 and "\th\u00f4tel\t".encode() in out


@pytest.mark.parametrize("folder", ["", "examples", "tests"])
def test_ctrl_c_stays_as_it_is_in_other_programs(folder):
  """A notebook or a shell that imports a script keeps KeyboardInterrupt."""
  done = subprocess.run(
      [sys.executable, "-c", "import signal; from rnn.cli import scripts; "
       "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"],
      cwd=os.path.join(ROOT, folder), env=os.environ | {"PYTHONPATH": ROOT},
      capture_output=True, text=True, timeout=60,
      preexec_fn=lambda: signal.signal(
          signal.SIGINT, signal.default_int_handler))
  assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.slow
def test_errors_name_the_flag_of_a_setting(tmp_path, call_main, capsys):
  (tmp_path / "file").write_text("not a run\n")
  for flags, message in (
      ([f"--save_path={tmp_path}"], "choose another folder for the run "
       r"\(--save_path\)$"),
      (["--config_override=cell=gru", "--rnn_mode=block"],
       "^ptb_word_lm.py: --rnn_mode=block: gru_cell has no such")):
    assert call_main("--model=test", *flags) == 1
    assert_one_line(capsys.readouterr().err.rstrip("\n") + "\n",
                    "ptb_word_lm.py", message)
