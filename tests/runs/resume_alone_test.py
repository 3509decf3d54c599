"""A run resumes by its folder alone, with what it stores."""

import json
import os
import shutil

import pytest

from rnn.runs.directory import RunDirectory
from tasks import char_lm, echo, sentiment, word2vec
from tests.helpers.calls import assert_one_line, assert_refused
from tests.helpers.run_folders import assert_same_run


@pytest.fixture
def text(corpus_folder, tmp_path):
  return shutil.copytree(corpus_folder, tmp_path / "text")


def config_of(run):
  with open(f"{run}/config.json") as file:
    return json.load(file)


def test_it_goes_on_with_the_settings_and_data_of_the_run(
    text, tmp_path, call_main, capsys, monkeypatch):
  """Given its flags or not, a run of more epochs ends in the same bits."""
  flags = [f"--data_path={text}", "--seed=4", "--use_bfloat16", "--min_count=2",
           "--rnn_mode=block", "--model=test", "--config_override=hidden_size=6"
           ",keep_prob=0.7,init_scale=0.2"]
  run = tmp_path / "run"
  assert call_main(*flags, f"--save_path={run}") == 0
  before = config_of(run)
  other = shutil.copytree(run, tmp_path / "other")
  monkeypatch.chdir(tmp_path)
  capsys.readouterr()
  assert call_main("--save_path=run", "--epochs=2", "--keep_prob=0.8") == 0
  out = capsys.readouterr().out
  assert "resuming at epoch 2, step 0 of" in out
  assert "\n  settings.keep_prob (0.7 there, 0.8 here)\n" in out
  assert call_main(*flags[:-1], f"--save_path={other}", "--epochs=2",
                   "--config_override=hidden_size=6,keep_prob=0.8,"
                   "init_scale=0.2") == 0
  assert_same_run(run, other)
  after = config_of(run)
  assert after.pop("overrides") == (
      "hidden_size=6,init_scale=0.2,max_max_epoch=2,keep_prob=0.8")
  after["settings"].update(keep_prob=0.7, max_max_epoch=1)
  del before["overrides"]
  assert after == before


def test_differences_are_listed_one_per_line(
    trained_flags, tmp_path, call_main, capsys):
  run = f"--save_path={tmp_path}/run"
  assert call_main(run, "--seed=7", "--num_layers=2") == 1
  assert_refused(capsys.readouterr().err, "ptb_word_lm.py",
                 r"settings.num_layers \(1 there, 2 here\)$",
                 r"seed \(1 there, 7 here\)$")
  # --model stands for its settings, not for the run's.
  assert call_main(run, "--model=test") == 1
  assert_refused(capsys.readouterr().err, "ptb_word_lm.py",
                 r"settings.hidden_size \(8 there, 2 here\)$")


@pytest.mark.parametrize("model", [[], ["--model=test"]])
def test_a_run_keeps_as_many_checkpoints_as_before(
    corpus_folder, tmp_path, call_main, model):
  run = RunDirectory(f"{tmp_path}/run")
  flags = [f"--data_path={corpus_folder}", f"--save_path={run.path}"]
  assert call_main(*flags, "--model=test", "--keep=5", "--epochs=5") == 0
  assert call_main(*flags, *model, "--epochs=6") == 0
  assert [c.epoch for c in run.checkpoints() if not c.best] == [6, 5, 4, 3, 2]
  assert call_main(*flags, *model, "--epochs=7", "--keep=3") == 0
  assert call_main(*flags, *model, "--epochs=8") == 0
  assert [c.epoch for c in run.checkpoints() if not c.best] == [8, 7, 6]


def test_the_text_at_the_stored_path_is_verified(
    text, tmp_path, call_main, capsys):
  run = f"--save_path={tmp_path}/run"
  assert call_main(run, "--model=test", f"--data_path={text}") == 0
  path = text / "valid.txt"
  path.write_text(path.read_text().replace("cat", "dog", 1))
  capsys.readouterr()
  assert call_main(run, "--epochs=2") == 1
  assert_refused(capsys.readouterr().err, "ptb_word_lm.py",
                 r"data.valid.sha256 \(")
  assert call_main(run, "--mode=eval") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", (
      "text: differs in valid from the data that .*run was trained on; give "
      r"the path of those \(--data_path\)$"))
  # As another text it may be evaluated.
  assert call_main(run, "--mode=eval", f"--data_path={text}") == 0
  shutil.rmtree(text)
  capsys.readouterr()
  assert call_main(run) == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "text: no such folder|text: No such file")


def test_a_setting_that_has_lost_its_effect_does_not_stay(
    trained_flags, tmp_path, call_main):
  """Here, keep_prob=0.5,dropout_mask=window and max_epoch=1 do."""
  run = f"--save_path={tmp_path}/other"
  assert call_main(*trained_flags[:-1], run, "--config_override="
                   "keep_prob=0.5,dropout_mask=window,max_epoch=1") == 0
  assert call_main(run, "--epochs=2", "--keep_prob=1",
                   "--config_override=lr_schedule=plateau") == 0
  config = config_of(tmp_path / "other")
  assert config["overrides"] == (
      "lr_schedule=plateau,max_max_epoch=2,keep_prob=1.0")
  assert config["settings"]["dropout_mask"] == "window"


