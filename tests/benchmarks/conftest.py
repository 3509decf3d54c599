"""Fixtures for the scripts that call other scripts."""

import os
import subprocess

import pytest

from benchmarks import transcript

SCORES = """\
{text}: 3 lines, 9 tokens, 1 of them <unk>; 1 words/s
perplexity                       all  without <unk>
average of 2                  99.591        110.208
{run} (epoch 13)           118.978        132.392
"""


@pytest.fixture
def called(monkeypatch):
  """Replaces the scripts that are called; returns the list of their arguments.

  score.py has SCORES on standard error, and generate.py writes "the bank".
  """
  calls = []

  def run(command, **_):
    calls.append([os.path.basename(command[1]), *command[2:]])
    flags = dict(flag.split("=", 1) for flag in command[2:] if "=" in flag)
    return subprocess.CompletedProcess(
        command, 0, stdout="the bank\n", stderr=SCORES.format(
            text=flags.get("--text"), run=flags["--save_path"].split(",")[0]))

  monkeypatch.setattr(transcript.subprocess, "run", run)
  return calls
