"""Dropout masks: shares, values, and what they are functions of."""

import dataclasses

import numpy as np
import pytest

import configs
from rnn.layers import cells, dropout, seeded
from rnn.options import Options
from rnn.tf1 import tf
from tests.helpers import oracle

CONFIG = dataclasses.replace(
    configs.TEST, num_layers=2, num_steps=4, hidden_size=50, batch_size=3)
VOCAB_SIZE = 40
WORDS = np.random.default_rng(0).integers(0, VOCAB_SIZE, [4, 3])


def values(build, *args, **kwargs):
  """Returns the values of tensors in a graph of their own."""
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(build(*args, **kwargs))


def masks(seed=1, step=0, **settings):
  """Returns the masks of the sites for WORDS: a dict by site."""
  return values(lambda: dropout.masks(
      dataclasses.replace(CONFIG, **settings), tf.constant(WORDS), VOCAB_SIZE,
      tf.constant(step, tf.int64), Options(seed=seed)))


def test_each_site_has_its_own_share():
  probs = {"keep_prob_input": 0.25, "keep_prob_hidden": 0.5,
           "keep_prob_output": 0.8}
  of_sites = masks(hidden_size=2000, **probs)
  assert list(of_sites) == [0, 1, 2]
  for mask, keep_prob in zip(of_sites.values(), probs.values(), strict=True):
    assert mask.shape == (4, 3, 2000)
    assert np.unique(mask) == pytest.approx([0, 1 / keep_prob])
    assert (mask > 0).mean() == pytest.approx(keep_prob, abs=0.015)


def test_keep_prob_counts_where_a_site_has_no_share():
  """The masks there have the bits that they have without other shares."""
  plain = masks(keep_prob=0.5)
  mixed = masks(keep_prob=0.5, keep_prob_hidden=0.9)
  for site in 0, 2:
    assert (plain[site] == mixed[site]).all()
  assert np.unique(mixed[1]) == pytest.approx([0, 1 / 0.9])


def test_a_site_that_keeps_all_units_has_no_mask():
  assert masks() == {}
  assert masks(keep_prob_recurrent=0.5, activation_penalty=2.0) == {}
  assert list(masks(keep_prob_output=0.5)) == [2]
  assert list(masks(keep_prob=0.5, keep_prob_input=1.0)) == [1, 2]
  assert list(masks(keep_prob_word=0.5)) == [0]


def test_all_words_of_a_window_share_a_mask():
  of_sites = masks(keep_prob=0.5, dropout_mask="window")
  for mask in of_sites.values():
    assert mask.shape == (1, 3, 50)
    assert np.unique(mask) == pytest.approx([0, 2])
    assert len({stream.tobytes() for stream in mask[0]}) == 3


@pytest.mark.parametrize("settings", [
    {"keep_prob": 0.4}, {"keep_prob": 0.4, "dropout_mask": "window"},
    {"keep_prob_word": 0.4, "keep_prob_hidden": 0.5}])
def test_masks_are_a_function_of_seed_and_step(settings):
  bits = {(seed, step, site): mask.tobytes()
          for seed in (1, 2) for step in (0, 1, 2)
          for site, mask in masks(seed, step, **settings).items()}
  assert len(set(bits.values())) == len(bits)
  assert {site: mask.tobytes() for site, mask in masks(2, 1, **settings).items()
          } == {site: value for (*place, site), value in bits.items()
                if place == [2, 1]}


def test_a_word_is_dropped_in_all_streams_of_a_window():
  mask = masks(keep_prob_word=0.25)[0]
  assert mask.shape == (4, 3, 1) and set(np.unique(mask)) == {0, 4}
  of_words = values(lambda: dropout.word_mask(
      VOCAB_SIZE, 0.25, 1, tf.constant(0, tf.int64)))
  assert (mask[..., 0] == of_words[WORDS]).all()


def test_dropped_words_lose_what_dropout_has_kept_of_them():
  both = masks(keep_prob_word=0.5, keep_prob_input=0.4)[0]
  assert both.shape == (4, 3, 50)
  np.testing.assert_allclose(
      both, masks(keep_prob_word=0.5)[0] * masks(keep_prob_input=0.4)[0])


def kernel_mask(layer=0, seed=1, step=0, keep_prob=0.5, columns=200):
  return values(lambda: dropout.kernel_mask(
      dataclasses.replace(CONFIG, keep_prob_recurrent=keep_prob), layer,
      columns, seed, tf.constant(step, tf.int64)))


def test_masks_of_kernels_differ_by_layer_seed_and_step():
  bits = [kernel_mask(layer, seed, step).tobytes()
          for layer in (0, 1) for seed in (1, 2) for step in (0, 1)]
  assert len(set(bits)) == len(bits)
  assert kernel_mask(1, 2, 1).tobytes() == bits[-1]


