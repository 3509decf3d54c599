"""One LSTM layer, several implementations behind one signature.

    layer(inputs, state, kernel, bias) -> outputs, state

  inputs   [T, B, I], time-major; T and I are static
  state    LSTMState of two [B, H]
  kernel   [I + H, 4H]; rows: input, then recurrent; columns: gates i, j, f, o
  bias     [4H]
  outputs  [T, B, H], the hidden state after every step

The equations are those of Zaremba et al. 2014 (arXiv 1409.2329, eq. 4 to 6),
with no peepholes, no clipping, and nothing added to the forget gate:

    [i j f o] = [x_t h_{t-1}] kernel + bias
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(j)
    h_t = sigmoid(o) tanh(c_t)
"""

import collections
import functools

from tensorflow_v1 import tf

LSTMState = collections.namedtuple("LSTMState", ["c", "h"])


def zero_state(batch_size, hidden_size):
  """The state before a text begins."""
  shape = [batch_size, hidden_size]
  return LSTMState(tf.zeros(shape), tf.zeros(shape))  # each can be fed


def basic_layer(inputs, state, kernel, bias):
  """The textbook cell, unrolled, and differentiated by TensorFlow."""
  outputs = []
  for x in tf.unstack(inputs):
    state = _cell(x, state, kernel, bias)
    outputs.append(state.h)
  return tf.stack(outputs), state


def dynamic_layer(inputs, state, kernel, bias):
  """The textbook cell in a loop: a graph whose size does not grow with T."""
  num_steps = tf.shape(inputs)[0]

  def step(t, c, h, outputs):
    c, h = _cell(inputs[t], LSTMState(c, h), kernel, bias)
    return t + 1, c, h, outputs.write(t, h)

  outputs = tf.TensorArray(inputs.dtype, num_steps)
  _, c, h, outputs = tf.while_loop(
      lambda t, *_: t < num_steps, step, [0, *state, outputs])
  outputs = outputs.stack()
  outputs.set_shape([inputs.shape[0], *h.shape])
  return outputs, LSTMState(c, h)


def _without_bfloat16(layer):
  """A layer that computes in float32 where it is given bfloat16."""
  @functools.wraps(layer)
  def computed(inputs, state, kernel, bias):
    if inputs.dtype != tf.bfloat16:
      return layer(inputs, state, kernel, bias)
    args = cast((inputs, state, kernel, bias), tf.float32)
    return cast(layer(*args), tf.bfloat16)
  return computed


@_without_bfloat16
def block_layer(inputs, state, kernel, bias):
  """TensorFlow's `BlockLSTM`, one op a layer.

  Not `BlockLSTMV2`: its registered gradient takes the gates in V1's order.
  """
  unused_peephole = tf.zeros_like(bias[:state.c.shape[-1]])
  block = tf.raw_ops.BlockLSTM(
      seq_len_max=tf.shape(inputs, out_type=tf.int64)[0],
      x=inputs, cs_prev=state.c, h_prev=state.h, w=kernel, b=bias,
      wci=unused_peephole, wcf=unused_peephole, wco=unused_peephole,
      forget_bias=0.0, cell_clip=-1.0, use_peephole=False)
  return block.h, LSTMState(block.cs[-1], block.h[-1])


# As the op itself does, whose gradient, though, is then of a reserve space that
# nobody has filled (DoBackward<bfloat16> in TensorFlow's cudnn_rnn_ops.cc).
@_without_bfloat16
def cudnn_layer(inputs, state, kernel, bias):
  """The LSTM of cuDNN, one call a layer; on an NVIDIA GPU alone.

  Its own dropout is left alone: that leaves out what follows the last layer.
  """
  num_steps, batch_size = tf.unstack(tf.shape(inputs)[:2])
  found = tf.raw_ops.CudnnRNNV3(
      input=inputs, input_h=state.h[None], input_c=state.c[None],
      params=cudnn_params(kernel, bias),
      sequence_lengths=tf.fill([batch_size], num_steps))
  return found.output, LSTMState(found.output_c[0], found.output_h[0])


def cudnn_params(kernel, bias):
  """[I + H, 4H], [4H] -> the same as cuDNN has it, [(I + H) 4H + 8H].

  One after the other and with nothing between: the matrices of the input, of
  the gates i, f, j, o, each [H, I]; the recurrent ones, each [H, H]; and as
  many biases [H]. A gate has the sum of its two: ours, and zero.
  """
  kernel, bias = _gates_of_cudnn(kernel), _gates_of_cudnn(bias)
  kernel = tf.transpose(kernel, [0, 2, 1])  # (4, H, I + H)
  input_size = kernel.shape[2] - kernel.shape[1]
  return tf.concat([tf.reshape(part, [-1]) for part in (
      kernel[:, :, :input_size], kernel[:, :, input_size:],
      bias, tf.zeros_like(bias))], axis=0)


def _gates_of_cudnn(x):
  """[..., 4H] -> [4, ..., H], with the gates in the order of cuDNN."""
  i, j, f, o = tf.split(x, 4, axis=-1)
  return tf.stack([i, f, j, o])


