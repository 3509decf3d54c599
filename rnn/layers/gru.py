"""GRU layers: several implementations behind one signature.

    layer(inputs, state, kernel, bias, lengths=None) -> outputs, state

  inputs   [T, B, I], time-major; I is static, T for "basic"
  state    HiddenState of one [B, H]
  kernel   [I + H, 3H]; rows: input, then recurrent; columns: gates r, z, n
  bias     [4H]: b_r, b_z and b_n, and b_m for the recurrent share of n
  lengths  [B], steps of each row; past its end a row keeps its state
  outputs  [T, B, H], the hidden state after every step, 0 past a row's end

The gated recurrent unit was introduced by Cho et al. 2014 (arXiv 1406.1078).
This is the variant of cuDNN, PyTorch and Keras: the reset gate r multiplies the
recurrent product, not its input. So a step needs one recurrent GEMM, not two:

    r_t = sigmoid(x_t W_r + h_{t-1} R_r + b_r)
    z_t = sigmoid(x_t W_z + h_{t-1} R_z + b_z)
    n_t = tanh(x_t W_n + b_n + r_t (h_{t-1} R_n + b_m))
    h_t = z_t h_{t-1} + (1 - z_t) n_t
"""

from collections.abc import Callable
from typing import Any

from rnn.layers import recurrent
from rnn.layers.recurrent import HiddenState
from rnn.tf1 import tf


def _cell(x: tf.Tensor, state: HiddenState, kernel: tf.Tensor,
          bias: tf.Tensor) -> HiddenState:
  """Returns the state after one step of the textbook cell; x is [B, I]."""
  size = state.h.shape[-1]
  from_input = x @ kernel[:-size] + bias[:3 * size]
  return HiddenState(_next(from_input, state.h @ kernel[-size:],
                           bias[3 * size:], state.h))


def _next(from_input: tf.Tensor, from_h: tf.Tensor, bias_m: tf.Tensor,
          h: tf.Tensor) -> tf.Tensor:
  """Returns the hidden state that follows h, from both shares of the gates."""
  r, z, n, _ = _gates(from_input, from_h, bias_m)
  return z * h + (1 - z) * n


