"""Fixtures of the tests of run directories."""

import shutil

import numpy as np
import pytest

import ptb_word_lm
from tests.helpers import calls


def _flags(corpus_folder, folder):
  """Returns flags of a short run with dropout, in the folder "run" of another.
  """
  return ["--model=test", f"--data_path={corpus_folder}",
          f"--save_path={folder}/run",
          "--config_override=hidden_size=8,keep_prob=0.7,max_max_epoch=2"]


@pytest.fixture
def run_flags(corpus_folder, tmp_path):
  """Flags of a short run with dropout, which is still to be trained."""
  return _flags(corpus_folder, tmp_path)


@pytest.fixture(scope="session")
def _trained_once(corpus_folder, tmp_path_factory):
  folder = tmp_path_factory.mktemp("short")
  assert calls.call(ptb_word_lm, *_flags(corpus_folder, folder)) == 0
  return folder / "run"


@pytest.fixture
def trained_flags(run_flags, _trained_once, tmp_path):
  """The flags `run_flags`, of a run that is trained: a copy of its folder."""
  shutil.copytree(_trained_once, tmp_path / "run")
  return run_flags


@pytest.fixture
def overfitted(tmp_path, call_main, capsys):
  """Flags of a run that overfits its text, and what it printed."""
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


@pytest.fixture
def finished(trained_runs, tmp_path):
  """Flags with which a finished run was trained, in a copy of its folder."""
  shutil.copytree(trained_runs / "a", tmp_path / "run")
  return ["--model=test", f"--data_path={trained_runs}/text",
          f"--save_path={tmp_path}/run", "--config_override=max_max_epoch=3,"
          "max_epoch=9,max_grad_norm=5,hidden_size=24,num_layers=2,num_steps=5"]
