"""SIGKILL at any moment: the resumed run ends in the same bits.

Six kills of one model; `make torture` sets KILLS for more, of several. There
Python starts anew each time, so that a kill may come within its imports.
"""

import contextlib
import glob
import os
import random
import time

import pytest

from rnn.runs.directory import RunDirectory
from tests.helpers.calls import run_script, start_script, wait_for
from tests.helpers.run_folders import assert_same_run

TORTURE = "KILLS" in os.environ
KILLS = int(os.environ.get("KILLS", 6))
# The most seconds of training before a kill, and flags with enough epochs.
CASES = {
    "test, fused": (1, "--config_override=hidden_size=24,keep_prob=0.6,"
                    "batch_size=2,max_epoch=4,max_max_epoch=12",
                    "--model=test"),
    "test, basic": (1, "--config_override=num_layers=2,hidden_size=16,"
                    "max_max_epoch=40", "--model=test", "--rnn_mode=basic"),
    "small, dynamic": (1, "--config_override=keep_prob=0.5,max_max_epoch=30",
                       "--model=small", "--rnn_mode=dynamic"),
    "small, block": (1, "--config_override=max_max_epoch=30",
                     "--model=small", "--rnn_mode=block"),
    "medium, basic": (6, "--config_override=max_max_epoch=12",
                      "--model=medium", "--rnn_mode=basic"),
    "medium, fused": (3, "--config_override=max_max_epoch=40",
                      "--model=medium"),
}


def being_written(run, since):
  """Returns names of checkpoints being written, now or when the process died.

  What an earlier process left does not count, nor do old checkpoints that are
  being removed (`-old.partial`).
  """
  names = []
  for path in glob.glob(f"{run}/checkpoints/*.????????.partial"):
    with contextlib.suppress(FileNotFoundError):  # it has just got its name
      if os.path.getmtime(path) > since:
        names.append(os.path.basename(path))
  return names


def kill_while_writing(process, run, seconds, rng):
  """Kills it when a checkpoint is being written, or a little later."""
  wait_for(process, "Learning rate")
  time.sleep(rng.uniform(0, seconds))
  while not being_written(run, since=time.time() - 1):
    assert process.poll() is None
  time.sleep(rng.choice([0, 0.001, 0.003]))  # it takes some milliseconds
  process.kill()


def kill_while_training(process, run, seconds, rng):
  """Kills it between two steps, or in a step."""
  wait_for(process, "Learning rate")
  time.sleep(rng.uniform(0, seconds))
  process.kill()


def kill_whenever(process, run, seconds, rng):
  """Kills it at any time, also while it starts and reads the checkpoint."""
  time.sleep(rng.uniform(0, (3 if TORTURE else 1) + seconds))
  process.kill()


MOMENTS = [kill_while_writing, kill_while_training, kill_while_writing,
           kill_whenever]


def assert_no_error(done):
  """Asserts that a process ended well. Some models learn little in a test."""
  assert done.returncode == 0
  assert all("worse than guessing uniformly" in line
             for line in done.stderr.splitlines()), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES if TORTURE else list(CASES)[:1])
def test_a_run_killed_at_any_moment_ends_in_the_same_bits(
    corpus_folder, tmp_path, case):
  seconds, *flags = CASES[case]
  flags += [f"--data_path={corpus_folder}", "--save_secs=0.01"]
  done = run_script(*flags, f"--save_path={tmp_path}/undisturbed")
  assert_no_error(done)
  run = RunDirectory(str(tmp_path / "run"))
  rng = random.Random(case)
  hits = within_epochs = 0
  for number in range(KILLS):
    moment = MOMENTS[number % len(MOMENTS)]
    started = time.time()
    with start_script(
        *flags, f"--save_path={run.path}", cold=TORTURE) as process:
      moment(process, run.path, seconds, rng)
    assert process.returncode == -9  # not finished before
    left = being_written(run.path, since=started)
    hits += bool(left)
    newest = next(iter(run.checkpoints()), None)
    within_epochs += bool(newest and newest.epoch is None)
    print(f"{case}: kill {number + 1}, {moment.__name__}: newest is "
          f"{newest and os.path.basename(newest.path)}, half-written "
          f"{' '.join(left) or 'nothing'}", flush=True)
  done = run_script(*flags, f"--save_path={run.path}")
  assert_no_error(done)
  assert "resuming at epoch" in done.stdout
  assert not glob.glob(f"{run.path}/**/*.partial", recursive=True)
  assert_same_run(tmp_path / "undisturbed", run.path)
  print(f"{case}: {KILLS} kills, {hits} of them in a write; variables and "
        "metrics are the same to the last bit", flush=True)
  assert hits >= KILLS // 4 and within_epochs >= KILLS // 4
