"""A run directory, as the script keeps it through whatever happens."""

import contextlib
import csv
import dataclasses
import errno
import glob
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from matplotlib import figure
from script_test import ROOT, run_script
from tensorboard.backend.event_processing import event_accumulator

import checkpoints
import configs
import learning_curve
import lstm
import ptb_word_lm
import reader
import stops
import training
from tensorflow_v1 import tf


@pytest.fixture
def run_flags(corpus_folder, tmp_path):
  """Flags of a short run with dropout."""
  return ["--model=test", f"--data_path={corpus_folder}",
          f"--save_path={tmp_path}/run",
          "--config_override=hidden_size=8,keep_prob=0.7,max_max_epoch=2"]


def long_run(corpus_folder, epochs):
  """Flags of a run that can be stopped in the midst of it, with dropout."""
  return ["--model=test", f"--data_path={corpus_folder}", "--config_override="
          "hidden_size=24,keep_prob=0.6,learning_rate=0.3,"
          f"max_max_epoch={epochs}"]


def start(*flags):
  """The script in a process of its own, as if started from a terminal."""
  return subprocess.Popen(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), *flags],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      # What was started in the background ignores it, and its children too.
      preexec_fn=lambda: signal.signal(
          signal.SIGINT, signal.default_int_handler))


def wait_for(process, text):
  """Reads its output until a line holds the text: the lines."""
  lines = []
  while text not in (lines or [""])[-1]:
    lines.append(process.stdout.readline())
    assert lines[-1], process.communicate()
  return lines


def rows_of(run):
  """The rows of metrics.csv, without the columns of times."""
  with open(f"{run}/metrics.csv", newline="") as file:
    return [{name: value for name, value in row.items()
             if not name.endswith(("_per_second", "seconds"))}
            for row in csv.DictReader(file)]


def variables_of(checkpoint):
  """Name -> array, of all that a checkpoint holds."""
  saved = tf.train.load_checkpoint(checkpoint.variables)
  return {name: saved.get_tensor(name)
          for name in saved.get_variable_to_shape_map()}


def assert_same_run(one, other):
  """Every variable of the newest and the best, and the numbers shown."""
  one, other = (checkpoints.RunDirectory(str(run)) for run in (one, other))
  for pair in zip(*([run.checkpoints()[0], run.best()] for run in (one, other)),
                  strict=True):
    assert len({(c.step, c.epoch, c.best) for c in pair}) == 1
    values, others = map(variables_of, pair)
    assert values.keys() == others.keys()
    for name, value in values.items():
      assert value.tobytes() == others[name].tobytes(), name
  assert rows_of(one.path) == rows_of(other.path)
  last = len(rows_of(one.path))
  assert one.tests()[last] == other.tests()[last]


def contents(folder):
  """Path -> bytes of all files below a folder, but for the lock."""
  return {path: open(path, "rb").read()
          for path in glob.glob(f"{folder}/**", recursive=True)
          if os.path.isfile(path) and not path.endswith("/lock")}


# Exact resume


class StopAfter:
  """Asks to stop after some windows, of any split; counts them."""

  def __init__(self, windows):
    self._left = windows

  def __call__(self):
    self._left -= 1
    if self._left == 0:
      raise stops.Stopped(signal.SIGTERM)


def training_run(path, vocabulary, **config):
  return checkpoints.TrainingRun(str(path), config, vocabulary)


# Each with its layers: all, but that it takes a minute to build the graph of
# `basic` at medium, which `make torture` has.
SIZES = {
    "test": (dataclasses.replace(configs.TEST, keep_prob=0.5, num_steps=20),
             lstm.LAYERS),
    "small": (configs.SMALL, ["fused", "block"]),
    "small with dropout": (dataclasses.replace(configs.SMALL, keep_prob=0.5),
                           [name for name in lstm.LAYERS
                            if name not in ("fused", "block")]),
    "medium": (configs.MEDIUM,
               [name for name in lstm.LAYERS if name != "basic"]),
}


@pytest.mark.parametrize("size, rnn_mode", [
    pytest.param(size, rnn_mode, marks=[] if (size, rnn_mode) == (
        "test", "fused") else pytest.mark.slow)
    for size, (_, layers) in SIZES.items() for rnn_mode in layers])
def test_stopped_anywhere_it_ends_in_the_same_bits(
    corpus_folder, tmp_path, size, rnn_mode):
  """Stops in training, at its end, in validation, and in the test pass."""
  config = dataclasses.replace(SIZES[size][0], max_max_epoch=2, max_epoch=1)
  # Windows an epoch: 8 or 5, and then the same number or fewer to validate.
  train_ids, valid_ids, test_ids, vocabulary = reader.ptb_raw_data(
      corpus_folder)
  corpus = train_ids, valid_ids[:400], test_ids[:50], vocabulary
  undisturbed = training_run(tmp_path / "undisturbed", vocabulary)
  ptb_word_lm.train(config, corpus, undisturbed, rnn_mode)
  run = training_run(tmp_path / "run", vocabulary)
  ends = []
  for windows in (3, 3, 7, 2, 99):
    stop = StopAfter(windows)
    try:
      ptb_word_lm.train(config, corpus, run, rnn_mode, check_stop=stop)
      ends.append(None)
    except stops.Stopped:
      newest = run.checkpoints()[0]
      ends.append((newest.step, newest.epoch))
  assert ends[0] == (3, None) and ends[-1] is None
  assert len(set(ends)) >= 4, ends
  assert_same_run(undisturbed.path, run.path)


