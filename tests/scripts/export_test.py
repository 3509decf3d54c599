"""Exported models, and the command line of export.py."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow

import configs
import export
from ptb_word_lm import PTBModel
from rnn.text.vocabulary import EOS, UNK, Characters, Vocabulary
from rnn.tf1 import tf
from tests.helpers.calls import assert_one_line
from trained import scoring
from trained.model import TrainedModel, load

# Uses an exported model without this suite. Reads sentences of one length from
# standard input as a batch, in two pieces.
PROGRAM = """
import json, sys
import numpy as np
import tensorflow as tf

folder, *sizes = sys.argv[1:]
model = tf.saved_model.load(folder)
(asset,) = model.asset_paths
with open(asset.asset_path.numpy(), encoding="utf-8") as file:
  words = file.read().split("\\n")[:-1]
ids = np.array([[words.index(word) for word in line.split()]
                for line in sys.stdin], np.int32)
state = {f"{part}_{i}": np.zeros([len(ids), int(size)], np.float32)
         for i, size in enumerate(sizes) for part in "ch"}
state = {name: tf.constant(value) for name, value in state.items()}
scores, tops = [], []
for piece in ids[:, :3], ids[:, 3:]:
  words = tf.constant(piece)
  top = model.signatures["top_k"](words=words, k=tf.constant(2), **state)
  result = model.signatures["stateful"](words=words, **state)
  scores.append(result["log_probs"].numpy())
  tops.append([top["top_words"].numpy(), top["top_log_probs"].numpy()])
  state = {name: result[f"next_{name}"] for name in state}
  for name, value in state.items():
    np.testing.assert_allclose(top[f"next_{name}"], value)
