"""Folders that training refuses, because they hold something else."""

import os
import re
import shutil

import pytest

import reader
from tests.helpers.calls import (
  assert_refused,
  run_script,
  start_script,
  wait_for,
)
from tests.helpers.run_folders import contents, long_run_flags


def test_fresh_refuses_a_folder_that_is_not_empty(
    run_flags, tmp_path, call_main, capsys):
  (tmp_path / "run").mkdir()
  assert call_main(*run_flags, "--fresh") == 0
  before = contents(tmp_path / "run")
  assert call_main(*run_flags, "--fresh") == 1
  assert "/run: not empty, but a fresh run needs a new folder" in (
      capsys.readouterr().err)
  assert contents(tmp_path / "run") == before


def other_runs(flags, tmp_path, corpus_folder):
  """Generates flags of other runs, and the differences to be named."""
  *same, override = flags
  for setting, message in [
      ("hidden_size=9", "settings.hidden_size (8 there, 9 here)"),
      ("hidden_size=8,num_layers=2", "settings.num_layers (1 there, 2 here)"),
      ("hidden_size=8,num_steps=3", "settings.num_steps (2 there, 3 here)"),
      ("hidden_size=8,init_scale=1", "settings.init_scale (0.1 there"),
      # This one may change, but only if it is given, not by --model.
      ("hidden_size=8", "settings.keep_prob (0.7 there, 1.0 here)")]:
    yield [*same, f"--config_override={setting}"], [message]
  yield [*flags, "--seed=7"], ["seed (1 there, 7 here)"]
  yield ([*same, "--model=small", override],
         ["settings.num_layers (1 there, 2 here)",
          "settings.max_grad_norm (1 there, 5 here)"])
  for name, change in [("words", lambda text: text.replace("owl", "elk")),
                       ("length", lambda text: text + "the cat sees\n")]:
    folder = tmp_path / name
    shutil.copytree(corpus_folder, folder)
    for split in reader.SPLITS:
      path = folder / f"{split}.txt"
      path.write_text(change(path.read_text()))
    messages = (["data.train.sha256 (", "the vocabulary"] if name == "words"
                else ["data.test.tokens (480 there, 484 here)",
                      "data.train.bytes ("])
    yield [*flags, f"--data_path={folder}"], messages


@pytest.mark.slow
def test_another_run_is_refused_with_the_differences(
    trained_flags, tmp_path, corpus_folder, call_main, capsys):
  before = contents(tmp_path / "run")
  for flags, messages in other_runs(trained_flags, tmp_path, corpus_folder):
    capsys.readouterr()
    assert call_main(*flags) == 1, flags
    err = capsys.readouterr().err
    assert_refused(err, "ptb_word_lm.py", *map(re.escape, messages))
    assert contents(tmp_path / "run") == before
  moved = shutil.copytree(corpus_folder, tmp_path / "moved")
  assert call_main(*trained_flags, f"--data_path={moved}") == 0


def move_checkpoints(source, target):
  """Replaces the checkpoints of one run by those of another."""
  shutil.rmtree(target / "checkpoints")
  (source / "checkpoints").rename(target / "checkpoints")


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_refused(
    trained_flags, tmp_path, call_main, capsys):
  """The checkpoints were copied from a run with other sizes."""
  *same, override = trained_flags
  assert call_main(*same, f"--save_path={tmp_path}/other",
                   override.replace("size=8", "size=9")) == 0
  move_checkpoints(tmp_path / "other", tmp_path / "run")
  capsys.readouterr()
  assert call_main(*trained_flags) == 1
  err = capsys.readouterr().err
  assert "holds another model, which differs in " in err
  assert "Model/softmax_w ([9, 9] there, [8, 9] here)" in err
  assert "Model/embedding ([9, 9] there, [9, 8] here)" in err


