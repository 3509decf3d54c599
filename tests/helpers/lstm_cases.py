"""Random arguments for LSTM layers."""

import numpy as np


def case(num_steps, batch_size, input_size, hidden_size):
  """Returns arguments of a layer, and gradients of its results.

  Returns:
    inputs, c, h, kernel and bias; then the gradients of outputs, c and h. All
    are float64.
  """
  rng = np.random.default_rng(num_steps)
  state = [batch_size, hidden_size]
  shapes = [[num_steps, batch_size, input_size], state, state,
            [input_size + hidden_size, 4 * hidden_size], [4 * hidden_size],
            [num_steps, *state], state, state]
  return [rng.normal(0, 0.7, shape) for shape in shapes]