def fused_layer(inputs, state, kernel, bias):
  """The textbook cell with few large GEMMs, and a gradient written by hand.

  The input's share of the gates is one GEMM for all steps, so only h_{t-1}
  times the recurrent rows is left inside the loop. The gradient's loop yields
  the gate gradients alone, one op a step beside its GEMM; what follows from
  them (of the kernel above all, which TensorFlow would add up step by step) is
  one GEMM each over T*B rows.

  In 16 bits it is the GEMMs that are: the gates and c are float32 all along.
  """
  outputs, c, h = _fused(inputs, state.c, state.h, kernel, bias)
  return outputs, LSTMState(c, h)


@tf.custom_gradient
def _fused(inputs, c_0, h_0, kernel, bias):
  """`fused_layer` on bare tensors: -> outputs, c_T, h_T."""
  num_steps, _, input_size = inputs.shape
  bits, floats = (functools.partial(tf.cast, dtype=dtype)
                  for dtype in (inputs.dtype, tf.float32))
  from_input = floats(_rows(inputs) @ kernel[:input_size] + bias)  # (T*B, 4H)
  from_input = tf.reshape(from_input, [num_steps, -1, bias.shape[0]])
  recurrent = kernel[input_size:]  # (H, 4H)

  c, h = [floats(c_0)], [h_0]  # from before the first step to after the last
  steps = []  # the gates of each step
  for gates in tf.unstack(from_input):
    i, j, f, o = tf.split(gates + floats(h[-1] @ recurrent), 4, axis=1)
    i, j, f, o = tf.sigmoid(i), tf.tanh(j), tf.sigmoid(f), tf.sigmoid(o)
    c.append(f * c[-1] + i * j)
    tanh_c = tf.tanh(c[-1])
    h.append(bits(o * tanh_c))
    steps.append((i, j, f, o, tanh_c))
  outputs = tf.stack(h[1:])  # (T, B, H)

  def grad(d_outputs, d_c, d_h):
    """Gradients of the five arguments, from those of the three results.

    With d_v the gradient of the cost by v, from the last step to the first:

        d_h_t = d_outputs_t + d_gates_{t+1} recurrent^T
        d_c_t = d_c_{t+1} f_{t+1} + d_h_t o (1 - tanh(c_t)^2)
    """
    # Transposed once: GEMMs of B rows are far slower on a transposed matrix.
    recurrent_t = tf.transpose(recurrent)  # (4H, H)
    cell = floats(recurrent), floats(bias)
    d_gates = [None] * num_steps
    d_outputs, d_c = tf.unstack(d_outputs), floats(d_c)
    for t in reversed(range(num_steps)):
      d_gates_t, d_c = _gate_gradients(
          floats(d_h) + floats(d_outputs[t]), d_c, *steps[t], c[t], c[t + 1],
          *cell)
      d_gates[t] = bits(d_gates_t)
      d_h = d_gates[t] @ recurrent_t
    d_gates = tf.concat(d_gates, axis=0)  # (T*B, 4H)
    d_inputs = tf.matmul(d_gates, kernel[:input_size], transpose_b=True)
    x_and_h = tf.concat([inputs, tf.stack(h[:-1])], axis=2)  # (T, B, I + H)
    ones = tf.ones_like(d_gates[:, :1])  # a GEMM adds up faster than a sum
    return (tf.reshape(d_inputs, tf.shape(inputs)), bits(d_c), d_h,
            tf.matmul(_rows(x_and_h), d_gates, transpose_a=True),
            tf.matmul(ones, d_gates, transpose_a=True)[0])

  return (outputs, bits(c[-1]), h[-1]), grad


def _gate_gradients(d_h, d_c_next, i, j, f, o, tanh_c, c_before, c,
                    recurrent, bias):
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
    recurrent, bias: of the layer; only their shapes count.

  Returns:
    d_gates [B, 4H], and what the step before has for its d_c_next: d_c f.
  """
  unused_peephole = tf.zeros_like(bias[:c.shape[-1]])
  back = tf.raw_ops.LSTMBlockCellGrad(
      x=c[:, :0], cs_prev=c_before, h_prev=c_before, w=recurrent, b=bias,
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


def cast(tensors, dtype):
  """All tensors of a structure as another type."""
  return tf.nest.map_structure(lambda x: tf.cast(x, dtype), tensors)


LAYERS = {
    "basic": basic_layer,
    "dynamic": dynamic_layer,
    "block": block_layer,
    "fused": fused_layer,
    "cudnn": cudnn_layer,
}
NEEDS_GPU = "needs a GPU that TensorFlow sees; leave out the flag, or use fused"


def has_gpu():
  """Whether TensorFlow sees a GPU that "cudnn" runs on: one of NVIDIA's."""
  return tf.test.is_built_with_cuda() and bool(
      tf.config.list_physical_devices("GPU"))


def runs_here(name):
  """Whether a layer of LAYERS runs on this machine, or NEEDS_GPU."""
  return name != "cudnn" or has_gpu()


def default_layer():
  """The fastest of LAYERS on this machine."""
  return "cudnn" if has_gpu() else "fused"
