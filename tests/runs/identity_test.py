"""Readers check that a run's files belong together, as training does."""

import json
import os

import pytest

import generate
import ptb_word_lm
import score
from rnn import files
from rnn.errors import UserError
from rnn.runs import config_file
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from tests.helpers.calls import assert_one_line
from tests.helpers.run_folders import contents
from trained.model import load


def edit_config(run, change):
  """Applies a function to the content of config.json."""
  path = os.path.join(run, "config.json")
  with open(path) as file:
    config = json.load(file)
  change(config)
  with open(path, "w") as file:
    json.dump(config, file)


def edit_words(run, change):
  """Applies a function to the list of words in vocab.txt."""
  path = run / "vocab.txt"
  words = path.read_text().split("\n")
  change(words)
  path.write_text("\n".join(words))


def swap(words):
  words[5], words[6] = words[6], words[5]


def change_a_letter(words):
  words[7] += "x"


@pytest.mark.parametrize("change", [swap, change_a_letter, list.clear,
                                    lambda words: words.append("new")])
@pytest.mark.parametrize("has_digest", [True, False])
def test_a_changed_vocabulary_is_refused(
    finished, tmp_path, change, has_digest):
  if not has_digest:  # as in an older run, whose ids.json has the digest
    edit_config(tmp_path / "run", lambda config: (
        config.pop("vocabulary"), config.pop("format")))
  load(str(tmp_path / "run"))
  edit_words(tmp_path / "run", change)
  with pytest.raises(RunError, match="run/vocab.txt: "):
    load(str(tmp_path / "run"))


def test_scripts_refuse_a_changed_vocabulary_and_training_restores_it(
    finished, tmp_path, call_script, capsys):
  before = contents(tmp_path / "run")
  edit_words(tmp_path / "run", swap)
  text = finished[1].partition("=")[2] + "/test.txt"
  for script, *flags in [(ptb_word_lm, "--mode=eval"), (generate,),
                         (score, f"--text={text}")]:
    capsys.readouterr()
    assert call_script(script, f"--save_path={tmp_path}/run", *flags) == 1
    assert_one_line(
        capsys.readouterr().err, f"{script.__name__}.py",
        "/vocab.txt: not as training wrote it; restore it from a copy, or "
        "repeat the command that trained the run$")
  assert call_script(ptb_word_lm, *finished) == 0
  assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("flag", ["--vocab_path={0}/list.txt",
                                  "--init_from={0}/origin"])
def test_the_command_restores_words_that_it_names(
    finished, tmp_path, call_main, capsys, flag):
  (tmp_path / "list.txt").write_text("<unk>\nb\na\n<eos>\n")
  os.rename(tmp_path / "run", tmp_path / "origin")
  command = *finished, flag.format(tmp_path)
  assert call_main(*command) == 0
  before = contents(tmp_path / "run")
  os.remove(tmp_path / "run" / "vocab.txt")
  capsys.readouterr()
  assert call_main(finished[2]) == 1  # only --save_path
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "run/vocab.txt: No such file or directory; restore it from")
  assert call_main(*command) == 0
  assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("digest", [None, "0" * 64, "of the file"])
def test_the_vocabulary_is_that_of_the_checkpoints(finished, tmp_path, digest):
  """Even if config.json was changed together with the words."""
  os.remove(tmp_path / "run" / "ids.json")
  edit_words(tmp_path / "run", swap)
  if digest == "of the file":
    words = (tmp_path / "run" / "vocab.txt").read_text().split()
    digest = files.json_digest(words)
  edit_config(
      tmp_path / "run", lambda config: config.update(vocabulary=digest))
  with pytest.raises(RunError, match=r"vocab"):
    load(str(tmp_path / "run"))


def test_a_changed_vocabulary_of_an_older_run_is_restored(
    finished, tmp_path, call_main, capsys):
  """Its config.json has no digest of the words, but its ids.json."""
  edit_config(tmp_path / "run", lambda config: (
      config.pop("vocabulary"), config.pop("format")))
  before = contents(tmp_path / "run")
  edit_words(tmp_path / "run", swap)
  assert call_main(*finished) == 0
  assert "it is written again" in capsys.readouterr().err
  path = f"{tmp_path}/run/vocab.txt"
  assert contents(tmp_path / "run")[path] == before[path]


