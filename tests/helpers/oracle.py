"""The reference: cells and model in NumPy and float64, with gradients.

It is written step by step from the equations, and is not meant to be fast.
"""

import numpy as np


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def lstm(inputs, c, h, kernel, bias):
  """Returns outputs [T, B, H], (c, h), and the tape for `lstm_gradient`."""
  outputs, tape = [], []
  for x in inputs:
    xh = np.concatenate([x, h], axis=1)
    i, j, f, o = np.split(xh @ kernel + bias, 4, axis=1)
    i, j, f, o = sigmoid(i), np.tanh(j), sigmoid(f), sigmoid(o)
    c_before, c = c, f * c + i * j
    h = o * np.tanh(c)
    tape.append((xh, i, j, f, o, c_before, c))
    outputs.append(h)
  return np.array(outputs), (c, h), tape


def lstm_gradient(tape, kernel, d_outputs, d_c, d_h):
  """Returns the gradients of inputs, c, h, kernel and bias.

  Args:
    tape: from `lstm`.
    d_outputs, d_c, d_h: the gradients of the results of `lstm`.
  """
  d_inputs, d_kernel = [], np.zeros_like(kernel)
  d_bias = np.zeros(kernel.shape[1])
  for (xh, i, j, f, o, c_before, c), d_output in zip(
      reversed(tape), d_outputs[::-1], strict=True):
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


def _lstmp_step(x, state, kernel, bias, projection):
  c, h = state
  i, j, f, o = np.split(np.concatenate([x, h], axis=1) @ kernel + bias, 4,
                        axis=1)
  c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
  return c, (sigmoid(o) * np.tanh(c)) @ projection


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


# Each is a function, (x, state, *weights) -> the state after the step.
STEPS = {"lstm": _lstm_step, "peephole": _peephole_step, "lstmp": _lstmp_step,
         "gru": _gru_step, "rnn": _rnn_step}


def layer(cell, inputs, state, *weights, lengths=None):
  """Returns the outputs [T, B, H] and the final state of a layer.

  Each row runs by itself, up to its end.

  Args:
    cell: a key of STEPS.
    state: a tuple of [B, H]; h comes last.
    weights: kernel, bias and so on.
  """
  num_steps, batch_size, _ = inputs.shape
  outputs = np.zeros([num_steps, batch_size, state[-1].shape[1]], inputs.dtype)
  final = [np.array(part, inputs.dtype) for part in state]
  for row in range(batch_size):
    now = tuple(part[row:row + 1] for part in final)
    for t in range(num_steps if lengths is None else lengths[row]):
      now = STEPS[cell](inputs[t, row:row + 1], now, *weights)
      outputs[t, row] = now[-1][0]
    for part, value in zip(final, now, strict=True):
      part[row] = value[0]
  return outputs, tuple(final)


def complex_step_gradients(function, arrays):
  """Returns the gradients of a scalar function with respect to its arrays.

  They come from steps along the imaginary axis (Squire and Trapp 1998):
  f'(x) = Im f(x + ih) / h. Nothing is subtracted, so the result is exact to
  rounding. The function has to be analytic.
  """
  gradients = []
  for number, array in enumerate(arrays):
    gradient = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
      moved = [a.astype(complex) for a in arrays]
      moved[number][index] += 1e-30j
      gradient[index] = function(*moved).imag / 1e-30
    gradients.append(gradient)
  return gradients


def cudnn(xp, mode, inputs, h, c, params, live=None):
  """Returns outputs [T, B, H], h and c of a layer as cuDNN's manual defines it.

  The order of the parameters is from cudnnGetRNNWeightParams: the input
  matrices of all gates, their recurrent matrices, their biases of the input,
  their recurrent biases.

  Args:
    xp: NumPy or TensorFlow, the module to compute with.
    mode: a key of CUDNN_STEPS.
    c: only "lstm" uses it.
    live: [T, B, 1], 1 or 0; where it is 0, h and c stay.
  """
  num_gates, step = CUDNN_STEPS[mode]
  parts, start = [], 0
  input_size, size = inputs.shape[-1], h.shape[-1]
  for shape in ([[size, input_size]] * num_gates + [[size, size]] * num_gates
                + [[size]] * 2 * num_gates):
    end = start + np.prod(shape)
    parts.append(xp.reshape(params[start:end], shape))
    start = end
  assert start == params.shape[0]
  w, r, b_w, b_r = (
      parts[k * num_gates:(k + 1) * num_gates] for k in range(4))
  outputs = []
  for t in range(inputs.shape[0]):
    new_h, new_c = step(
        xp, [inputs[t] @ xp.transpose(w[k]) + b_w[k] for k in range(num_gates)],
        [h @ xp.transpose(r[k]) + b_r[k] for k in range(num_gates)], h, c)
    share = 1 if live is None else live[t]
    h, c = (share * new + (1 - share) * old
            for new, old in ((new_h, h), (new_c, c)))
    outputs.append(share * h)
  return xp.stack(outputs), h, c


def _cudnn_sigmoid(xp, x):
  return 1 / (1 + xp.exp(-x))


def _cudnn_lstm_step(xp, from_x, from_h, h, c):
  i, f, new, o = (from_x[k] + from_h[k] for k in range(4))
  i, f, o = (_cudnn_sigmoid(xp, x) for x in (i, f, o))
  c = f * c + i * xp.tanh(new)
  return o * xp.tanh(c), c


def _cudnn_gru_step(xp, from_x, from_h, h, c):
  reset, update = (
      _cudnn_sigmoid(xp, from_x[k] + from_h[k]) for k in range(2))
  new = xp.tanh(from_x[2] + reset * from_h[2])
  return (1 - update) * new + update * h, c


