"""Corpora for the tests: a small made one, and the real Penn Treebank."""

import os

import hypothesis
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import command_line
import ptb_word_lm

# The same cases in each run, however busy the machine.
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

# Standard output as users have it: buffered, when it is not a terminal.
os.environ.pop("PYTHONUNBUFFERED", None)

SPLIT_LINES = {"train": 300, "valid": 60, "test": 40}


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
  """A folder of three texts in which each word follows from the last two."""
  folder = tmp_path_factory.mktemp("corpus")
  rng = np.random.default_rng(0)
  for split, num_lines in SPLIT_LINES.items():
    lines = ("the {0} sees the {1} and the {1} sees the {0}".format(
        *rng.permutation(["cat", "dog", "owl", "fox"])[:2])
             for _ in range(num_lines))
    (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
  return str(folder)


@pytest.fixture
def call_main():
  """Runs the script within this process: flags -> exit status."""
  if "model" not in flags.FLAGS:
    ptb_word_lm.define_flags()

  def call(*args):
    with flagsaver.flagsaver():
      try:
        ptb_word_lm.main(
            command_line.parse_flags(["ptb_word_lm.py", *args]))
      except SystemExit as stop:
        return stop.code
    return 0

  return call


@pytest.fixture(scope="session")
def ptb_folder():
  """The folder that PTB_DATA names; without it, the test is skipped."""
  folder = os.environ.get("PTB_DATA")
  if not folder:
    pytest.skip("PTB_DATA names no folder with the Penn Treebank")
  return folder
