"""The sampled softmax: its candidates, and its cost against TensorFlow's."""

import numpy as np
import pytest

from rnn.layers import sampled
from rnn.tf1 import tf
from tests.helpers import oracle


def draw(num_sampled, vocab_size, seed=1, step=0):
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(sampled.draw(
        num_sampled, vocab_size, seed, tf.constant(step, tf.int64)))


def probabilities(vocab_size):
  k = np.arange(vocab_size, dtype=np.float64)
  return np.log((k + 2) / (k + 1)) / np.log(vocab_size + 1)


def test_candidates_follow_from_seed_and_step():
  ids = draw(50, 1000)
  np.testing.assert_array_equal(draw(50, 1000), ids)
  for other in draw(50, 1000, seed=2), draw(50, 1000, step=1):
    assert (other != ids).mean() > 0.5
  assert ids.min() >= 0 and ids.max() < 1000


def test_candidates_are_drawn_with_their_probabilities():
  size = 200_000
  counts = np.bincount(draw(size, 9), minlength=9)
  expected = size * probabilities(9)
  assert expected.sum() == pytest.approx(size)
  # Of 9 counts, one lies 5 standard deviations off in 200,000 tests.
  assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()
  with tf.Session(graph=tf.Graph()) as session, session.graph.as_default():
    logs = session.run(sampled.log_expected(tf.range(9), size, 9))
  np.testing.assert_allclose(logs, np.log(expected), rtol=1e-6)


def test_rare_words_are_drawn_too():
  """In float32 the last 44,764 of 800,000 words never were."""
  ids = draw(1 << 22, 800_000)
  distinct = len(np.unique(ids))
  assert distinct == pytest.approx(
      sampled.expected_distinct(1 << 22, 800_000), rel=2e-3)
  rare = probabilities(800_000)[700_000:]
  assert len(np.unique(ids[ids >= 700_000])) == pytest.approx(
      -np.expm1(np.log1p(-rare) * (1 << 22)).sum(), rel=0.02)


def test_a_vocabulary_of_one_word():
  np.testing.assert_array_equal(draw(20, 1), 0)


N, T, B, H, V, S = 12, 4, 3, 5, 30, 40


def case():
  """Returns hidden [N, H], weights [V, H], bias [V], targets [T, B], d_cost."""
  rng = np.random.default_rng(3)
  return [rng.normal(size=shape).astype("f") for shape in (
      [N, H], [V, H], [V])] + [
          rng.integers(0, 9, [T, B]), rng.normal(size=N).astype("f")]


def run(make_losses, dtype="float32"):
  """Returns losses and the gradients of hidden, weights and bias.

  Args:
    make_losses: a function of hidden, weights, bias, candidates and targets.
  """
  hidden, weights, bias, targets, d_cost = case()
  with tf.Graph().as_default(), tf.Session() as session:
    hidden = tf.constant(hidden)
    weights, bias = (tf.get_variable(name, initializer=x, use_resource=True)
                     for name, x in (("weights", weights), ("bias", bias)))
    candidates = sampled.draw(S, V, 1, tf.constant(0, tf.int64))
    losses = make_losses(tf.cast(hidden, dtype), weights, bias, candidates,
                         tf.constant(targets))
    gradients = tf.gradients(losses, [hidden, weights, bias], d_cost)
    session.run(tf.global_variables_initializer())
    return session.run([losses, *gradients])


def dense(results):
  """Returns the results of `run` with gradients that are arrays."""
  arrays = []
  for x, shape in zip(results, [(N,), (N, H), (V, H), (V,)], strict=True):
    if hasattr(x, "indices"):
      array = np.zeros(shape, "f")
      np.add.at(array, x.indices, x.values)
      x = array
    arrays.append(x)
  return arrays


def ours(hidden, weights, bias, candidates, targets):
  softmax = sampled.SampledSoftmax(
      weights, bias, hidden.dtype.name, candidates, targets)
  return softmax.losses(hidden, tf.reshape(softmax.columns(targets), [-1]))


def tensorflows(hidden, weights, bias, candidates, targets):
  """Returns the losses of TensorFlow's own sampled softmax.

  It leaves out only one of several equal candidates that are the target, so it
  gets each candidate once, with its expected count divided by how often it was
  drawn.
  """
  p = tf.constant(S * probabilities(V), tf.float32)
  targets = tf.reshape(targets, [-1, 1])
  del candidates  # the number of different ones has to be static
  ids, times = np.unique(draw(S, V), return_counts=True)
  return tf.nn.sampled_softmax_loss(
      weights, bias, targets, hidden, len(ids), V, sampled_values=(
          ids, tf.gather(p, targets), tf.gather(p, ids) / times),
      remove_accidental_hits=True)


def test_cost_and_gradients_equal_tensorflows():
  for value, other in zip(
      dense(run(ours)), dense(run(tensorflows)), strict=True):
    np.testing.assert_allclose(value, other, rtol=2e-5, atol=2e-6)


def test_cost_and_gradients_equal_the_oracle():
  candidates = draw(S, V)
  *arrays, targets, d_cost = case()
  # Some targets are candidates, some are not; candidates occur twice.
  assert set(targets.flat) & set(candidates)
  assert set(targets.flat) - set(candidates)
  assert len(set(candidates)) < S

  def cost(*arrays):
    return d_cost.astype("d") @ oracle.sampled_cross_entropy(
        *arrays, candidates, targets.ravel())

  losses, *gradients = dense(run(ours))
  arrays = [a.astype("d") for a in arrays]
  np.testing.assert_allclose(losses, oracle.sampled_cross_entropy(
      *arrays, candidates, targets.ravel()), rtol=2e-5)
  for value, other in zip(
      gradients, oracle.complex_step_gradients(cost, arrays), strict=True):
    np.testing.assert_allclose(value, other, rtol=2e-5, atol=2e-6)


def test_gradients_have_one_row_per_word():
  """So the norm of the rows is the norm of the gradient."""
  _, _, *gradients = run(ours)
  words = set(draw(S, V)) | set(case()[3].flat)
  for gradient in gradients:
    assert sorted(gradient.indices) == sorted(words)


@pytest.mark.parametrize("dtype, error", [("bfloat16", 3e-2),
                                          ("float16", 3e-3)])
def test_16_bits_are_near_32(dtype, error):
  for value, other in zip(
      dense(run(ours, dtype)), dense(run(ours)), strict=True):
    difference = np.linalg.norm(value.astype("d") - other)
    assert 0 < difference < error * np.linalg.norm(other)


def test_the_sum_over_candidates_estimates_the_sum_over_all_words():
  """Of the other words than the target; it converges with S."""
  hidden, weights, bias, targets, _ = case()
  logits = hidden.astype("d") @ weights.T + bias
  own = logits[np.arange(N), targets.flat]
  others = np.exp(logits).sum(axis=1) - np.exp(own)
  size = 2_000_000
  with tf.Graph().as_default(), tf.Session() as session:
    weights, bias = (tf.get_variable(name, initializer=x, use_resource=True)
                     for name, x in (("weights", weights), ("bias", bias)))
    losses = ours(tf.constant(hidden), weights, bias, sampled.draw(
        size, V, 1, tf.constant(0, tf.int64)), tf.constant(targets))
    session.run(tf.global_variables_initializer())
    losses = session.run(losses)
  # A loss is log(1 + estimate / exp(own)), with the target's own correction.
  corrected = own - np.log(size * probabilities(V))[targets.flat]
  np.testing.assert_allclose(
      np.expm1(losses) * np.exp(corrected), others, rtol=0.02)
