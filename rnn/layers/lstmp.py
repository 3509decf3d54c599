"""LSTM layers with a recurrent projection, behind the signature of all layers.

    layer(inputs, state, kernel, bias, projection, lengths=None)
        -> outputs, state

  inputs      [T, B, I], time-major; I must be static; so must T for "basic"
              and "fused"
  state       LSTMState of c [B, H] and h [B, P]
  kernel      [I + P, 4H]; rows: input, then recurrent; gates i, j, f, o
  bias        [4H]
  projection  [H, P]
  lengths     [B], steps of each row; past its end a row keeps its state
  outputs     [T, B, P], h after every step, 0 past a row's end

Sak, Senior and Beaufays 2014 (arXiv 1402.1128) put a matrix between the H
units and what the layer hands on, to the next step and to the next layer. It
has P columns, so the kernel has P recurrent rows, not H:

    [i j f o] = [x_t h_{t-1}] kernel + bias
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(j)
    m_t = sigmoid(o) tanh(c_t)
    h_t = m_t projection
"""

from collections.abc import Callable, Sequence

from rnn.layers import lstm, recurrent
from rnn.layers.lstm import LSTMState
from rnn.tf1 import tf


def _cell(x: tf.Tensor, state: LSTMState, kernel: tf.Tensor, bias: tf.Tensor,
          projection: tf.Tensor) -> LSTMState:
  """Returns the state after one step of the textbook cell; x is [B, I]."""
  c, m = lstm.cell(x, state, kernel, bias)
  return LSTMState(c, m @ projection)


def fused_layer(inputs: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
                bias: tf.Tensor, projection: tf.Tensor,
                lengths: tf.Tensor | None = None
                ) -> tuple[tf.Tensor, LSTMState]:
  """Applies the textbook cell with few large GEMMs and its own gradient.

  See `lstm.fused_layer`. The loop has one more GEMM per step in each direction.
  The gradient of the projection is one GEMM over T*B rows.
  """
  live = None
  if lengths is not None:
    live = recurrent.live_steps(inputs, lengths)

  @tf.custom_gradient
  def fused(inputs, c_0, h_0, kernel, bias, projection):  # not `live`
    return _fused(inputs, LSTMState(c_0, h_0), kernel, bias, projection, live)

  outputs, c, h = fused(inputs, *state, kernel, bias, projection)
  if live is not None:
    outputs = recurrent.zero_out_padding(live, outputs)
  return outputs, LSTMState(c, h)


def _fused(inputs: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
           bias: tf.Tensor, projection: tf.Tensor, live: tf.Tensor | None
           ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable]:
  """Returns (outputs, c_T, h_T), and a function that computes the gradients.

  Where `live` [T, B, 1] is false, c stays and h is copied, and so are their
  gradients; see `lstm.from_input`.
  """
  to_compute_dtype, to_float32 = recurrent.casts(inputs.dtype)
  from_input = lstm.from_input(inputs, kernel, bias, live)  # (T, B, 4H)
  weights = kernel[inputs.shape[2]:]  # (P, 4H)
  live_by_step = lstm.by_step(live, inputs.shape[0])
  c, h, m, activations = _forward(
      from_input, live_by_step, weights, projection, state)

  def grad(d_outputs, d_c, d_h):
    """Returns the gradients of the six arguments; see the layer without P.

    From the last step to the first:

        d_h_t = d_outputs_t + d_gates_{t+1} weights^T
        d_m_t = d_h_t projection^T
    """
    # Transposed once, before the loop, as in `lstm.py`.
    weights_t, projection_t = tf.transpose(weights), tf.transpose(projection)
    # The op of the gate gradients reads a kernel for its shape only. Nothing
    # writes to the memory of this one, so it takes up none.
    shapes = tf.raw_ops.Empty(
        shape=tf.stack([tf.shape(projection)[0], tf.shape(bias)[0]]),
        dtype=tf.float32), to_float32(bias)
    d_outputs, d_c = tf.unstack(d_outputs), to_float32(d_c)
    num_steps = len(d_outputs)
    d_gates, d_hs = [None] * num_steps, [None] * num_steps
    for t in reversed(range(num_steps)):
      d_h = to_float32(d_h) + to_float32(d_outputs[t])
      is_live = live_by_step[t]
      d_hs[t] = to_compute_dtype(
          lstm.where(is_live, d_h, tf.zeros_like(d_h)))
      d_gates_t, d_c = lstm.gate_gradients(
          to_float32(recurrent.product(d_hs[t], projection_t, is_live)), d_c,
          *activations[t], c[t], c[t + 1], *shapes)
      d_gates[t] = to_compute_dtype(d_gates_t)
      d_h_before = recurrent.product(d_gates[t], weights_t, is_live)
      d_h = lstm.where(is_live, d_h_before, to_compute_dtype(d_h))
    d_inputs, d_kernel, d_bias = lstm.weight_gradients(
        inputs, h[:-1], kernel, d_gates, live)
    return (d_inputs, to_compute_dtype(d_c), d_h, d_kernel, d_bias,
            tf.matmul(tf.concat(m, axis=0), tf.concat(d_hs, axis=0),
                      transpose_a=True))

  return (tf.stack(h[1:]), to_compute_dtype(c[-1]), h[-1]), grad


def _forward(from_input: tf.Tensor, live_by_step: Sequence[tf.Tensor | None],
             weights: tf.Tensor, projection: tf.Tensor, state: LSTMState
             ) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor],
                        list[lstm.Activations]]:
  """Runs all steps of the fused layer.

  Args:
    from_input: [T, B, 4H], the input's share of the gates.
    live_by_step: T tensors [B, 1]; T times None if there are no lengths.
    weights: [P, 4H], the recurrent rows of the kernel.

  Returns:
    c and h, T + 1 of each, from before the first step to after the last; m and
    the activations of the T steps.
  """
  to_compute_dtype, to_float32 = recurrent.casts(weights.dtype)
  c, h, m, activations = [to_float32(state.c)], [state.h], [], []
  for gates, is_live in zip(
      tf.unstack(from_input), live_by_step, strict=True):
    after, of_step = lstm.gates_forward(
        gates + to_float32(recurrent.product(h[-1], weights, is_live)), c[-1])
    _, _, _, o, tanh_c = of_step
    c.append(after)
    m.append(to_compute_dtype(o * tanh_c))
    h.append(lstm.where(
        is_live, recurrent.product(m[-1], projection, is_live), h[-1]))
    activations.append(of_step)
  return c, h, m, activations


LAYERS: dict[str, recurrent.Layer] = {
    "basic": recurrent.unrolled(_cell),
    "dynamic": recurrent.looped(_cell),
    "fused": fused_layer,
}
