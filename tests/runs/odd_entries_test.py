"""Entries of a run directory that are not the files that training wrote."""

import errno
import os
import shutil

import pytest

import generate
import ptb_word_lm
import score
from rnn import files
from rnn.errors import SettingError
from rnn.runs import cleanup
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from tests.helpers.calls import assert_one_line
from tests.helpers.run_folders import contents, rows_of
from trained.model import load

pytestmark = pytest.mark.usefixtures("no_hang")


def dangling_link(path):
  os.symlink("/nowhere/at/all", path)


def plain_file(path):
  with open(path, "w") as file:
    file.write("?")


def folder_with_pipes(path):
  os.mkdir(path)
  for name in ("journal.json", "model.ckpt.index",
               "model.ckpt.data-00000-of-00001"):
    os.mkfifo(f"{path}/{name}")


def link_to_a_loop(path):
  os.symlink(path, path)


ENTRIES = [dangling_link, plain_file, os.mkdir, os.mkfifo, folder_with_pipes,
           link_to_a_loop]


def replace(path, make):
  """Replaces a file or folder by what `make` makes."""
  shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
  make(path)


@pytest.mark.parametrize("make", ENTRIES)
def test_the_checkpoint_before_is_used_and_the_entry_named(
    finished, tmp_path, caplog, make):
  run = RunDirectory(f"{tmp_path}/run")
  newest, older, *_ = [c for c in run.checkpoints() if not c.best]
  shutil.rmtree(run.best().path)  # a copy of the newest
  replace(newest.path, make)
  assert load(run.path).name == f"{run.path} (epoch {older.epoch})"
  (warning,) = caplog.messages
  assert warning.startswith(f"damaged checkpoint: {newest.path}")
  assert warning.endswith(f"; using {older.path}")


@pytest.mark.parametrize("make", [
    dangling_link, pytest.param(folder_with_pipes, marks=pytest.mark.slow),
    pytest.param(plain_file, marks=pytest.mark.slow)])
def test_scripts_and_training_go_on_from_the_checkpoint_before(
    finished, tmp_path, call_script, capsys, make):
  run = RunDirectory(f"{tmp_path}/run")
  newest = run.checkpoints()[0]
  shutil.rmtree(run.best().path)
  replace(newest.path, make)
  for script, *flags in [
      (ptb_word_lm, "--mode=eval"), (generate, "--num_words=1"),
      (score, f"--text={finished[1].partition('=')[2]}/test.txt")]:
    capsys.readouterr()
    assert call_script(script, f"--save_path={run.path}", *flags) == 0
    assert capsys.readouterr().err.startswith(
        f"{script.__name__}.py: warning: damaged checkpoint: {newest.path}")
  assert call_script(ptb_word_lm, *finished) == 0
  assert "resuming at epoch 3, step 0" in capsys.readouterr().out
  names = os.listdir(f"{run.path}/checkpoints")
  assert f"aside-{os.path.basename(newest.path)}" in names
  assert run.checkpoints()[0].epoch == 3


@pytest.mark.parametrize("make", ENTRIES)
def test_a_checkpoint_asked_for_is_named(finished, tmp_path, make):
  run = RunDirectory(f"{tmp_path}/run")
  replace(run.best().path, make)
  with pytest.raises(
      SettingError, match=f"^checkpoint=best: damaged .*{run.best().path}"):
    load(run.path, "best")


@pytest.mark.parametrize("make", ENTRIES)
def test_if_nothing_is_readable_every_entry_is_named_once(
    finished, tmp_path, capsys, call_main, make):
  run = RunDirectory(f"{tmp_path}/run")
  for checkpoint in run.checkpoints():
    replace(checkpoint.path, make)
  before = contents(run.path)
  assert call_main(*finished) == 1
  err = capsys.readouterr().err
  assert_one_line(err, "ptb_word_lm.py", "no checkpoint is readable; restore")
  for checkpoint in run.checkpoints():
    assert err.count(f"{checkpoint.path}: ") + err.count(
        f"{checkpoint.path}/journal.json: ") == 1
  assert contents(run.path) == before


def garbled(path):
  with open(path, "wb") as file:
    file.write(b'\xff{"\x00')


@pytest.mark.parametrize("make", [
    garbled, pytest.param(dangling_link, marks=pytest.mark.slow),
    pytest.param(os.mkfifo, marks=pytest.mark.slow)])
def test_files_that_follow_from_others_are_written_again(
    finished, tmp_path, call_main, capsys, make):
  *flags, override = finished
  before = contents(tmp_path / "run")
  for name in ("metrics.csv", "learning_curve.png", "tests.json",
               "metadata.tsv", "projector_config.pbtxt", "checkpoint",
               "ids.json", "ids.int32", "vocab.txt"):
    replace(tmp_path / "run" / name, make)
  capsys.readouterr()
  assert call_main(*flags, override) == 0
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py: warning",
                  "/vocab.txt: .*; it is written again$")
  assert call_main(*flags, override.replace("epoch=3", "epoch=4")) == 0
  assert capsys.readouterr().err == ""
  after = contents(tmp_path / "run")
  for name in "metadata.tsv", "ids.json", "ids.int32", "vocab.txt":
    path = f"{tmp_path}/run/{name}"
    assert after[path] == before[path]
  assert len(rows_of(tmp_path / "run")) == 4
  assert RunDirectory(f"{tmp_path}/run").tests().keys() >= {4}


@pytest.mark.parametrize("name", [
    "metrics.csv", "learning_curve.png", "checkpoint", "config.json"])
