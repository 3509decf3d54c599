"""config.json: defaults of older runs, and differences between runs."""

import dataclasses
import json
import os

import pytest

import configs
from rnn.runs import config_file
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from tasks import hyperparameters


@pytest.mark.parametrize("task, record", [
    (config_file.LANGUAGE_MODEL, configs.TEST),
    (config_file.WORD_VECTORS, hyperparameters.WORD2VEC)])
def test_settings_that_an_older_file_lacks_have_their_defaults(task, record):
  settings = dataclasses.asdict(record)
  older = {name: value for name, value in settings.items()
           if name not in record.defaults()}
  assert 0 < len(older) < len(settings)
  read = config_file.with_defaults({"task": task, "settings": older})
  assert read["settings"] == {
      name: list(value) if isinstance(value, tuple) else value
      for name, value in {**older, **record.defaults()}.items()}


def test_only_named_settings_may_differ():
  there = {"seed": 1, "settings": {"keep_prob": 0.5, "num_layers": 2}}
  here = {"seed": 2, "settings": {"keep_prob": 0.7, "num_layers": 2}}
  refused, changed = config_file.differences(there, here, ["settings.keep_*"])
  assert refused == ["seed (1 there, 2 here)"]
  assert changed == ["settings.keep_prob (0.5 there, 0.7 here)"]


def test_a_hash_is_shown_by_its_beginning():
  there, here = ({"data": {"train": {"sha256": digit * 64}}} for digit in "ab")
  assert config_file.differences(there, here, []) == (
      ["data.train.sha256 (aaaaaaaa... there, bbbbbbbb... here)"], [])


def test_the_settings_of_a_run_have_names(trained_runs):
  settings = RunDirectory(str(trained_runs / "a")).settings()
  assert settings.config.hidden_size == 24
  assert settings.data_path == str(trained_runs / "text")
  assert settings.precision == "float32"


def test_an_encoding_is_a_name(trained_runs, tmp_path):
  config = json.loads((trained_runs / "a" / "config.json").read_text())
  config["data"]["encoding"] = 7
  (tmp_path / "config.json").write_text(json.dumps(config))
  with pytest.raises(RunError, match=(
      "data.encoding=7: must be a string or null; restore the file")):
    RunDirectory(str(tmp_path)).content()


@pytest.mark.parametrize("make, reason", [
    (os.mkdir, "Is a directory"), (os.mkfifo, "not a regular file")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make, reason):
  path = tmp_path / "config.json"
  make(path)
  with pytest.raises(RunError, match=f"^{path}: {reason}$"):
    RunDirectory(str(tmp_path)).content()