@pytest.mark.slow
def test_a_checkpoint_of_another_text_is_refused(
    trained_flags, tmp_path, corpus_folder, call_main, capsys):
  """The checkpoints were copied from a run with the same sizes."""
  folder = shutil.copytree(corpus_folder, tmp_path / "words")
  for path in folder.iterdir():
    path.write_text(path.read_text().replace("owl", "elk"))
  assert call_main(*trained_flags, "--seed=5", f"--data_path={folder}",
                   f"--save_path={tmp_path}/other") == 0
  move_checkpoints(tmp_path / "other", tmp_path / "run")
  capsys.readouterr()
  assert call_main(*trained_flags) == 1
  err = capsys.readouterr().err
  assert "-epoch-2: holds another run than config.json, which differs in" in err
  assert "seed (5 there, 1 here), data.train.sha256 (" in err


def test_a_folder_that_holds_no_run_is_left_alone(
    run_flags, tmp_path, call_main, capsys):
  folder = tmp_path / "run"
  folder.mkdir()
  (folder / "thesis.txt").touch()
  assert call_main(*run_flags) == 1
  assert "/run: not empty, but holds no run; choose" in capsys.readouterr().err
  assert os.listdir(folder) == ["thesis.txt"]
  for path, message in [(f"{folder}/thesis.txt", "File exists"),
                        ("/proc/none", "/proc/none: cannot be written to: ")]:
    assert call_main(*run_flags, f"--save_path={path}") == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_files_of_other_programs_are_left_alone(
    run_flags, tmp_path, call_main, capsys):
  """Even files whose names are similar to those of a run."""
  for name, text in [("thesis.partial", "?"), ("config.json", '{"layers": 2}')]:
    folder = tmp_path / name
    folder.mkdir()
    (folder / name).write_text(text)
    for fresh in [], ["--fresh"]:
      assert call_main(*run_flags, f"--save_path={folder}", *fresh) == 1
      assert ": not empty" in capsys.readouterr().err
    assert os.listdir(folder) == [name]
    assert (folder / name).read_text() == text


@pytest.mark.slow
def test_folder_names_that_tensorflow_cannot_find_are_refused(
    run_flags, tmp_path, call_main, capsys):
  for name in "a[1]", "a\\b", "a\udcff", "a\0":
    for flags in run_flags, ["--mode=eval"]:
      assert call_main(*flags, f"--save_path={tmp_path}/{name}") == 1
      err = capsys.readouterr().err
      assert "the name of the folder m" in err and err.count("\n") == 1
  assert os.listdir(tmp_path) == []
  assert call_main(*run_flags, f"--save_path={tmp_path}/a b*?{{\u00e9\n") == 0
  assert call_main(*run_flags, f"--save_path={tmp_path}/a b*?{{\u00e9\n") == 0
  assert "is finished" in capsys.readouterr().out


@pytest.mark.slow
def test_metrics_without_checkpoints_are_not_overwritten(
    trained_flags, tmp_path, call_main, capsys):
  shutil.rmtree(tmp_path / "run" / "checkpoints")
  assert call_main(*trained_flags) == 1
  assert "holds metrics.csv but no checkpoint" in capsys.readouterr().err


@pytest.mark.slow
def test_a_garbled_config_gives_one_line(
    trained_flags, tmp_path, call_main, capsys):
  for text in "", "{", "[]", '{"settings": 1}', '{"settings": {"size": 1}}':
    (tmp_path / "run" / "config.json").write_text(text)
    capsys.readouterr()
    for flags in trained_flags, [f"--save_path={tmp_path}/run", "--mode=eval"]:
      assert call_main(*flags) == 1
      err = capsys.readouterr().err
      assert err.count("\n") == 1 and "/run" in err


@pytest.mark.slow
def test_two_processes_cannot_train_in_one_folder(corpus_folder, tmp_path):
  flags = [*long_run_flags(corpus_folder, epochs=40),
           f"--save_path={tmp_path}/run"]
  with start_script(*flags, cold=True) as first:
    wait_for(first, "speed")
    second = run_script(*flags)
    assert (second.returncode, second.stderr) == (
        1, f"ptb_word_lm.py: {tmp_path}/run: in use by process {first.pid}; "
        "wait until it ends, or choose another folder for the run "
        "(--save_path)\n")
    assert first.poll() is None
    first.kill()  # its lock vanishes with it
  with start_script(*flags) as third:
    wait_for(third, "speed")
    third.kill()
