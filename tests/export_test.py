"""The SavedModel, as it is used where this suite is not."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from script_test import assert_one_line

import export
import reader
import score
import trained_model

# Reads sentences of one length from standard input as a batch, in two pieces.
ELSEWHERE = """
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
  found = model.signatures["serving_default"](words=words, **state)
  scores.append(found["log_probs"].numpy())
  tops.append([top["top_words"].numpy(), top["top_log_probs"].numpy()])
  state = {name: found[f"next_{name}"] for name in state}
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
    "tops_too": np.sort(scores, axis=2)[:, :, :-3:-1].tolist(),
}, sys.stdout)
"""

TEXTS = [text.split() for text in (
    "the population of the economy", "<unk> of the and in",
    "in the of and the")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", "b"])
def test_plain_tensorflow_2_gets_the_scores(
    trained_runs, tmp_path, call_script, capsys, name):
  trained = trained_model.load(str(trained_runs / name))
  path = str(tmp_path / "there" / "exported")
  assert call_script(export, f"--save_path={trained_runs}/{name}",
                     f"--output={path}") == 0
  size = len(trained.vocabulary)
  assert capsys.readouterr().out == (
      f"{path}: {trained.name}, {size:,} words\n")
  assert sorted(os.listdir(path)) == ["assets", "saved_model.pb", "variables"]
  assert os.listdir(os.path.dirname(path)) == ["exported"]
  # It holds what it needs, wherever it goes.
  os.rename(path, tmp_path / "moved")
  done = subprocess.run(
      [sys.executable, "-c", ELSEWHERE, str(tmp_path / "moved"),
       *map(str, trained.config.layer_sizes)], cwd=tmp_path,
      input="\n".join(" ".join(["<eos>", *text, "<eos>"]) for text in TEXTS),
      capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  found = {key: np.array(x) for key, x in json.loads(done.stdout).items()}
  expected = [log_probs[0] for _, log_probs in score.score_sentences(
      [trained], score.lines_of(TEXTS, trained.vocabulary))]
  np.testing.assert_allclose(found["log_probs"], expected, rtol=1e-5)
  np.testing.assert_allclose(found["totals"], 1, rtol=1e-5)
  np.testing.assert_array_equal(found["tops"], found["likeliest"])
  np.testing.assert_allclose(
      found["top_log_probs"], found["tops_too"], rtol=1e-6)


@pytest.mark.parametrize("output", ["new/", "ram://new", "a,b c"])
def test_names_of_folders(
    trained_runs, tmp_path, call_script, monkeypatch, output):
  monkeypatch.chdir(tmp_path)
  assert call_script(
      export, f"--save_path={trained_runs}/a", f"--output={output}") == 0
  assert os.path.isfile(os.path.join(output, "saved_model.pb"))
  assert len(os.listdir(".")) == 1


def test_after_a_killed_process(trained_runs, tmp_path):
  os.makedirs(tmp_path / "new.partial" / "variables")
  export.export(trained_model.load(str(trained_runs / "a")),
                str(tmp_path / "new"))
  assert os.listdir(tmp_path) == ["new"]


def test_the_vocabulary_is_the_runs(trained_runs, tmp_path):
  trained = trained_model.load(str(trained_runs / "b"))
  export.export(trained, str(tmp_path))  # it is empty
  assert reader.Vocabulary.load(
      tmp_path / "assets" / "vocab.txt") == trained.vocabulary


@pytest.mark.parametrize("output, message", [
    ("", "--output: name the folder to make"),
    ("full", "full: exists; name a new folder"),
    ("full/file", "file: exists; name a new folder"),
    ("full/file/new", "full/file: File exists"),
    ("a[1]", r"a\[1\]: the name of the folder may not hold .* give --output"),
    ("\udcff", "the name of the folder must be UTF-8; give --output another"),
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
