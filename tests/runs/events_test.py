"""TensorBoard shows the curves and the words of a run."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from rnn.runs.directory import RunDirectory
from rnn.runs.events import EventFile
from tests.helpers.calls import run_script, start_script, wait_for
from tests.helpers.run_folders import rows_of, variables_of

EPOCHS, SIZE = 30, 89  # SIZE: windows per epoch
_FIGURES = {"train_perplexity", "learning_rate", "grad_norm", "clip_rate",
            "words_per_second"}
TAGS = {f"steps/{name}" for name in _FIGURES} | {
    f"epochs/{name}" for name in _FIGURES | {
        "epoch", "valid_perplexity", "seconds"}}


def assert_has_curves(run):
  """Asserts that the events hold each figure of each epoch and step once."""
  rows = rows_of(run.path)
  curves = event_accumulator.EventAccumulator(run.path, {"scalars": 0}).Reload()
  for name in rows[0]:
    points = curves.Scalars(f"epochs/{name}")
    assert [point.step for point in points] == [
        SIZE * n for n in range(1, EPOCHS + 1)]
    assert [point.value for point in points] == pytest.approx(
        [float(row[name]) for row in rows])
  assert min(point.value for point in curves.Scalars(
      "epochs/words_per_second")) > 0
  for name in ("train_perplexity", "learning_rate", "grad_norm", "clip_rate"):
    points = curves.Scalars(f"steps/{name}")
    assert [point.step for point in points] == list(
        range(1, SIZE * EPOCHS + 1))
    if name != "train_perplexity":
      means = np.mean([[point.value for point in points]], axis=0).reshape(
          EPOCHS, SIZE).mean(axis=1)
      assert means == pytest.approx([float(row[name]) for row in rows])


def test_a_point_is_in_the_file_at_once(tmp_path):
  """TensorBoard shows it during training, and a kill does not lose it."""
  events = EventFile(str(tmp_path))
  events.restart_at(1)
  for number in 1, 2, 3:
    events.add_figures(number, {"a": 0.5 * number})
    points = event_accumulator.EventAccumulator(
        str(tmp_path)).Reload().Scalars("a")
    assert [(point.step, point.value) for point in points] == [
        (n, 0.5 * n) for n in range(1, number + 1)]


def curves_and_embedding_from_server(path):
  """Returns what TensorBoard serves: tags of curves, words, the embedding."""
  server = subprocess.Popen(
      [os.path.join(os.path.dirname(sys.executable), "tensorboard"),
       f"--logdir={path}", "--port=0", "--load_fast=false"],
      stderr=subprocess.PIPE, text=True)
  try:
    while not (url := re.search(r"http://\S+?:\d+/", server.stderr.readline())):
      assert server.poll() is None

    def get(path):
      with urllib.request.urlopen(f"{url[0]}data/plugin/{path}",
                                  timeout=30) as answer:
        return answer.read()

    deadline = time.monotonic() + 60
    # It reads the folder in a thread.
    while not json.loads(get("projector/runs")) or TAGS - (
        tags := json.loads(get("scalars/tags")).get(".", {}).keys()):
      assert time.monotonic() < deadline
      time.sleep(0.2)
    query = "?run=.&name=Model/embedding"
    return (tags, get(f"projector/metadata{query}").decode().split(),
            np.frombuffer(get(f"projector/tensor{query}"), np.float32))
  finally:
    server.kill()
    server.communicate()


@pytest.mark.slow
def test_tensorboard_shows_the_curves_and_the_words(run_flags, tmp_path):
  """Points of a killed process are replaced by those of its successor."""
  *flags, override = run_flags
  override = override.replace("epoch=2", f"epoch={EPOCHS}")
  with start_script(*flags, override, "--save_secs=0.05") as process:
    wait_for(process, "Epoch: 3 Train")
    process.kill()
  assert run_script(*flags, override).returncode == 0
  run = RunDirectory(f"{tmp_path}/run")
  assert_has_curves(run)
  tags, words, embedding = curves_and_embedding_from_server(run.path)
  assert tags == TAGS
  assert words == list(run.vocabulary().words)
  newest = variables_of(run.checkpoints()[0])["Model/embedding"]
  assert (embedding.reshape(newest.shape) == newest).all()
