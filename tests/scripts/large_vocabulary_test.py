"""A run of lm1b, made small, in all scripts."""

import re

import numpy as np
import pytest
import tensorflow

import export
import generate
import neighbors
import ptb_word_lm
import score
from tests.helpers import calls
from tests.helpers.calls import assert_one_line
from tests.helpers.trained_models import next_word_probabilities
from trained.model import load

SIZES = "hidden_size=24,projection_size=12,num_sampled=200,batch_size=20"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(trained_runs, tmp_path_factory):
  path = str(tmp_path_factory.mktemp("lm1b") / "run")
  assert calls.call(
      ptb_word_lm, "--model=lm1b", f"--data_path={trained_runs}/text",
      f"--save_path={path}",
      f"--config_override=max_max_epoch=2,num_steps=5,{SIZES}") == 0
  return path


def test_training_learns_and_evaluation_repeats_it(run, call_main, capsys):
  with open(f"{run}/metrics.csv") as file:
    header, *rows = (line.split(",") for line in file.read().splitlines())
  valid = [float(row[header.index("valid_perplexity")]) for row in rows]
  assert valid[1] < valid[0] < 0.5 * len(load(run).vocabulary)
  assert call_main("--mode=eval", f"--save_path={run}") == 0
  [figure, *_] = re.findall("Valid Perplexity: (.*)", capsys.readouterr().out)
  assert float(figure) == pytest.approx(valid[-1], abs=1e-3)


def test_score_and_generate_have_the_same_probabilities(
    run, call_script, tmp_path, capsys):
  words = "the population of the economy".split()
  model = load(run)
  p = next_word_probabilities(model, words)
  ids = model.vocabulary.encode([*words, "<eos>"])
  expected = np.log(p[np.arange(len(ids)), ids]).sum()
  (tmp_path / "text").write_text(" ".join(words) + "\n")
  flags = [f"--save_path={run}", f"--text={tmp_path}/text"]
  assert call_script(score, *flags) == 0
  line = capsys.readouterr().out.splitlines()[1].split("\t")
  assert float(line[1]) == pytest.approx(expected, rel=1e-4)
  assert call_script(score, *flags, "--state=carry", "--dynamic=0.1",
                     "--cache=50,0.4,0.15") == 0
  assert "nan" not in capsys.readouterr().out.splitlines()[-1].split("\t")[1]
  assert call_script(generate, f"--save_path={run}", "--prompt=the population",
                     "--num_words=1", "--temperature=0") == 0
  likeliest = model.vocabulary[int(p[2].argmax())]
  assert capsys.readouterr().out.strip() == f"the population {likeliest}" or (
      likeliest == "<eos>")


def test_export_and_neighbors(run, call_script, tmp_path, capsys):
  assert call_script(export, f"--save_path={run}",
                     f"--output={tmp_path}/exported") == 0
  model = load(run)
  words = ["the", "population", "of"]
  ids = np.array([[model.vocabulary.eos, *model.vocabulary.encode(words)]])
  exported = tensorflow.saved_model.load(f"{tmp_path}/exported/1")
  result = exported.signatures["serving_default"](
      words=tensorflow.constant(ids, tensorflow.int32))
  np.testing.assert_allclose(
      np.exp(result["log_probs"].numpy()[0]),
      next_word_probabilities(model, words), rtol=1e-3, atol=1e-7)
  step = exported.signatures["step"](
      words=tensorflow.constant(ids[:, :1], tensorflow.int32),
      c_0=tensorflow.zeros([1, 24]), h_0=tensorflow.zeros([1, 12]))
  np.testing.assert_allclose(
      step["log_probs"].numpy()[0, 0], result["log_probs"].numpy()[0, 0],
      rtol=1e-4, atol=1e-4)
  capsys.readouterr()
  assert call_script(neighbors, f"--save_path={run}", "--words=the",
                     "--number=3") == 0
  assert len(capsys.readouterr().out.splitlines()) == 4


def test_another_run_starts_from_it(
    run, trained_runs, call_main, tmp_path, capsys):
  flags = [f"--data_path={trained_runs}/text", f"--init_from={run}",
           f"--save_path={tmp_path}/new", "--vocab_size=300"]
  override = "max_max_epoch=1,epoch_size=3,batch_size=20"
  assert call_main(*flags, f"--config_override={override},num_sampled=0") == 1
  assert_one_line(
      capsys.readouterr().err, "ptb_word_lm.py", "num_sampled=0: the run in "
      "--init_from has num_sampled=200; leave it out")
  assert call_main(*flags, f"--config_override={override}") == 0
  values = load(f"{tmp_path}/new").values
  assert values["Model/softmax_rows"].shape == (300, 12)
