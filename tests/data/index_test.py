"""Tests of data/index.py: its flags, its output, and kills."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import index
import pytest

import reader
from rnn.text import sources
from tests.helpers.calls import allow_sigint
from tests.helpers.texts import write_corpus, write_files

TEXT = "".join(f"word{i % 40} is in line {i}\n" for i in range(300))


def call(capsys, *args):
  """Calls the script in this process: exit status, output, errors."""
  try:
    status = index.main([*map(str, args), "--processes=1"])
  except SystemExit as stop:
    status = stop.code
  return status, *capsys.readouterr()


@pytest.fixture
def corpus(tmp_path):
  """The folder of three texts."""
  return write_corpus(tmp_path / "corpus", TEXT, "is in line 3\n", "in line\n")


def test_a_pattern_is_indexed(tmp_path, capsys):
  for number in range(3):
    (tmp_path / f"news-{number}").write_text(TEXT)
  output = tmp_path / "index"
  status, out, err = call(
      capsys, "--input", f"{tmp_path}/news-*", "--output", output,
      "--vocab_size=20", "--held_out=0.1", "--shard_megabytes=0.001")
  assert (status, err) == (0, "")
  texts, vocabulary = reader.read_corpus(str(output))
  sizes = [len(texts[split].ids) for split in reader.SPLITS]
  assert sum(sizes) == 3 * 300 * 6 and len(vocabulary) == 20
  lines = out.splitlines()
  for line, size, split in zip(lines[1:], sizes, reader.SPLITS, strict=False):
    assert line.split()[:2] == [split, f"{size:,}"]
  assert lines[4:] == [
      "vocabulary: 20 words, <unk> and <eos> included",
      f"train on it: python ptb_word_lm.py --data_path={output}"]
  # Once more, it is there already.
  assert call(capsys, "--input", f"{tmp_path}/news-*", "--output", output,
              "--vocab_size=20", "--held_out=0.1", "--shard_megabytes=0.001"
              ) == (0, out, "")


def test_a_pattern_may_fit_the_output(tmp_path, capsys):
  write_files(tmp_path, {"texts/a/1": TEXT, "texts/2": TEXT})
  first, again = (
      call(capsys, "--input", f"{tmp_path}/texts/**", "--output",
           tmp_path / "texts" / "my index") for _ in range(2))
  assert first == again and first[0] == 0
  assert first[1].endswith(
      f"ptb_word_lm.py '--data_path={tmp_path}/texts/my index'\n")


def test_texts_are_named(corpus, tmp_path, capsys):
  status, _, err = call(
      capsys, "--input", f"{corpus}/train.txt", "--input",
      f"{corpus}/test.txt", "--valid", f"{corpus}/valid.txt", "--test",
      f"{corpus}/test.txt", "--output", tmp_path / "index")
  assert (status, err) == (0, "")
  texts, words = reader.read_corpus(f"{tmp_path}/index")
  assert words.decode(texts["train"].ids[-3:]) == ["in", "line", "<eos>"]
  assert words.decode(texts["valid"].ids[:]) == "is in line 3 <eos>".split()
  assert len(texts["test"].ids) == 3


@pytest.mark.parametrize("args, message", [
    (["--valid={}/valid.txt"], "--valid and --test: name both texts, or none"),
    (["--valid={}/valid.txt", "--test={}/test.txt", "--held_out=0.1"],
     "--held_out: has no effect with --valid and --test; leave it out"),
    (["--vocab_path={}/valid.txt"], "valid.txt: line 1 is not one word"),
    (["--vocab_path={}/valid.txt", "--min_count=2"], "--min_count: has no eff"),
    (["--encoding=nonsense"], "--encoding=nonsense: no such encoding"),
    (["--input={}/none.txt"], "none.txt: No such file or directory"),
    (["--input={}/none-*"], "no file fits it as a pattern"),
    (["--output={}"], "not empty; choose another folder"),
    (["--output={}/train.txt/a"], "cannot be written (Not a directory)"),
    (["--min_count=10000"], "no word of the training text is frequent enough"),
    (["--vocab_size=2"], "2 is not between 3 and 2,147,483,647"),
    (["--held_out=x"], "invalid number value: 'x'"),
    (["--held_out=0.5"], "0.5 is not between 1e-09 and 0.4")])
def test_an_error_is_one_line(corpus, tmp_path, capsys, args, message):
  status, out, err = call(
      capsys, "--input", f"{corpus}/train.txt", "--output", tmp_path / "index",
      *(arg.format(corpus) for arg in args))
  assert status and not out
  assert message in err and err.count("\n") == 1, err


def test_flags_that_are_missing(capsys):
  status, out, err = call(capsys)
  assert (status, out) == (2, "") and "--shard_megabytes" in err
  status, _, err = call(capsys, "--input=a")
  assert status == 2 and "--output is missing" in err


def _start(text, output):
  return subprocess.Popen(
      [sys.executable, index.__file__, "--input", text, "--output", output,
       "--processes=2", "--shard_megabytes=0.2"],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      start_new_session=True, preexec_fn=allow_sigint)


def _running(session):
  """Returns whether a session of processes still has a process."""
  try:
    os.killpg(session, 0)
    return True
  except ProcessLookupError:
    return False


def _has_children(pid):
  """Returns whether one of the threads of a process has started another."""
  return any(path.read_text() for path in pathlib.Path(
      f"/proc/{pid}/task").glob("*/children"))


def _catches_sigint(pid):
  status = pathlib.Path(f"/proc/{pid}/status").read_text()
  return bool(int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) & 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_ctrl_c_ends_the_imports_without_a_traceback(tmp_path):
  process = _start(tmp_path, tmp_path / "output")
  for expected in True, False:  # Python's handler; then the system's
    end = time.monotonic() + 30
    while _catches_sigint(process.pid) != expected:
      assert time.monotonic() < end
      time.sleep(0.001)
  process.send_signal(signal.SIGINT)
  assert process.communicate(timeout=60) == ("", "")
  assert process.returncode == -signal.SIGINT


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_a_kill_leaves_no_process_and_the_work_goes_on(tmp_path):
  text = tmp_path / "text"
  text.write_text(TEXT * 4000)
  for wait, kill in ((0, signal.SIGINT), (0.2, signal.SIGINT),
                     (0, signal.SIGKILL), (0.2, signal.SIGKILL)):
    process = _start(text, tmp_path / "killed")
    while not _has_children(process.pid):
      assert process.poll() is None
      time.sleep(0.01)
    time.sleep(wait)  # first, while the processes start
    if kill == signal.SIGINT:  # as Ctrl-C, to all of them
      os.killpg(process.pid, kill)
      assert process.communicate(timeout=60) == ("", (
          "\nindex.py: interrupted; repeat the command, and it goes on\n"))
      assert process.returncode == 130
    else:
      process.kill()
      process.communicate(timeout=60)
    end = time.monotonic() + 30
    while _running(process.pid):
      assert time.monotonic() < end
      time.sleep(0.05)
  for name in "killed", "undisturbed":
    process = _start(text, tmp_path / name)
    errors = process.communicate(timeout=60)[1]
    assert not re.sub(r"(counting words|writing ids): .* MB\n", "", errors)
  one, other = ({entry.name: open(entry.path, "rb").read()
                 for entry in os.scandir(tmp_path / name)}
                for name in ("killed", "undisturbed"))
  assert one == other and sources.INDEX in one


def test_memory_that_is_used_up_is_one_line(corpus, capsys, monkeypatch):
  monkeypatch.setattr(index, "index", lambda *_: [0] * 2**62)
  status, out, err = call(
      capsys, "--input", f"{corpus}/train.txt", "--output", "index")
  assert (status, out) == (1, "")
  assert re.fullmatch(r".*: out of memory; give less text .*\n", err)