def _cudnn_tanh_step(xp, from_x, from_h, h, c):
  return xp.tanh(from_x[0] + from_h[0]), c


# Number of gates, and a function: xp, the shares of the gates from x and from
# h, then h and c -> the next h and c.
CUDNN_STEPS = {"lstm": (4, _cudnn_lstm_step), "gru": (3, _cudnn_gru_step),
               "rnn_tanh": (1, _cudnn_tanh_step)}


def cross_entropy(logits, targets):
  """Returns the cross entropy, and its gradient with respect to the logits.

  Args:
    logits: [..., V].
    targets: [...].

  Returns:
    nats [...], gradient [..., V].
  """
  exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
  p = exps / exps.sum(axis=-1, keepdims=True)
  onehot = np.eye(logits.shape[-1])[targets]
  return -np.log((p * onehot).sum(axis=-1)), p - onehot


def sampled_cross_entropy(hidden, rows, bias, candidates, targets):
  """Returns the cross entropy of targets among candidates, nats [N].

  Args:
    hidden: [N, H].
    rows: [V, H].
    bias: [V].
    candidates: [S] ids, drawn with replacement from the log-uniform
      distribution. One that is the target of a row is left out there.
    targets: [N] ids.
  """
  k = np.arange(len(bias))
  log_expected = np.log(len(candidates) * np.log((k + 2) / (k + 1))
                        / np.log(len(bias) + 1))
  nats = []
  for h, target in zip(hidden, targets, strict=True):
    logits = rows @ h + bias - log_expected
    others = candidates[candidates != target]
    nats.append(np.log(np.exp(logits[others] - logits[target]).sum() + 1))
  return np.array(nats)


class Model:
  """A language model with LSTM layers.

  Without "Model/softmax_w", the weights of the softmax are the transpose of the
  embedding, and "Model/softmax_projection" may come before it.

  Attributes:
    parameters: a dict, name in a checkpoint -> array.
  """

  def __init__(self, parameters):
    self.parameters = {k: v.astype(np.float64) for k, v in parameters.items()}
    self.num_layers = sum(k.endswith("kernel") for k in parameters)

  def layer(self, i):
    """Returns the names of the kernel and the bias of a layer."""
    cell = f"Model/RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
    return cell + "kernel", cell + "bias"

  def forward(self, inputs, targets, state, masks):
    """Returns nats [T, B] and the final state.

    Args:
      inputs, targets: [T, B]; a negative target does not count.
      state: (c, h) of each layer.
      masks: L + 1 factors, for the embedding and for each layer's outputs.
    """
    p = self.parameters
    x = p["Model/embedding"][inputs] * masks[0]
    self.tapes, final = [], []
    for i in range(self.num_layers):
      kernel, bias = self.layer(i)
      x, after, tape = lstm(x, *state[i], p[kernel], p[bias])
      x = x * masks[i + 1]
      self.tapes.append(tape)
      final.append(after)
    logits = x @ self.projection() @ self.softmax_w() + p["Model/softmax_b"]
    nats, self.d_logits = cross_entropy(logits, targets)
    counts = targets >= 0
    self.d_logits *= counts[..., None]
    self.hidden, self.inputs, self.masks = x, inputs, masks
    return nats * counts, final

  def projection(self):
    """Returns the factor between the outputs and the softmax, [H, E]."""
    projection = self.parameters.get("Model/softmax_projection")
    return np.eye(len(self.softmax_w())) if projection is None else projection

  def softmax_w(self):
    """Returns the weights of the softmax, [E, V]."""
    weights = self.parameters.get("Model/softmax_w")
    return self.parameters["Model/embedding"].T if weights is None else weights

  def gradients(self):
    """Returns the gradients of the cost: a dict like `parameters`.

    The cost is nats, summed over T and averaged over B.
    """
    p, grads = self.parameters, {}
    d_logits = self.d_logits / self.inputs.shape[1]
    d_weights = np.einsum(
        "tbe,tbv->ev", self.hidden @ self.projection(), d_logits)
    grads["Model/softmax_b"] = d_logits.sum(axis=(0, 1))
    d = d_logits @ self.softmax_w().T
    d_projection = np.einsum("tbh,tbe->he", self.hidden, d)
    d = d @ self.projection().T
    for i in reversed(range(self.num_layers)):
      kernel, bias = self.layer(i)
      d, _, _, grads[kernel], grads[bias] = lstm_gradient(
          self.tapes[i], p[kernel], d * self.masks[i + 1], 0, 0)
    self.d_embedded = d * self.masks[0]  # one row per position, not per word
    grads["Model/embedding"] = np.zeros_like(p["Model/embedding"])
    np.add.at(grads["Model/embedding"], self.inputs, self.d_embedded)
    if "Model/softmax_w" in p:
      grads["Model/softmax_w"] = d_weights
    else:
      grads["Model/embedding"] += d_weights.T
    if "Model/softmax_projection" in p:
      grads["Model/softmax_projection"] = d_projection
    return grads

  def step(self, learning_rate, max_grad_norm, two_biases=False):
    """Takes a step of clipped gradient descent.

    Args:
      two_biases: whether each bias of a layer is the sum of two parameters,
        each of which has the gradient of the sum.

    Returns:
      The global norm of the gradient before clipping.
    """
    grads = self.gradients()
    if two_biases:
      grads |= {f"{name} of the state": grad for name, grad in grads.items()
                if name.endswith("/bias")}
    norm = np.sqrt(sum((g ** 2).sum() for g in grads.values()))
    for name, grad in grads.items():
      self.parameters[name.removesuffix(" of the state")] -= (
          learning_rate * min(1, max_grad_norm / norm) * grad)
    return norm
