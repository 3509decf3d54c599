"""Layers, cells and initial embeddings, chosen by flags of the script."""

import os
import re

import numpy as np
import pytest

import configs
import export
import generate
import neighbors
import score
from rnn.layers import cells, lstm, recurrent
from rnn.runs.directory import RunDirectory
from rnn.text import vector_files
from rnn.tf1 import tf
from tests.helpers.calls import assert_one_line, assert_refused


@pytest.mark.slow
@pytest.mark.parametrize("rnn_mode", [None, *lstm.LAYERS])
def test_rnn_mode_chooses_the_layer(
    corpus_folder, call_main, monkeypatch, rnn_mode):
  used = set()
  for name, layer in lstm.LAYERS.items():
    def spy(*args, name=name, layer=layer, **kwargs):
      used.add(name)
      return layer(*args, **kwargs)
    monkeypatch.setitem(lstm.LAYERS, name, spy)
  # In upper case, as in the classic script.
  flag = [f"--rnn_mode={rnn_mode.upper()}"] if rnn_mode else []
  assert call_main(
      "--model=test", f"--data_path={corpus_folder}", *flag) == 0
  assert used == {rnn_mode or cells.CELLS["lstm"].resolve(None)}


@pytest.mark.slow
def test_cudnn_is_the_default_on_a_gpu(
    cudnn_on_cpu, corpus_folder, call_main, capsys, tmp_path):
  """Its run can be evaluated with another layer."""
  run = f"--save_path={tmp_path}/run"
  assert call_main("--model=test", f"--data_path={corpus_folder}", run) == 0
  trained = capsys.readouterr().out
  assert '"rnn_mode": "cudnn"' in (tmp_path / "run/config.json").read_text()
  for flags in [], ["--rnn_mode=basic"]:
    assert call_main("--mode=eval", run, *flags) == 0
    figures = re.findall("Perplexity: (.*)", capsys.readouterr().out)
    assert [float(x) for x in figures] == pytest.approx([
        float(x) for x in re.findall("Perplexity: (.*)", trained)[1:]],
        abs=0.002)


def test_cudnn_without_a_gpu_is_refused(call_main, capsys, monkeypatch):
  monkeypatch.setattr(recurrent, "has_gpu", lambda: False)
  assert call_main("--rnn_mode=cudnn") == 1
  assert capsys.readouterr().err == (
      "ptb_word_lm.py: --rnn_mode=cudnn: needs an NVIDIA GPU that "
      "TensorFlow sees; leave it out\n")


@pytest.mark.parametrize("number, gpus, hidden", [
    (0, ["a"], [([], "GPU")]), (1, ["a"], []), (0, [], []), (1, [], []),
    (1, ["a", "b"], [(["a"], "GPU")]), (2, ["a", "b"], [])])
def test_num_gpus_hides_the_others(
    call_main, capsys, monkeypatch, number, gpus, hidden):
  calls = []
  monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
  monkeypatch.setattr(tf.config, "set_visible_devices",
                      lambda *args: calls.append(args))
  assert call_main(f"--num_gpus={number}", "--data_path=none") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "none: No such file or directory")
  assert calls == hidden


def test_num_gpus_and_rnn_mode_are_no_properties_of_a_run(
    corpus_folder, tmp_path, call_main, capsys):
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run", "--rnn_mode=Basic",
           "--config_override=epoch_size=1"]
  assert call_main(*flags) == 0
  config = (tmp_path / "run/config.json").read_text()
  assert '"rnn_mode": "basic"' in config and "gpus" not in config
  capsys.readouterr()
  assert call_main(*flags[:3], "--rnn_mode=BLOCK", "--num_gpus=1", flags[-1]
                   ) == 0
  assert not capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells.CELLS)
