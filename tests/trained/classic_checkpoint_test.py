"""Loading checkpoints of the classic script."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

import configs
import reader
import score
from rnn.errors import SettingError
from rnn.runs.checkpoints import RunError
from tests.helpers.calls import ROOT
from tests.helpers.trained_models import (
  CLASSIC_FLAGS,
  write_checkpoint,
  write_classic,
)
from trained.model import load

CONFIG = configs.override(configs.TEST, "hidden_size=24,num_layers=2")


@pytest.fixture(scope="module")
def model(trained_runs):
  return load(str(trained_runs / "a"))


@pytest.mark.parametrize("names", [
    ("basic_lstm_cell",), ("lstm_cell",),
    ("basic_lstm_cell", "weights", "biases")], ids=" ".join)
def test_names_of_all_versions_are_found(model, tmp_path, names):
  write_classic(tmp_path / "model.ckpt", model.values, *names)
  loaded = load(str(tmp_path), classic=(CONFIG, model.vocabulary))
  assert loaded.values.keys() == model.values.keys()
  for name, value in model.values.items():
    np.testing.assert_array_equal(loaded.values[name], value, err_msg=name)


def test_the_newest_checkpoint_of_a_folder_is_used(model, tmp_path):
  """The file `checkpoint` does not count; it names another machine's path."""
  scaled = {name: value * np.float32(3) for name, value in model.values.items()}
  write_classic(tmp_path / "model.ckpt-900", scaled)
  write_classic(tmp_path / "model.ckpt-1000", model.values)
  (tmp_path / "checkpoint").write_text(
      'model_checkpoint_path: "/elsewhere/model.ckpt-900"\n')
  for path, values, name in (
      (tmp_path, model.values, "model.ckpt-1000"),
      (tmp_path / "model.ckpt-1000", model.values, "model.ckpt-1000"),
      (tmp_path / "model.ckpt-900.index", scaled, "model.ckpt-900")):
    loaded = load(str(path), classic=(CONFIG, model.vocabulary))
    np.testing.assert_array_equal(
        loaded.values["Model/softmax_b"], values["Model/softmax_b"])
    assert loaded.name == str(tmp_path / name)


def test_a_text_with_fewer_words_than_rows(model, tmp_path):
  """The rows without a word get words that no text has."""
  write_classic(tmp_path / "model.ckpt", model.values)
  words = model.vocabulary.words
  fewer = reader.Vocabulary(words[:-100])
  loaded = load(str(tmp_path), classic=(CONFIG, fewer))
  assert loaded.vocabulary.words[:-100] == fewer.words
  assert len(loaded.vocabulary) == len(words)
  assert not set(loaded.vocabulary.words[-100:]) & set(words)


@pytest.mark.parametrize("name, value, message", [
    ("Model/softmax_b", np.nan, "Model/softmax_b is not finite, because"),
    ("Model/softmax_b", "text", r"differs in Model/softmax_b \(string there\)"),
    ("Model/embedding", None, "has no Model/embedding"),
])
def test_values_that_cannot_be_used(model, tmp_path, name, value, message):
  values = dict(model.values)
  shape = values.pop(name).shape
  if value is not None:
    values[name] = np.full(shape, value)
  write_checkpoint(tmp_path / "model.ckpt", values)
  with pytest.raises(RunError, match=message):
    load(str(tmp_path), classic=(CONFIG, model.vocabulary))


def test_a_damaged_checkpoint(model, tmp_path):
  write_classic(tmp_path / "model.ckpt", model.values)
  os.truncate(tmp_path / "model.ckpt.data-00000-of-00001", 100)
  with pytest.raises(RunError, match="^.*model.ckpt: "):
    load(str(tmp_path), classic=(CONFIG, model.vocabulary))


def test_a_classic_checkpoint_is_no_run(model, tmp_path):
  """It needs a config and a vocabulary, and is neither best nor averaged."""
  write_classic(tmp_path / "model.ckpt", model.values)
  with pytest.raises(RunError, match="only with its config and vocabulary"):
    load(str(tmp_path))
  for settings, message in (
      ({"checkpoint": "best"}, "checkpoint=best: .*; leave it out"),
      ({"average_last": 2}, "average_last=2: .*; leave it out")):
    with pytest.raises(SettingError, match=message):
      load(str(tmp_path), classic=(CONFIG, model.vocabulary), **settings)
  tied = dataclasses.replace(CONFIG, tie_weights=True)
  with pytest.raises(configs.ConfigError, match="^tie_weights=true: .*leave "):
    load(str(tmp_path), classic=(tied, model.vocabulary))


@pytest.mark.slow
def test_scores_equal_those_of_the_cells_of_the_classic_script(
    trained_runs, tmp_path, call_script, capsys):
  (tmp_path / "text").write_text("the population of the economy\n")
  vocabulary = f"{trained_runs}/a/vocab.txt"
  process = subprocess.run(
      [sys.executable,
       os.path.join(ROOT, "tests", "helpers", "classic_script.py"),
       str(tmp_path), vocabulary, f"{tmp_path}/text"],
      capture_output=True, text=True, timeout=120)
  assert process.returncode == 0, process.stderr
  assert call_script(
      score, f"--save_path={tmp_path}", *CLASSIC_FLAGS, "--noheader",
      f"--vocab_path={vocabulary}", f"--text={tmp_path}/text") == 0
  np.testing.assert_allclose(
      float(capsys.readouterr().out.split()[1]), float(process.stdout),
      rtol=1e-5)
