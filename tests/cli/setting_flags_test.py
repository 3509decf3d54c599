"""The flags of single settings, and --threads."""

import json
import os

import pytest

import configs
import ptb_word_lm
from rnn import tf1
from rnn.cli import training_flags
from tasks import hyperparameters, word2vec
from tests.helpers.calls import assert_one_line, parse


def test_each_flag_is_an_entry_of_config_override():
  values = {"hidden_size": 24, "num_layers": 3, "learning_rate": 0.5,
            "keep_prob": 0.8, "batch_size": 7, "num_steps": 9, "epochs": 2}
  parse(ptb_word_lm, *(f"--{name}={value}" for name, value in values.items()))
  config, settings = training_flags.config(configs.SMALL)
  values["max_max_epoch"] = values.pop("epochs")
  assert settings == values
  assert config == configs.override(configs.SMALL, values)


def test_config_override_may_be_given_several_times():
  parse(ptb_word_lm, "--config_override=hidden_size=24", "--config_override=",
        "--config_override=num_steps=9,keep_prob=0.8")
  _, settings = training_flags.config(configs.SMALL)
  assert settings == {"hidden_size": 24, "num_steps": 9, "keep_prob": 0.8}
  parse(ptb_word_lm, *2 * ["--config_override=num_steps=9"])
  with pytest.raises(configs.ConfigError, match="^num_steps: set twice$"):
    training_flags.config(configs.SMALL)


def test_word_vectors_have_the_flags_of_their_settings():
  parse(word2vec, "--batch_size=50", "--epochs=2")
  config, settings = training_flags.config(hyperparameters.WORD2VEC)
  assert settings == {"batch_size": 50, "max_max_epoch": 2}
  assert config == configs.override(hyperparameters.WORD2VEC, settings)


def test_a_value_may_be_given_twice_if_it_is_the_same():
  parse(ptb_word_lm, "--config_override=keep_prob=0.50,max_max_epoch=2",
        "--keep_prob=0.5")
  config, _ = training_flags.config(configs.SMALL)
  assert (config.keep_prob, config.max_max_epoch) == (0.5, 2)
  parse(ptb_word_lm, "--config_override=max_max_epoch=2", "--epochs=3")
  with pytest.raises(configs.ConfigError, match=(
      "^max_max_epoch=2: --epochs says 3; leave out one of the two$")):
    training_flags.config(configs.SMALL)


def test_bad_values_get_one_line(call_main, capsys):
  for flag, message in (
      ("--hidden_size=0", "hidden_size=0: must be from 1 to 1,000,000$"),
      ("--epochs=x", "--epochs=x"),
      ("--keep_prob=1.5", r"keep_prob=1.5: must be above 0 \(from 1e-6\) and"),
      ("--learning_rate=nan", "learning_rate=nan: must be above 0"),
      ("--threads=0", "--threads=0")):
    assert call_main(flag) == 1
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", message)


def test_a_run_stores_the_settings_in_one_form(
    corpus_folder, tmp_path, call_main):
  assert call_main(
      "--model=test", f"--data_path={corpus_folder}", "--hidden_size=3",
      "--config_override=init_scale=0.2", f"--save_path={tmp_path}/run") == 0
  content = json.loads((tmp_path / "run" / "config.json").read_text())
  assert content["overrides"] == "init_scale=0.2,hidden_size=3"
  assert content["settings"]["hidden_size"] == 3


def test_threads(monkeypatch):
  for name in "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS":
    monkeypatch.setenv(name, "99")
  monkeypatch.setattr(tf1, "_chosen_threads", None)
  tf1.halve_threads_per_op()
  assert os.environ["TF_NUM_INTRAOP_THREADS"] == "99"  # the user's
  tf1.use_threads(6)
  assert os.environ["TF_NUM_INTRAOP_THREADS"] == "6"
  assert os.environ["TF_NUM_INTEROP_THREADS"] == "6"
  tf1.halve_threads_per_op()
  assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