def _gates(from_input: tf.Tensor, from_h: tf.Tensor, bias_m: tf.Tensor
           ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns r, z, n, and m, the recurrent share of n; [..., H] each.

  Args:
    from_input, from_h: [..., 3H], the input's and the recurrent share of the
      gates. The biases are in the former, except for b_m.
    bias_m: b_m, [H].
  """
  r, z, n = tf.split(from_input, 3, axis=-1)
  r_h, z_h, m = tf.split(from_h, 3, axis=-1)
  r, z, m = tf.sigmoid(r + r_h), tf.sigmoid(z + z_h), m + bias_m
  return r, z, tf.tanh(n + r * m), m


def fused_layer(inputs: tf.Tensor, state: HiddenState, kernel: tf.Tensor,
                bias: tf.Tensor, lengths: tf.Tensor | None = None
                ) -> tuple[tf.Tensor, HiddenState]:
  """Applies the textbook cell with few large GEMMs and its own gradient.

  See `lstm.fused_layer`. Here T need not be static, and lengths cost nothing in
  the loop: past a row's end, z is 1.
  """
  live = None
  if lengths is not None:
    live = recurrent.live_steps(inputs, lengths)

  @tf.custom_gradient
  def fused(inputs, h_0, kernel, bias):  # `live` has no gradient
    return _fused(inputs, h_0, kernel, bias, live)

  outputs, h = fused(inputs, state.h, kernel, bias)
  if live is not None:
    outputs = recurrent.zero_out_padding(live, outputs)
  return outputs, HiddenState(h)


def _fused(inputs: tf.Tensor, h_0: tf.Tensor, kernel: tf.Tensor,
           bias: tf.Tensor, live: tf.Tensor | None
           ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
  """Returns (outputs, h_T), and the function of their gradients."""
  num_steps, _, input_size = inputs.shape
  size = h_0.shape[-1]
  to_compute_dtype, to_float32 = recurrent.casts(inputs.dtype)
  flatten = recurrent.flatten_steps
  weights_x, weights_h = kernel[:input_size], kernel[input_size:]
  bias, bias_m = to_float32(bias[:3 * size]), to_float32(bias[3 * size:])
  from_input = _from_input(inputs, weights_x, bias, live)

  def step(before, from_input):
    h, _ = before
    from_h = to_float32(to_compute_dtype(h) @ weights_h)
    return _next(from_input, from_h, bias_m, h), from_h

  # The products with h are kept: the gradient computes the gates from them
  # again, for all steps at once. from_input[0] only lends its shape.
  h, from_h = _scan(
      num_steps, step, (from_input,), (to_float32(h_0), from_input[0]))
  h_before = tf.concat([to_float32(h_0)[None], h[:-1]], axis=0)

  def grad(d_outputs, d_h):
    """Returns the gradients of the four arguments.

    The parameters are the gradients of the two results. d_v stands for the
    gradient of the cost with respect to v. From the last step to the first:

        d_h_t = d_outputs_t + d_h_{t+1} z_{t+1} + d_from_h_{t+1} weights_h^T
    """
    r, z, n, m = _gates(from_input, from_h, bias_m)
    slopes, slope_n = _slopes(r, z, n, m, h_before)
    weights_h_t = tf.transpose(weights_h)  # once: see `lstm._fused`

    def step_back(after, d_output, z, slopes):
      d_h = after[0] + d_output
      d_from_h = to_compute_dtype(
          tf.reshape(d_h[:, None] * slopes, [-1, 3 * size]))
      return d_h * z + to_float32(d_from_h @ weights_h_t), d_h

    d_h = to_float32(d_h)
    d_before, d_h = _scan(
        num_steps, step_back, (to_float32(d_outputs), z, slopes), (d_h, d_h),
        reverse=True)
    d_r, d_z, d_m = (to_compute_dtype(d_h * slope)
                     for slope in tf.unstack(slopes, axis=2))
    d_from_input = flatten(
        tf.concat([d_r, d_z, to_compute_dtype(d_h * slope_n)], axis=2))
    d_from_h = flatten(tf.concat([d_r, d_z, d_m], axis=2))
    d_kernel, d_bias = _parameter_gradients(
        inputs, h_before, d_from_input, d_from_h, d_m)
    d_inputs = tf.matmul(d_from_input, weights_x, transpose_b=True)
    return (tf.reshape(d_inputs, tf.shape(inputs)),
            to_compute_dtype(d_before[0]), d_kernel, d_bias)

  return (to_compute_dtype(h), to_compute_dtype(h[-1])), grad


def _parameter_gradients(
    inputs: tf.Tensor, h_before: tf.Tensor, d_from_input: tf.Tensor,
    d_from_h: tf.Tensor, d_m: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the gradients of kernel and bias, by GEMMs over T*B rows.

  Args:
    inputs: [T, B, I].
    h_before: [T, B, H].
    d_from_input, d_from_h: [T*B, 3H], the gradients of the shares of the gates.
    d_m: [T, B, H].
  """
  flatten = recurrent.flatten_steps
  ones = tf.ones_like(d_from_h[:, :1])  # sums by GEMM: see `lstm._fused`
  d_kernel = tf.concat([
      tf.matmul(flatten(inputs), d_from_input, transpose_a=True),
      tf.matmul(flatten(tf.cast(h_before, inputs.dtype)), d_from_h,
                transpose_a=True)], axis=0)
  d_bias = tf.concat([
      tf.matmul(ones, d_from_input, transpose_a=True),
      tf.matmul(ones, flatten(d_m), transpose_a=True)], axis=1)[0]
  return d_kernel, d_bias


def _from_input(inputs: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor,
                live: tf.Tensor | None) -> tf.Tensor:
  """Returns the input's share of the gates at all steps, [T, B, 3H], float32.

  Where `live` [T, B, 1] is false, z becomes 1, so that h stays.
  """
  product = tf.cast(
      recurrent.flatten_steps(inputs) @ weights, tf.float32) + bias
  shape = tf.concat([tf.shape(inputs)[:2], tf.shape(bias)], axis=0)
  from_input = tf.reshape(product, shape)
  from_input.set_shape([inputs.shape[0], None, None])
  if live is None:
    return from_input
  padding = tf.repeat([0.0, recurrent.SATURATED, 0.0], bias.shape[0] // 3)
  return tf.where_v2(live, from_input, padding)


def _slopes(r: tf.Tensor, z: tf.Tensor, n: tf.Tensor, m: tf.Tensor,
            h_before: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the factors that turn d_h into the gradients of the gates.

  The gradients are with respect to the gates before their nonlinearities. With
  sigma' = sigma (1 - sigma) and tanh' = 1 - tanh^2 they are:

      d_n = d_h (1 - z) (1 - n^2)
      d_m = d_n r
      d_r = d_n m r (1 - r)
      d_z = d_h (h_before - n) z (1 - z)

  None of the factors depends on d_h, so they are computed for all steps before
  the loop.

  Args:
    r, z, n: [T, B, H], after their nonlinearities.
    m, h_before: [T, B, H].

  Returns:
    The factors for r, z and m as [T, B, 3, H], and for n as [T, B, H].
  """
  slope_n = (1 - z) * (1 - tf.square(n))
  return tf.stack([
      slope_n * m * r * (1 - r), (h_before - n) * z * (1 - z), slope_n * r],
                  axis=2), slope_n


def _scan(num_steps: int | None, step: Callable, xs: tuple[tf.Tensor, ...],
          state: Any, reverse: bool = False) -> Any:
  """Applies a function step by step, forward or in reverse.

  If T is static the loop is unrolled, which is faster. Otherwise it is tf.scan.

  Args:
    num_steps: T, or None if it is not static.
    step: a function, (state, one x from each of the xs) -> the next state.
    xs: tensors [T, ...].
    state: the state before the first step that is applied.

  Returns:
    The states after all steps, stacked, in the order of the xs.
  """
  if num_steps is None:
    def scan_step(before, x):
      after = step(before, *x)
      recurrent.copy_shapes(after, before)
      return after

    # `fused_layer` has its own gradient, so the loop needs none.
    return tf.scan(scan_step, xs, state, reverse=reverse,
                   parallel_iterations=1, back_prop=False)
  steps = list(zip(*(tf.unstack(x, num_steps) for x in xs), strict=True))
  states = [None] * num_steps
  indices = range(num_steps)
  for t in reversed(indices) if reverse else indices:
    states[t] = state = step(state, *steps[t])
  return tf.nest.map_structure(lambda *parts: tf.stack(parts), *states)


@recurrent.without_bfloat16  # for the reason given at `lstm.cudnn_layer`
def cudnn_layer(inputs: tf.Tensor, state: HiddenState, kernel: tf.Tensor,
                bias: tf.Tensor, lengths: tf.Tensor | None = None
                ) -> tuple[tf.Tensor, HiddenState]:
  """Applies cuDNN's GRU, one call per layer; needs an NVIDIA GPU."""
  size = state.h.shape[-1]
  # cuDNN has two biases for every gate: b_r, b_z, b_n, then 0, 0, b_m.
  biases = tf.concat(
      [bias[:3 * size], tf.zeros_like(bias[:2 * size]), bias[3 * size:]],
      axis=0)
  params = recurrent.cudnn_params(
      tf.stack(tf.split(kernel, 3, axis=1)), biases)
  return recurrent.cudnn("gru", inputs, state, params, lengths)


LAYERS: dict[str, recurrent.Layer] = {
    "basic": recurrent.unrolled(_cell),
    "dynamic": recurrent.looped(_cell),
    "fused": fused_layer,
    "cudnn": cudnn_layer,
}
