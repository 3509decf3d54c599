"""Penalties of windows whose streams have different lengths."""

import dataclasses

import numpy as np
import pytest

from rnn.layers import penalties
from rnn.text.streams import NO_TARGET
from rnn.tf1 import tf
from tests.helpers.tiny_model import TINY

CONFIG = dataclasses.replace(TINY, activation_penalty=2.0, slowness_penalty=3.0)
LENGTHS = np.array([5, 1, 0, 4, 2, 5])  # of the streams, at most T = 5


def make_window():
  """Returns nats, "outputs" and "undropped", targets."""
  rng = np.random.default_rng(0)
  d, h = rng.normal(size=(2, 5, len(LENGTHS), 3)).astype(np.float32)
  targets = np.where(np.arange(5)[:, None] < LENGTHS, 1, NO_TARGET)
  return rng.normal(size=targets.shape), {"outputs": d, "undropped": h}, targets


def cost(nats, results, targets):
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(penalties.cost(
        CONFIG, tf.constant(nats.sum(), tf.float32),
        {name: tf.constant(x) for name, x in results.items()},
        tf.constant(targets)))


def test_each_stream_has_its_own_mean():
  nats, results, targets = make_window()
  expected = nats.sum()
  for stream, length in enumerate(LENGTHS):
    d, h = (results[name][:length, stream] for name in (
        "outputs", "undropped"))
    if length > 0:
      expected += 2 * length * (d ** 2).mean()
    if length > 1:
      expected += 3 * length * (np.diff(h, axis=0) ** 2).mean()
  assert cost(nats, results, targets) == pytest.approx(
      expected / len(LENGTHS), rel=1e-5)


def test_workers_have_the_mean_cost_of_a_single_one():
  nats, results, targets = make_window()
  parts = [cost(nats[:, part], {
      name: x[:, part] for name, x in results.items()}, targets[:, part])
           for part in (slice(0, 3), slice(3, 6))]
  assert np.mean(parts) == pytest.approx(
      cost(nats, results, targets), rel=1e-5)
