"""Runs of an older version resume to the same result.

Commit 2fe6d3b of this suite made the fixture tests/fixtures/older_run, with the
flags of `resume` and --keep=1, on a text written for this test. SIGTERM stopped
it in epoch 3. The fixture has two folders for each precision:

    stopped   the run at that time, without its picture and events; paths and
              inodes of the machine were removed from its JSON files
    finished  the result after the older version had resumed a copy: the
              variables of the last checkpoint, metrics.csv and tests.json
"""

import json
import os
import shutil

import numpy as np
import pytest

import configs
import reader
from rnn import files
from rnn.runs.directory import RunDirectory
from tests.helpers.calls import ROOT
from tests.helpers.run_folders import rows_of, variables_of

FIXTURE = os.path.join(ROOT, "tests", "fixtures", "older_run")
SETTINGS = ("num_layers=2,hidden_size=12,num_steps=4,batch_size=2,"
            "keep_prob=0.7,init_scale=0.5,max_grad_norm=1.6,max_epoch=2,"
            "max_max_epoch=4,learning_rate=0.5")
# On the processor that made the fixture, the result has the same bits. With
# other GEMMs of oneDNN and Eigen, parameters changed by 3e-7 in float32 and by
# 2e-3 in bfloat16, and one step more or less was clipped.
PRECISIONS = {
    "float32": {"flags": [], "parameters": 3e-6, "figures": 1e-5, "clips": 0},
    "bfloat16": {"flags": ["--use_bfloat16"], "parameters": 0.02,
                 "figures": 2e-3, "clips": 4 / 41}}


@pytest.fixture(params=PRECISIONS)
def older_run(request, tmp_path):
  """The precision, and a copy of the stopped run."""
  folder = shutil.copytree(f"{FIXTURE}/{request.param}/stopped",
                           tmp_path / "run")
  return request.param, RunDirectory(str(folder))


def resume(call_main, precision, run):
  """Resumes the run with this version; returns the exit status."""
  return call_main(
      "--model=test", f"--data_path={FIXTURE}/text", "--seed=5",
      f"--save_path={run.path}", "--rnn_mode=fused",
      f"--config_override={SETTINGS}", *PRECISIONS[precision]["flags"])


def assert_finished_as_before(precision, run):
  """Compares with the result of the older version."""
  finished = RunDirectory(f"{FIXTURE}/{precision}/finished")
  tolerances = PRECISIONS[precision]
  newest = run.checkpoints()[0]
  assert (newest.step, newest.epoch) == (164, 4)
  values = variables_of(newest)
  with np.load(f"{finished.path}/variables.npz") as expected:
    assert values.keys() == set(expected.files)
    for name, value in values.items():
      assert value.dtype == expected[name].dtype, name
      if name.startswith(("Model/", "Train/state")):
        np.testing.assert_allclose(
            value, expected[name], rtol=0, atol=tolerances["parameters"],
            err_msg=name)
  assert values["global_step"] == 164

  rows, expected = rows_of(run.path), rows_of(finished.path)
  assert len(rows) == len(expected) == 4
  for row, other in zip(rows, expected, strict=True):
    assert row.keys() == other.keys()
    for name in row:
      assert float(row[name]) == pytest.approx(
          float(other[name]), rel=tolerances["figures"],
          abs=tolerances["clips"] if name == "clip_rate" else 0), name
  assert run.tests() == pytest.approx(
      finished.tests(), rel=tolerances["figures"])



def test_an_older_run_resumes_to_the_same_result(older_run, call_main, capsys):
  precision, run = older_run
  newest = run.checkpoints()[0]
  assert newest.epoch is None and run.best().epoch == 2
  assert resume(call_main, precision, run) == 0
  out, err = capsys.readouterr()
  assert f"resuming at epoch 3, step {newest.step - 2 * 41} of 41\n" in out
  assert err.count("\n") == 1  # the text lacks <unk>
  assert "which train lacks" in err
  assert_finished_as_before(precision, run)
  assert run.best().epoch == 4


def remove_newer_settings(config):
  """Removes from the content of config.json what the first versions lack."""
  for name in configs.Config.defaults():
    if name != "batch_size":  # the fixture does not use the default
      config["settings"].pop(name, None)
  for name in "precision", "init_embeddings":
    del config[name]
  return config


def test_a_run_without_the_newer_settings_resumes_with_their_defaults(
    tmp_path, call_main, capsys):
  folder = shutil.copytree(f"{FIXTURE}/float32/stopped", tmp_path / "run")
  run = RunDirectory(str(folder))
  path = folder / "config.json"
  path.write_text(json.dumps(remove_newer_settings(
      json.loads(path.read_text()))))
  for checkpoint in run.checkpoints():
    journal = checkpoint.journal()
    remove_newer_settings(journal["config"])
    files.write_sealed(f"{checkpoint.path}/journal.json", journal)
  settings = run.settings()
  config, precision = settings.config, settings.precision
  assert (config.cell, config.optimizer, config.layer_sizes, precision) == (
      "lstm", "sgd", (12, 12), "float32")
  assert resume(call_main, "float32", run) == 0
  assert "resuming at epoch 3" in capsys.readouterr().out
  assert_finished_as_before("float32", run)


def test_the_ids_of_an_older_run_are_used(older_run):
  """As on the machine that wrote them: here the text's stamps differ."""
  _, run = older_run
  text = f"{FIXTURE}/text"
  assert run.saved_texts(text) is None
  ids = files.read_sealed(f"{run.path}/ids.json")
  ids["stamps"] = {split: source.stamp() for split, source
                   in reader.find_corpus(text).items()}
  files.write_sealed(f"{run.path}/ids.json", ids)
  texts, vocabulary = run.saved_texts(text)
  expected, words = reader.read_corpus(text)
  assert vocabulary == words
  for split in reader.SPLITS:
    assert (texts[split].ids == expected[split].ids).all()
