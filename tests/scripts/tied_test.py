"""Runs with tied weights: what uses them, and runs that start from them."""

import re

import numpy as np
import pytest

import export
import generate
import neighbors
import ptb_word_lm
import score
import trained
from rnn.runs.directory import RunDirectory
from rnn.text import vector_files
from rnn.tf1 import tf
from tests.helpers import calls
from tests.helpers.calls import assert_one_line
from tests.helpers.run_folders import variables_of
from tests.helpers.texts import write_corpus
from tests.helpers.trained_models import oracle_probabilities

# The outputs are wider than the embedding, so a projection follows them.
SETTINGS = "tie_weights=true,forget_bias=1,hidden_size=6,embedding_size=4"
STILL = "learning_rate=1e-30,max_max_epoch=1"


def flags(corpus, run, settings):
  return ["--model=test", f"--data_path={corpus}", f"--save_path={run}",
          f"--config_override={settings}"]


def values_of(run):
  """Returns the parameters of a run's newest checkpoint, by name."""
  values = variables_of(RunDirectory(str(run)).checkpoints()[0])
  return {name: value for name, value in values.items()
          if name.startswith("Model/")}


@pytest.fixture(scope="module")
def run(corpus_folder, tmp_path_factory):
  """The folder of a run of one epoch."""
  folder = tmp_path_factory.mktemp("tied") / "run"
  assert calls.call(ptb_word_lm, *flags(
      corpus_folder, folder, f"{SETTINGS},max_grad_norm=5")) == 0
  return folder


def test_scripts_use_a_run(run, tmp_path, call_script, capsys):
  words = "the cat sees the dog <unk>".split()
  with trained.load(str(run)) as model:
    (scored,) = model.score([" ".join(words)])
    assert {name: value.shape for name, value in model.data.values.items()
            if "basic_lstm_cell" not in name} == {
                "Model/embedding": (len(model.vocabulary), 4),
                "Model/softmax_projection": (6, 4),
                "Model/softmax_b": (len(model.vocabulary),)}
    np.testing.assert_allclose(
        np.exp(scored.log_probs), oracle_probabilities(
            model.data, [*words, "<eos>"], "<eos>"), rtol=1e-4)
  (tmp_path / "text").write_text("the dog sees the cat\n" * 3)
  capsys.readouterr()
  assert call_script(
      score, f"--save_path={run},{run}", f"--text={tmp_path}/text") == 0
  assert call_script(
      score, f"--save_path={run}", f"--text={tmp_path}/text", "--state=carry",
      "--dynamic=0.1", "--cache=9,0.4,0.15") == 0
  assert call_script(generate, f"--save_path={run}", "--num_words=5",
                     "--prompt=the cat") == 0
  assert call_script(neighbors, f"--save_path={run}", "--words=cat") == 0
  assert not re.search("rror|nan", "".join(capsys.readouterr()))


@pytest.mark.slow
def test_an_exported_run_scores_alike(run, tmp_path, call_script):
  assert call_script(
      export, f"--save_path={run}", f"--output={tmp_path}/saved") == 0
  serve = tf.saved_model.load_v2(
      f"{tmp_path}/saved/1").signatures["serving_default"]
  with trained.load(str(run)) as model:
    words = "the cat sees the dog".split()
    ids = np.array([[model.vocabulary.eos, *model.vocabulary.encode(words)]])
    expected = model.score([" ".join(words)])[0].log_probs
    log_probs = serve(words=tf.constant(ids, tf.int32))["log_probs"].numpy()
  np.testing.assert_allclose(
      log_probs[0, np.arange(len(words)), ids[0, 1:]], expected[:-1], atol=1e-5)


@pytest.mark.slow
def test_a_run_starts_from_a_tied_run(
    run, corpus_folder, tmp_path, call_main, capsys):
  """New words are new in one variable; the others keep their vectors."""
  corpus = write_corpus(
      tmp_path / "text", "the yak sees the cat\n" * 300, "a cat\n" * 60,
      "owl\n" * 60)
  start = [f"--data_path={corpus}", f"--init_from={run}",
           "--vocab_size=9", f"--save_path={tmp_path}/next"]
  assert call_main(*start, f"--config_override={STILL}") == 0
  assert RunDirectory(f"{tmp_path}/next").settings().config.tie_weights
  before, after = values_of(run), values_of(tmp_path / "next")
  assert before.keys() == after.keys()
  ids, new = (RunDirectory(str(folder)).vocabulary().ids
              for folder in (run, tmp_path / "next"))
  for name in "Model/embedding", "Model/softmax_b":
    np.testing.assert_array_equal(
        after[name][new["cat"]], before[name][ids["cat"]])
  np.testing.assert_array_equal(
      after["Model/softmax_projection"], before["Model/softmax_projection"])
  assert "yak" in new and "yak" not in ids
  for setting, message in (
      ("tie_weights=false", ": the run in --init_from has tie_weights=true; "),
      ("forget_bias=2.0", ": has no effect, because --init_from gives the "),
      ("layer_init=size", ": has no effect, because --init_from gives the ")):
    capsys.readouterr()
    assert call_main(*start[:3], f"--config_override={setting}") == 1
    assert_one_line(
        capsys.readouterr().err, "ptb_word_lm.py", setting + message)


@pytest.mark.slow
def test_tied_weights_start_with_word_vectors(
    corpus_folder, tmp_path, call_main):
  """They are as wide as the vectors, and may stay fixed."""
  vectors = np.random.default_rng(0).normal(size=[2, 3]).astype("f")
  vector_files.save(f"{tmp_path}/v", ["owl", "the"], vectors)
  assert call_main(
      *flags(corpus_folder, tmp_path / "run",
             "tie_weights=true,hidden_size=6,max_max_epoch=1"),
      f"--init_embeddings={tmp_path}/v.npy", "--freeze=embedding") == 0
  values = values_of(tmp_path / "run")
  ids = RunDirectory(f"{tmp_path}/run").vocabulary().ids
  np.testing.assert_array_equal(
      values["Model/embedding"][[ids["owl"], ids["the"]]], vectors)
  assert values["Model/softmax_projection"].shape == (6, 3)
