"""LSTM layers: several implementations behind one signature.

    layer(inputs, state, kernel, bias, lengths=None) -> outputs, state

  inputs   [T, B, I], time-major; I must be static; so must T
           for "basic" and "fused"
  state    LSTMState of two [B, H]
  kernel   [I + H, 4H]; rows: input, then recurrent; columns: gates i, j, f, o
  bias     [4H]
  lengths  [B], steps of each row; past its end a row keeps its state
  outputs  [T, B, H], the hidden state after every step, 0 past a row's end

The equations are from Zaremba et al. 2014 (arXiv 1409.2329, eq. 4 to 6). There
are no peepholes and no clipping, and nothing is added to the forget gate:

    [i j f o] = [x_t h_{t-1}] kernel + bias
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(j)
    h_t = sigmoid(o) tanh(c_t)

With peepholes (Gers, Schraudolph and Schmidhuber 2002) the bias is [7H]: the
weights w_i, w_f and w_o follow the four biases. The gates are

    sigmoid(i + w_i c_{t-1})   sigmoid(f + w_f c_{t-1})   sigmoid(o + w_o c_t)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnn.layers import recurrent
from rnn.tf1 import tf


class LSTMState(NamedTuple):
  """State of an LSTM layer: the cell state c and the output h, [B, H] each."""

  c: tf.Tensor
  h: tf.Tensor


# i, j, f, o after their nonlinearities, and tanh(c); [B, H] each.
Activations = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


# BlockLSTM takes no bfloat16.
@recurrent.without_bfloat16
def block_layer(inputs: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
                bias: tf.Tensor, lengths: tf.Tensor | None = None
                ) -> tuple[tf.Tensor, LSTMState]:
  """Applies TensorFlow's `BlockLSTM`, one op per layer.

  `BlockLSTMV2` would be wrong: its gradient assumes the gate order of V1.
  """
  return _block(inputs, state, kernel, bias, lengths)


def _block(inputs: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
           bias: tf.Tensor, lengths: tf.Tensor | None,
           peepholes: Sequence[tf.Tensor] | None = None
           ) -> tuple[tf.Tensor, LSTMState]:
  """Applies `BlockLSTM`; `peepholes` are w_i, w_f and w_o, [H] each."""
  use_peephole = peepholes is not None
  if peepholes is None:
    peepholes = [tf.zeros_like(bias[:state.c.shape[-1]])] * 3
  w_i, w_f, w_o = peepholes
  # The op's defaults are a forget bias of 1 and a clip at 3; -1 turns it off.
  # Its seq_len_max is one number for all rows, so the op runs past their ends.
  block = tf.raw_ops.BlockLSTM(
      seq_len_max=tf.shape(inputs, out_type=tf.int64)[0],
      x=inputs, cs_prev=state.c, h_prev=state.h, w=kernel, b=bias,
      wci=w_i, wcf=w_f, wco=w_o,
      forget_bias=0.0, cell_clip=-1.0, use_peephole=use_peephole)
  if lengths is None:
    return block.h, LSTMState(block.cs[-1], block.h[-1])
  live = recurrent.live_steps(inputs, lengths)
  return (recurrent.zero_out_padding(live, block.h),
          LSTMState(_at_ends(block.cs, state.c, lengths),
                    _at_ends(block.h, state.h, lengths)))


def _at_ends(after_steps: tf.Tensor, before: tf.Tensor,
             lengths: tf.Tensor) -> tf.Tensor:
  """Returns the value at the end of each row, [B, H].

  Args:
    after_steps: [T, B, H], the values after every step.
    before: [B, H], the value before the first step, for rows of length 0.
    lengths: [B].
  """
  rows = tf.range(tf.shape(lengths)[0])
  return tf.gather_nd(tf.concat([before[None], after_steps], axis=0),
                      tf.stack([lengths, rows], axis=1))


# The op takes bfloat16 and computes in float32 itself. But its gradient then
# reads a reserve space that was never filled (DoBackward<bfloat16> in
# TensorFlow's cudnn_rnn_ops.cc), so the casts are made here.
@recurrent.without_bfloat16
def cudnn_layer(inputs: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
                bias: tf.Tensor, lengths: tf.Tensor | None = None
                ) -> tuple[tf.Tensor, LSTMState]:
  """Applies cuDNN's LSTM, one call per layer; needs an NVIDIA GPU."""
  return recurrent.cudnn(
      "lstm", inputs, state, cudnn_params(kernel, bias), lengths)


