"""Runs that start from another run, and embeddings that stay fixed."""

import json
import re
import shutil

import numpy as np
import pytest

from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tasks import char_lm
from tests.helpers.calls import assert_one_line, assert_refused
from tests.helpers.texts import write_corpus

SIZES = "hidden_sizes=5,4,embedding_size=3"
STILL = "--config_override=learning_rate=1e-30"


def values_of(run):
  """Returns the parameters of a run's newest checkpoint, by name."""
  saved = tf.train.load_checkpoint(RunDirectory(run).checkpoints()[0].variables)
  return {name: saved.get_tensor(name)
          for name in saved.get_variable_to_shape_map()
          if name.startswith("Model/") and "Adam" not in name}


def figures(text, split):
  return [float(x) for x in re.findall(rf"{split} \w+.*: ([\d.]+)", text)]


@pytest.mark.slow
def test_a_run_starts_from_another(corpus_folder, tmp_path, call_main, capsys):
  first, second = f"{tmp_path}/first", f"{tmp_path}/second"
  assert call_main("--model=test", f"--data_path={corpus_folder}", "--keep=9",
                   f"--save_path={first}", "--config_override=max_max_epoch=2,"
                   f"max_epoch=9,optimizer=adam,learning_rate=0.01,{SIZES}"
                   ) == 0
  trained = capsys.readouterr().out
  other = write_corpus(tmp_path / "text", "the yak sees the cat\n" * 300,
                       "a cat\n" * 60, "owl\n" * 60)
  start = [f"--save_path={second}", f"--init_from={first}", STILL]
  # On the same text: the perplexities of the origin.
  assert call_main(*start, f"--data_path={corpus_folder}") == 0
  out = capsys.readouterr().out
  assert f"starts from {first} (epoch 2), with its " in out
  assert figures(out, "Valid")[0] == pytest.approx(
      figures(trained, "Valid")[-1], abs=0.002)
  assert figures(out, "Test")[0] == pytest.approx(
      figures(trained, "Test")[0], abs=0.002)
  for name, value in values_of(first).items():
    np.testing.assert_array_equal(values_of(second)[name], value, name)
  config = json.loads((tmp_path / "second/config.json").read_text())
  assert config["settings"]["optimizer"] == "sgd"
  assert config["settings"]["hidden_sizes"] == [5, 4]
  assert config["model"] == "test" and config["init_from"]["path"] == first
  assert len(config["init_from"]["sha256"]) == 64
  # On another text, its unknown words are counted.
  assert call_main(f"--data_path={other}", f"--init_from={first}", STILL,
                   "--init_average_last=2") == 0
  out = capsys.readouterr().out
  assert "train: 1,800 tokens, 300 of them unknown words" in out
  assert f"starts from {first} (epoch 2, epoch 1)" in out
  # The origin is trained further or gone: the run resumes all the same.
  shutil.move(first, f"{tmp_path}/moved")
  assert call_main(*start[:2], f"--data_path={corpus_folder}",
                   f"{STILL},max_max_epoch=2") == 0
  assert "resuming at epoch 2" in capsys.readouterr().out
  # It may have moved, but not be another one.
  start[1] = f"--init_from={tmp_path}/moved"
  assert call_main(*start, f"--data_path={corpus_folder}") == 0
  capsys.readouterr()
  assert call_main(*start, "--init_average_last=2") == 1
  assert_refused(capsys.readouterr().err, "ptb_word_lm.py", "init_from.sha256")
  assert call_main(start[0]) == 0  # the run says how it began
  assert "is finished" in capsys.readouterr().out
  for flags, message in (
      (["--config_override=hidden_size=9,num_layers=2"],
       "hidden_size=9: the run in --init_from has hidden_sizes=5,4; leave it"),
      (["--config_override=cell=gru"],
       "cell=gru: the run in --init_from has cell=lstm"),
      (["--init_average_last=9"], "--init_average_last=9: .* only 2 epochs"),
      (["--lowercase_vectors"], "_vectors: has no effect with --init_from"),
      (["--init_embeddings=x"], "leave out one of the two")):
    assert call_main(start[1], *flags, f"--data_path={corpus_folder}") == 1
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", message)


@pytest.mark.slow
@pytest.mark.parametrize("sizes, same", [
    ("hidden_sizes=4,4", ["--num_layers=2", "--hidden_size=4"]),
    ("hidden_size=4,num_layers=2", ["--config_override=hidden_sizes=4,4"])])
def test_sizes_of_the_origin_may_be_given_in_any_form(
    corpus_folder, tmp_path, call_main, sizes, same):
  flags = ["--model=test", f"--data_path={corpus_folder}", "--epochs=1"]
  first, second = f"{tmp_path}/first", f"{tmp_path}/second"
  assert call_main(*flags, f"--save_path={first}",
                   f"--config_override={sizes}") == 0
  assert call_main(*flags, f"--save_path={second}", f"--init_from={first}",
                   *same) == 0
  assert call_main(f"--save_path={second}", "--epochs=2") == 0
  for run in first, second:
    config = RunDirectory(run).settings().config
    assert config.layer_sizes == (4, 4)


@pytest.mark.slow
def test_a_run_of_characters_starts_from_another(
    tmp_path, call_script, call_main, capsys):
  """With a frozen embedding. A run of words is not one of characters."""
  texts = [write_corpus(tmp_path / name, f"{words}\n" * 30, words, words)
           for name, words in (("a", "the cat"), ("b", "the hut"))]
  small = "--config_override=hidden_size=5,num_steps=4,batch_size=4,epoch_size="
  assert call_script(
      char_lm, f"--data_path={texts[0]}", f"--save_path={tmp_path}/first",
      f"{small}9,max_max_epoch=1") == 0
  assert call_script(
      char_lm, f"--data_path={texts[1]}", f"--save_path={tmp_path}/second",
      "--config_override=num_steps=4,batch_size=4,epoch_size=9,max_max_epoch=1",
      f"--init_from={tmp_path}/first", "--freeze=embedding") == 0
  assert re.search(r"train: 240 tokens, 30 of them unknown",
                   capsys.readouterr().out)
  before, after = values_of(f"{tmp_path}/first"), values_of(
      f"{tmp_path}/second")
  assert before.keys() == after.keys()
  assert {name for name in before if (before[name] == after[name]).all()} == {
      "Model/embedding"}
  assert not [name for name, _ in tf.train.list_variables(RunDirectory(
      f"{tmp_path}/second").checkpoints()[0].variables)
              if "embedding/Adam" in name]
  assert call_main(f"--init_from={tmp_path}/first") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "its model is not one of words")


@pytest.mark.parametrize("flags, message", [
    (["--init_checkpoint=best"], "--init_checkpoint: has no effect without"),
    (["--init_average_last=2"], "--init_average_last: has no effect without"),
    (["--lowercase_vectors"], "--lowercase_vectors: has no effect without"),
    (["--init_from=/absent"], "/absent: no such folder"),
    (["--freeze=embedding", "--config_override=freeze=nothing"],
     "freeze=nothing: --freeze says embedding; leave out one"),
    (["--mode=eval", "--save_path=x", "--freeze=embedding"],
     "--freeze: has no effect with --mode=eval"),
    (["--mode=eval", "--save_path=x", "--init_from=x"],
     "--init_from: has no effect with --mode=eval")])
def test_errors_are_one_line(call_main, capsys, flags, message):
  assert call_main(*flags) == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", message)
