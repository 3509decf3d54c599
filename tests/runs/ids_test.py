"""The word ids in a run directory: with them a restart reads no text."""

import contextlib
import errno
import glob
import os
import re
import shutil

import pytest

import reader
from rnn import files
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text import numbering
from tests.helpers.run_folders import (
  assert_same_run,
  contents,
  damaged_versions,
  garble,
  truncate,
)


def more_epochs(flags, number):
  """Returns flags with another number of epochs."""
  *flags, override = flags
  return *flags, override.replace("epoch=2", f"epoch={number}")


def refuse_reading(path):
  """A stand-in for `reader.read_text`."""
  raise AssertionError(f"{path} is read")


@pytest.mark.slow
def test_a_restart_reads_no_text(
    run_flags, tmp_path, call_main, monkeypatch, capsys):
  def words_read():
    return re.findall("^.* tokens, .*$", capsys.readouterr().out, re.MULTILINE)

  assert call_main(*more_epochs(run_flags, 3),
                   f"--save_path={tmp_path}/at_once") == 0
  assert call_main(*run_flags) == 0
  lines = words_read()
  monkeypatch.setattr(numbering, "read_text", refuse_reading)
  assert call_main(*more_epochs(run_flags, 3)) == 0
  assert words_read() == lines[:3] and len(lines) == 6
  assert_same_run(tmp_path / "at_once", tmp_path / "run")


@pytest.fixture
def run_with_ids(trained_runs, tmp_path):
  """A run with ids, and the folder of its texts."""
  text = f"{trained_runs}/text"
  path = shutil.copytree(trained_runs / "a", tmp_path / "run_with_ids")
  return RunDirectory(str(path)), text


def test_the_ids_equal_those_of_the_text(run_with_ids, caplog):
  run, text = run_with_ids
  with caplog.at_level("INFO"):
    texts, vocabulary = run.saved_texts(text)
    messages = list(caplog.messages)
    expected, words = reader.read_corpus(text)
  assert caplog.messages == messages * 2 and len(messages) == 3
  assert vocabulary == words and texts.keys() == expected.keys()
  assert texts["valid"].unknown > 0
  for split, saved in texts.items():
    read = expected[split]
    assert saved.ids.dtype == read.ids.dtype
    assert saved.ids.tobytes() == read.ids.tobytes()
    assert (saved.unknown, saved.fingerprint, saved.stamp) == (
        read.unknown, read.fingerprint, read.stamp)


def test_damage_to_any_byte_of_the_ids_is_detected(run_with_ids):
  """The same holds for the words. Damaged ids are not used."""
  run, text = run_with_ids
  texts, words = run.saved_texts(text)
  detected = 0
  for name in "ids.int32", "ids.json", "vocab.txt":
    path = f"{run.path}/{name}"
    with open(path, "rb") as file:
      whole = file.read()
    for content in (b"", whole[:-1], whole[:len(whole) // 2],
                    *damaged_versions(whole, 30)):
      with open(path, "wb") as file:
        file.write(content)
      saved = run.saved_texts(text)
      assert saved is None or saved[1] == words and all(
          one.ids.tobytes() == texts[split].ids.tobytes()
          and one.unknown == texts[split].unknown
          for split, one in saved[0].items())
      detected += not saved
    os.remove(path)
    assert run.saved_texts(text) is None
    with open(path, "wb") as file:
      file.write(whole)
  assert detected > 90


def begin_run(folder, data_path):
  """Does what training does before its first step."""
  run = RunDirectory(str(folder))
  saved = run.saved_texts(data_path)
  texts, vocabulary = saved or reader.read_corpus(data_path)
  training = TrainingRun(
      run.path, {}, vocabulary, texts=None if saved else texts)
  with training.open():
    training.begin(0)
  return run


def test_unusable_ids_are_replaced(tmp_path, corpus_folder):
  """The text was touched, or a kill left damaged or half-written ids."""
  text = shutil.copytree(corpus_folder, tmp_path / "text")
  run = begin_run(tmp_path / "run", text)
  whole = (tmp_path / "run" / "ids.int32").read_bytes()
  for harm in (lambda: os.utime(text / "valid.txt"),
               lambda: garble(tmp_path / "run" / "ids.int32"),
               lambda: truncate(tmp_path / "run" / "ids.json")):
    assert run.saved_texts(text)
    harm()
    assert run.saved_texts(text) is None
    begin_run(tmp_path / "run", text)
    assert (tmp_path / "run" / "ids.int32").read_bytes() == whole
  for name in "ids.int32.partial", "ids.json.partial":
    (tmp_path / "run" / name).write_bytes(b"?")
  assert run.saved_texts(text)
  begin_run(tmp_path / "run", text)
  assert not glob.glob(f"{run.path}/*.partial")


def test_training_continues_if_the_ids_cannot_be_saved(
    corpus_folder, tmp_path, monkeypatch, caplog):
  @contextlib.contextmanager
  def atomic_write(path, real=files.atomic_write):
    with real(path) as partial:
      yield partial
      if path.endswith(full):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(files, "atomic_write", atomic_write)
  for full in "ids.int32", "ids.json":
    caplog.clear()
    run = begin_run(tmp_path / full, corpus_folder)
    assert [record.getMessage() for record in caplog.records
            if record.levelname == "WARNING"] == [
        f"{run.path}: cannot save the ids: No space left on device; a restart "
        "will read the texts again"]
    assert not glob.glob(f"{run.path}/{full}*")
    assert run.saved_texts(corpus_folder) is None
    assert glob.glob(f"{run.path}/events*")


@pytest.mark.slow
def test_an_edit_that_keeps_size_and_time_is_detected_by_the_words(
    run_flags, tmp_path, corpus_folder, call_main, monkeypatch, capsys):
  text = shutil.copytree(corpus_folder, tmp_path / "text")
  path = text / "train.txt"
  run_flags[1] = f"--data_path={text}"
  assert call_main(*run_flags) == 0
  before, times = contents(tmp_path / "run"), os.stat(path)
  words = path.read_text()
  for changed, status in (words.replace("owl", "elk"), 1), (words, 0):
    path.write_text(changed)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    capsys.readouterr()
    assert call_main(*run_flags) == status
    assert ("data.train.sha256 (" in capsys.readouterr().err) == bool(status)
    assert contents(tmp_path / "run") == before
  monkeypatch.setattr(numbering, "read_text", refuse_reading)
  path.rename(text / "moved")
  assert call_main(*run_flags) == 1
  assert "train.txt: missing" in capsys.readouterr().err