@pytest.mark.slow
@pytest.mark.parametrize("signum, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_saves_and_says_how_to_go_on(
    corpus_folder, tmp_path, signum, status):
  flags = long_run(corpus_folder, epochs=8)
  with start(*flags, f"--save_path={tmp_path}/run", "--fresh") as process:
    wait_for(process, "Epoch: 2 Learning rate")
    time.sleep(0.05)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
  assert process.returncode == status
  said = re.fullmatch(r"ptb_word_lm.py: stopped by (\w+); all is saved, go on "
                      r"with: (.*)\n", err)
  assert said[1] == signum.name and "--fresh" not in said[2]
  newest = checkpoints.RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  step, size = variables_of(newest)["global_step"], 3600 // 20 // 2 - 1
  assert step == newest.step > size

  # The command, as it stands there.
  done = subprocess.run(said[2], shell=True, cwd=ROOT, capture_output=True,
                        text=True, timeout=120)
  assert (done.returncode, done.stderr) == (0, "")
  # On a fast machine it may be stopped within a validation, or after one.
  ended = newest.epoch or (step - 1) // size
  assert (f"resuming at epoch {ended + 1}, step {step - ended * size} of {size}"
          in done.stdout)
  done = run_script(*flags, f"--save_path={tmp_path}/undisturbed")
  assert done.returncode == 0
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(corpus_folder, tmp_path):
  with start("--model=test", f"--data_path={corpus_folder}",
             f"--save_path={tmp_path}/run", "--config_override="
             "hidden_size=1500,num_layers=2,num_steps=85") as process:
    wait_for(process, "Learning rate")  # steps of some seconds
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None  # the first waits for the step
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
  assert time.monotonic() - began < 1
  assert (process.returncode, err) == (130, "")


@pytest.mark.slow
def test_ctrl_c_while_it_starts_is_no_traceback():
  for delay in (0.3, 0.8, 1.5):
    with start("--model=test") as process:
      time.sleep(delay)
      process.send_signal(signal.SIGINT)
      _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (-signal.SIGINT, "")


@pytest.mark.slow
def test_a_stop_without_a_run_says_that_nothing_is_kept(corpus_folder):
  with start(*long_run(corpus_folder, epochs=40)) as process:
    wait_for(process, "Epoch: 2")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
  assert (process.returncode, err) == (
      130, "ptb_word_lm.py: stopped by SIGINT; nothing is kept without "
      "--save_path\n")


@pytest.mark.slow
def test_a_finished_run_trains_nothing(run_flags, tmp_path):
  first = run_script(*run_flags)
  before = contents(tmp_path / "run")
  second = run_script(*run_flags)
  assert (second.returncode, second.stderr) == (0, "")
  assert "/run is finished, with 2 epochs; a larger max_max_epoch goes on\n" \
      in second.stdout
  assert "Learning rate" not in second.stdout
  assert first.stdout.splitlines()[-2:] == second.stdout.splitlines()[-2:]
  assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_more_epochs_go_on_as_if_they_had_been_asked_for_at_once(
    run_flags, tmp_path):
  *flags, override = run_flags
  more = override.replace("max_max_epoch=2", "max_max_epoch=4")
  for setting in override, more:
    done = run_script(*flags, setting)
    assert done.returncode == 0
  assert "resuming at epoch 3, step 0 of 89" in done.stdout
  assert run_script(*flags, f"--save_path={tmp_path}/at_once",
                    more).returncode == 0
  one, other = tmp_path / "run", tmp_path / "at_once"
  assert checkpoints.RunDirectory(str(one)).tests().keys() == {2, 4}
  assert_same_run(one, other)


# Refusals


def test_fresh_refuses_what_is_not_empty(run_flags, tmp_path, call_main,
                                         capsys):
  (tmp_path / "run").mkdir()
  assert call_main(*run_flags, "--fresh") == 0
  before = contents(tmp_path / "run")
  assert call_main(*run_flags, "--fresh") == 1
  assert "/run: not empty; --fresh wants a new folder" in capsys.readouterr(
      ).err
  assert contents(tmp_path / "run") == before


def other_runs(flags, tmp_path, corpus_folder):
  """Flags of other runs, and the differences that must be named."""
  *same, override = flags
  for setting, said in [
      ("hidden_size=9", "settings.hidden_size (8 there, 9 here)"),
      ("hidden_size=8,num_layers=2", "settings.num_layers (1 there, 2 here)"),
      ("hidden_size=8,num_steps=3", "settings.num_steps (2 there, 3 here)"),
      ("hidden_size=8,init_scale=1", "settings.init_scale (0.1 there"),
      # One that may change, but must be asked for by name.
      ("hidden_size=8", "settings.keep_prob (0.7 there, 1.0 here)")]:
    yield [*same, f"--config_override={setting}"], [said]
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
    said = (["data.train.sha256 (", "the vocabulary"] if name == "words" else
            ["data.test.tokens (480 there, 484 here)", "data.train.bytes ("])
    yield [*flags, f"--data_path={folder}"], said


