"""Gated recurrent units: one layer, several implementations; see cells.CELLS.

    layer(inputs, state, kernel, bias, lengths=None) -> outputs, state

  inputs   [T, B, I], time-major
  state    HiddenState of one [B, H]
  kernel   [I + H, 3H]; rows: input, then recurrent; columns: r, z, n
  bias     [4H]: of r, z and n, and of the recurrent share of n
  outputs  [T, B, H], the hidden state after every step

Of the unit of Cho et al. 2014 (arXiv 1406.1078), this is the variant of cuDNN,
PyTorch and Keras, in which the reset gate acts on the product of the recurrent
weights, so that a step needs one recurrent GEMM, not two:

    r_t = sigmoid(x_t W_r + h_{t-1} R_r + b_r)
    z_t = sigmoid(x_t W_z + h_{t-1} R_z + b_z)
    n_t = tanh(x_t W_n + b_n + r_t (h_{t-1} R_n + b_m))
    h_t = z_t h_{t-1} + (1 - z_t) n_t
"""

import functools

import recurrent
from recurrent import HiddenState
from tensorflow_v1 import tf

_CLOSED = 1e4  # before a sigmoid that is to be 1


def _cell(x, state, kernel, bias):
  """One step of the textbook cell: x [B, I] -> the next state."""
  size = state.h.shape[-1]
  from_input = x @ kernel[:-size] + bias[:3 * size]
  return HiddenState(_next(from_input, state.h @ kernel[-size:],
                           bias[3 * size:], state.h))


def _next(from_input, recurrent_, bias_m, h):
  """The hidden state after h, from both shares of the gates, [B, 3H]."""
  r, z, n, _ = _gates(from_input, recurrent_, bias_m)
  return z * h + (1 - z) * n


def _gates(from_input, recurrent_, bias_m):
  """[..., 3H] twice -> r, z, n and m, the recurrent share of n: [..., H]."""
  size = bias_m.shape[0]
  rz = tf.sigmoid(from_input[..., :2 * size] + recurrent_[..., :2 * size])
  r, z = tf.split(rz, 2, axis=-1)
  m = recurrent_[..., 2 * size:] + bias_m
  return r, z, tf.tanh(from_input[..., 2 * size:] + r * m), m


def fused_layer(inputs, state, kernel, bias, lengths=None):
  """The textbook cell with few large GEMMs, and a gradient written by hand.

  As lstm.fused_layer. T need not be static. Lengths cost nothing within the
  loop: past them z is 1.
  """
  live = None
  if lengths is not None:
    live = recurrent.live_steps(inputs, lengths)

  @tf.custom_gradient
  def fused(inputs, h_0, kernel, bias):
    return _fused(inputs, h_0, kernel, bias, live)

  outputs, h = fused(inputs, state.h, kernel, bias)
  if live is not None:
    outputs = tf.where_v2(live, outputs, tf.zeros_like(outputs))
  return outputs, HiddenState(h)


