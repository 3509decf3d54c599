"""The flags that tell a script which models to use, through all scripts."""

import os
import shutil

import pytest

import export
import generate
import neighbors
import score
from tests.helpers.calls import assert_one_line
from tests.helpers.trained_models import CLASSIC_FLAGS, write_classic
from trained.model import load


def test_average_last(trained_runs, call_script, capsys):
  perplexities = set()
  for number in 1, 2, 3:
    assert call_script(
        score, f"--save_path={trained_runs}/a", f"--average_last={number}",
        f"--text={trained_runs}/text/test.txt") == 0
    perplexities.add(capsys.readouterr().err.split()[-2])
  assert len(perplexities) == 3


@pytest.mark.slow
def test_a_folder_with_commas_in_its_name(
    trained_runs, tmp_path, call_script, capsys):
  path = f"{tmp_path}/run,too"
  shutil.copytree(trained_runs / "a", path)
  for save_path in path, f"{trained_runs}/a,{trained_runs}/a":
    assert call_script(score, f"--save_path={save_path}",
                       f"--text={path}/vocab.txt") == 0
  assert f"{path} (epoch 3)" in capsys.readouterr().err


@pytest.mark.parametrize("script", [export, generate, neighbors, score])
@pytest.mark.parametrize("flags, message", [
    ([], "--save_path: name the folder of the run"),
    (["--save_path=nowhere"], "nowhere: no such folder"),
    (["--save_path=nowhere", "--model=small"], "nowhere: no such folder"),
    (["--save_path=text"], "text: holds no run"),
    (["--save_path=text/test.txt"], "test.txt.*: Not a directory"),
    (["--save_path=a[1]"], r"may not contain \["),
    (["--save_path=a", "--model=small"], "--model: describes checkpoints of "
     "the classic script, but a run describes itself; leave it out"),
    (["--save_path=a", "--average_last=9"],
     "--average_last=9: a has the checkpoints of only 3 epochs; lower "),
    (["--save_path=a", "--average_last=2", "--checkpoint=best"],
     "--checkpoint=best: average_last=2 averages the last epochs; leave "),
    (["--save_path=a", "--average_last=0"], "average_last"),
    (["--save_path=a", "--checkpoint=worst"], "checkpoint=worst"),
    (["--save_path=a", "more"], "more: not a flag"),
])
def test_models_that_cannot_be_used(
    trained_runs, call_script, capsys, monkeypatch, tmp_path, script, flags,
    message):
  monkeypatch.chdir(trained_runs)
  needed = {export: [f"--output={tmp_path}/out"], neighbors: ["--words=the"],
            score: ["--text=text/test.txt"], generate: []}[script]
  assert call_script(script, *needed, *flags) == 1
  assert_one_line(
      capsys.readouterr().err, os.path.basename(script.__file__), message)


def test_a_comma_too_many(trained_runs, call_script, capsys, monkeypatch):
  monkeypatch.chdir(trained_runs)
  assert call_script(score, "--save_path=a,", "--text=text/test.txt") == 1
  assert_one_line(
      capsys.readouterr().err, "score.py",
      "--save_path: name the folder of the run; it has a comma too many$")


def test_models_with_different_words_are_refused(
    trained_runs, corpus_folder, call_script, call_main, capsys, tmp_path):
  assert call_main("--model=test", f"--data_path={corpus_folder}",
                   f"--save_path={tmp_path}/other") == 0
  capsys.readouterr()
  assert call_script(
      score, f"--save_path={trained_runs}/a,{tmp_path}/other") == 1
  assert_one_line(
      capsys.readouterr().err, "score.py",
      r"a \(epoch 3\) and .*other \(epoch 1\) differ in their vocabularies of "
      r"[\d,]+ and 9 words: word 1 is \S+ in the first and \S+ in the second; "
      "average only models")


# Classic checkpoints


@pytest.mark.slow
@pytest.mark.parametrize("words", ["vocab_path", "data_path", "folder"])
def test_scripts_read_classic_checkpoints(
    trained_runs, tmp_path, call_script, capsys, words):
  write_classic(tmp_path / "model.ckpt-1000",
                load(str(trained_runs / "a")).values, "lstm_cell")
  flag = {"vocab_path": f"--vocab_path={trained_runs}/a/vocab.txt",
          "data_path": f"--data_path={trained_runs}/text/train.txt",
          "folder": f"--data_path={trained_runs}/text"}[words]
  outputs = []
  for flags in ([f"--save_path={trained_runs}/a"],
                [f"--save_path={tmp_path}", *CLASSIC_FLAGS, flag]):
    assert call_script(generate, *flags, "--prompt=the") == 0
    assert call_script(neighbors, *flags, "--words=the") == 0
    assert call_script(
        score, *flags, f"--text={trained_runs}/text/valid.txt") == 0
    outputs.append(capsys.readouterr().out)
  assert outputs[0] == outputs[1] and outputs[0].startswith("the ")


