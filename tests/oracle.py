"""The model in NumPy and float64, with gradients: what the others must equal.

Written step by step from the equations, with no thought for speed.
"""

import numpy as np


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def lstm(inputs, c, h, kernel, bias):
  """-> outputs [T, B, H], (c, h), and what `lstm_gradient` needs."""
  outputs, steps = [], []
  for x in inputs:
    xh = np.concatenate([x, h], axis=1)
    i, j, f, o = np.split(xh @ kernel + bias, 4, axis=1)
    i, j, f, o = sigmoid(i), np.tanh(j), sigmoid(f), sigmoid(o)
    c_before, c = c, f * c + i * j
    h = o * np.tanh(c)
    steps.append((xh, i, j, f, o, c_before, c))
    outputs.append(h)
  return np.array(outputs), (c, h), steps


def lstm_gradient(steps, kernel, d_outputs, d_c, d_h):
  """-> gradients of inputs, c, h, kernel and bias."""
  d_inputs, d_kernel = [], np.zeros_like(kernel)
  d_bias = np.zeros(kernel.shape[1])
  for (xh, i, j, f, o, c_before, c), d_output in zip(
      reversed(steps), d_outputs[::-1], strict=True):
    d_h = d_h + d_output
    d_c = d_c + d_h * o * (1 - np.tanh(c) ** 2)
    d_gates = np.concatenate([
        d_c * j * i * (1 - i), d_c * i * (1 - j ** 2),
        d_c * c_before * f * (1 - f), d_h * np.tanh(c) * o * (1 - o)], axis=1)
    d_xh = d_gates @ kernel.T
    size = xh.shape[1] - d_h.shape[1]
    d_inputs.insert(0, d_xh[:, :size])
    d_c, d_h = d_c * f, d_xh[:, size:]
    d_kernel += xh.T @ d_gates
    d_bias += d_gates.sum(axis=0)
  return np.array(d_inputs), d_c, d_h, d_kernel, d_bias


def _peephole_step(x, state, kernel, bias):
  (c, h), size = state, state[0].shape[1]
  w_i, w_f, w_o = np.split(bias[4 * size:], 3)
  i, j, f, o = np.split(
      np.concatenate([x, h], axis=1) @ kernel + bias[:4 * size], 4, axis=1)
  c = sigmoid(f + w_f * c) * c + sigmoid(i + w_i * c) * np.tanh(j)
  return c, sigmoid(o + w_o * c) * np.tanh(c)


def _lstm_step(x, state, kernel, bias):
  size = state[0].shape[1]
  return _peephole_step(
      x, state, kernel, np.concatenate([bias, np.zeros(3 * size)]))


def _gru_step(x, state, kernel, bias):
  (h,), size = state, state[0].shape[1]
  b_r, b_z, b_n, b_m = np.split(bias, 4)
  w, u = (np.split(part, 3, axis=1) for part in (kernel[:-size],
                                                 kernel[-size:]))
  r = sigmoid(x @ w[0] + h @ u[0] + b_r)
  z = sigmoid(x @ w[1] + h @ u[1] + b_z)
  n = np.tanh(x @ w[2] + b_n + r * (h @ u[2] + b_m))
  return (z * h + (1 - z) * n,)


def _rnn_step(x, state, kernel, bias):
  return (np.tanh(np.concatenate([x, state[0]], axis=1) @ kernel + bias),)


STEPS = {"lstm": _lstm_step, "peephole": _peephole_step, "gru": _gru_step,
         "rnn": _rnn_step}


def layer(cell, inputs, state, kernel, bias, lengths=None):
  """A layer, each row by itself to its end -> outputs [T, B, H], final state.

  Args:
    cell: a key of STEPS.
    state: a tuple of [B, H], the last of them h.
  """
  num_steps, batch_size, _ = inputs.shape
  outputs = np.zeros([num_steps, batch_size, state[-1].shape[1]], inputs.dtype)
  final = [np.array(part, inputs.dtype) for part in state]
  for row in range(batch_size):
    now = tuple(part[row:row + 1] for part in final)
    for t in range(num_steps if lengths is None else lengths[row]):
      now = STEPS[cell](inputs[t, row:row + 1], now, kernel, bias)
      outputs[t, row] = now[-1][0]
    for part, value in zip(final, now, strict=True):
      part[row] = value[0]
  return outputs, tuple(final)


def slopes(function, arrays):
  """The gradients of a sum by arrays, from steps along the imaginary axis.

  Exact to rounding, for a function of real analytic steps (Squire and Trapp
  1998): f'(x) = Im f(x + ih) / h.
  """
  gradients = []
  for number, array in enumerate(arrays):
    gradient = np.zeros_like(array)
    for place in np.ndindex(*array.shape):
      moved = [a.astype(complex) for a in arrays]
      moved[number][place] += 1e-30j
      gradient[place] = function(*moved).imag / 1e-30
    gradients.append(gradient)
  return gradients