def test_all_scripts_can_use_every_cell(
    cell, corpus_folder, tmp_path, call_main, call_script, capsys):
  """The layers differ in size, and the optimizer is not the default."""
  run = f"--save_path={tmp_path}/run"
  assert call_main(
      "--model=test", f"--data_path={corpus_folder}", run,
      f"--config_override=cell={cell},optimizer=adam,hidden_sizes=9,6,"
      "embedding_size=4,learning_rate=0.01,max_max_epoch=2"
      + ",projection_size=3" * (cell == "lstmp")) == 0
  (test,) = re.findall("Test Perplexity: ([0-9.]+)$", capsys.readouterr().out,
                       re.MULTILINE)
  assert call_main("--mode=eval", run) == 0
  assert f" {float(test):.2f}" in capsys.readouterr().out.splitlines()[-1]
  assert call_script(score, run, f"--text={corpus_folder}/test.txt",
                     "--state=carry") == 0
  scored = float(capsys.readouterr().err.splitlines()[-1].split()[-2])
  assert scored == pytest.approx(float(test), rel=0.01)
  assert call_script(generate, run, "--num_words=5", "--prompt=the cat") == 0
  assert re.match(r"the cat\s.*(the|owl|dog|fox|sees)", capsys.readouterr().out)
  assert call_script(neighbors, run, "--words=cat") == 0
  assert call_script(export, run, f"--output={tmp_path}/saved") == 0
  signature = tf.saved_model.load_v2(
      f"{tmp_path}/saved/1").signatures["stateful"]
  parts = cells.CELLS[cell].state._fields
  assert {f"{part}_{layer}" for part in parts for layer in (0, 1)} == (
      set(signature.structured_input_signature[1]) - {"words"})


@pytest.mark.slow
def test_training_starts_from_word_vectors(
    corpus_folder, tmp_path, call_main, capsys):
  """Words are matched by name, and the log counts them; others are random."""
  vectors = np.random.default_rng(0).normal(size=[3, 6]).astype("f")
  vector_files.save(f"{tmp_path}/v", ["zebra", "owl", "the"], vectors)
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run"]
  override = "--config_override=learning_rate=1e-30,hidden_size=6"
  for form in ".txt", ".npy":
    assert call_main(*flags[:2], f"--save_path={tmp_path}/run{form}", override,
                     f"--init_embeddings={tmp_path}/v{form}") == 0
    assert re.search(rf"v{form}: has vectors of 2 of the \d+ words; the others",
                     capsys.readouterr().out)
    run = RunDirectory(f"{tmp_path}/run{form}")
    ids = run.vocabulary().ids
    embedding = tf.train.load_checkpoint(
        run.checkpoints()[0].variables).get_tensor("Model/embedding")
    np.testing.assert_allclose(embedding[[ids["owl"], ids["the"]]], vectors[1:],
                               rtol=1e-5)
    others = np.delete(embedding, [ids["owl"], ids["the"]], axis=0)
    assert 0 < np.abs(others).max() <= configs.TEST.init_scale
    assert len(np.unique(others)) == others.size
  # A run that starts otherwise is another run. The embedding is as wide as the
  # vectors, unless the user says otherwise.
  vector_files.save(f"{tmp_path}/w", ["zebra", "owl", "the"], vectors + 1)
  assert call_main(f"--save_path={tmp_path}/run.txt",
                   f"--init_embeddings={tmp_path}/w.txt") == 1
  assert_refused(capsys.readouterr().err, "ptb_word_lm.py",
                 "init_embeddings.sha256")
  os.remove(f"{tmp_path}/v.npy")  # a run that resumes does not need them
  assert call_main(f"--save_path={tmp_path}/run.npy") == 0
  assert "is finished" in capsys.readouterr().out
  flags.append(f"--init_embeddings={tmp_path}/v.txt")
  assert call_main(*flags, "--config_override=embedding_size=4") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "leave out embedding_size, or set embedding_size=6")
  assert call_main(*flags) == 0
  assert RunDirectory(flags[2][12:]).settings().config.embedding_size == 6
