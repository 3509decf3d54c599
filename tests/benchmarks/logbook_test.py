"""The log of a run: its starts, how they ended, and what is added to it."""

import os
import pathlib
import resource
import sys

import pytest

from benchmarks import logbook
from rnn.errors import UserError
from rnn.runs import lock
from tests.helpers.calls import ROOT

READ = "train: 929,589 tokens, 0 of them unknown words, read as <unk>\n"
SUMMARY = "9688 words/s in training (median of 12 epochs), 21 min 33 s in all\n"
HEADER = "$ python ptb_word_lm.py\n# 2026-11-27 14:00 UTC, an EPYC, 2 cores\n"
STOPPED = "ptb_word_lm.py: stopped by SIGTERM; everything is saved\n"
FOOTER = "\tMaximum resident set size (kbytes): {}\n\tExit status: {}\n"


def ends(log):
  return [str(start) for start in logbook.starts(log)]


def test_starts_of_a_log():
  log = (HEADER + READ + "Epoch: 1 Learning\nEpoch: 3 Learning\n" + STOPPED
         + FOOTER.format(900, 143)
         + HEADER + READ + "resuming at epoch 3, step 7 of 9\nEpoch: 3 L\n"
         + HEADER + "reproduce.py: no disk\n" + FOOTER.format(5, 1)
         + HEADER + READ + "resuming at epoch 4, step 0 of 9\nEpoch: 4 L\n"
         + "reproduce.py: diverged at epoch 4\n" + FOOTER.format(950, 1)
         + READ + SUMMARY + FOOTER.format(800, 0))
  assert ends(log) == [
      "SIGTERM in epoch 3", "killed in epoch 3", "failed in epoch 4",
      "finished"]
  first, second, _, last = logbook.starts(log)
  assert first.machine == "an EPYC, 2 cores" and first.resumed is None
  assert second.resumed == "epoch 3, step 7 of 9"
  assert last.machine is None
  assert logbook.peak_memory(log) == 950
  assert logbook.peak_memory(READ) is None


@pytest.mark.parametrize("folder, expected", [
    ("small-undisturbed", ["finished"]),
    ("small-resumed", ["killed in epoch 4", "SIGINT in epoch 6", "finished",
                       "finished"])])
def test_starts_of_older_logs(folder, expected):
  path = pathlib.Path(ROOT, "results", folder, "log.txt")
  assert ends(path.read_text()) == expected


def test_all_that_is_printed_is_added(tmp_path, capsys):
  path = tmp_path / "log"
  path.write_text("before\n")
  stdout = sys.stdout
  with logbook.recording(str(path), "python x.py", "a machine"):
    print(READ, end="")
    print("w\u00f6rd", file=sys.stderr)
    assert not sys.stdout.isatty()
  with pytest.raises(SystemExit):
    with logbook.recording(str(path), "python x.py", "a machine"):
      print(READ, end="")
      sys.exit(143)
  assert sys.stdout is stdout
  text = path.read_text(encoding="utf-8")
  assert text.startswith("before\n$ python x.py\n# ")
  assert READ + "w\u00f6rd\n\tMaximum" in text
  assert text.endswith("\tExit status: 143\n")
  assert logbook.peak_memory(text) > 50_000
  assert [start.machine for start in logbook.starts(text)] == ["a machine"] * 2
  assert capsys.readouterr().out == READ * 2


def test_log_of_another_process(tmp_path):
  path = str(tmp_path / "log")
  with open(path, "a") as file:
    assert lock.try_lock(file)
    with pytest.raises(UserError, match="log: another process writes"):
      with logbook.recording(path, "python x.py", ""):
        pass


def test_log_that_cannot_be_opened(tmp_path):
  with pytest.raises(UserError, match="absent/log: the log cannot be written: "
                     "No such file"):
    with logbook.recording(str(tmp_path / "absent" / "log"), "x", ""):
      pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_one_error(capsys):
  with pytest.raises(UserError, match="/dev/full: the log cannot be written: "
                     "No space left"):
    with logbook.recording("/dev/full", "x", ""):
      pytest.fail("the header cannot be written")


def test_disk_that_becomes_full_is_one_error(tmp_path, capsys):
  path = tmp_path / "log"
  with pytest.raises(UserError, match="log: the log cannot be written: File"):
    with logbook.recording(str(path), "x", ""):
      limits = resource.getrlimit(resource.RLIMIT_FSIZE)
      resource.setrlimit(
          resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
      try:
        print("lost")
      except UserError:
        print("said", file=sys.stderr)  # the message can be printed
        raise
      finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert capsys.readouterr().err == "said\n"
