"""Writing to the disk: files are complete, and a full disk is no disaster."""

import glob
import os
import resource
import subprocess
import sys

import pytest

from rnn.runs import learning_curve
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.text.vocabulary import EOS, UNK, Vocabulary
from rnn.tf1 import tf
from tests.helpers.calls import ROOT, run_script
from tests.helpers.run_folders import (
  assert_same_run,
  training_run,
  variables_of,
)


@pytest.mark.slow
def test_files_are_on_the_disk_before_they_get_their_names(
    run_flags, call_main, monkeypatch):
  synced, named = set(), []

  def fsync(descriptor, real=os.fsync):
    synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    real(descriptor)

  def replace(source, target, real=os.replace):
    inside = glob.glob(f"{source}/*") if os.path.isdir(source) else []
    assert {source, *inside} <= synced
    real(source, target)
    named.append(os.path.basename(target))

  monkeypatch.setattr(os, "fsync", fsync)
  monkeypatch.setattr(os, "replace", replace)
  assert call_main(*run_flags) == 0
  assert {"config.json", "vocab.txt", "metadata.tsv", "metrics.csv",
          "learning_curve.png", "tests.json", "journal.json", "checkpoint",
          "step-000000178-epoch-2", "best-step-000000178-epoch-2",
          "projector_config.pbtxt", "ids.int32", "ids.json"} == set(named) - {
              "step-000000089-epoch-1", "best-step-000000089-epoch-1"}


def save_epochs(run, epochs=1):
  """Does what training does to a run directory, with a model of one number."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.train.get_or_create_global_step()
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver(max_to_keep=0)
    with run.open():
      run.begin(0)
      rows = []
      for epoch in range(1, epochs + 1):
        run.log(epoch * 10 - 5, {"a": 1.0})
        run.save(session, saver, epoch * 10 - 5, {"rows": rows})
        rows.append({"epoch": epoch, "learning_rate": 1.0,
                     "train_perplexity": 9.0 - epoch,
                     "valid_perplexity": 9.0 - epoch})
        run.save(session, saver, epoch * 10, {"rows": rows}, ends_epoch=True)
      run.keep_tests({epochs: 7.0})


def draw(rows, path, **kwargs):
  """A stand-in for `learning_curve.draw`, which takes longer."""
  with open(path, "w") as file:
    file.write(str(rows))


@pytest.mark.parametrize("function", [
    "fsync", *(pytest.param(name, marks=pytest.mark.slow)
               for name in ("mkdir", "replace", "listdir"))])
def test_a_folder_that_is_moved_away_gives_one_line(
    tmp_path, monkeypatch, function):
  """Whichever call of a function it is moved after."""
  words = Vocabulary(("a", EOS, UNK))
  left, real = 10**6, getattr(os, function)

  def call(*args, **kwargs):
    nonlocal left
    result = real(*args, **kwargs)
    if (left := left - 1) == 0:
      os.rename(run.path, f"{run.path}-moved")
    return result

  monkeypatch.setattr(os, function, call)
  monkeypatch.setattr(learning_curve, "draw", draw)
  run = training_run(tmp_path / "whole", words)
  save_epochs(run)
  calls = 10**6 - left
  assert calls >= 3
  ended = 0
  for number in range(1, calls + 1):
    run = training_run(tmp_path / str(number), words)
    left = number
    try:
      save_epochs(run)
      ended += 1
    except RunError as error:
      assert str(error).startswith(run.path)
      assert "No such file" in str(error) or "cannot be written" in str(error)
    left = 10**6
  assert ended < calls / 2  # a folder that is moved at the end is no error


@pytest.mark.slow
def test_a_limit_on_file_sizes_gives_one_line(run_flags, tmp_path):
  """As with a quota: the checkpoints of a larger model do not fit."""
  *flags, override = run_flags
  flags = [*flags, override.replace("hidden_size=8", "hidden_size=64")]
  done = subprocess.run(
      [sys.executable, "ptb_word_lm.py", *flags], cwd=ROOT, text=True,
      capture_output=True, timeout=120, preexec_fn=lambda: resource.setrlimit(
          resource.RLIMIT_FSIZE, (60_000, 60_000)))
  assert (done.returncode, done.stderr) == (
      1, f"ptb_word_lm.py: {tmp_path}/run: cannot be written to: File too "
      "large; fix this, then try again, or choose another folder "
      "(--save_path)\n")
  assert not os.listdir(tmp_path / "run" / "checkpoints")
  assert run_script(*flags).returncode == 0  # nothing blocks the next run


@pytest.fixture
def small_disk(tmp_path):
  """A folder that holds 2 MB."""
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
  try:
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
  except OSError:
    mounted = False
  if not mounted:
    pytest.skip("only root may mount a small disk")
  yield folder
  subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_checkpoint(
    corpus_folder, small_disk, tmp_path):
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={small_disk}/run", "--config_override="
           "hidden_size=80,max_max_epoch=4"]  # checkpoints of 0.2 MB
  ballast = small_disk / "ballast"
  ballast.write_bytes(bytes(1_200_000))  # no room for two epochs' checkpoints
  done = run_script(*flags)
  run = RunDirectory(f"{small_disk}/run")
  newest = run.checkpoints()[0]
  assert (done.returncode, done.stderr) == (
      1, f"ptb_word_lm.py: {run.path}: cannot be written to: No space left on "
      "device; fix this, then resume from "
      f"{os.path.basename(newest.path)}\n")
  assert newest.epoch in (1, 2)
  assert variables_of(newest)["global_step"] == newest.step
  assert not glob.glob(f"{run.path}/**/*.partial", recursive=True)
  ballast.unlink()
  done = run_script(*flags)
  assert (done.returncode, done.stderr) == (0, "")
  assert f"resuming at epoch {newest.epoch + 1}, step 0" in done.stdout
  assert run_script(*flags, f"--save_path={tmp_path}/roomy").returncode == 0
  assert_same_run(tmp_path / "roomy", run.path)
