"""A window in two halves."""

import numpy as np
import pytest

from rnn.layers import halves, recurrent
from rnn.tf1 import tf


@pytest.mark.parametrize("num_steps, static, has_gpu, usual, expected", [
    (6, True, False, None, [3, 3]), (5, True, False, None, [3, 2]),
    (2, True, False, None, [1, 1]), (1, True, False, None, [1]),
    (6, True, True, None, [6]), (6, False, False, None, [6]),
    (6, True, False, 3, [2, 4]), (6, True, False, 1, [1, 5]),
    (6, True, False, 35, [3, 3])])
def test_the_second_half_starts_from_the_state_after_the_first(
    monkeypatch, num_steps, static, has_gpu, usual, expected):
  monkeypatch.setattr(recurrent, "has_gpu", lambda: has_gpu)
  lengths = []

  def run(inputs, targets, masks, state):
    lengths.append(tf.shape(inputs)[0])
    return {"outputs": inputs + masks[0] + masks[3],
            "losses": targets * state}, state + 1

  x = np.arange(num_steps * 2, dtype=np.int32).reshape(num_steps, 2)
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = tf.placeholder_with_default(x, [num_steps if static else None, 2])
    masks = {0: 100 * inputs, 3: tf.constant([[3, 7]])}  # one for all steps
    results, state, lengths = session.run([*halves.run_in_halves(
        run, inputs, 10 * inputs, masks, tf.constant(1), usual), lengths])
  assert lengths == expected and state == 1 + len(expected)
  assert list(results) == ["outputs", "losses"]
  assert (results["outputs"] == 101 * x + [3, 7]).all()
  states = np.repeat(np.arange(1, state), lengths)
  assert (results["losses"] == 10 * x * states[:, None]).all()