def cudnn_params(kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """Returns kernel [I + H, 4H] and bias [4H] as `recurrent.cudnn_params` does.

  cuDNN adds two biases to each gate: ours, and zero.
  """
  bias = _cudnn_gates(bias)
  return recurrent.cudnn_params(
      _cudnn_gates(kernel), tf.stack([bias, tf.zeros_like(bias)]))


def _cudnn_gates(x: tf.Tensor) -> tf.Tensor:
  """Returns gates in cuDNN's order i, f, j, o: [..., 4H] -> [4, ..., H]."""
  i, j, f, o = tf.split(x, 4, axis=-1)
  return tf.stack([i, f, j, o])


def fused_layer(inputs: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
                bias: tf.Tensor, lengths: tf.Tensor | None = None
                ) -> tuple[tf.Tensor, LSTMState]:
  """Applies the textbook cell with few large GEMMs and its own gradient.

  The input's share of the gates is one GEMM for all steps. Only the GEMM of
  h_{t-1} with the recurrent rows remains in the loop.

  The gradient's loop computes the gate gradients and nothing else: per step one
  op and one GEMM. The gradients of inputs, kernel and bias are then one GEMM
  each, over T*B rows. TensorFlow's own gradient would compute and add up a
  kernel gradient per step.

  In mixed precision only the GEMMs are in 16 bits. Gates and c are float32.
  """
  live = None
  if lengths is not None:
    live = recurrent.live_steps(inputs, lengths)

  @tf.custom_gradient
  def fused(inputs, c_0, h_0, kernel, bias):  # `live` has no gradient
    return _fused(inputs, c_0, h_0, kernel, bias, live)

  outputs, c, h = fused(inputs, *state, kernel, bias)
  if live is not None:
    outputs = recurrent.zero_out_padding(live, outputs)
  return outputs, LSTMState(c, h)


def _fused(inputs: tf.Tensor, c_0: tf.Tensor, h_0: tf.Tensor,
           kernel: tf.Tensor, bias: tf.Tensor, live: tf.Tensor | None
           ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable]:
  """Returns (outputs, c_T, h_T), and a function that computes the gradients.

  Where `live` [T, B, 1] is false, i is 0 and f is 1, so that c stays, and h is
  copied. The gradient with respect to h is copied there, too.
  """
  num_steps, _, input_size = inputs.shape
  to_compute_dtype, to_float32 = recurrent.casts(inputs.dtype)
  gates = from_input(inputs, kernel, bias, live)
  weights = kernel[input_size:]  # (H, 4H)
  live_by_step = by_step(live, num_steps)
  c, h, activations = _forward(gates, live_by_step, weights, c_0, h_0)
  outputs = tf.stack(h[1:])  # (T, B, H)

  def grad(d_outputs, d_c, d_h):
    """Returns the gradients of the five arguments.

    The arguments are the gradients of the cost with respect to the results. d_v
    stands for the gradient of the cost with respect to v. From the last step to
    the first:

        d_h_t = d_outputs_t + d_gates_{t+1} weights^T
        d_c_t = d_c_{t+1} f_{t+1} + d_h_t o (1 - tanh(c_t)^2)
    """
    # Transposed once, before the loop: a GEMM of only B rows is far slower if
    # it has to transpose its matrix.
    weights_t = tf.transpose(weights)  # (4H, H)
    shapes = to_float32(weights), to_float32(bias)
    d_gates = [None] * num_steps
    d_outputs, d_c = tf.unstack(d_outputs), to_float32(d_c)
    for t in reversed(range(num_steps)):
      d_h = to_float32(d_h) + to_float32(d_outputs[t])
      d_h_t = where(live_by_step[t], d_h, tf.zeros_like(d_h))
      d_gates_t, d_c = gate_gradients(
          d_h_t, d_c, *activations[t], c[t], c[t + 1], *shapes)
      d_gates[t] = to_compute_dtype(d_gates_t)
      d_h_before = recurrent.product(
          d_gates[t], weights_t, live_by_step[t])
      d_h = where(live_by_step[t], d_h_before, to_compute_dtype(d_h))
    d_inputs, d_kernel, d_bias = weight_gradients(
        inputs, h[:-1], kernel, d_gates, live)
    return d_inputs, to_compute_dtype(d_c), d_h, d_kernel, d_bias

  return (outputs, to_compute_dtype(c[-1]), h[-1]), grad


def from_input(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor,
               live: tf.Tensor | None) -> tf.Tensor:
  """Returns the input's share of the gates at all steps, [T, B, 4H], float32.

  Where `live` [T, B, 1] is false, i becomes 0 and f becomes 1, so that c stays.
  """
  gates = tf.cast(recurrent.product(
      recurrent.flatten_steps(inputs), kernel[:inputs.shape[2]], live) + bias,
      tf.float32)
  gates = tf.reshape(gates, [inputs.shape[0], -1, bias.shape[0]])
  if live is None:
    return gates
  closed, open_ = -recurrent.SATURATED, recurrent.SATURATED
  padding = tf.repeat([closed, 0.0, open_, 0.0], bias.shape[0] // 4)
  return tf.where_v2(live, gates, padding)


def by_step(live: tf.Tensor | None, num_steps: int) -> list[tf.Tensor | None]:
  """Returns T tensors [B, 1]; T times None if there are no lengths."""
  return [None] * num_steps if live is None else tf.unstack(live)


def weight_gradients(
    inputs: tf.Tensor, h_before: Sequence[tf.Tensor], kernel: tf.Tensor,
    d_gates: Any, live: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the gradients of inputs, kernel and bias, by GEMMs over T*B rows.

  Args:
    inputs: [T, B, I].
    h_before: h before each step.
    d_gates: the gradients of the gates, a list of T tensors [B, 4H].
    live: [T, B, 1], or None.
  """
  d_all = tf.concat(d_gates, axis=0)  # (T*B, 4H)
  d_gates = recurrent.live_rows(d_all, live)
  d_inputs = tf.matmul(
      d_gates, kernel[:inputs.shape[2]], transpose_b=True)
  if live is not None:
    d_inputs = recurrent.pad_rows(d_inputs, d_all)
  x_and_h = tf.concat([inputs, tf.stack(h_before)], axis=2)
  # ones^T d_gates is the sum over all rows. As a GEMM it is faster than
  # TensorFlow's sum over the first axis.
  ones = tf.ones_like(d_gates[:, :1])
  return (tf.reshape(d_inputs, tf.shape(inputs)),
          tf.matmul(
              recurrent.live_rows(recurrent.flatten_steps(x_and_h), live),
              d_gates, transpose_a=True),
          tf.matmul(ones, d_gates, transpose_a=True)[0])


def _forward(gates_of_input: tf.Tensor,
             live_by_step: Sequence[tf.Tensor | None], weights: tf.Tensor,
             c_0: tf.Tensor, h_0: tf.Tensor
             ) -> tuple[list[tf.Tensor], list[tf.Tensor], list[Activations]]:
  """Runs all steps of the fused layer.

  Args:
    gates_of_input: [T, B, 4H], the input's share of the gates.
    live_by_step: T tensors [B, 1]; T times None if there are no lengths.
    weights: [H, 4H], the recurrent rows of the kernel.
    c_0, h_0: [B, H].

  Returns:
    c and h, T + 1 of each, from before the first step to after the last; and
    the activations of the T steps.
  """
  to_compute_dtype, to_float32 = recurrent.casts(weights.dtype)
  c, h = [to_float32(c_0)], [h_0]
  activations = []
  for gates, live in zip(tf.unstack(gates_of_input), live_by_step, strict=True):
    from_h = recurrent.product(h[-1], weights, live)
    after, of_step = gates_forward(gates + to_float32(from_h), c[-1])
    _, _, _, o, tanh_c = of_step
    c.append(after)
    h.append(where(live, to_compute_dtype(o * tanh_c), h[-1]))
    activations.append(of_step)
  return c, h, activations


def gates_forward(gates: tf.Tensor, c: tf.Tensor
                  ) -> tuple[tf.Tensor, Activations]:
  """Returns c [B, H] after a step, and the activations.

  Args:
    gates: [B, 4H], before their nonlinearities.
    c: [B, H], before the step.
  """
  i, j, f, o = tf.split(gates, 4, axis=1)
  i, j, f, o = tf.sigmoid(i), tf.tanh(j), tf.sigmoid(f), tf.sigmoid(o)
  c = f * c + i * j
  return c, (i, j, f, o, tf.tanh(c))


def where(live: tf.Tensor | None, x: tf.Tensor,
          otherwise: tf.Tensor) -> tf.Tensor:
  """Returns x for the live rows, or for all rows if there are no lengths."""
  return x if live is None else tf.where_v2(live, x, otherwise)


def gate_gradients(
    d_h: tf.Tensor, d_c_next: tf.Tensor, i: tf.Tensor, j: tf.Tensor,
    f: tf.Tensor, o: tf.Tensor, tanh_c: tf.Tensor, c_before: tf.Tensor,
    c: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Goes one step back through the elementwise part of the cell.

  The gates are given after their nonlinearities, so sigma' = sigma (1 - sigma)
  and tanh' = 1 - tanh^2. With d_c = d_c_next + d_h o (1 - tanh(c)^2):

      d_gates = [d_c j i (1 - i)         for i, before its sigmoid
                 d_c i (1 - j^2)         for j
                 d_c c_before f (1 - f)  for f
                 d_h tanh(c) o (1 - o)]  for o

  `LSTMBlockCellGrad`, the gradient of TensorFlow's `LSTMBlockCell`, computes
  this as one op. Written out, it would be about twenty small ops per step. It
  needs no GEMM: the op reads x, h_prev and w for their shapes only.

  Args:
    d_h: [B, H], from the outputs and from the next step. The other eight
      gradients, gates and cell states are [B, H], too.
    d_c_next: [B, H], from the next step.
    weights, bias: of the layer, for their shapes.

  Returns:
    d_gates [B, 4H], and d_c f, which the step before takes as its d_c_next.
  """
  unused_peephole = tf.zeros_like(bias[:c.shape[-1]])
  # The op wants a kernel of I + H rows. `weights` has H rows, so x is [B, 0].
  # Its names: ci is j, co is tanh(c), and "icfo" is the order i, j, f, o.
  back = tf.raw_ops.LSTMBlockCellGrad(
      x=c[:, :0], cs_prev=c_before, h_prev=c_before, w=weights, b=bias,
      wci=unused_peephole, wcf=unused_peephole, wco=unused_peephole,
      i=i, ci=j, f=f, o=o, co=tanh_c, cs=c, cs_grad=d_c_next, h_grad=d_h,
      use_peephole=False)
  return back.dicfo, back.cs_prev_grad


def cell(x: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
         bias: tf.Tensor) -> LSTMState:
  """Returns the state after one step of the textbook cell; x is [B, I]."""
  i, j, f, o = tf.split(
      tf.concat([x, state.h], axis=1) @ kernel + bias, 4, axis=1)
  c = tf.sigmoid(f) * state.c + tf.sigmoid(i) * tf.tanh(j)
  return LSTMState(c, tf.sigmoid(o) * tf.tanh(c))


def _peephole_cell(x: tf.Tensor, state: LSTMState, kernel: tf.Tensor,
                   bias: tf.Tensor) -> LSTMState:
  """Returns the state after one step of the cell with peepholes."""
  size = state.c.shape[-1]
  bias, weights = bias[:4 * size], bias[4 * size:]
  w_i, w_f, w_o = tf.split(weights, 3)
  i, j, f, o = tf.split(
      tf.concat([x, state.h], axis=1) @ kernel + bias, 4, axis=1)
  c = (tf.sigmoid(f + w_f * state.c) * state.c
       + tf.sigmoid(i + w_i * state.c) * tf.tanh(j))
  return LSTMState(c, tf.sigmoid(o + w_o * c) * tf.tanh(c))


@recurrent.without_bfloat16
def peephole_block_layer(inputs: tf.Tensor, state: LSTMState,
                         kernel: tf.Tensor, bias: tf.Tensor,
                         lengths: tf.Tensor | None = None
                         ) -> tuple[tf.Tensor, LSTMState]:
  """Applies `BlockLSTM` with peepholes; see `block_layer`."""
  size = state.c.shape[-1]
  return _block(inputs, state, kernel, bias[:4 * size], lengths,
                tf.split(bias[4 * size:], 3))


LAYERS: dict[str, recurrent.Layer] = {
    "basic": recurrent.unrolled(cell),
    "dynamic": recurrent.looped(cell),
    "block": block_layer,
    "fused": fused_layer,
    "cudnn": cudnn_layer,
}
PEEPHOLE_LAYERS: dict[str, recurrent.Layer] = {
    "basic": recurrent.unrolled(_peephole_cell),
    "dynamic": recurrent.looped(_peephole_cell),
    "block": peephole_block_layer,
}
