"""A model computes in the precision that it was trained in."""

import dataclasses

import numpy as np
import pytest

import export
import generate
import neighbors
import ptb_word_lm
import score
from rnn.options import Options
from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tests.helpers import calls
from trained import adaptation, scoring
from trained.model import load


@pytest.fixture(scope="module")
def run(trained_runs, tmp_path_factory):
  """A run in bfloat16; its large parameters make rounding visible."""
  path = str(tmp_path_factory.mktemp("precision") / "run")
  assert calls.call(
      ptb_word_lm, "--model=test", f"--data_path={trained_runs}/text",
      f"--save_path={path}", "--use_bfloat16",
      "--config_override=hidden_size=24,init_scale=0.5") == 0
  return path


@pytest.fixture(scope="module")
def lines(trained_runs):
  text = (trained_runs / "text" / "test.txt").read_text()
  return [line.split() for line in text.splitlines()]


def in_precision(run, precision):
  """Returns the model of the run, to compute in some precision."""
  return dataclasses.replace(load(run), precision=precision)


def perplexity(models, lines, **kwargs):
  """Returns the perplexity of each estimate on lines read as one stream."""
  vocabulary = models[0].vocabulary
  log_probs = np.concatenate([scores for _, scores in scoring.score_stream(
      models, scoring.lines_of(lines, vocabulary), **kwargs)], axis=1)
  return np.exp(-np.nanmean(log_probs, axis=1))


def test_scores_equal_the_test_of_training(
    trained_runs, run, lines, call_script, capsys):
  (trained,) = RunDirectory(run).tests().values()
  assert perplexity([load(run)], lines) == pytest.approx(trained, rel=1e-6)
  other = perplexity([in_precision(run, "float32")], lines)
  assert abs(other / trained - 1) > 1e-5
  assert call_script(score, f"--save_path={run}", "--state=carry",
                     f"--text={trained_runs}/text/test.txt") == 0
  assert f"{trained:.3f}" in capsys.readouterr().err.splitlines()[-1].split()


def test_each_model_of_an_average_has_its_own_precision(run, lines):
  """Its probabilities are averaged, whatever precision they come from."""
  models, lines = [load(run), in_precision(run, "float32")], lines[:9]
  _, *figures = perplexity(models, lines)
  assert figures == [perplexity([model], lines)[0] for model in models]
  assert figures[0] != figures[1]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_model_adapts_in_its_precision(run, lines, precision):
  settings = {"dynamic": adaptation.DYNAMIC, "cache": adaptation.CACHE}
  figures, expected = (
      perplexity([in_precision(run, name)], lines[:9], **settings)
      for name in (precision, "float32"))
  assert figures == pytest.approx(expected, rel=2e-2)
  assert (figures != expected).all()


def test_generated_text_and_exports_have_the_precision(
    run, tmp_path, call_script, capsys):
  model = load(run)
  words = np.arange(12, dtype=np.int32).reshape(2, 6)
  with tf.Graph().as_default(), tf.Session() as session:
    graph = ptb_word_lm.PTBModel(
        model.config, len(model.vocabulary), tf.constant(words.T),
        tf.constant(words.T), options=Options("dynamic", precision="bfloat16"))
    for variable in graph.variables:
      variable.load(model.values[variable.op.name], session)
    expected = session.run(tf.nn.log_softmax(graph.logits))
  with model.open(1) as session:
    assert session.run(["outputs"], words[:1, :1])["outputs"].dtype == (
        tf.bfloat16.as_numpy_dtype)
  assert call_script(export, f"--save_path={run}",
                     f"--output={tmp_path}/exported") == 0
  with tf.Graph().as_default(), tf.Session() as session:
    exported = tf.saved_model.load(
        session, [tf.saved_model.SERVING], f"{tmp_path}/exported/1")
    signature = exported.signature_def["serving_default"]
    log_probs = session.run(signature.outputs["log_probs"].name,
                            {signature.inputs["words"].name: words})
  np.testing.assert_array_equal(log_probs, expected.swapaxes(0, 1))
  for script, flag in (generate, "--num_words=3"), (neighbors, "--words=the"):
    assert call_script(script, f"--save_path={run}", flag) == 0
  assert not capsys.readouterr().err
