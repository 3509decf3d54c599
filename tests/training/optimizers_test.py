"""Every optimizer against its formula, in NumPy and float64."""

import time

import numpy as np
import pytest

from rnn.options import Options
from rnn.tf1 import tf
from rnn.training import optimizers

RATE, DECAY = 0.1, 0.3
BATCHES = [[0, 1, 1], [2, 1], [0, 0, 3], [5]]  # rows of the embedding


def gradients(embedding, weights, rows):
  """Returns the gradients of a cost, and their global norm.

  The cost is sum((embedding[rows] weights - 1)^2).
  """
  d_outputs = 2 * (embedding[rows] @ weights - 1)
  d_embedding = np.zeros_like(embedding)
  np.add.at(d_embedding, rows, d_outputs @ weights.T)
  d_weights = embedding[rows].T @ d_outputs
  return [d_embedding, d_weights], np.sqrt(
      (d_embedding ** 2).sum() + (d_weights ** 2).sum())


def apply(name, value, gradient, moments, step, rows):
  """Takes a step in place.

  Args:
    moments: the optimizer's means of gradients and of their squares.
    rows: the rows of the value that have a gradient.
  """
  mean, square = moments
  if name in ("sgd", "asgd"):
    value -= RATE * gradient
  elif name == "adagrad":  # Duchi et al. 2011
    square += gradient ** 2
    value -= RATE * gradient / np.sqrt(square)
  elif name == "adam":  # Kingma and Ba 2015; it moves all rows, not just `rows`
    mean += 0.1 * (gradient - mean)
    square += 0.001 * (gradient ** 2 - square)
    rate = RATE * np.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
    value -= rate * mean / (np.sqrt(square) + 1e-8)
  else:  # RMSProp; TensorFlow's moves only `rows`
    square[rows] += 0.1 * (gradient[rows] ** 2 - square[rows])
    value[rows] -= RATE * gradient[rows] / np.sqrt(square[rows] + 1e-10)


@pytest.mark.parametrize("max_grad_norm, weight_decay", [
    (1e9, 0.0), (0.3, 0.0), (0.3, DECAY)])
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_steps_equal_the_formula(name, max_grad_norm, weight_decay):
  """Weights decay in all rows, whatever the norm of the gradient."""
  rng = np.random.default_rng(0)
  values = [rng.normal(size=shape) for shape in ([6, 3], [3, 2])]
  start = {"adagrad": 0.1, "rmsprop": 1.0}.get(name, 0.0)
  moments = [(np.zeros_like(v), np.full_like(v, start)) for v in values]
  with tf.Graph().as_default(), tf.Session() as session:
    variables = [tf.get_variable(
        f"v{i}", initializer=value.astype("f"), use_resource=True)
                 for i, value in enumerate(values)]
    rows = tf.placeholder(tf.int32, [None])
    outputs = tf.gather(variables[0], rows) @ variables[1].read_value()
    norm, step = optimizers.step(
        tf.reduce_sum(tf.square(outputs - 1)), [], variables,
        tf.constant(RATE), max_grad_norm, name, weight_decay=weight_decay)
    session.run(tf.global_variables_initializer())
    for number, batch in enumerate(BATCHES, 1):
      norm_before, _ = session.run([norm, step], {rows: batch})
      expected, expected_norm = gradients(*values, batch)
      assert norm_before == pytest.approx(expected_norm, rel=1e-4)
      scale = min(1, max_grad_norm / expected_norm)
      for value, gradient, moment, touched in zip(
          values, expected, moments, (np.unique(batch), slice(None)),
          strict=True):
        value *= 1 - RATE * weight_decay
        apply(name, value, scale * gradient, moment, number, touched)
    assert session.run(tf.train.get_global_step()) == len(BATCHES)
    for value, result in zip(values, session.run(variables), strict=True):
      np.testing.assert_allclose(result, value, atol=5e-6)


@pytest.mark.parametrize("weight_decay", [0.0, DECAY])
@pytest.mark.parametrize("max_grad_norm", [1e9, 0.3])
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_a_sum_of_two_moves_as_two_variables_do(
    name, max_grad_norm, weight_decay):
  with tf.Graph().as_default(), tf.Session() as session:
    def variable(name, value):
      return tf.get_variable(name, initializer=value, use_resource=True)

    weights = [variable(f"w{i}", [[1.0, 2.0], [0.5, -1.0]]) for i in range(2)]
    one = variable("b", [1.7, -1.4])  # far from 0, also after the steps
    two = [variable("b1", [1.5, -2.0]), variable("b2", [0.2, 0.6])]
    steps = []
    for weight, biases, terms in ((weights[0], [one], [1, 2]),
                                  (weights[1], two, None)):
      outputs = weight.read_value() @ [[1.0], [3.0]] + sum(
          bias.read_value() for bias in biases)[:, None]
      steps.append(optimizers.step(
          tf.reduce_sum(tf.square(outputs)), [], [weight, *biases],
          tf.constant(RATE), max_grad_norm, name, weight_decay=weight_decay,
          terms=terms))
    session.run(tf.global_variables_initializer())
    for _ in range(3):
      norm, expected = session.run([norm for norm, _ in steps])
      assert norm == pytest.approx(expected, rel=1e-5)
      session.run([step for _, step in steps])
      here, there = session.run([[weights[0], one], [weights[1], sum(
          bias.read_value() for bias in two)]])
      for value, result in zip(here, there, strict=True):
        np.testing.assert_allclose(value, result, rtol=1e-5)
    assert session.run(tf.train.get_global_step()) == 6  # by both models


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_counts_use_the_variables_before_the_step(name, precision):
  """Even a count that reads a variable by itself, and late."""
  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.get_variable("v", initializer=[3.0], use_resource=True)
    wait = tf.numpy_function(lambda: time.sleep(0.1), [], [])
    with tf.control_dependencies([wait]):
      counts = {"late": tf.reduce_sum(variable.read_value())}
    _, step = optimizers.step(
        tf.reduce_sum(variable.read_value()), list(counts.values()), [variable],
        tf.constant(RATE), 1e9, name, Options(precision=precision))
    session.run(tf.global_variables_initializer())
    result, _ = session.run([counts, step])
    assert result["late"] == 3
    assert session.run(variable) < 3


def test_gradients_are_added_in_a_fixed_order():
  """Sums of more than two terms would differ from run to run."""
  with tf.Graph().as_default() as graph:
    variable = tf.get_variable("v", initializer=[3.0], use_resource=True)
    value = variable.read_value()
    cost = tf.add_n([factor * tf.reduce_sum(tf.square(value))
                     for factor in (1.0, 2.0, 3.0, 4.0)])
    existing = graph.get_operations()
    optimizers.step(cost, [], [variable], tf.constant(RATE), 1e9)
    sums = [len(op.inputs) for op in graph.get_operations()
            if op not in existing and op.type in ("AddN", "AccumulateNV2")]
  assert sums == [2, 2, 2]
