"""Devices that share a batch take the step that one device takes."""

import dataclasses
import functools

import numpy as np
import pytest

import configs
import ptb_word_lm
from rnn.options import Options
from rnn.parallel.workers import Workers
from rnn.tf1 import repeatable_session, tf

CONFIG = dataclasses.replace(
    configs.TEST, hidden_size=6, num_layers=2, num_steps=4, batch_size=6,
    keep_prob=0.5)
VOCAB_SIZE = 11
REGULARIZED = dataclasses.replace(
    CONFIG, dropout_mask="window", keep_prob_input=0.8, keep_prob_word=0.7,
    keep_prob_recurrent=0.6, activation_penalty=2.0, slowness_penalty=1.0)


def train(devices, num_steps, config=CONFIG, **options):
  """Returns the sums and the variables after some steps on devices."""
  workers = Workers([f"/CPU:{n}" for n in range(devices)]
                    if devices > 1 else [""])
  ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=400)
  with tf.Graph().as_default() as graph:
    training = ptb_word_lm.stream_pass(
        "Train", config, VOCAB_SIZE, ids, is_training=True,
        options=Options(workers=workers, **options), eos=0)
    with repeatable_session("", workers.adjust) as session:
      session.run(tf.global_variables_initializer())
      training.load(session)
      for step in range(num_steps):
        sums = training.run(session, step)
      return sums, session.run({
          v.op.name: v for v in tf.global_variables()}), graph


@functools.cache
def single(**options):
  """Returns the result of `train` with one device."""
  return train(1, 10, **options)


def assert_devices_follow_a_single_one(devices, **options):
  expected_sums, expected, _ = single(**options)
  sums, values, _ = train(devices, 10, **options)
  assert sums == pytest.approx(expected_sums, rel=1e-6)
  assert values.keys() == expected.keys()
  for name, value in values.items():
    np.testing.assert_allclose(
        value, expected[name], rtol=1e-6, atol=4e-7, err_msg=name)


@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize("rnn_mode", ["fused", "basic", "block"])
def test_devices_follow_a_single_one(devices, rnn_mode):
  assert_devices_follow_a_single_one(devices, rnn_mode=rnn_mode)


def test_devices_share_masks_and_penalties():
  assert_devices_follow_a_single_one(3, config=REGULARIZED)


@pytest.mark.parametrize("settings", [
    {"window_jitter": 2.0, "slowness_penalty": 1.0}, {"reset_state": True}],
    ids=str)
def test_devices_share_windows_of_any_length(settings):
  assert_devices_follow_a_single_one(
      3, config=dataclasses.replace(CONFIG, **settings))


def test_each_device_computes_its_part_of_the_gradient():
  *_, graph = train(2, 1, rnn_mode="fused")
  devices = {op.device for op in graph.get_operations()
             if op.type == "MatMul" and "gradients" in op.name}
  assert {"/device:CPU:0", "/device:CPU:1"} <= devices


def test_one_device_has_no_device_names():
  """So a graph is what it was before there were several."""
  *_, graph = single(rnn_mode="fused")
  assert not [op.name for op in graph.get_operations()
              if op.type == "MatMul" and op.device]