@pytest.mark.parametrize("keep_prob", [0.9, 0.5, 0.3, 0.01])
def test_the_share_and_the_mean_of_a_kernel_mask(keep_prob):
  mask = kernel_mask(keep_prob=keep_prob, columns=20_001)
  assert mask.shape == (50, 20_001)
  assert np.unique(mask) == pytest.approx([0, 1 / keep_prob], rel=1e-3)
  deviation = np.sqrt((1 - keep_prob) / keep_prob / mask.size)
  assert mask.mean() == pytest.approx(1, abs=4 * deviation)
  # No row, no column, and neither half of a random number is special.
  for axis in (0, 1):
    of_lines = np.sqrt((1 - keep_prob) / keep_prob / mask.shape[axis])
    assert np.abs(mask.mean(axis=axis) - 1).max() < 6 * of_lines + 1 / (
        keep_prob * mask.shape[axis])
  even, odd = mask.ravel()[:-1:2], mask.ravel()[1::2]
  assert np.corrcoef(even, odd)[0, 1] == pytest.approx(0, abs=0.006)


@pytest.mark.parametrize("keep_prob, kept", [
    (1 - 1e-6, 2 ** 16), (1 - 2.0 ** -16, 2 ** 16 - 1), (1e-6, 1)])
def test_shares_are_multiples_of_2_to_the_minus_16(monkeypatch, keep_prob,
                                                   kept):
  """Each of the 2^16 numbers is drawn once here, so that the share shows."""
  numbers = np.arange(2 ** 16, dtype=np.uint16).view(np.uint32)
  monkeypatch.setattr(tf.random, "stateless_uniform",
                      lambda *args, **kwargs: tf.constant(numbers))
  mask = kernel_mask(keep_prob=keep_prob, columns=2 ** 16 // 50)
  assert (mask == 0).sum() in range(2 ** 16 - kept + 1)
  assert mask.max() in (0, np.float32(2 ** 16 / kept))
  of_words = values(lambda: dropout.word_mask(
      2 ** 16, keep_prob, 1, tf.constant(0, tf.int64)))
  assert (of_words > 0).sum() == kept and of_words.mean() == pytest.approx(1)


@pytest.mark.parametrize("cell, rnn_mode", [
    (name, rnn_mode) for name, cell in cells.CELLS.items()
    for rnn_mode in cell.layers])
def test_every_layer_runs_without_dropped_weights(cell, rnn_mode):
  """As the oracle with a kernel that lacks them; and so does its gradient."""
  rng, kind = np.random.default_rng(3), cells.CELLS[cell]
  config = dataclasses.replace(
      CONFIG, cell=cell, num_layers=1, hidden_size=4, keep_prob_recurrent=0.6,
      projection_size=3 * kind.projects)
  (sizes,) = config.sizes
  weights = [rng.normal(0, 0.7, shape)
             for shape in kind.shapes(2, *sizes).values()]
  state = [rng.normal(0, 0.7, [3, width])
           for width in kind.widths(*sizes).values()]
  inputs, d_outputs = (
      rng.normal(size=[3, 3, width]) for width in (2, sizes[1]))
  with tf.Graph().as_default(), tf.Session() as session:
    x, now, parameters = tf.nest.map_structure(
        lambda value: tf.constant(value, tf.float32),
        (inputs, kind.state(*state), weights))
    step = tf.constant(5, tf.int64)
    outputs, _ = kind.layer(rnn_mode)(
        x, now, *dropout.drop_weights(config, 0, parameters, 7, step))
    gradient = tf.gradients(
        outputs, parameters[0], [tf.constant(d_outputs, tf.float32)])
    outputs, (gradient,), mask = session.run([
        outputs, gradient, dropout.kernel_mask(
            config, 0, weights[0].shape[1], 7, step)])
  whole_mask = np.ones_like(weights[0])
  whole_mask[2:] = mask  # not the rows of the input

  def run(kernel):
    return oracle.layer(cell, inputs.astype(kernel.dtype), tuple(state),
                        kernel * whole_mask, *weights[1:])[0]

  np.testing.assert_allclose(outputs, run(weights[0]), atol=2e-6)
  (expected,) = oracle.complex_step_gradients(
      lambda kernel: (d_outputs * run(kernel)).sum(), weights[:1])
  np.testing.assert_allclose(gradient, expected, atol=2e-5)
  assert (gradient[whole_mask == 0] == 0).all() and (mask == 0).any()


def test_keys_of_different_kinds_are_far_apart():
  """At a step that no run reaches, and in 100 layers."""
  step = tf.constant(2 ** 53, tf.int64)
  with tf.Graph().as_default():
    step = tf.constant(2 ** 53, tf.int64)
    keys = [seeded.key(7, step, 100, 101),
            seeded.key(7, step, first=seeded.WORD_MASKS),
            seeded.key(7, step, 99, 100, first=seeded.KERNEL_MASKS)]
    with tf.Session() as session:
      (sites, words, kernels) = session.run(keys)
  assert sites[0] == words[0] == kernels[0] == 7
  assert (seeded.CANDIDATES < -2 ** 32 < 0 < sites[1] < seeded.WORD_MASKS
          < words[1] < seeded.KERNEL_MASKS < kernels[1])


def test_without_dropout_nothing_is_added():
  with tf.Graph().as_default() as graph:
    kernel, x = tf.zeros([4, 8]), tf.zeros([3, 2, 2])
    number = len(graph.get_operations())
    weights = kernel, x
    assert dropout.drop_weights(CONFIG, 0, weights, 1, None) is weights
    assert dropout.apply(None, x) is x
    assert len(graph.get_operations()) == number
