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


def _next(from_input, from_h, bias_m, h):
  """The hidden state after h, from both shares of the gates, [B, 3H]."""
  r, z, n, _ = _gates(from_input, from_h, bias_m)
  return z * h + (1 - z) * n


def _gates(from_input, from_h, bias_m):
  """[..., 3H] twice -> r, z, n and m, the recurrent share of n: [..., H]."""
  r, z, n = tf.split(from_input, 3, axis=-1)
  r_h, z_h, m = tf.split(from_h, 3, axis=-1)
  r, z, m = tf.sigmoid(r + r_h), tf.sigmoid(z + z_h), m + bias_m
  return r, z, tf.tanh(n + r * m), m


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
    outputs = recurrent.zero_padding(live, outputs)
  return outputs, HiddenState(h)


def _fused(inputs, h_0, kernel, bias, live):
  """-> (outputs, h_T), and the function of their gradients."""
  num_steps, _, input_size = inputs.shape
  size = h_0.shape[-1]
  bits, floats = (functools.partial(tf.cast, dtype=dtype)
                  for dtype in (inputs.dtype, tf.float32))
  weights_x, weights_h = kernel[:input_size], kernel[input_size:]
  bias, bias_m = floats(bias[:3 * size]), floats(bias[3 * size:])
  from_input = _from_input(inputs, weights_x, bias, live)

  def step(before, from_input):
    h, _ = before
    from_h = floats(bits(h) @ weights_h)
    return _next(from_input, from_h, bias_m, h), from_h

  h, from_h = _scan(
      num_steps, step, (from_input,), (floats(h_0), from_input[0]))
  h_before = tf.concat([floats(h_0)[None], h[:-1]], axis=0)

  def grad(d_outputs, d_h):
    """Gradients of the four arguments, from those of the two results.

    With d_v the gradient of the cost by v, from the last step to the first:

        d_h_t = d_outputs_t + d_h_{t+1} z_{t+1} + d_from_h_{t+1} weights_h^T
    """
    r, z, n, m = _gates(from_input, from_h, bias_m)
    slopes, slope_n = _slopes(r, z, n, m, h_before)
    weights_h_t = tf.transpose(weights_h)  # once: see lstm.py

    def step_back(after, d_output, z, slopes):
      d_h = after[0] + d_output
      d_from_h = bits(tf.reshape(d_h[:, None] * slopes, [-1, 3 * size]))
      return d_h * z + floats(d_from_h @ weights_h_t), d_h

    d_h = floats(d_h)
    d_before, d_h = _scan(num_steps, step_back, (floats(d_outputs), z, slopes),
                          (d_h, d_h), reverse=True)
    d_r, d_z, d_m = (bits(d_h * x) for x in tf.unstack(slopes, axis=2))
    d_from_input = _rows(tf.concat([d_r, d_z, bits(d_h * slope_n)], axis=2))
    d_from_h = _rows(tf.concat([d_r, d_z, d_m], axis=2))
    ones = tf.ones_like(d_from_h[:, :1])  # a GEMM adds up faster than a sum
    d_kernel = tf.concat([
        tf.matmul(_rows(inputs), d_from_input, transpose_a=True),
        tf.matmul(_rows(bits(h_before)), d_from_h, transpose_a=True)], axis=0)
    d_bias = tf.concat([
        tf.matmul(ones, d_from_input, transpose_a=True),
        tf.matmul(ones, _rows(d_m), transpose_a=True)], axis=1)[0]
    d_inputs = tf.matmul(d_from_input, weights_x, transpose_b=True)
    return (tf.reshape(d_inputs, tf.shape(inputs)), bits(d_before[0]),
            d_kernel, d_bias)

  return (bits(h), bits(h[-1])), grad


def _from_input(inputs, weights, bias, live):
  """The input's share of r, z and n at all steps, [T, B, 3H], in float32.

  Where `live` [T, B, 1] is false, z is to be 1, so that h stays.
  """
  product = tf.cast(_rows(inputs) @ weights, tf.float32) + bias
  shape = tf.concat([tf.shape(inputs)[:2], tf.shape(bias)], axis=0)
  from_input = tf.reshape(product, shape)
  from_input.set_shape([inputs.shape[0], None, None])
  if live is None:
    return from_input
  padding = tf.repeat([0.0, _CLOSED, 0.0], bias.shape[0] // 3)
  return tf.where_v2(live, from_input, padding)


def _slopes(r, z, n, m, h_before):
  """How much of d_h goes to each gate before its nonlinearity.

  With sigma' = sigma (1 - sigma) and tanh' = 1 - tanh^2, from the equations:

      d_n = d_h (1 - z) (1 - n^2)
      d_m = d_n r
      d_r = d_n m r (1 - r)
      d_z = d_h (h_before - n) z (1 - z)

  Args:
    r, z, n, m: after their nonlinearities, [T, B, H], as is h_before.

  Returns:
    What d_h is multiplied by: for r, z and m [T, B, 3, H], for n [T, B, H].
  """
  slope_n = (1 - z) * (1 - tf.square(n))
  return tf.stack([
      slope_n * m * r * (1 - r), (h_before - n) * z * (1 - z), slope_n * r],
                  axis=2), slope_n


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
    def step_of_loop(before, x):
      after = step(before, *x)
      recurrent.keep_shapes(after, before)
      return after

    return tf.scan(step_of_loop, xs, state, reverse=reverse,
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


@recurrent.without_bfloat16
def cudnn_layer(inputs, state, kernel, bias, lengths=None):
  """The GRU of cuDNN, one call a layer; on an NVIDIA GPU alone."""
  size = state.h.shape[-1]
  biases = tf.concat([  # of r and z there are two here, of which one is 0
      bias[:3 * size], tf.zeros_like(bias[:2 * size]), bias[3 * size:]], axis=0)
  params = recurrent.cudnn_params(
      tf.stack(tf.split(kernel, 3, axis=1)), biases)
  return recurrent.cudnn("gru", inputs, state, params, lengths)


LAYERS = {
    "basic": recurrent.unrolled(_cell),
    "dynamic": recurrent.looped(_cell),
    "fused": fused_layer,
    "cudnn": cudnn_layer,
}