def test_a_folder_in_the_place_of_a_file_is_named(
    finished, tmp_path, call_main, capsys, name):
  replace(tmp_path / "run" / name, os.mkdir)
  more = [*finished[:-1], finished[-1].replace("epoch=3", "epoch=4")]
  assert call_main(*more) == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  f"{tmp_path}/run.*{name}: Is a directory")


@pytest.mark.parametrize("make", [garbled, dangling_link, os.mkfifo])
def test_a_config_that_is_no_file_gives_one_line(
    finished, tmp_path, call_main, capsys, make):
  replace(tmp_path / "run" / "config.json", make)
  for flags in finished, [f"--save_path={tmp_path}/run", "--mode=eval"]:
    capsys.readouterr()
    assert call_main(*flags) == 1
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", "/run")


@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_a_folder_that_cannot_be_listed_is_no_new_run(
    finished, tmp_path, call_main, capsys, monkeypatch, error):
  """The finished run is not trained again."""
  before = contents(tmp_path / "run")

  def listdir(path, real=os.listdir):
    if str(path).endswith("/checkpoints"):
      raise OSError(error, os.strerror(error))
    return real(path)

  monkeypatch.setattr(os, "listdir", listdir)
  assert call_main(*finished) == 1
  assert_one_line(
      capsys.readouterr().err, "ptb_word_lm.py",
      f"/checkpoints: cannot be read: {os.strerror(error)}$")
  with pytest.raises(RunError, match="cannot be read"):
    load(f"{tmp_path}/run")
  monkeypatch.undo()
  assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_a_list_that_fails_once_is_no_new_run(
    finished, tmp_path, call_main, monkeypatch):
  """Whichever of the calls it is."""
  before = contents(tmp_path / "run")
  left = 10**6

  def listdir(path, real=os.listdir):
    nonlocal left
    left -= str(path).endswith("/checkpoints")
    if left == 0 and str(path).endswith("/checkpoints"):
      raise OSError(errno.EIO, os.strerror(errno.EIO))
    return real(path)

  monkeypatch.setattr(os, "listdir", listdir)
  assert call_main(*finished) == 0
  number = 10**6 - left
  assert number > 3
  for call in range(1, number + 1):
    left = call
    assert call_main(*finished) == 1
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("harm", [plain_file, os.mkdir, dangling_link])
def test_the_best_is_taken_from_the_readable_ones(
    finished, tmp_path, caplog, harm):
  run = RunDirectory(f"{tmp_path}/run")
  shutil.rmtree(run.best().path)
  newest, middle, oldest = run.checkpoints()
  rows = newest.journal()["rows"]
  rows[0]["valid_perplexity"] = 1.0  # the best, and damaged
  rows[1]["valid_perplexity"] = 2.0
  replace(oldest.path, harm)
  training = TrainingRun(run.path, {})
  training._keep_best(rows)
  assert run.best().epoch == middle.epoch == 2
  assert oldest.path in caplog.text
  caplog.clear()
  training._keep_best(rows)
  assert not caplog.messages


def test_a_checkpoint_that_cannot_be_deleted_is_a_warning(
    finished, tmp_path, call_main, capsys, monkeypatch):
  """As a folder of another user."""
  def remove(path, real=files.remove):
    if path.endswith("-old.partial"):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    real(path)

  monkeypatch.setattr(files, "remove", remove)
  more = [*finished[:-1], finished[-1].replace("epoch=3", "epoch=4")]
  for flags in more, more:
    capsys.readouterr()
    assert call_main(*flags) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert warnings
    for warning in warnings:
      assert "-old.partial: cannot be deleted: Permission denied; " in warning


def test_only_leftovers_of_the_run_are_deleted(finished, tmp_path, call_main):
  run = tmp_path / "run"
  kept = ["checkpoints/my-step-notes.partial", "thesis.partial",
          "checkpoints/step-7.partial.old", "config.json.old.partial"]
  ours = ["checkpoints/step-7.abcdefgh.partial", "config.json.abcdefgh.partial",
          "checkpoints/best-step-000000007-epoch-2.partial",
          "checkpoints/step-7-old.partial", "page.png.abcdefgh.partial",
          "echo.png.abcdefgh.partial", "vectors.words.txt.abcdefgh.partial",
          "vocab.txt.partial"]
  for name in kept + ours:
    (run / name).mkdir()
    (run / name / "file").touch()
  assert call_main(*finished) == 0
  assert all((run / name / "file").exists() for name in kept)
  assert not any((run / name).exists() for name in ours)


def test_what_was_set_aside_before_stays(finished, tmp_path):
  run = RunDirectory(f"{tmp_path}/run")
  newest = run.checkpoints()[0]
  folder, name = os.path.split(newest.path)
  for number in ["", "-2", "-3"]:
    shutil.copytree(newest.path, f"{tmp_path}/copy{number}")
    cleanup.move_aside(newest)
    assert os.path.exists(f"{folder}/aside-{name}{number}/journal.json")
    os.rename(f"{tmp_path}/copy{number}", newest.path)


def test_checkpoints_that_vanish_are_none(finished, tmp_path, monkeypatch):
  run = RunDirectory(f"{tmp_path}/run")

  def journal(checkpoint, real=Checkpoint.journal):
    shutil.rmtree(f"{run.path}/checkpoints", ignore_errors=True)
    return real(checkpoint)

  monkeypatch.setattr(Checkpoint, "journal", journal)
  with pytest.raises(RunError, match="has no checkpoint yet$"):
    load(run.path)
