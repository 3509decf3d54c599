"""One LSTM layer, several implementations behind one signature.

    layer(inputs, state, kernel, bias, lengths=None) -> outputs, state

  inputs   [T, B, I], time-major; I is static, T for "basic" and "fused"
  state    LSTMState of two [B, H]
  kernel   [I + H, 4H]; rows: input, then recurrent; columns: gates i, j, f, o
  bias     [4H]
  lengths  [B]; from there on, a row's state stays, and its outputs are 0
  outputs  [T, B, H], the hidden state after every step

The equations are those of Zaremba et al. 2014 (arXiv 1409.2329, eq. 4 to 6),
with no peepholes, no clipping, and nothing added to the forget gate:

    [i j f o] = [x_t h_{t-1}] kernel + bias
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(j)
    h_t = sigmoid(o) tanh(c_t)

With peepholes (Gers, Schraudolph and Schmidhuber 2002), bias is [7H]: weights
w_i, w_f and w_o follow, and the gates are

    sigmoid(i + w_i c_{t-1})   sigmoid(f + w_f c_{t-1})   sigmoid(o + w_o c_t)
"""

import collections
import functools

import recurrent
from tensorflow_v1 import tf

LSTMState = collections.namedtuple("LSTMState", ["c", "h"])

_CLOSED = 1e4  # before a sigmoid that is to be 1, or the negative of it for 0


@recurrent.without_bfloat16
def block_layer(inputs, state, kernel, bias, lengths=None):
  """TensorFlow's `BlockLSTM`, one op a layer.

  Not `BlockLSTMV2`: its registered gradient takes the gates in V1's order.
  """
  return _block(inputs, state, kernel, bias, lengths)


def _block(inputs, state, kernel, bias, lengths, peepholes=None):
  """`block_layer`; `peepholes` are the weights of i, f and o, [H] each."""
  use_peephole = peepholes is not None
  if not use_peephole:
    peepholes = [tf.zeros_like(bias[:state.c.shape[-1]])] * 3
  w_i, w_f, w_o = peepholes
  block = tf.raw_ops.BlockLSTM(
      seq_len_max=tf.shape(inputs, out_type=tf.int64)[0],
      x=inputs, cs_prev=state.c, h_prev=state.h, w=kernel, b=bias,
      wci=w_i, wcf=w_f, wco=w_o,
      forget_bias=0.0, cell_clip=-1.0, use_peephole=use_peephole)
  if lengths is None:
    return block.h, LSTMState(block.cs[-1], block.h[-1])
  live = recurrent.live_steps(inputs, lengths)
  return (recurrent.zero_padding(live, block.h),
          LSTMState(_last(block.cs, state.c, lengths),
                    _last(block.h, state.h, lengths)))


def _last(steps, before, lengths):
  """[T, B, H], [B, H] -> what there is at the end of each row, [B, H]."""
  rows = tf.range(tf.shape(lengths)[0])
  return tf.gather_nd(tf.concat([before[None], steps], axis=0),
                      tf.stack([lengths, rows], axis=1))


# As the op itself does, whose gradient, though, is then of a reserve space that
# nobody has filled (DoBackward<bfloat16> in TensorFlow's cudnn_rnn_ops.cc).
@recurrent.without_bfloat16
def cudnn_layer(inputs, state, kernel, bias, lengths=None):
  """The LSTM of cuDNN, one call a layer; on an NVIDIA GPU alone."""
  return recurrent.cudnn(
      "lstm", inputs, state, cudnn_params(kernel, bias), lengths)


def cudnn_params(kernel, bias):
  """[I + H, 4H], [4H] -> the same as cuDNN has it; see `recurrent`.

  A gate has the sum of two biases: ours, and zero.
  """
  bias = _gates_of_cudnn(bias)
  return recurrent.cudnn_params(
      _gates_of_cudnn(kernel), tf.stack([bias, tf.zeros_like(bias)]))


def _gates_of_cudnn(x):
  """[..., 4H] -> [4, ..., H], with the gates in cuDNN's order: i, f, j, o."""
  i, j, f, o = tf.split(x, 4, axis=-1)
  return tf.stack([i, f, j, o])


