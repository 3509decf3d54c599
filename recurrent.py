"""What the recurrent layers share: loops, lengths, both directions, cuDNN.

A layer with lengths leaves the state of a row as it is from the row's length
on, and gives zeros there.
"""

import collections
import functools

from tensorflow_v1 import tf

HiddenState = collections.namedtuple("HiddenState", ["h"])

NEEDS_GPU = "needs a GPU that TensorFlow sees; leave out the flag"


def live_steps(inputs, lengths):
  """[T, B, ...], [B] -> [T, B, 1], whether a step is before the row's end."""
  return (tf.range(tf.shape(inputs)[0])[:, None] < lengths)[..., None]


def zero_padding(live, x):
  """[T, B, n], but zeros where `live` [T, B, 1] is false."""
  return tf.where_v2(live, x, tf.zeros_like(x))


def unrolled(cell):
  """A layer of a cell, step by step, and differentiated by TensorFlow.

  Args:
    cell: a function, (x [B, I], state, kernel, bias) -> the next state.
  """
  def layer(inputs, state, kernel, bias, lengths=None):
    outputs = []
    for t, x in enumerate(tf.unstack(inputs)):
      output, state = _step(cell, t, x, state, kernel, bias, lengths)
      outputs.append(output)
    return tf.stack(outputs), state
  return layer


def looped(cell):
  """As `unrolled`, in a loop: a graph whose size does not grow with T."""
  def layer(inputs, state, kernel, bias, lengths=None):
    num_steps = tf.shape(inputs)[0]

    def step(t, state, outputs):
      output, after = _step(cell, t, inputs[t], state, kernel, bias, lengths)
      keep_shapes(after, state)
      return t + 1, after, outputs.write(t, output)

    outputs = tf.TensorArray(inputs.dtype, num_steps)
    _, state, outputs = tf.while_loop(
        lambda t, *_: t < num_steps, step, [0, state, outputs])
    outputs = outputs.stack()
    outputs.set_shape([inputs.shape[0], *state.h.shape])
    return outputs, state
  return layer


def _step(cell, t, x, state, kernel, bias, lengths):
  """The output and the state after a step, [B, H] each."""
  after = cell(x, state, kernel, bias)
  if lengths is None:
    return after.h, after
  live = (t < lengths)[:, None]
  after = tf.nest.map_structure(
      functools.partial(tf.where_v2, live), after, state)
  return tf.where_v2(live, after.h, tf.zeros_like(after.h)), after


def keep_shapes(after, before):
  """Tells TensorFlow that the state after a step has the shapes of before.

  A loop demands it to know; it may not, where lengths leave B open.
  """
  tf.nest.map_structure(lambda x, y: x.set_shape(y.shape), after, before)


def bidirectional(layer, inputs, states, weights, lengths):
  """A layer that goes forward, and one that goes backward from each row's end.

  Args:
    layer: one of a cell's layers.
    inputs: [T, B, I].
    states, weights: of the two, a state each, and a kernel and a bias.
    lengths: [B].

  Returns:
    outputs [T, B, 2H], and the two final states.
  """
  def reverse(x):
    return tf.reverse_sequence(x, lengths, seq_axis=0, batch_axis=1)

  forward, last = layer(inputs, states[0], *weights[0], lengths)
  backward, first = layer(reverse(inputs), states[1], *weights[1], lengths)
  return tf.concat([forward, reverse(backward)], axis=2), (last, first)


def cudnn(mode, inputs, state, params, lengths):
  """CuDNN's own layer, one call; on an NVIDIA GPU alone.

  Its dropout is left alone: that leaves out what follows the last layer. Rows
  of length 0 go as one step of zeros, and what becomes of that is dropped:
  cuDNN fails on some lengths of 0 (github.com/jax-ml/jax/issues/17966).

  Args:
    mode: "lstm", "gru" or "rnn_tanh".
    params: as `cudnn_params` has them.

  Returns:
    outputs, state: as those of a layer.
  """
  live = None
  if lengths is None:
    num_steps, batch_size = tf.unstack(tf.shape(inputs)[:2])
    lengths = tf.fill([batch_size], num_steps)
  else:
    live = live_steps(inputs, lengths)
    inputs = zero_padding(live, inputs)
    lengths = tf.maximum(lengths, 1)
  c = state.c if "c" in state._fields else tf.zeros_like(state.h)
  found = tf.raw_ops.CudnnRNNV3(
      input=inputs, input_h=state.h[None], input_c=c[None], params=params,
      sequence_lengths=lengths, rnn_mode=mode)
  outputs, ends = found.output, {"c": found.output_c, "h": found.output_h}
  final = type(state)(*(ends[part][0] for part in state._fields))
  if live is None:
    return outputs, final
  return zero_padding(live, outputs), tf.nest.map_structure(
      functools.partial(tf.where_v2, live[0]), final, state)


def cudnn_params(kernels, biases):
  """A layer's parameters as cuDNN has them, [G (I + H) H + 2 G H].

  One after the other and with nothing between: the matrices of the input, each
  [H, I]; the recurrent ones, each [H, H]; and as many biases [H].

  Args:
    kernels: [G, I + H, H], of the gates in the order of cuDNN.
    biases: as in the result, of any shape.
  """
  kernels = tf.transpose(kernels, [0, 2, 1])  # (G, H, I + H)
  input_size = kernels.shape[2] - kernels.shape[1]
  return tf.concat([tf.reshape(part, [-1]) for part in (
      kernels[:, :, :input_size], kernels[:, :, input_size:], biases)], axis=0)


def without_bfloat16(layer):
  """A layer that computes in float32 where it is given bfloat16."""
  @functools.wraps(layer)
  def computed(inputs, state, kernel, bias, lengths=None):
    if inputs.dtype != tf.bfloat16:
      return layer(inputs, state, kernel, bias, lengths)
    args = cast((inputs, state, kernel, bias), tf.float32)
    return cast(layer(*args, lengths), tf.bfloat16)
  return computed


def cast(tensors, dtype):
  """All tensors of a structure as another type."""
  return tf.nest.map_structure(lambda x: tf.cast(x, dtype), tensors)


def has_gpu():
  """Whether TensorFlow sees a GPU that "cudnn" runs on: one of NVIDIA's."""
  return tf.test.is_built_with_cuda() and bool(
      tf.config.list_physical_devices("GPU"))


def runs_here(name):
  """Whether a layer of this name runs on this machine, or NEEDS_GPU."""
  return name != "cudnn" or has_gpu()