@pytest.mark.slow
def test_another_run_is_refused_with_the_differences(
    run_flags, tmp_path, corpus_folder, call_main, capsys):
  assert call_main(*run_flags) == 0
  before = contents(tmp_path / "run")
  for flags, said in other_runs(run_flags, tmp_path, corpus_folder):
    capsys.readouterr()
    assert call_main(*flags) == 1, flags
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "holds another run, which differs in" in err
    assert all(difference in err for difference in said), (said, err)
    assert contents(tmp_path / "run") == before
  moved = shutil.copytree(corpus_folder, tmp_path / "moved")
  assert call_main(*run_flags, f"--data_path={moved}") == 0


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_refused(
    run_flags, tmp_path, call_main, capsys):
  """Its folder was brought here from a run of other sizes."""
  *same, override = run_flags
  assert call_main(*run_flags) == 0
  assert call_main(*same, f"--save_path={tmp_path}/other",
                   override.replace("size=8", "size=9")) == 0
  shutil.rmtree(tmp_path / "run" / "checkpoints")
  (tmp_path / "other" / "checkpoints").rename(tmp_path / "run" / "checkpoints")
  capsys.readouterr()
  assert call_main(*run_flags) == 1
  err = capsys.readouterr().err
  assert "holds another model, which differs in " in err
  assert "Model/softmax_w ([9, 9] there, [8, 9] here)" in err
  assert "Model/embedding ([9, 9] there, [9, 8] here)" in err


def test_what_is_no_run_is_left_alone(run_flags, tmp_path, call_main, capsys):
  folder = tmp_path / "run"
  folder.mkdir()
  (folder / "thesis.txt").touch()
  assert call_main(*run_flags) == 1
  assert "/run: not empty, but holds no run; give" in capsys.readouterr().err
  assert os.listdir(folder) == ["thesis.txt"]
  for path, said in [(f"{folder}/thesis.txt", "File exists"),
                     ("/proc/none", "/proc/none: cannot be written to: ")]:
    assert call_main(*run_flags, f"--save_path={path}") == 1
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_of_another_text_is_refused(
    run_flags, tmp_path, corpus_folder, call_main, capsys):
  """Of the same sizes, and brought here from another run."""
  folder = shutil.copytree(corpus_folder, tmp_path / "words")
  for path in folder.iterdir():
    path.write_text(path.read_text().replace("owl", "elk"))
  assert call_main(*run_flags) == 0
  assert call_main(*run_flags, "--seed=5", f"--data_path={folder}",
                   f"--save_path={tmp_path}/other") == 0
  shutil.rmtree(tmp_path / "run" / "checkpoints")
  (tmp_path / "other" / "checkpoints").rename(tmp_path / "run" / "checkpoints")
  capsys.readouterr()
  assert call_main(*run_flags) == 1
  err = capsys.readouterr().err
  assert "step-000000178-epoch-2: holds another run, which differs in" in err
  assert "seed (5 there, 1 here), data.train.sha256 (" in err