@pytest.mark.parametrize("damage, message", [
    ({"tie_weights": "true"}, "tie_weights=true: must be true or false"),
    ({"newer": 1}, "newer: no such setting")])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_settings_that_cannot_be_used_are_reported(
    trained_flags, tmp_path, call_main, capsys, has_checkpoint, damage,
    message):
  """They do not count as a run with other settings, or as none."""
  run = tmp_path / "run"
  config = config_of(run)
  config["settings"].update(damage)
  (run / "config.json").write_text(json.dumps(config))
  if not has_checkpoint:
    for path in run.glob("checkpoints/*"):
      shutil.rmtree(path)
    (run / "metrics.csv").unlink()
  assert call_main(f"--save_path={run}", "--epochs=9") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  f"{run}/config.json: {message}.*; restore it from a copy")
  assert config_of(run) == config


def test_a_list_of_words_is_that_of_the_run(text, tmp_path, call_main):
  (tmp_path / "list").write_text("cat\ndog\nthe\n")
  run = f"--save_path={tmp_path}/run"
  assert call_main(run, "--model=test", f"--data_path={text}",
                   f"--vocab_path={tmp_path}/list") == 0
  os.remove(tmp_path / "list")
  os.remove(tmp_path / "run" / "ids.json")
  assert call_main(run, "--epochs=2") == 0
  assert len(RunDirectory(f"{tmp_path}/run").vocabulary()) == 5


@pytest.mark.parametrize("flag", ["--vocab_size=20", "--min_count=2"])
def test_one_flag_of_the_vocabulary_leaves_the_other(
    text, tmp_path, call_main, flag):
  run = f"--save_path={tmp_path}/run"
  assert call_main(run, "--model=test", f"--data_path={text}",
                   "--vocab_size=20", "--min_count=2") == 0
  assert call_main(run, "--epochs=2", flag) == 0
  assert config_of(tmp_path / "run")["vocabulary_choice"] == {
      "size": 20, "min_count": 2}


def test_a_run_of_another_script_is_refused(
    trained_flags, text, tmp_path, call_main, call_script, capsys):
  characters = f"--save_path={tmp_path}/characters"
  assert call_script(
      char_lm, characters, f"--data_path={text}/train.txt", "--epochs=1",
      "--config_override=hidden_size=4,num_steps=5") == 0
  capsys.readouterr()
  assert call_main(characters) == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", (
      "characters: holds a model of characters, not of words; use the script "
      r"that trained it, or another folder \(--save_path\)$"))
  assert call_script(char_lm, f"--save_path={tmp_path}/run") == 1
  assert_one_line(capsys.readouterr().err, "char_lm.py", (
      "run: holds a model of words, not of characters; use the script"))


def test_a_value_that_no_flag_can_have_gets_one_line(
    trained_flags, tmp_path, call_main, capsys):
  path = tmp_path / "run" / "config.json"
  content = json.loads(path.read_text())
  path.write_text(json.dumps(
      content | {"vocabulary_choice": {"size": [1]}}))
  assert call_main(f"--save_path={tmp_path}/run") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  r"config.json: vocab_size=1: not a value of --vocab_size; "
                  "restore")


@pytest.mark.slow
@pytest.mark.parametrize("script, flags", [
    (char_lm, ["--min_count=2", "--config_override=hidden_size=4,num_steps=5"]),
    (word2vec, ["--min_count=2", "--vocab_size=6", "--max_context=2",
                "--config_override=embedding_size=4,batch_size=20"]),
    (sentiment, ["--vocab_size=6", "--split=0.6,0.2,0.2", "--characters",
                 "--config_override=hidden_size=4,embedding_size=3"]),
    (echo, ["--config_override=hidden_size=4,num_layers=1,epoch_size=9"])])
def test_tasks_go_on_with_what_they_store(
    script, flags, text, tmp_path, call_script, capsys):
  data = []
  if script is sentiment:
    for label in "good", "bad":
      (tmp_path / "texts" / label).mkdir(parents=True)
      for i in range(20):
        (tmp_path / "texts" / label / f"{i}.txt").write_text(f"{label} {i}")
    data = [f"--data_path={tmp_path}/texts"]
  elif script is not echo:
    data = [f"--data_path={text}/train.txt"]
  run = f"--save_path={tmp_path}/run"
  assert call_script(script, *data, *flags, run, "--epochs=1") == 0
  before = config_of(tmp_path / "run")
  assert call_script(script, run, "--epochs=2") == 0
  assert "resuming at epoch 2, step 0 of" in capsys.readouterr().out
  after = config_of(tmp_path / "run")
  assert after["settings"].pop("max_max_epoch") == 2
  before["settings"].pop("max_max_epoch")
  assert after.pop("overrides").endswith("max_max_epoch=2")
  del before["overrides"]
  assert after == before
