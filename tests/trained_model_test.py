"""Reading trained models: runs, averages of checkpoints, classic files."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from script_test import ROOT, assert_one_line

import checkpoints
import configs
import export
import generate
import neighbors
import reader
import score
import trained_model
from tensorflow_v1 import tf

CELL = "Model/RNN/multi_rnn_cell/cell_{}/{}/{}"


def saved(checkpoint):
  """Name -> array, of the parameters that a checkpoint holds."""
  file = tf.train.load_checkpoint(checkpoint.variables)
  return {name: file.get_tensor(name)
          for name in file.get_variable_to_shape_map()
          if name.startswith("Model/")}


def assert_same(values, expected):
  assert values.keys() == expected.keys()
  for name, value in values.items():
    np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.fixture
def run(trained_runs, tmp_path):
  """A copy of a run, to be changed; its second epoch is made the best."""
  shutil.copytree(trained_runs / "a", tmp_path / "run")
  found = checkpoints.RunDirectory(str(tmp_path / "run"))
  second = next(c for c in found.checkpoints() if c.epoch == 2)
  shutil.rmtree(found.best().path)
  shutil.copytree(second.path, os.path.join(
      os.path.dirname(second.path), f"best-{os.path.basename(second.path)}"))
  return found


def test_the_last_and_the_best(run):
  last, _, second, first = run.checkpoints()
  assert [last.epoch, second.epoch, first.epoch] == [3, 2, 1]
  found = trained_model.load(run.path)
  assert_same(found.values, saved(last))
  assert found.name == f"{run.path} (epoch 3)"
  assert found.vocabulary == run.vocabulary()
  assert found.config.layer_sizes == (24, 24) and found.config.num_steps == 5
  found = trained_model.load(run.path, "best")
  assert_same(found.values, saved(second))
  assert found.name == f"{run.path} (epoch 2)"


def test_the_average_of_the_last_leaves_out_the_copy_of_the_best(run):
  values = [saved(c) for c in run.checkpoints() if not c.best]
  for number in 2, 3:
    found = trained_model.load(run.path, average_last=number)
    for name, value in found.values.items():
      np.testing.assert_allclose(
          value, sum(v[name].astype(float) for v in values[:number]) / number,
          rtol=1e-6, atol=1e-9)
  assert found.name == f"{run.path} (epoch 3, epoch 2, epoch 1)"


def test_scripts_use_the_average(run, trained_runs, call_script, capsys):
  figures = set()
  for number in 1, 2, 3:
    assert call_script(
        score, f"--save_path={run.path}", f"--average_last={number}",
        f"--text={trained_runs}/text/test.txt") == 0
    figures.add(capsys.readouterr().err.split()[-2])
  assert len(figures) == 3


def test_a_damaged_newest_is_named_and_the_one_before_used(run, caplog):
  newest = run.checkpoints()[0]
  os.truncate(f"{newest.variables}.data-00000-of-00001", 100)
  assert trained_model.load(run.path).name.endswith("(epoch 2)")
  assert f"damaged checkpoint: {newest.path}" in caplog.text
  with pytest.raises(checkpoints.RunError, match="damaged checkpoint: .*-3: "):
    trained_model.load(run.path, average_last=2)


def test_a_run_in_the_midst_of_an_epoch(run):
  newest = run.checkpoints()[0]
  os.rename(newest.path, newest.path.removesuffix("-epoch-3"))
  assert trained_model.load(run.path).name.endswith(f"(step {newest.step})")


@pytest.fixture
def classic(trained_runs, tmp_path):
  """Writes the parameters of run "a" as the classic script has them."""
  values = trained_model.load(str(trained_runs / "a")).values

  def write(name, cell, kernel="kernel", bias="bias", scale=1, dtype=None):
    renamed = {}
    for full_name, value in values.items():
      for old, new in (("basic_lstm_cell", cell), ("/kernel", f"/{kernel}"),
                       ("/bias", f"/{bias}")):
        full_name = full_name.replace(old, new)
      renamed[full_name] = (value * scale).astype(dtype or np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
      for full_name, value in renamed.items():
        tf.get_variable(full_name, initializer=value)
      tf.get_variable("Model/global_step", initializer=7)
      tf.get_variable("Train/Model/learning_rate", initializer=0.5)
      session.run(tf.global_variables_initializer())
      tf.train.Saver().save(session, str(tmp_path / name))
    return values

  return write


CONFIG = configs.override(configs.TEST, "hidden_size=24,num_layers=2")


@pytest.mark.parametrize("names", [
    ("basic_lstm_cell",), ("lstm_cell",),
    ("basic_lstm_cell", "weights", "biases")], ids=" ".join)
def test_classic_checkpoints(classic, trained_runs, tmp_path, names):
  """The newest counts, wherever it was written."""
  vocabulary = reader.Vocabulary.load(trained_runs / "a" / "vocab.txt")
  classic("model.ckpt-900", *names, scale=3)
  values = classic("model.ckpt-1000", *names)
  (tmp_path / "checkpoint").write_text(
      'model_checkpoint_path: "/elsewhere/model.ckpt-1000"\n')
  for path in tmp_path, tmp_path / "model.ckpt-1000":
    found = trained_model.load(str(path), classic=(CONFIG, vocabulary))
    assert_same(found.values, values)
    assert found.name == str(tmp_path / "model.ckpt-1000")
  older = trained_model.load(
      str(tmp_path / "model.ckpt-900"), classic=(CONFIG, vocabulary))
  np.testing.assert_array_equal(older.values["Model/softmax_b"],
                                values["Model/softmax_b"] * np.float32(3))


@pytest.mark.slow
def test_the_cells_of_the_classic_script(
    trained_runs, tmp_path, call_script, capsys):
  (tmp_path / "text").write_text("the population of the economy\n")
  vocabulary = f"{trained_runs}/a/vocab.txt"
  done = subprocess.run(
      [sys.executable, os.path.join(ROOT, "tests", "classic_script.py"),
       str(tmp_path), vocabulary, f"{tmp_path}/text"],
      capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  assert call_script(
      score, f"--save_path={tmp_path}", "--model=test",
      "--config_override=hidden_size=24,num_layers=2", "--noheader",
      f"--vocab_path={vocabulary}", f"--text={tmp_path}/text") == 0
  np.testing.assert_allclose(
      float(capsys.readouterr().out.split()[1]), float(done.stdout), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("words", ["vocab_path", "data_path", "its folder"])
def test_scripts_read_classic_checkpoints(
    classic, trained_runs, tmp_path, call_script, capsys, words):
  classic("model.ckpt-1000", "lstm_cell")
  flag = {"vocab_path": f"--vocab_path={trained_runs}/a/vocab.txt",
          "data_path": f"--data_path={trained_runs}/text/train.txt",
          "its folder": f"--data_path={trained_runs}/text"}[words]
  texts = []
  for run in (
      [f"--save_path={trained_runs}/a"],
      [f"--save_path={tmp_path}", "--model=test", flag,
       "--config_override=hidden_size=24,num_layers=2"]):
    assert call_script(generate, *run, "--prompt=the") == 0
    assert call_script(neighbors, *run, "--words=the") == 0
    assert call_script(
        score, *run, f"--text={trained_runs}/text/valid.txt") == 0
    texts.append(capsys.readouterr().out)
  assert texts[0] == texts[1] and texts[0].startswith("the ")


@pytest.mark.parametrize("flags, message", [
    ([], "holds a checkpoint of the classic script; say of which --model, and "
     "give its words by --vocab_path or --data_path"),
    (["--model=test"], "holds a checkpoint of the classic script"),
    (["--model=small", "--vocab_path=a/vocab.txt"],
     r"model.ckpt-5: holds another model, which differs in Model/embedding \("
     r"\[\d+, 24\] there, \[\d+, 200\] here\), .*cell_0"),
    (["--model=test", "--config_override=hidden_size=24,num_layers=2",
      "--vocab_path=text/valid.txt"], "text/valid.txt: the vocabulary"),
    (["--model=test", "--data_path=text", "--vocab_path=a/vocab.txt"],
     "--vocab_path and --data_path: give one of them, not both"),
    (["--model=test", "--data_path=nowhere"], "nowhere: no such folder"),
    (["--model=test", "--config_override=hidden_size=24,num_layers=2",
      "--vocab_path=a/vocab.txt", "--checkpoint=best"],
     "one alone can be used; leave out --checkpoint and --average_last"),
])
def test_classic_checkpoints_that_cannot_be_used(
    classic, trained_runs, tmp_path, call_script, capsys, monkeypatch, flags,
    message):
  classic("model.ckpt-5", "basic_lstm_cell")
  monkeypatch.chdir(trained_runs)
  assert call_script(generate, f"--save_path={tmp_path}", *flags) == 1
  assert_one_line(capsys.readouterr().err, "generate.py", message)


@pytest.mark.parametrize("script", [export, generate, neighbors, score])
@pytest.mark.parametrize("flags, message", [
    ([], "--save_path: name the folder of the run"),
    (["--save_path=nowhere"], "nowhere: no such folder"),
    (["--save_path=nowhere", "--model=small"], "nowhere: no such folder"),
    (["--save_path=text"], "text: holds no run"),
    (["--save_path=text/test.txt"], "test.txt.*: Not a directory"),
    (["--save_path=a[1]"], r"may not hold \["),
    (["--save_path=a", "--model=small"],
     "--model: is for checkpoints of the classic script; .* leave it out"),
    (["--save_path=a", "--average_last=9"],
     "keeps those of 3 epochs; lower it"),
    (["--save_path=a", "--average_last=2", "--checkpoint=best"],
     "averages the last checkpoints; leave out --checkpoint"),
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


def test_a_classic_text_of_fewer_words_than_rows(classic, trained_runs,
                                                 tmp_path, call_script, capsys):
  """The words that there are keep their ids and scores."""
  classic("model.ckpt-5", "basic_lstm_cell")
  words = (trained_runs / "a" / "vocab.txt").read_text().splitlines()
  (tmp_path / "fewer.txt").write_text("\n".join(words[:-100]))
  (tmp_path / "text").write_text("the population of the\n")
  outputs = []
  for flags in (
      [f"--save_path={trained_runs}/a"],
      [f"--save_path={tmp_path}/model.ckpt-5.index", "--model=test",
       "--config_override=hidden_size=24,num_layers=2",
       f"--vocab_path={tmp_path}/fewer.txt"]):
    assert call_script(score, *flags, f"--text={tmp_path}/text") == 0
    outputs.append(capsys.readouterr().out)
  assert outputs[0] == outputs[1]


@pytest.mark.parametrize("name, value, message", [
    ("Model/softmax_b", np.nan, "Model/softmax_b is not finite; its training"),
    ("Model/softmax_b", "text", r"differs in Model/softmax_b \(string there\)"),
    ("Model/embedding", None, "has no Model/embedding"),
])
def test_classic_values_that_cannot_be_used(
    trained_runs, tmp_path, name, value, message):
  trained = trained_model.load(str(trained_runs / "a"))
  with tf.Graph().as_default(), tf.Session() as session:
    for other, array in trained.values.items():
      if other != name:
        tf.get_variable(other, initializer=array)
      elif value is not None:
        tf.get_variable(name, initializer=np.full(array.shape, value))
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
  with pytest.raises(checkpoints.RunError, match=message):
    trained_model.load(str(tmp_path), classic=(CONFIG, trained.vocabulary))


@pytest.mark.parametrize("average_last, used", [
    (1, "(epoch 2)"), (2, "(epoch 2, epoch 1)")])
def test_a_checkpoint_that_is_let_go_of_meanwhile(
    run, monkeypatch, caplog, average_last, used):
  """By a training that goes on: those there now are taken, without a word."""
  read = checkpoints.Checkpoint.read

  def remove_first(checkpoint, variables):
    monkeypatch.setattr(checkpoints.Checkpoint, "read", read)
    os.rename(checkpoint.path, f"{run.path}/gone")
    return read(checkpoint, variables)

  monkeypatch.setattr(checkpoints.Checkpoint, "read", remove_first)
  found = trained_model.load(run.path, average_last=average_last)
  assert found.name.endswith(used) and not caplog.records


def test_the_average_of_the_last_is_of_ends_of_epochs(run):
  newest = run.checkpoints()[0].path
  os.rename(newest, newest.removesuffix("-epoch-3"))
  assert trained_model.load(run.path).name.endswith(
      f"(step {run.checkpoints()[0].step})")
  assert trained_model.load(run.path, average_last=2).name.endswith(
      "(epoch 2, epoch 1)")


@pytest.mark.slow
def test_a_folder_with_commas_in_its_name(run, call_script, capsys):
  path = f"{run.path},too"
  shutil.copytree(run.path, path)
  for flag in path, f"{run.path},{run.path}":
    assert call_script(score, f"--save_path={flag}",
                       f"--text={run.path}/vocab.txt") == 0
  assert f"{path} (epoch 3)" in capsys.readouterr().err


def test_a_run_without_a_checkpoint(run):
  shutil.rmtree(f"{run.path}/checkpoints")
  for which in "last", "best":
    with pytest.raises(checkpoints.RunError, match="has no checkpoint yet"):
      trained_model.load(run.path, which)