scores = np.concatenate(scores, axis=1)
tops = np.concatenate(tops, axis=2)
targets = ids[:, 1:, None]
json.dump({
    "log_probs": np.take_along_axis(
        scores[:, :-1], targets, 2)[:, :, 0].tolist(),
    "totals": np.exp(scores).sum(axis=2).tolist(),
    "likeliest": scores.argsort(axis=2)[:, :, :-3:-1].tolist(),
    "tops": tops[0].astype(int).tolist(),
    "top_log_probs": tops[1].tolist(),
    "top_log_probs_expected": np.sort(scores, axis=2)[:, :, :-3:-1].tolist(),
}, sys.stdout)
"""

TEXTS = [text.split() for text in (
    "the population of the economy", "<unk> of the and in",
    "in the of and the")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", "b"])
def test_scores_in_plain_tensorflow_2(
    trained_runs, tmp_path, call_script, capsys, name):
  model = load(str(trained_runs / name))
  path = str(tmp_path / "there" / "exported")
  assert call_script(export, f"--save_path={trained_runs}/{name}",
                     f"--output={path}") == 0
  size = len(model.vocabulary)
  assert capsys.readouterr().out == (
      f"{path}/1: {model.name}, {size:,} words\n")
  # As TensorFlow Serving expects it: a folder of numbered versions.
  assert os.listdir(path) == ["1"]
  assert sorted(os.listdir(f"{path}/1")) == [
      "assets", "saved_model.pb", "variables"]
  assert os.listdir(os.path.dirname(path)) == ["exported"]
  # The folder has all files that the model needs, so it can be moved.
  os.rename(f"{path}/1", tmp_path / "moved")
  process = subprocess.run(
      [sys.executable, "-c", PROGRAM, str(tmp_path / "moved"),
       *map(str, model.config.layer_sizes)], cwd=tmp_path,
      input="\n".join(" ".join(["<eos>", *text, "<eos>"]) for text in TEXTS),
      capture_output=True, text=True, timeout=120)
  assert process.returncode == 0, process.stderr
  result = {key: np.array(x) for key, x in json.loads(process.stdout).items()}
  expected = [log_probs[0] for _, log_probs in scoring.score_sentences(
      [model], scoring.lines_of(TEXTS, model.vocabulary))]
  np.testing.assert_allclose(result["log_probs"], expected, rtol=1e-5)
  np.testing.assert_allclose(result["totals"], 1, rtol=1e-5)
  np.testing.assert_array_equal(result["tops"], result["likeliest"])
  np.testing.assert_allclose(
      result["top_log_probs"], result["top_log_probs_expected"], rtol=1e-6)


@pytest.mark.parametrize("output", ["new/", "ram://new", "a,b c"])
def test_a_folder_of_any_name(
    trained_runs, tmp_path, call_script, monkeypatch, output):
  monkeypatch.chdir(tmp_path)
  assert call_script(
      export, f"--save_path={trained_runs}/a", f"--output={output}") == 0
  assert os.path.isfile(os.path.join(output, "1", "saved_model.pb"))
  assert len(os.listdir(".")) == 1


def test_a_folder_of_a_similar_name_is_left_alone(trained_runs, tmp_path):
  os.makedirs(tmp_path / "new.partial" / "variables")
  export.export(load(str(trained_runs / "a")), str(tmp_path / "new"))
  assert sorted(os.listdir(tmp_path)) == ["new", "new.partial"]
  assert os.listdir(tmp_path / "new.partial") == ["variables"]


def test_the_vocabulary_is_an_asset(trained_runs, tmp_path):
  model = load(str(trained_runs / "b"))
  # An empty folder may exist, and stays: it may be a mounted one.
  (tmp_path / "1.abcd1234.partial").mkdir()  # a killed process left this
  number = tmp_path.stat().st_ino
  export.export(model, str(tmp_path))
  assert os.listdir(tmp_path) == ["1"] and tmp_path.stat().st_ino == number
  assert Vocabulary.load(
      tmp_path / "1" / "assets" / "vocab.txt") == model.vocabulary


def test_what_a_killed_export_left_is_removed(trained_runs, tmp_path):
  """Beside a version that --output itself names."""
  for name in "2.abcd1234.partial", "3.abcd1234.partial", "2.partial":
    (tmp_path / name).mkdir()
  export.export(load(str(trained_runs / "b")), str(tmp_path / "2"))
  assert sorted(os.listdir(tmp_path)) == [
      "2", "2.partial", "3.abcd1234.partial"]


CELLS = {"lstm": "float32", "gru": "float32", "peephole": "bfloat16",
         "rnn": "float16"}


def random_model(cell, precision="float32", tie_weights=False):
  """Returns a model of characters with two layers, with random parameters."""
  vocabulary = Characters((EOS, UNK, *"abcdefg"))
  config = dataclasses.replace(
      configs.TEST, cell=cell, hidden_sizes=(6, 5), embedding_size=4,
      tie_weights=tie_weights)
  with tf.Graph().as_default():
    word = tf.zeros([1, 1], tf.int32)
    variables = PTBModel(config, len(vocabulary), word, word).variables
  rng = np.random.default_rng(0)
  return TrainedModel("random", config, vocabulary, {
      v.op.name: rng.normal(0, 0.5, v.shape.as_list()).astype(np.float32)
      for v in variables}, precision)


def expected(model, ids, state=None):
  """Returns log_probs [B, T, V], hidden [B, T, H] and the state by name.

  Args:
    ids: [B, T].
  """
  with model.open(ids.shape[1]) as session:
    result = session.run(["logits", "outputs", "final_state"], ids.T,
                         state=state)
  logits = result["logits"].astype(np.float64)
  logits -= np.log(np.exp(logits).sum(axis=2, keepdims=True))
  return (logits.transpose(1, 0, 2), result["outputs"].transpose(1, 0, 2),
          result["final_state"])


def by_name(state):
  return {f"{part}_{i}": value for i, layer in enumerate(state)
          for part, value in layer._asdict().items()}


@pytest.mark.parametrize("cell", CELLS)
def test_each_cell_in_its_precision(tmp_path, cell):
  """The signatures that need no state, and the one that goes on from one."""
  model = random_model(cell, CELLS[cell])
  ids = np.array([[0, 3, 8, 4], [0, 5, 2, 2]])
  log_probs, hidden, state = expected(model, ids)
  after, _, last = expected(model, ids[:, ::-1], state)
  path = str(tmp_path / "exported" / "7")  # the number of a version
  export.export(model, path)
  with tf.Graph().as_default(), tf.Session() as session:
    signatures = tf.saved_model.load(session, ["serve"], path).signature_def

    def run(name, **inputs):
      signature = signatures[name]
      assert set(inputs) == set(signature.inputs)
      return session.run(
          {key: info.name for key, info in signature.outputs.items()},
          {signature.inputs[key].name: value for key, value in inputs.items()})

    tolerance = {"rtol": 0, "atol": 1e-6 if CELLS[cell] == "float32" else 0.02}
    default = run("serving_default", words=ids)
    assert set(default) == {"log_probs"}
    np.testing.assert_allclose(default["log_probs"], log_probs, **tolerance)
    np.testing.assert_allclose(
        run("hidden", words=ids)["hidden"], hidden.astype(np.float32),
        **tolerance)
    result = run("stateful", words=ids[:, ::-1], **by_name(state))
    np.testing.assert_allclose(result["log_probs"], after, **tolerance)
    for name, value in by_name(last).items():
      np.testing.assert_allclose(result[f"next_{name}"], value, **tolerance)
    shapes = [[size.size for size in info.tensor_shape.dim]
              for info in signatures["step"].inputs.values()]
    assert all(shape[0] == 1 and -1 not in shape for shape in shapes)


@pytest.mark.parametrize("cell, tie_weights", [
    ("lstm", True), pytest.param("gru", False, marks=pytest.mark.slow)])
def test_a_step_runs_in_tensorflow_lite(tmp_path, cell, tie_weights):
  """With its built-in ops only: the converter refuses others by default."""
  model = random_model(cell, tie_weights=tie_weights)
  export.export(model, str(tmp_path / "exported"))
  converter = tensorflow.lite.TFLiteConverter.from_saved_model(
      str(tmp_path / "exported" / "1"), signature_keys=["step"])
  interpreter = tensorflow.lite.Interpreter(model_content=converter.convert())
  step = interpreter.get_signature_runner("step")
  # From a state that is not zero.
  _, _, state = expected(model, np.array([[5, 2]]))
  here = by_name(state)
  for word in 0, 3, 8, 4:
    ids = np.array([[word]], np.int32)
    log_probs, _, state = expected(model, ids, state)
    result = step(words=ids, **here)
    np.testing.assert_allclose(result["log_probs"], log_probs, atol=1e-5)
    here = {name: result[f"next_{name}"] for name in here}
    for name, value in by_name(state).items():
      np.testing.assert_allclose(here[name], value, atol=1e-5)


@pytest.mark.parametrize("output, message", [
    ("", "--output: name the folder to write to"),
    ("full", "full: exists; name a new folder"),
    ("full/file", "file: exists; name a new folder"),
    ("full/file/new", "full/file/new: Not a directory"),
    ("a[1]", r"a\[1\]: the name of the folder may not contain .*; choose"),
    ("\udcff", "the name of the folder must be UTF-8; choose another"),
])
def test_bad_outputs_get_one_line(
    trained_runs, tmp_path, call_script, capsys, monkeypatch, output, message):
  monkeypatch.chdir(tmp_path)
  os.mkdir("full")
  (tmp_path / "full" / "file").write_text("kept")
  assert call_script(
      export, f"--save_path={trained_runs}/a", f"--output={output}") == 1
  assert_one_line(capsys.readouterr().err, "export.py", message)
  assert (tmp_path / "full" / "file").read_text() == "kept"
