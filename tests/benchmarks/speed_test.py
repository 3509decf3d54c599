"""The script `benchmarks.speed`: its output, files and errors."""

import csv
import os
import re
import subprocess

import pytest

from benchmarks import machine, speed
from rnn.layers import recurrent
from tests.helpers import warm_python
from tests.helpers.calls import ROOT, assert_one_line


def run(*args):
  return subprocess.run(
      [*warm_python.command(), "-m", "benchmarks.speed", "--model=test", *args],
      cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_compares_and_saves_the_figures(tmp_path):
  done = run("--rounds=2", "--seconds=0.05", "--rnn_mode=fused",
             "--peer=classic", "--peer=torch", "--peers_python=absent",
             f"--output={tmp_path}/{{processor}}")
  assert (done.returncode, done.stderr) == (0, "")
  folder = tmp_path / machine.processor()
  assert "torch: not installed; `make peers` sets them up" in done.stdout
  rows = re.findall(r"^(fused|classic) +(\d+) +(\d+) +(\d+) +(\d+\.\d\d)x",
                    done.stdout, re.MULTILINE)
  assert [row[0] for row in rows] == ["fused", "classic"]
  assert rows[0][-1] == "1.00"
  assert (folder / "speed.txt").read_text() == done.stdout
  with open(folder / "speed.csv") as file:
    saved = list(csv.DictReader(file))
  assert [(row["contender"], row["round"]) for row in saved] == [
      ("fused", "1"), ("fused", "2"), ("classic", "1"), ("classic", "2")]
  assert (folder / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_profile_shows_the_time_by_op(tmp_path):
  done = run("--profile", "--seconds=0.05", "--rnn_mode=fused", "--threads=1",
             f"--output={tmp_path}")
  assert (done.returncode, done.stderr) == (0, "")
  assert re.search(r"fused: \d+\.\d ms per step, traced; \d+\.\d ms in ops on "
                   r"1 cores, -?\d+% idle", done.stdout)
  assert re.search(r"\d\.\d\d ms +\d+\.\d% +2  LSTMBlockCellGrad", done.stdout)
  assert (tmp_path / "profile.txt").read_text() == done.stdout


@pytest.mark.parametrize("args, message", [
    (["--threads=4096"], "--threads=4096: there are [0-9]+ cores"),
    (["--output=/dev/null/{processor}"],
     f"--output=/dev/null/{machine.processor()}: Not a dir"),
    (["--data_path=/absent"], "/absent: No such file"),
    *([] if recurrent.has_gpu()
      else [(["--rnn_mode=cudnn"], "=cudnn: needs")])])
def test_complains_in_one_line(call_script, capsys, args, message):
  assert call_script(speed, "--model=test", "--peer=none", *args) == 1
  assert_one_line(capsys.readouterr().err, "speed", message)


def test_needs_a_system_that_limits_cores(call_script, capsys, monkeypatch):
  monkeypatch.delattr(os, "sched_getaffinity")
  assert call_script(speed, "--model=test", "--peer=none") == 1
  assert_one_line(capsys.readouterr().err, "speed", "needs Linux")