def _fused(inputs, h_0, kernel, bias, live):
  """-> (outputs, h_T), and the function of their gradients."""
  num_steps, _, input_size = inputs.shape
  size = h_0.shape[-1]
  bits, floats = (functools.partial(tf.cast, dtype=dtype)
                  for dtype in (inputs.dtype, tf.float32))
  weights, recurrent_ = kernel[:input_size], kernel[input_size:]
  bias, bias_m = floats(bias[:3 * size]), floats(bias[3 * size:])
  shape = tf.concat([tf.shape(inputs)[:2], [3 * size]], axis=0)
  from_input = floats(_rows(inputs) @ weights) + bias
  from_input = tf.reshape(from_input, shape)  # (T, B, 3H)
  from_input.set_shape([num_steps, None, None])
  if live is not None:
    closed = tf.where_v2(live, 0.0, _CLOSED) * tf.constant([0.0, 1.0, 0.0])
    from_input += tf.repeat(closed, size, axis=2)  # of z

  def step(before, from_input):
    h, _ = before
    product = floats(bits(h) @ recurrent_)
    return _next(from_input, product, bias_m, h), product

  h, products = _scan(
      num_steps, step, (from_input,), (floats(h_0), from_input[0]))
  h_before = tf.concat([floats(h_0)[None], h[:-1]], axis=0)

  def grad(d_outputs, d_h):
    r, z, n, m = _gates(from_input, products, bias_m)
    by_n = (1 - z) * (1 - tf.square(n))  # of n before its tanh, by h
    factors = tf.stack([
        by_n * m * r * (1 - r), (h_before - n) * z * (1 - z), by_n * r],
                       axis=2)  # (T, B, 3, H): of r, z before, and of m
    recurrent_t = tf.transpose(recurrent_)

    def back(after, d_output, z, factors):
      d_h = after[0] + d_output
      d_product = tf.reshape(d_h[:, None] * factors, [-1, 3 * size])
      return (d_h * z + floats(bits(d_product) @ recurrent_t), d_h)

    d_h = floats(d_h)
    d_before, d_all = _scan(
        num_steps, back, (floats(d_outputs), z, factors), (d_h, d_h),
        reverse=True)
    d_products = d_all[:, :, None] * factors  # (T, B, 3, H)
    d_gates = bits(tf.reshape(tf.concat(
        [d_products[:, :, :2], (d_all * by_n)[:, :, None]], axis=2),
                              [-1, 3 * size]))
    d_products = bits(tf.reshape(d_products, [-1, 3 * size]))
    d_kernel = tf.concat([
        tf.matmul(_rows(inputs), d_gates, transpose_a=True),
        tf.matmul(_rows(bits(h_before)), d_products, transpose_a=True)], axis=0)
    ones = tf.ones_like(d_gates[:, :1])  # a GEMM adds up faster than a sum
    d_bias = tf.concat([
        tf.matmul(ones, d_gates, transpose_a=True)[0],
        tf.matmul(ones, d_products[:, 2 * size:], transpose_a=True)[0]], axis=0)
    d_inputs = tf.matmul(d_gates, weights, transpose_b=True)
    return (tf.reshape(d_inputs, tf.shape(inputs)), bits(d_before[0]),
            d_kernel, d_bias)

  return (bits(h), bits(h[-1])), grad


def _scan(num_steps, step, xs, state, reverse=False):
  """Goes through steps, forward or in reverse.

  As tf.scan, which it is where T is not static (None); else unrolled.

  Args:
    step: a function, (state, an x of each of the xs) -> the state after it.
    xs: a tuple of [T, ...].

  Returns:
    The states after all steps, stacked, in the order of the xs.
  """
  if num_steps is None:
    return tf.scan(lambda state, x: step(state, *x), xs, state, reverse=reverse,
                   parallel_iterations=1, back_prop=False)
  steps = list(zip(*(tf.unstack(x, num_steps) for x in xs), strict=True))
  states = [None] * num_steps
  places = range(num_steps)
  for t in reversed(places) if reverse else places:
    states[t] = state = step(state, *steps[t])
  return tf.nest.map_structure(lambda *parts: tf.stack(parts), *states)


def _rows(x):
  """[T, B, n] -> [T*B, n]."""
  return tf.reshape(x, [-1, x.shape[-1]])


def cudnn_layer(inputs, state, kernel, bias, lengths=None):
  """The GRU of cuDNN, one call a layer; on an NVIDIA GPU alone."""
  found = recurrent.cudnn("gru", inputs, state.h, tf.zeros_like(state.h),
                          cudnn_params(kernel, bias), lengths)
  return found.output, HiddenState(found.output_h[0])


def cudnn_params(kernel, bias):
  """[I + H, 3H], [4H] -> the same as cuDNN has it, [(I + H) 3H + 6H].

  One after the other: the matrices of the input, of r, z and n, each [H, I];
  the recurrent ones, each [H, H]; and as many biases [H].
  """
  size = kernel.shape[1] // 3
  kernel = tf.transpose(tf.stack(tf.split(kernel, 3, axis=1)), [0, 2, 1])
  input_size = kernel.shape[2] - size
  return tf.concat([tf.reshape(part, [-1]) for part in (
      kernel[:, :, :input_size], kernel[:, :, input_size:], bias[:3 * size],
      tf.zeros([2 * size], bias.dtype), bias[3 * size:])], axis=0)


LAYERS = {
    "basic": recurrent.unrolled(_cell),
    "dynamic": recurrent.looped(_cell),
    "fused": fused_layer,
    "cudnn": recurrent.without_bfloat16(cudnn_layer),
}