def fused_layer(inputs, state, kernel, bias, lengths=None):
  """The textbook cell with few large GEMMs, and a gradient written by hand.

  The input's share of the gates is one GEMM for all steps, so only h_{t-1}
  times the recurrent rows is left inside the loop. The gradient's loop yields
  the gate gradients alone, one op a step beside its GEMM; what follows from
  them (of the kernel above all, which TensorFlow would add up step by step) is
  one GEMM each over T*B rows.

  In 16 bits it is the GEMMs that are: the gates and c are float32 all along.
  """
  live = None
  if lengths is not None:
    live = recurrent.live_steps(inputs, lengths)

  @tf.custom_gradient
  def fused(inputs, c_0, h_0, kernel, bias):
    return _fused(inputs, c_0, h_0, kernel, bias, live)

  outputs, c, h = fused(inputs, *state, kernel, bias)
  if live is not None:
    outputs = recurrent.zero_padding(live, outputs)
  return outputs, LSTMState(c, h)


def _fused(inputs, c_0, h_0, kernel, bias, live):
  """-> (outputs, c_T, h_T), and the function of their gradients.

  Where `live` [T, B, 1] is false, i is 0 and f is 1, so that c stays, and h is
  that of the step before; in the gradient, what is due to h passes by.
  """
  num_steps, _, input_size = inputs.shape
  bits, floats = (functools.partial(tf.cast, dtype=dtype)
                  for dtype in (inputs.dtype, tf.float32))
  from_input = floats(_rows(inputs) @ kernel[:input_size] + bias)  # (T*B, 4H)
  from_input = tf.reshape(from_input, [num_steps, -1, bias.shape[0]])
  weights = kernel[input_size:]  # (H, 4H)
  lives = [None] * num_steps if live is None else tf.unstack(live)
  if live is not None:
    padding = tf.repeat([-_CLOSED, 0.0, _CLOSED, 0.0], c_0.shape[-1])
    from_input = tf.where_v2(live, from_input, padding)

  c, h = [floats(c_0)], [h_0]  # from before the first step to after the last
  steps = []  # the gates of each step
  for gates, live_t in zip(tf.unstack(from_input), lives, strict=True):
    i, j, f, o = tf.split(gates + floats(h[-1] @ weights), 4, axis=1)
    i, j, f, o = tf.sigmoid(i), tf.tanh(j), tf.sigmoid(f), tf.sigmoid(o)
    c.append(f * c[-1] + i * j)
    tanh_c = tf.tanh(c[-1])
    h.append(_where(live_t, bits(o * tanh_c), h[-1]))
    steps.append((i, j, f, o, tanh_c))
  outputs = tf.stack(h[1:])  # (T, B, H)

  def grad(d_outputs, d_c, d_h):
    """Gradients of the five arguments, from those of the three results.

    With d_v the gradient of the cost by v, from the last step to the first:

        d_h_t = d_outputs_t + d_gates_{t+1} weights^T
        d_c_t = d_c_{t+1} f_{t+1} + d_h_t o (1 - tanh(c_t)^2)
    """
    # Transposed once: GEMMs of B rows are far slower on a transposed matrix.
    weights_t = tf.transpose(weights)  # (4H, H)
    cell = floats(weights), floats(bias)
    d_gates = [None] * num_steps
    d_outputs, d_c = tf.unstack(d_outputs), floats(d_c)
    for t in reversed(range(num_steps)):
      d_h = floats(d_h) + floats(d_outputs[t])
      d_h_t = _where(lives[t], d_h, tf.zeros_like(d_h))
      d_gates_t, d_c = _gate_gradients(
          d_h_t, d_c, *steps[t], c[t], c[t + 1], *cell)
      d_gates[t] = bits(d_gates_t)
      d_h_before = d_gates[t] @ weights_t
      d_h = _where(lives[t], d_h_before, bits(d_h))
    d_gates = tf.concat(d_gates, axis=0)  # (T*B, 4H)
    d_inputs = tf.matmul(d_gates, kernel[:input_size], transpose_b=True)
    x_and_h = tf.concat([inputs, tf.stack(h[:-1])], axis=2)  # (T, B, I + H)
    ones = tf.ones_like(d_gates[:, :1])  # a GEMM adds up faster than a sum
    return (tf.reshape(d_inputs, tf.shape(inputs)), bits(d_c), d_h,
            tf.matmul(_rows(x_and_h), d_gates, transpose_a=True),
            tf.matmul(ones, d_gates, transpose_a=True)[0])

  return (outputs, bits(c[-1]), h[-1]), grad