@pytest.mark.slow
def test_a_single_text_is_split_as_in_training(
    trained_runs, tmp_path, call_main, call_script, capsys):
  """Its training part has fewer words, so the checkpoint's size decides."""
  text, run = trained_runs / "text" / "train.txt", tmp_path / "run"
  sizes = "--config_override=hidden_size=24,num_layers=2,num_steps=5"
  assert call_main("--model=test", f"--data_path={text}", "--epochs=1",
                   f"--save_path={run}", sizes) == 0
  write_classic(tmp_path / "classic" / "model.ckpt-1", load(str(run)).values)
  outputs = []
  for flags in ([f"--save_path={run}"],
                [f"--save_path={tmp_path}/classic", "--model=test", sizes,
                 f"--data_path={text}"]):
    capsys.readouterr()
    assert call_script(
        score, *flags, f"--text={trained_runs}/text/valid.txt") == 0
    outputs.append(capsys.readouterr().out)
  assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_two_vocabularies_of_one_size_are_refused(
    tmp_path, call_main, call_script, capsys):
  lines = [f"w{i} w{i} w{i + 1}\n" for i in range(60)] * 2
  (tmp_path / "text").write_text("".join(lines + [
      f"w59 w59 w{i}\n" for i in range(15)]))
  sizes = "--config_override=hidden_size=4,num_steps=3,batch_size=2"
  assert call_main("--model=test", f"--data_path={tmp_path}/text",
                   "--epochs=1", f"--save_path={tmp_path}/run", sizes) == 0
  write_classic(tmp_path / "classic" / "model.ckpt-1",
                load(f"{tmp_path}/run").values)
  capsys.readouterr()
  assert call_script(
      score, f"--save_path={tmp_path}/classic", "--model=test", sizes,
      f"--data_path={tmp_path}/text", f"--text={tmp_path}/text") == 1
  assert_one_line(capsys.readouterr().err, "score.py",
                  "text: the whole text and its training part have 63 words "
                  "each, in another order; give --vocab_path instead")


def test_words_of_a_short_classic_vocabulary_keep_their_scores(
    trained_runs, tmp_path, call_script, capsys):
  """The checkpoint has more rows than the vocabulary has words."""
  write_classic(tmp_path / "model.ckpt-5",
                load(str(trained_runs / "a")).values)
  words = (trained_runs / "a" / "vocab.txt").read_text().splitlines()
  (tmp_path / "fewer.txt").write_text("\n".join(words[:-100]))
  (tmp_path / "text").write_text("the population of the\n")
  outputs = []
  for flags in (
      [f"--save_path={trained_runs}/a"],
      [f"--save_path={tmp_path}/model.ckpt-5.index", *CLASSIC_FLAGS,
       f"--vocab_path={tmp_path}/fewer.txt"]):
    assert call_script(score, *flags, f"--text={tmp_path}/text") == 0
    outputs.append(capsys.readouterr().out)
  assert outputs[0] == outputs[1]


@pytest.mark.parametrize("flags, message", [
    ([], "holds a checkpoint of the classic script; name its config by "
     "--model, and its words by --vocab_path or --data_path"),
    (["--model=test"], "holds a checkpoint of the classic script; name its"),
    (["--model=small", "--vocab_path=a/vocab.txt"],
     r"model.ckpt-5: holds another model, which differs in Model/embedding \("
     r"\[\d+, 24\] there, \[\d+, 200\] here\), .*cell_0"),
    ([*CLASSIC_FLAGS, "--vocab_path=text/valid.txt"],
     "text/valid.txt: the vocabulary"),
    (["--model=test", "--data_path=text", "--vocab_path=a/vocab.txt"],
     "--vocab_path and --data_path: give one of them, not both"),
    (["--model=test", "--data_path=nowhere"], "nowhere: No such file"),
    ([*CLASSIC_FLAGS, "--vocab_path=a/vocab.txt", "--checkpoint=best"],
     "--checkpoint=best: .* holds a checkpoint of the classic script, not a "
     "run; leave it out"),
    ([*CLASSIC_FLAGS, "--vocab_path=a/vocab.txt", "--average_last=2"],
     "--average_last=2: .*, not a run; leave it out"),
])
def test_classic_checkpoints_that_cannot_be_used(
    trained_runs, tmp_path, call_script, capsys, monkeypatch, flags, message):
  write_classic(tmp_path / "model.ckpt-5",
                load(str(trained_runs / "a")).values)
  monkeypatch.chdir(trained_runs)
  assert call_script(generate, f"--save_path={tmp_path}", *flags) == 1
  assert_one_line(capsys.readouterr().err, "generate.py", message)