@pytest.mark.slow
def test_files_of_others_are_left_alone(run_flags, tmp_path, call_main, capsys):
  """Even where their names are much like ours."""
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
def test_names_that_tensorflow_cannot_find_again_are_refused(
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
def test_metrics_without_checkpoints_are_not_written_over(
    run_flags, tmp_path, call_main, capsys):
  assert call_main(*run_flags) == 0
  shutil.rmtree(tmp_path / "run" / "checkpoints")
  assert call_main(*run_flags) == 1
  assert "holds metrics.csv but no checkpoint" in capsys.readouterr().err


@pytest.mark.slow
def test_two_at_once(corpus_folder, tmp_path):
  flags = [*long_run(corpus_folder, epochs=40), f"--save_path={tmp_path}/run"]
  with start(*flags) as first:
    wait_for(first, "speed")
    second = run_script(*flags)
    assert (second.returncode, second.stderr) == (
        1, f"ptb_word_lm.py: {tmp_path}/run: in use by process {first.pid}; "
        "wait for its end, or give --save_path another folder\n")
    assert first.poll() is None
    first.kill()  # the lock dies with its holder
  with start(*flags) as third:
    wait_for(third, "speed")
    third.kill()


# Ids


def more_epochs(flags, number):
  *flags, override = flags
  return *flags, override.replace("epoch=2", f"epoch={number}")


def no_reading(path):
  raise AssertionError(f"{path} is read")


@pytest.mark.slow
def test_a_restart_reads_no_text(
    run_flags, tmp_path, call_main, monkeypatch, capsys):
  def words_read():
    return re.findall("^.* tokens, .*$", capsys.readouterr().out, re.MULTILINE)

  assert call_main(*more_epochs(run_flags, 3),
                   f"--save_path={tmp_path}/at_once") == 0
  assert call_main(*run_flags) == 0
  said = words_read()
  monkeypatch.setattr(reader, "_read", no_reading)
  assert call_main(*more_epochs(run_flags, 3)) == 0
  assert words_read() == said[:3] and len(said) == 6
  assert_same_run(tmp_path / "at_once", tmp_path / "run")


@pytest.fixture
def kept(trained_runs, tmp_path):
  """A run with ids, and the folder of its texts."""
  text = f"{trained_runs}/text"
  path = shutil.copytree(trained_runs / "a", tmp_path / "kept")
  return checkpoints.RunDirectory(str(path)), text


def test_the_ids_are_what_reading_gives(kept, caplog):
  run, text = kept
  with caplog.at_level("INFO"):
    texts, vocabulary = run.corpus(text)
    said = list(caplog.messages)
    expected, words = reader.read_corpus(text)
  assert caplog.messages == said * 2 and len(said) == 3
  assert vocabulary == words and texts.keys() == expected.keys()
  assert texts["valid"].unknown > 0
  for split, one in texts.items():
    other = expected[split]
    assert one.ids.dtype == other.ids.dtype
    assert one.ids.tobytes() == other.ids.tobytes()
    assert (one.unknown, one.identity, one.stamp) == (
        other.unknown, other.identity, other.stamp)


def test_no_byte_of_the_ids_can_change_unseen(kept):
  """Nor of the words; what is damaged is not used."""
  run, text = kept
  texts, words = run.corpus(text)
  seen = 0
  for name in "ids.int32", "ids.json", "vocab.txt":
    path = f"{run.path}/{name}"
    with open(path, "rb") as file:
      whole = file.read()
    changed = [b"", whole[:-1], whole[:len(whole) // 2]]
    for place in range(0, len(whole), max(len(whole) // 30, 1)):
      changed.append(bytearray(whole))
      changed[-1][place] ^= 0x41
    for content in changed:
      with open(path, "wb") as file:
        file.write(content)
      read = run.corpus(text)
      assert read is None or read[1] == words and all(
          one.ids.tobytes() == texts[split].ids.tobytes()
          and one.unknown == texts[split].unknown
          for split, one in read[0].items())
      seen += not read
    os.remove(path)
    assert run.corpus(text) is None
    with open(path, "wb") as file:
      file.write(whole)
  assert seen > 90


def begin_run(folder, data_path):
  """What a training does before its first step."""
  run = checkpoints.RunDirectory(str(folder))
  kept = run.corpus(data_path)
  texts, vocabulary = kept or reader.read_corpus(data_path)
  training = checkpoints.TrainingRun(
      run.path, {}, vocabulary, texts=None if kept else texts)
  with training.open():
    training.begin(0)
  return run


def test_ids_that_are_of_no_use_give_way(tmp_path, corpus_folder):
  """The text was touched, or the ids damaged, or half-written in a kill."""
  text = shutil.copytree(corpus_folder, tmp_path / "text")
  run = begin_run(tmp_path / "run", text)
  whole = (tmp_path / "run" / "ids.int32").read_bytes()
  for harm in (lambda: os.utime(text / "valid.txt"),
               lambda: garble(tmp_path / "run" / "ids.int32"),
               lambda: truncate(tmp_path / "run" / "ids.json")):
    assert run.corpus(text)
    harm()
    assert run.corpus(text) is None
    begin_run(tmp_path / "run", text)
    assert (tmp_path / "run" / "ids.int32").read_bytes() == whole
  for name in "ids.int32.partial", "ids.json.partial":
    (tmp_path / "run" / name).write_bytes(b"?")
  assert run.corpus(text)
  begin_run(tmp_path / "run", text)
  assert not glob.glob(f"{run.path}/*.partial")


def test_training_goes_on_where_the_ids_cannot_be_kept(
    corpus_folder, tmp_path, monkeypatch, caplog):
  @contextlib.contextmanager
  def complete(path, real=checkpoints.complete):
    with real(path) as partial:
      yield partial
      if path.endswith(full):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(checkpoints, "complete", complete)
  for full in "ids.int32", "ids.json":
    caplog.clear()
    run = begin_run(tmp_path / full, corpus_folder)
    assert [record.getMessage() for record in caplog.records
            if record.levelname == "WARNING"] == [
        f"{run.path}: cannot keep ids: No space left on device; a restart "
        "reads the texts again"]
    assert not glob.glob(f"{run.path}/{full}*")
    assert run.corpus(corpus_folder) is None
    assert glob.glob(f"{run.path}/events*")


@pytest.mark.slow
def test_a_text_of_the_same_size_and_time_is_told_by_its_words(
    run_flags, tmp_path, corpus_folder, call_main, monkeypatch, capsys):
  text = shutil.copytree(corpus_folder, tmp_path / "text")
  path = text / "train.txt"
  run_flags[1] = f"--data_path={text}"
  assert call_main(*run_flags) == 0
  before, found = contents(tmp_path / "run"), os.stat(path)
  words = path.read_text()
  for changed, status in (words.replace("owl", "elk"), 1), (words, 0):
    path.write_text(changed)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    capsys.readouterr()
    assert call_main(*run_flags) == status
    assert ("data.train.sha256 (" in capsys.readouterr().err) == bool(status)
    assert contents(tmp_path / "run") == before
  monkeypatch.setattr(reader, "_read", no_reading)
  path.rename(text / "moved")
  assert call_main(*run_flags) == 1
  assert "train.txt: missing" in capsys.readouterr().err


# Damage


def garble(path):
  """Turns over bytes in the middle of a file."""
  with open(path, "r+b") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(size // 2)
    part = file.read(8)
    file.seek(size // 2)
    file.write(bytes(byte ^ 0x5a for byte in part))


def truncate(path):
  os.truncate(path, os.path.getsize(path) // 2)


def empty(path):
  os.truncate(path, 0)


@pytest.mark.parametrize("name, damage", [
    pytest.param(name, damage, marks=[] if (name, damage) == (
        "journal.json", truncate) else pytest.mark.slow)
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001",
                 "journal.json")
    for damage in (garble, truncate, empty, os.remove)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    run_flags, tmp_path, corpus_folder, call_main, capsys, damage, name):
  *flags, override = run_flags
  assert call_main(*run_flags) == 0
  shutil.copytree(tmp_path / "run", tmp_path / "undisturbed")
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == 2:  # also the copy, as the best
      damage(os.path.join(checkpoint.path, name))
  capsys.readouterr()
  assert call_main(*run_flags) == 0
  out, err = capsys.readouterr()
  newest, before = (f"{run.path}/checkpoints/step-000000{step}-epoch-{epoch}"
                    for step, epoch in (("178", 2), ("089", 1)))
  warnings = err.splitlines()
  assert len(warnings) == 2  # newest and best
  for warning in warnings:
    assert warning.startswith("ptb_word_lm.py: warning: damaged checkpoint: ")
    assert warning.endswith(f"; using {before}")
  assert newest in warnings[0]
  assert "resuming at epoch 2, step 0 of 89" in out
  assert os.path.isdir(f"{run.path}/checkpoints/aside-"
                       + os.path.basename(newest))
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.slow
def test_no_byte_of_a_checkpoint_can_change_unseen(
    run_flags, tmp_path, call_main):
  """Each region of each file; where it loads all the same, it is the same."""
  assert call_main(*run_flags) == 0
  newest = checkpoints.RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  journal, values = newest.journal(), variables_of(newest)
  seen = 0
  for path in glob.glob(f"{newest.path}/*"):
    with open(path, "rb") as file:
      whole = file.read()
    for place in range(0, len(whole), max(len(whole) // 60, 1)):
      changed = bytearray(whole)
      changed[place] ^= 0x41
      with open(path, "wb") as file:
        file.write(changed)
      with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable(name, initializer=np.zeros_like(value))
            for name, value in values.items()]
        try:
          assert newest.journal() == journal
          newest.load(session, variables)
        except checkpoints.DamagedError:
          seen += 1
        else:
          for variable, value in zip(variables, values.values(), strict=True):
            assert session.run(variable).tobytes() == value.tobytes()
    with open(path, "wb") as file:
      file.write(whole)
  assert seen > 100


@pytest.mark.slow
def test_where_no_checkpoint_is_readable_all_are_named(run_flags, tmp_path):
  assert run_script(*run_flags).returncode == 0
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  for checkpoint in run.checkpoints():
    truncate(f"{checkpoint.path}/model.ckpt.index")
  before = contents(run.path)
  done = run_script(*run_flags)
  assert done.returncode == 1 and done.stderr.count("\n") == 1
  assert f"{run.path}: no checkpoint is readable; tried" in done.stderr
  for checkpoint in run.checkpoints():
    assert checkpoint.path in done.stderr
  assert contents(run.path) == before


@pytest.mark.slow
def test_a_garbled_config_is_one_line(run_flags, tmp_path, call_main, capsys):
  assert call_main(*run_flags) == 0
  for text in "", "{", "[]", '{"settings": 1}', '{"settings": {"size": 1}}':
    (tmp_path / "run" / "config.json").write_text(text)
    capsys.readouterr()
    for flags in run_flags, [f"--save_path={tmp_path}/run", "--mode=eval"]:
      assert call_main(*flags) == 1
      err = capsys.readouterr().err
      assert err.count("\n") == 1 and "/run" in err


# No room


@pytest.mark.slow
def test_a_file_that_may_not_grow_ends_in_one_line(
    corpus_folder, run_flags, tmp_path):
  """As with a quota: checkpoints of a larger model do not fit."""
  *flags, override = run_flags
  flags = [*flags, override.replace("hidden_size=8", "hidden_size=64")]
  done = run_script(*flags, preexec_fn=lambda: resource.setrlimit(
      resource.RLIMIT_FSIZE, (60_000, 60_000)))
  assert (done.returncode, done.stderr) == (
      1, f"ptb_word_lm.py: {tmp_path}/run: cannot be written to: File too "
      "large; mend that, or give --save_path another folder\n")
  assert not os.listdir(tmp_path / "run" / "checkpoints")
  assert run_script(*flags).returncode == 0  # nothing is in the way


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
  ballast.write_bytes(bytes(1_200_000))  # no room for those of two epochs
  done = run_script(*flags)
  run = checkpoints.RunDirectory(f"{small_disk}/run")
  newest = run.checkpoints()[0]
  assert (done.returncode, done.stderr) == (
      1, f"ptb_word_lm.py: {run.path}: cannot be written to: No space left on "
      "device; mend that, then go on from "
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


# Divergence


@pytest.mark.slow
def test_divergence_stops_before_the_bad_update_is_kept(
    corpus_folder, tmp_path):
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run", "--save_secs=0"]
  # The rate is fine for an epoch, and then far too high.
  good = "hidden_size=8,max_max_epoch=1"
  assert run_script(*flags, f"--config_override={good}").returncode == 0
  bad = "hidden_size=8,max_max_epoch=3,learning_rate=1e30,max_grad_norm=1e30"
  done = run_script(*flags, f"--config_override={bad}")
  assert done.returncode == 1
  said = re.fullmatch(
      r"ptb_word_lm.py: diverged at epoch 2, step (\d+) of 89: the loss is "
      r"\S+ nats a word \(learning rate 5e\+29, gradient norm \S+, \S+ a step "
      r"before\); lower learning_rate or max_grad_norm by --config_override, "
      r"to go on from (\S+)\n", done.stderr)
  assert said, done.stderr
  assert "settings.learning_rate (1.0 there, 1e+30 here)" in done.stdout
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  newest = run.checkpoints()[0]
  assert newest.path == said[2] and newest.epoch == 1
  assert newest.step < 89 + int(said[1]) - 1  # that one is what went wrong
  for checkpoint in run.checkpoints():
    for name, value in variables_of(checkpoint).items():
      assert (abs(value) < 1e6).all(), name

  # A lower rate, asked for by name, goes on from there.
  lower = "hidden_size=8,max_max_epoch=2,learning_rate=0.5,max_grad_norm=1"
  done = run_script(*flags, f"--config_override={lower}")
  assert (done.returncode, done.stderr) == (0, "")
  assert "resuming at epoch 2, step 0 of 89" in done.stdout


@pytest.mark.slow
def test_a_divergence_that_validation_finds_is_not_gone_on_from(
    corpus_folder, tmp_path, call_main, capsys):
  """An epoch of one step: what it made is saved before it is validated."""
  flags = ["--model=test", f"--data_path={corpus_folder}", "--save_secs=0",
           f"--save_path={tmp_path}/run"]
  sizes = "hidden_size=8,num_steps=179,max_max_epoch=3,"
  assert call_main(*flags, "--config_override=" + sizes
                   + "learning_rate=1e7,max_grad_norm=1e7") == 1
  err = capsys.readouterr().err
  assert re.search(r"diverged at epoch 1, step 1 of 1: the validation "
                   r"perplexity is (inf|nan) .* to go on from the start", err)
  assert os.listdir(tmp_path / "run" / "checkpoints") == [
      "aside-step-000000001"]
  assert call_main(*flags, "--config_override=" + sizes
                   + "learning_rate=0.1,max_grad_norm=1") == 0


def test_parameters_that_are_not_finite_are_not_saved(
    corpus_folder, tmp_path, call_main, capsys, monkeypatch):
  """The step before the loss tells, stopped at just then."""
  @contextlib.contextmanager
  def spoil():
    def check():
      graph = tf.get_default_graph()
      bias = graph.get_collection("trainable_variables")[-1]
      bias.load(np.full(bias.shape, np.nan), sessions[0])
      raise stops.Stopped(signal.SIGTERM)
    yield check

  sessions = []
  real = training.repeatable_session
  monkeypatch.setattr(stops, "on_signals", spoil)
  monkeypatch.setattr(training, "repeatable_session",
                      lambda: sessions.append(real()) or sessions[0])
  assert call_main("--model=test", f"--data_path={corpus_folder}",
                   f"--save_path={tmp_path}/run") == 1
  assert ("diverged at epoch 1, step 1 of 89: a parameter is not finite "
          "(learning rate 1, gradient norm ") in capsys.readouterr().err
  assert not os.listdir(tmp_path / "run" / "checkpoints")


# The best model


@pytest.fixture
def overfitted(tmp_path, call_main, capsys):
  """Flags of a run that learns its text by heart, and what it printed."""
  rng = np.random.default_rng(0)
  for split, size in ("train", 800), ("valid", 300), ("test", 300):
    words = rng.choice([f"w{i}" for i in range(30)], size)
    (tmp_path / f"{split}.txt").write_text("\n".join(
        " ".join(line) for line in words.reshape(-1, 10)))
  flags = ["--model=test", f"--data_path={tmp_path}",
           f"--save_path={tmp_path}/run", "--config_override=hidden_size=100,"
           "max_epoch=9,max_max_epoch=8,num_steps=8,max_grad_norm=5"]
  assert call_main(*flags) == 0
  return flags, capsys.readouterr().out


@pytest.mark.slow
def test_the_summary_tells_of_the_best_model(tmp_path, overfitted, call_main,
                                             capsys):
  flags, out = overfitted
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  figures = [float(row["valid_perplexity"]) for row in rows_of(run.path)]
  best = run.best()
  assert best.epoch == 1 + int(np.argmin(figures)) < 8
  tests = run.tests()
  assert set(tests) == {8, best.epoch}
  assert f"Test Perplexity: {tests[8]:.3f}\n" in out
  assert (f"Test Perplexity: {tests[best.epoch]:.3f} (epoch {best.epoch}, "
          "best by validation)\n") in out
  last, better = out.splitlines()[-3:-1]
  assert last.split()[-2:] == [f"{figures[-1]:.2f}", f"{tests[8]:.2f}"]
  assert better.startswith(f"this run, epoch {best.epoch}, best by valid ")
  assert better.split()[-2:] == [f"{min(figures):.2f}",
                                 f"{tests[best.epoch]:.2f}"]
  # Started again, it is the best one's still; and damaged, it is left out.
  assert call_main(*flags) == 0
  assert better in capsys.readouterr().out
  os.remove(f"{run.path}/tests.json")
  truncate(f"{best.path}/model.ckpt.data-00000-of-00001")
  assert call_main(*flags) == 0
  out, err = capsys.readouterr()
  assert "warning: the best model is left out: damaged checkpoint: " in err
  assert last in out and "best by valid" not in out


@pytest.mark.slow
def test_the_best_of_what_is_left_after_damage_is_kept(
    run_flags, tmp_path, call_main):
  *flags, override = run_flags
  override = override.replace("max_max_epoch=2", "max_max_epoch=3")
  assert call_main(*flags, override) == 0
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  assert run.best().epoch == 3
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == 3:
      truncate(f"{checkpoint.path}/journal.json")
  # Epoch 3 again, at a rate that spoils the model.
  assert call_main(*flags, override + ",learning_rate=30,max_grad_norm=9") == 0
  figures = [float(row["valid_perplexity"]) for row in rows_of(run.path)]
  assert figures[1] < min(figures[0], figures[2])
  assert run.best().epoch == 2 and set(run.tests()) == {2, 3}


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["best-*", "step-*-epoch-2", "*.csv", "*.png"])
def test_what_a_kill_has_left_undone_is_done(
    run_flags, tmp_path, call_main, lost):
  assert call_main(*run_flags) == 0
  before = contents(tmp_path / "run")
  for path in glob.glob(f"{tmp_path}/run/**/{lost}", recursive=True):
    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
  assert call_main(*run_flags) == 0
  after = contents(tmp_path / "run")
  named = f"{tmp_path}/run/checkpoint"
  assert after.keys() - {named} >= before.keys() - {named} - {
      path for path in before if lost == "step-*-epoch-2"
      and "/step-000000178" in path}
  newest = checkpoints.RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  assert tf.train.latest_checkpoint(tmp_path / "run") == newest.variables


@pytest.mark.slow
def test_test_figures_that_were_changed_are_measured_again(
    run_flags, tmp_path, call_main):
  assert call_main(*run_flags) == 0
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  tests, path = run.tests(), tmp_path / "run" / "tests.json"
  text = path.read_text()
  for bad in text.replace("0", "1"), '{"2": "x"}', "[" * 5000, "", "null":
    path.write_text(bad)
    assert run.tests() == {}
    assert call_main(*run_flags) == 0
    assert run.tests() == tests


# Evaluation


@pytest.mark.slow
def test_eval_prints_what_training_printed(tmp_path, overfitted):
  _, trained = overfitted
  done = run_script(f"--save_path={tmp_path}/run", "--mode=eval")
  assert (done.returncode, done.stderr) == (0, "")
  printed = re.findall(r"^(?:Valid|Test) Perplexity: ([\d.]+)", done.stdout,
                       re.MULTILINE)
  last_valid = re.search(r"Epoch: 8 Valid Perplexity: ([\d.]+)", trained)[1]
  tests = re.findall(r"Test Perplexity: ([\d.]+)", trained)
  assert printed[:2] == [last_valid, tests[0]]
  assert printed[3] == tests[1]
  header, *table = (x.split()[-2:] for x in done.stdout.splitlines()[-3:])
  assert header == ["valid", "test"]
  assert [float(x) for row in table for x in row] == pytest.approx(
      [float(x) for x in printed], abs=0.006)


@pytest.mark.slow
def test_eval_reads_an_interrupted_run_and_other_texts(
    corpus_folder, tmp_path, call_main, capsys):
  flags = long_run(corpus_folder, epochs=40)
  with start(*flags, f"--save_path={tmp_path}/run") as process:
    wait_for(process, "Epoch: 2 Learning")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
  before = contents(tmp_path / "run")
  other = tmp_path / "other"
  other.mkdir()
  for split in "valid", "test":  # no text to train on
    shutil.copy(f"{corpus_folder}/{split}.txt", other)
  (tmp_path / "text").write_text("the cat sees the yak and the moa\n")
  for flags, said in [
      ([], ["valid: 720 tokens", "test: 480 tokens"]),
      ([f"--data_path={other}"], ["valid: 720 tokens", "test: 480 tokens"]),
      ([f"--data_path={tmp_path}/text"],
       ["text: 9 tokens, 2 of them unknown words", "Text Perplexity: "])]:
    assert call_main(
        f"--save_path={tmp_path}/run", "--mode=eval", *flags) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in said), out
    assert re.search(r"^step \d+, the last", out, re.MULTILINE)
    assert re.search(r"^epoch 1, best by valid", out, re.MULTILINE)
  assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_bad_evaluations_get_one_line(
    run_flags, tmp_path, call_main, capsys):
  assert call_main(*run_flags) == 0
  run = f"--save_path={tmp_path}/run"
  (tmp_path / "word").write_text("a")
  (tmp_path / "empty").touch()
  for flags, said in [
      ([], "--mode=eval needs --save_path"),
      ([run, "--model=test"], "--model: --mode=eval takes it from the run"),
      ([run, "--keep=3"], "--keep: --mode=eval takes it from the run"),
      ([run, "--config_override=num_steps=3"], "--config_override: --mode"),
      ([run, "--seed=1"], "--seed: "), ([run, "--fresh"], "--fresh: "),
      ([f"--save_path={tmp_path}/none"], "/none: no such folder"),
      ([f"--save_path={tmp_path}"], f"{tmp_path}: holds no run"),
      ([run, f"--data_path={tmp_path}/none"], "/none: no such folder"),
      ([run, "--data_path="], "data_path: no such folder"),
      ([run, f"--data_path={tmp_path}/empty"], "/empty: the file is empty")]:
    capsys.readouterr()
    assert call_main("--mode=eval", *flags) == 1, flags
    err = capsys.readouterr().err
    assert err.startswith("ptb_word_lm.py: ") and err.count("\n") == 1, err
    assert said in err
  os.remove(tmp_path / "run" / "vocab.txt")
  assert call_main("--mode=eval", run) == 1
  assert "vocab.txt: No such file" in capsys.readouterr().err


# Writing


@pytest.mark.slow
def test_what_gets_its_name_is_whole_and_synced_to_the_disk(
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


# Seeing it


@pytest.mark.slow
def test_tensorboard_shows_the_curves_and_the_words(
    run_flags, tmp_path, corpus_folder):
  """With the server itself; a killed process's points give way."""
  *flags, override = run_flags
  override = override.replace("epoch=2", "epoch=30")
  with start(*flags, override, "--save_secs=0.05") as process:
    wait_for(process, "Epoch: 3 Train")
    process.kill()
  assert run_script(*flags, override).returncode == 0
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  rows = rows_of(run.path)
  curves = event_accumulator.EventAccumulator(run.path, {"scalars": 0}).Reload()
  for name in rows[0]:
    points = curves.Scalars(f"epochs/{name}")
    assert [point.step for point in points] == [89 * n for n in range(1, 31)]
    assert [point.value for point in points] == pytest.approx(
        [float(row[name]) for row in rows])
  assert min(point.value for point in curves.Scalars(
      "epochs/words_per_second")) > 0
  for name in ("train_perplexity", "learning_rate", "grad_norm", "clip_rate"):
    points = curves.Scalars(f"steps/{name}")
    assert [point.step for point in points] == list(range(1, 89 * 30 + 1))
    if name != "train_perplexity":
      means = np.mean([[point.value for point in points]], axis=0).reshape(
          30, 89).mean(axis=1)
      assert means == pytest.approx([float(row[name]) for row in rows])

  words = run.vocabulary().words
  server = subprocess.Popen(
      [os.path.join(os.path.dirname(sys.executable), "tensorboard"),
       f"--logdir={run.path}", "--port=0", "--load_fast=false"],
      stderr=subprocess.PIPE, text=True)
  try:
    while not (url := re.search(r"http://\S+?:\d+/", server.stderr.readline())):
      assert server.poll() is None
    def get(path):
      with urllib.request.urlopen(f"{url[0]}data/plugin/projector/{path}",
                                  timeout=30) as answer:
        return answer.read()
    deadline = time.monotonic() + 60
    while not json.loads(get("runs")):  # it reads the folder in a thread
      assert time.monotonic() < deadline
      time.sleep(0.2)
    query = "?run=.&name=Model/embedding"
    assert get(f"metadata{query}").decode().split() == list(words)
    embedding = np.frombuffer(get(f"tensor{query}"), np.float32)
  finally:
    server.kill()
    server.communicate()
  newest = variables_of(run.checkpoints()[0])["Model/embedding"]
  assert (embedding.reshape(newest.shape) == newest).all()


def test_the_learning_curve(tmp_path, monkeypatch):
  """What is drawn, told from the picture's own parts."""
  drawn = []
  monkeypatch.setattr(
      figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
  rows = [{"epoch": n, "train_perplexity": 400 / n, "valid_perplexity": 300 / n,
           "learning_rate": 1 / n} for n in (1, 2, 3)]
  learning_curve.draw(rows, tmp_path / "x.png", "small", ("the paper", 120.7))
  above, below = drawn[0].axes
  assert above.get_yscale() == "log" and above.get_title("left") == "small"
  train, valid, reference = above.lines
  assert train.get_ydata() == pytest.approx([400, 200, 400 / 3])
  assert valid.get_ydata() == pytest.approx([300, 150, 100])
  assert reference.get_linestyle() == "--"
  assert list(reference.get_ydata()) == [120.7, 120.7]
  assert [text.get_text() for text in above.get_legend().get_texts()] == [
      "train, 133.3 after epoch 3", "valid, 100.0 after epoch 3",
      "the paper, valid 120.7"]
  assert below.lines[0].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
  learning_curve.draw(rows[:1], tmp_path / "x.png")
  assert len(drawn[1].axes[0].lines) == 2


@pytest.mark.slow
def test_the_curve_is_redrawn_after_each_epoch_beside_the_paper(
    corpus_folder, tmp_path, call_main, monkeypatch):
  drawn = []

  def draw(rows, path, title, reference, metric):
    assert metric == "perplexity"
    drawn.append(([row["epoch"] for row in rows], title, reference))
    with open(path, "wb"):
      pass

  monkeypatch.setattr(learning_curve, "draw", draw)
  for model, reference in [
      ("small", ("Zaremba et al. 2014, small on PTB", 120.7)), ("test", None)]:
    override = "hidden_size=8,num_layers=1,max_max_epoch=3"
    assert call_main(
        f"--model={model}", f"--data_path={corpus_folder}",
        f"--save_path={tmp_path}/{model}", f"--config_override={override}") == 0
    title = f"{model} {override.replace(',', ' ')}"
    assert drawn == [(list(range(1, n + 1)), title, reference)
                     for n in (1, 2, 3)]
    drawn.clear()


@pytest.mark.slow
def test_the_run_directory(corpus_folder, tmp_path):
  """What is in it, for other programs to read."""
  flags = ["--model=small", f"--data_path={corpus_folder}", "--seed=3",
           f"--save_path={tmp_path}/deep/run",
           "--config_override=hidden_size=8,max_max_epoch=5"]
  done = run_script(*flags)
  assert (done.returncode, done.stderr) == (0, "")
  folder = tmp_path / "deep" / "run"
  config = json.loads((folder / "config.json").read_text())
  assert (config["model"], config["seed"]) == ("small", 3)
  assert config["overrides"] == "hidden_size=8,max_max_epoch=5"
  assert configs.Config(**config["settings"]) == dataclasses.replace(
      configs.SMALL, hidden_size=8, max_max_epoch=5)
  with open(f"{corpus_folder}/valid.txt", "rb") as file:
    text = file.read()
  assert config["data"]["valid"] == {
      "file": "valid.txt", "bytes": len(text), "tokens": 720,
      "sha256": hashlib.sha256(text).hexdigest()}
  *_, vocabulary = reader.ptb_raw_data(corpus_folder)
  run = checkpoints.RunDirectory(str(folder))
  assert run.vocabulary() == vocabulary
  found = run.checkpoints()
  assert [(c.epoch, c.best) for c in found if not c.best] == [
      (5, False), (4, False), (3, False)]
  assert len([c for c in found if c.best]) == 1
  assert run.best().epoch == 1 + int(np.argmin(
      [float(row["valid_perplexity"]) for row in rows_of(run.path)]))
  assert tf.train.latest_checkpoint(run.path) == found[0].variables
  with open(folder / "learning_curve.png", "rb") as file:
    assert file.read(8) == b"\x89PNG\r\n\x1a\n"
  assert not glob.glob(f"{folder}/**/*.partial", recursive=True)


@pytest.mark.slow
def test_the_newest_checkpoints_are_kept(run_flags, tmp_path, call_main):
  def epochs_kept(epochs, keep):
    assert call_main(
        *run_flags[:-1], f"--keep={keep}",
        f"--config_override=hidden_size=8,max_max_epoch={epochs}") == 0
    return [c.epoch for c in checkpoints.RunDirectory(
        f"{tmp_path}/run").checkpoints() if not c.best]

  assert epochs_kept(epochs=4, keep=4) == [4, 3, 2, 1]
  assert epochs_kept(epochs=5, keep=2) == [5, 4]  # it may change
  assert epochs_kept(epochs=6, keep=1) == [6]
