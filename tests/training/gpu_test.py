"""Tests that need a GPU; without one they are skipped.

On a GPU the tests of layers, model and runs also include "cudnn".
"""

import csv
import dataclasses
import os

import numpy as np
import pytest

import configs
import ptb_word_lm
from rnn.layers import lstm
from rnn.options import Options
from rnn.tf1 import repeatable_session, tf
from tests.helpers.calls import run_script
from tests.helpers.lstm_cases import case

pytestmark = pytest.mark.gpu


def train(path, corpus_folder, *flags, epochs=1, gpu=True):
  """Trains with dropout by the script, and returns the rows of metrics.csv."""
  environ = dict(os.environ)
  environ.pop("TF_DETERMINISTIC_OPS", None)  # users do not set it
  if not gpu:
    environ["CUDA_VISIBLE_DEVICES"] = ""
  done = run_script(
      "--model=test", f"--data_path={corpus_folder}", f"--save_path={path}",
      "--config_override=hidden_size=16,num_layers=2,num_steps=6,batch_size=10,"
      f"keep_prob=0.8,max_max_epoch={epochs}", *flags, env=environ)
  assert done.returncode == 0, done.stderr
  with open(path / "metrics.csv", newline="") as file:
    return list(csv.DictReader(file))


def assert_near(rows, others, rel):
  assert len(rows) == len(others)
  for row, other in zip(rows, others, strict=True):
    for name in "train_perplexity", "valid_perplexity":
      assert float(row[name]) == pytest.approx(float(other[name]), rel=rel)


def test_parameters_have_cudnns_own_layout():
  *_, kernel, bias = case(1, 2, 3, 5)[:5]
  gates = [0, 2, 1, 3]  # cuDNN's i, f, j, o as indices of our gates
  weights = [np.split(rows, 4, axis=1)[gate].T
             for rows in np.split(kernel, [3]) for gate in gates]
  biases = [np.split(b, 4)[gate] for b in (bias, 0 * bias) for gate in gates]
  with tf.Graph().as_default(), tf.Session() as session:
    expected = tf.raw_ops.CudnnRNNCanonicalToParams(
        num_layers=1, num_units=5, input_size=3,
        weights=[tf.constant(w, tf.float32) for w in weights],
        biases=[tf.constant(b, tf.float32) for b in biases], rnn_mode="lstm")
    params, expected = session.run([
        lstm.cudnn_params(tf.constant(kernel, tf.float32),
                          tf.constant(bias, tf.float32)), expected])
  np.testing.assert_array_equal(params, expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_all_variables_but_the_position_are_on_the_gpu(precision):
  config = dataclasses.replace(configs.TEST, keep_prob=0.5)
  with tf.Graph().as_default(), repeatable_session() as session:
    training = ptb_word_lm.stream_pass(
        "Train", config, 9, np.arange(200) % 9, is_training=True,
        options=Options(precision=precision))
    session.run(tf.global_variables_initializer())
    training.load(session)
    metadata = tf.RunMetadata()
    session.run(
        training.advance, run_metadata=metadata,
        options=tf.RunOptions(output_partition_graphs=True))
  devices = {node.name: node.device for graph in metadata.partition_graphs
             for node in graph.node if node.op == "VarHandleOp"}
  on_host = {name for name, device in devices.items() if "GPU" not in device}
  assert on_host == {"global_step"}
  assert {"Model/embedding", "Train/streams", "Train/state"} < set(devices)


def test_a_gpu_trains_like_a_cpu(corpus_folder, tmp_path):
  assert_near(train(tmp_path / "gpu", corpus_folder),
              train(tmp_path / "cpu", corpus_folder, gpu=False), rel=1e-3)


def test_a_run_resumes_with_and_without_a_gpu(corpus_folder, tmp_path):
  expected = train(tmp_path / "cpu", corpus_folder, epochs=3, gpu=False)
  for epochs, gpu in (1, True), (2, False), (3, True):
    rows = train(tmp_path / "run", corpus_folder, epochs=epochs, gpu=gpu)
  assert_near(rows, expected, rel=1e-2)


@pytest.mark.parametrize("flag", ["--use_bfloat16", "--use_fp16"])
def test_16_bits_train_like_32(corpus_folder, tmp_path, flag):
  assert_near(train(tmp_path / "16", corpus_folder, flag),
              train(tmp_path / "32", corpus_folder), rel=1e-2)
