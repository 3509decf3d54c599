"""Ctrl-C and SIGTERM: the script stops between two steps."""

import re
import signal
import subprocess
import time

import pytest

from rnn.runs.directory import RunDirectory
from tests.helpers.calls import ROOT, run_script, start_script, wait_for
from tests.helpers.run_folders import (
  assert_same_run,
  long_run_flags,
  variables_of,
)


@pytest.mark.slow
@pytest.mark.parametrize("signum, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_is_saved_and_prints_the_command_that_resumes(
    corpus_folder, tmp_path, signum, status):
  flags = long_run_flags(corpus_folder, epochs=8)
  with start_script(*flags, f"--save_path={tmp_path}/run",
                    "--fresh") as process:
    wait_for(process, "Epoch: 2 Learning rate")
    time.sleep(0.05)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
  assert process.returncode == status
  message = re.fullmatch(
      r"ptb_word_lm.py: stopped by (\w+); everything is saved, resume with: "
      r"(.*)\n", err)
  assert message[1] == signum.name and "--fresh" not in message[2]
  newest = RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  step, size = variables_of(newest)["global_step"], 3600 // 20 // 2 - 1
  assert step == newest.step > size

  # The command works as printed.
  done = subprocess.run(message[2], shell=True, cwd=ROOT, capture_output=True,
                        text=True, timeout=120)
  assert (done.returncode, done.stderr) == (0, "")
  # On a fast machine the stop may come within a validation, or after one.
  ended = newest.epoch or (step - 1) // size
  assert (f"resuming at epoch {ended + 1}, step {step - ended * size} of {size}"
          in done.stdout)
  done = run_script(*flags, f"--save_path={tmp_path}/undisturbed")
  assert done.returncode == 0
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(corpus_folder, tmp_path):
  with start_script("--model=test", f"--data_path={corpus_folder}",
                    f"--save_path={tmp_path}/run", "--config_override="
                    "hidden_size=1500,num_layers=2,num_steps=85") as process:
    wait_for(process, "Learning rate")  # a step takes some seconds
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None  # the first signal waits for the step
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
  assert time.monotonic() - began < 10
  assert (process.returncode, err) == (130, "")


@pytest.mark.slow
def test_ctrl_c_during_the_imports_gives_no_traceback():
  for delay in (0.5, 0.8, 1.2):
    with start_script("--model=test", cold=True) as process:
      time.sleep(delay)
      process.send_signal(signal.SIGINT)
      _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (-signal.SIGINT, "")


@pytest.mark.slow
def test_a_stop_without_a_run_says_that_nothing_is_saved(corpus_folder):
  with start_script(*long_run_flags(corpus_folder, epochs=40)) as process:
    wait_for(process, "Epoch: 2")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
  assert (process.returncode, err) == (
      130, "ptb_word_lm.py: stopped by SIGINT; nothing is kept without "
      "--save_path\n")