@pytest.mark.parametrize("change, difference", [
    (lambda c: c["settings"].update(batch_size=10),
     r"settings.batch_size \(20 there, 10 here\)"),
    (lambda c: c["settings"].update(cell="gru"), "settings.cell|Model/"),
    (lambda c: c.update(precision="bfloat16"),
     r"precision \(float32 there, bfloat16 here\)"),
    (lambda c: c["data"]["valid"].update(tokens=7), r"data.valid.tokens \("),
    (lambda c: c.update(seed=3), r"seed \(1 there, 3 here\)")])
def test_a_config_that_differs_from_the_checkpoints_is_refused(
    finished, tmp_path, change, difference):
  edit_config(tmp_path / "run", change)
  for settings in {}, {"checkpoint": "best"}, {"average_last": 2}:
    with pytest.raises(RunError, match=difference):
      load(str(tmp_path / "run"), **settings)


def test_settings_that_a_resumed_run_may_change_may_differ(finished, tmp_path):
  """Until the next checkpoint only config.json has the new values."""
  expected = load(str(tmp_path / "run")).values
  def change(config):
    config.update(model="mine", overrides="", rnn_mode="basic")
    config["data"].update(path="/moved")
    config["settings"].update(max_max_epoch=99, learning_rate=0.5)
  edit_config(tmp_path / "run", change)
  for name, value in load(str(tmp_path / "run")).values.items():
    assert (value == expected[name]).all()


def test_a_run_of_a_newer_format_is_refused(
    finished, tmp_path, call_main, capsys):
  newer = config_file.FORMAT + 1
  edit_config(tmp_path / "run", lambda config: config.update(
      format=newer, settings="not as today"))
  before = contents(tmp_path / "run")
  for flags in finished, [f"--save_path={tmp_path}/run", "--mode=eval"]:
    capsys.readouterr()
    assert call_main(*flags) == 1
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                    rf"a newer version wrote this run \(format {newer}; this "
                    rf"version reads up to {newer - 1}\); use the newer version"
                    "$")
  assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("change, message", [
    (lambda c: c["settings"].update(hidden_size=24.0),
     "hidden_size=24.0: must be a whole number"),
    (lambda c: c["settings"].update(hidden_size=True), "a whole number"),
    (lambda c: c["settings"].update(cell=[]), r"cell=\[\]: must be one name"),
    (lambda c: c["settings"].update(hidden_sizes=[1.5]), "whole numbers"),
    (lambda c: c["settings"].update(hidden_sizes=7), "whole numbers"),
    (lambda c: c["settings"].update(keep_prob="1"), "must be a number"),
    (lambda c: c["settings"].update(keep_prob=float("nan")), "above 0"),
    (lambda c: c["settings"].update(size=1), "size: no such setting"),
    (lambda c: c["settings"].pop("hidden_size"), "hidden_size: has no value"),
    (lambda c: c.pop("settings"), "lacks 'settings'"),
    (lambda c: c.pop("data"), "lacks 'data'"),
    (lambda c: c["data"].pop("path"), "lacks 'path'"),
    (lambda c: c["data"].update(path=[]), r"data.path=\[\]: must be a string"),
    (lambda c: c["data"].update(path={"a": 1}), "data.path=.*: must be a str"),
    (lambda c: c.update(init_from={"path": ["x"]}),
     "init_from.path=.*: must be a string"),
    (lambda c: c.update(init_from={"average_last": True}),
     "average_last=true: must be a whole number"),
    (lambda c: c.update(data=[]), r"data=\[\]: must be an object"),
    (lambda c: c.update(settings=[]), "settings=.*: must be an object"),
    (lambda c: c.update(precision=[]), "precision=.*: must be a string"),
    (lambda c: c.update(precision="int8"), "precision=int8: must be one of"),
    (lambda c: c.update(tokens={}), "tokens=.*: must be a string"),
    (lambda c: c.update(tokens="x"), "tokens x: must be one of"),
    (lambda c: c.update(task=[]), "task=.*: must be a string"),
    (lambda c: c.update(vocabulary=7), "=7: must be a string or null"),
    (lambda c: c.update(format="2"), 'format="2": must be a whole number'),
    (lambda c: c.update(rnn_mode=[]), "rnn_mode=.*: must be a string or null"),
])
def test_values_of_other_types_in_the_config_get_one_line(
    finished, tmp_path, change, message):
  edit_config(tmp_path / "run", change)
  path = str(tmp_path / "run")
  with pytest.raises(UserError, match=f"/config.json: .*{message}") as error:
    load(path)
  assert "__init__" not in str(error.value)
  with pytest.raises(UserError, match=message):
    run = RunDirectory(path)
    run.settings(), run.vocabulary()