def _where(live, x, otherwise):
  """X of the rows that are live; of all, where there are no lengths."""
  return x if live is None else tf.where_v2(live, x, otherwise)


def _gate_gradients(d_h, d_c_next, i, j, f, o, tanh_c, c_before, c,
                    weights, bias):
  """One step back through the elementwise part of the cell, as a single op.

  With the gates after their nonlinearities (sigma' = sigma (1 - sigma),
  tanh' = 1 - tanh^2), and d_c = d_c_next + d_h o (1 - tanh(c)^2):

      d_gates = [d_c j i (1 - i)         of i, before its sigmoid
                 d_c i (1 - j^2)         of j
                 d_c c_before f (1 - f)  of f
                 d_h tanh(c) o (1 - o)]  of o

  Args:
    d_h: [B, H], from all that follows on h; the other eight are [B, H] too.
    d_c_next: from the next step alone.
    weights, bias: of the layer; only their shapes count.

  Returns:
    d_gates [B, 4H], and what the step before has for its d_c_next: d_c f.
  """
  unused_peephole = tf.zeros_like(bias[:c.shape[-1]])
  back = tf.raw_ops.LSTMBlockCellGrad(
      x=c[:, :0], cs_prev=c_before, h_prev=c_before, w=weights, b=bias,
      wci=unused_peephole, wcf=unused_peephole, wco=unused_peephole,
      i=i, ci=j, f=f, o=o, co=tanh_c, cs=c, cs_grad=d_c_next, h_grad=d_h,
      use_peephole=False)
  return back.dicfo, back.cs_prev_grad


def _cell(x, state, kernel, bias):
  """One step of the textbook cell: x [B, I] -> the next state."""
  i, j, f, o = tf.split(
      tf.concat([x, state.h], axis=1) @ kernel + bias, 4, axis=1)
  c = tf.sigmoid(f) * state.c + tf.sigmoid(i) * tf.tanh(j)
  return LSTMState(c, tf.sigmoid(o) * tf.tanh(c))


def _rows(x):
  """[T, B, n] -> [T*B, n]."""
  return tf.reshape(x, [-1, x.shape[-1]])


def _peephole_cell(x, state, kernel, bias):
  """One step of the cell with peepholes: x [B, I] -> the next state."""
  size = state.c.shape[-1]
  bias, weights = bias[:4 * size], bias[4 * size:]
  w_i, w_f, w_o = tf.split(weights, 3)
  i, j, f, o = tf.split(
      tf.concat([x, state.h], axis=1) @ kernel + bias, 4, axis=1)
  c = (tf.sigmoid(f + w_f * state.c) * state.c
       + tf.sigmoid(i + w_i * state.c) * tf.tanh(j))
  return LSTMState(c, tf.sigmoid(o + w_o * c) * tf.tanh(c))


@recurrent.without_bfloat16
def peephole_block_layer(inputs, state, kernel, bias, lengths=None):
  """As `block_layer`, with peepholes."""
  size = state.c.shape[-1]
  return _block(inputs, state, kernel, bias[:4 * size], lengths,
                tf.split(bias[4 * size:], 3))


LAYERS = {
    "basic": recurrent.unrolled(_cell),
    "dynamic": recurrent.looped(_cell),
    "block": block_layer,
    "fused": fused_layer,
    "cudnn": cudnn_layer,
}
PEEPHOLE_LAYERS = {
    "basic": recurrent.unrolled(_peephole_cell),
    "dynamic": recurrent.looped(_peephole_cell),
    "block": peephole_block_layer,
}