def cudnn_gru(xp, inputs, h, params):
  """As `cudnn_lstm`, of the gates reset, update and new memory."""
  w, r, b_w, b_r = _cudnn_parts(xp, params, 3, inputs.shape[-1], h.shape[-1])
  outputs = []
  for t in range(inputs.shape[0]):
    reset, update = (
        1 / (1 + xp.exp(-(inputs[t] @ w[k] + h @ r[k] + b_w[k] + b_r[k])))
        for k in range(2))
    new = xp.tanh(
        inputs[t] @ w[2] + b_w[2] + reset * (h @ r[2] + b_r[2]))
    h = (1 - update) * new + update * h
    outputs.append(h)
  return xp.stack(outputs), h


def _cudnn_parts(xp, params, gates, input_size, size):
  """The matrices of the input, the recurrent ones, and as many biases."""
  parts, start = [], 0
  for shape in ([[size, input_size]] * gates + [[size, size]] * gates
                + [[size]] * 2 * gates):
    end = start + np.prod(shape)
    parts.append(xp.reshape(params[start:end], shape))
    start = end
  assert start == params.shape[0]
  w, r = ([xp.transpose(x) for x in part]
          for part in (parts[:gates], parts[gates:2 * gates]))
  return w, r, parts[2 * gates:3 * gates], parts[3 * gates:]


def cudnn_lstm(xp, inputs, h, c, params):
  """One layer as cuDNN's manual has it -> outputs [T, B, H], h, c.

  Of its parameters, the matrices come first (see cudnnGetRNNWeightParams):
  those of the input, then the recurrent ones, each time of the input gate, the
  forget gate, the new memory and the output gate; then as many biases.

  Args:
    xp: NumPy, or TensorFlow.
  """
  w, r, b_w, b_r = _cudnn_parts(xp, params, 4, inputs.shape[-1], h.shape[-1])
  outputs = []
  for t in range(inputs.shape[0]):
    i, f, new, o = (inputs[t] @ w[k] + h @ r[k] + b_w[k] + b_r[k]
                    for k in range(4))
    i, f, o = (1 / (1 + xp.exp(-x)) for x in (i, f, o))
    c = f * c + i * xp.tanh(new)
    h = o * xp.tanh(c)
    outputs.append(h)
  return xp.stack(outputs), h, c


def cross_entropy(logits, targets):
  """[..., V] and [...] -> nats [...], and their gradient by the logits."""
  exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
  p = exps / exps.sum(axis=-1, keepdims=True)
  onehot = np.eye(logits.shape[-1])[targets]
  return -np.log((p * onehot).sum(axis=-1)), p - onehot


class Model:
  """A language model of a list of LSTM layers.

  Attributes:
    parameters: name -> array, under the names of the checkpoint.
  """

  def __init__(self, parameters):
    self.parameters = {k: v.astype(np.float64) for k, v in parameters.items()}
    self.num_layers = sum(k.endswith("kernel") for k in parameters)

  def layer(self, i):
    cell = f"Model/RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
    return cell + "kernel", cell + "bias"

  def forward(self, inputs, targets, state, masks):
    """-> nats [T, B], final state; masks multiply at the L + 1 places."""
    p = self.parameters
    x = p["Model/embedding"][inputs] * masks[0]
    self.tape, final = [], []
    for i in range(self.num_layers):
      kernel, bias = self.layer(i)
      x, after, steps = lstm(x, *state[i], p[kernel], p[bias])
      x = x * masks[i + 1]
      self.tape.append(steps)
      final.append(after)
    nats, self.d_logits = cross_entropy(
        x @ p["Model/softmax_w"] + p["Model/softmax_b"], targets)
    self.hidden, self.inputs, self.masks = x, inputs, masks
    return nats, final

  def gradients(self):
    """Of the cost: nats summed over T and averaged over B."""
    p, grads = self.parameters, {}
    d_logits = self.d_logits / self.inputs.shape[1]
    grads["Model/softmax_w"] = np.einsum("tbh,tbv->hv", self.hidden, d_logits)
    grads["Model/softmax_b"] = d_logits.sum(axis=(0, 1))
    d = d_logits @ p["Model/softmax_w"].T
    for i in reversed(range(self.num_layers)):
      kernel, bias = self.layer(i)
      d, _, _, grads[kernel], grads[bias] = lstm_gradient(
          self.tape[i], p[kernel], d * self.masks[i + 1], 0, 0)
    self.d_embedded = d * self.masks[0]  # a row a position, not yet a word
    grads["Model/embedding"] = np.zeros_like(p["Model/embedding"])
    np.add.at(grads["Model/embedding"], self.inputs, self.d_embedded)
    return grads

  def step(self, learning_rate, max_grad_norm):
    """One step of clipped gradient descent -> the norm before clipping."""
    grads = self.gradients()
    norm = np.sqrt(sum((g ** 2).sum() for g in grads.values()))
    for name, grad in grads.items():
      self.parameters[name] -= (
          learning_rate * min(1, max_grad_norm / norm) * grad)
    return norm
