"""Code that the recurrent layers share: loops, lengths, directions, cuDNN.

A layer with lengths keeps the state of a row from the row's end on. Its outputs
there are zeros.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnn.tf1 import tf

# A namedtuple of tensors [B, H], "h" among them.
State = Any
# A function, (x [B, I], state, *weights) -> the state after the step. The
# weights are the parameters of `cells.Cell.shapes`: kernel, bias and so on.
StepFunction = Callable[..., State]
# A function, see `rnn.layers.cells`.
Layer = Callable[..., tuple[tf.Tensor, State]]

NEEDS_GPU = "needs an NVIDIA GPU that TensorFlow sees; leave it out"

# In float32 the sigmoid of this is exactly 1, and the sigmoid of its negative
# exactly 0, also after the (far smaller) recurrent share is added. Gates with
# this input keep the state past a row's end, with gradients of exactly 0.
SATURATED = 1e4


class HiddenState(NamedTuple):
  """State of a cell that only hands on its output, h [B, H]."""

  h: tf.Tensor


def flatten_steps(x: tf.Tensor) -> tf.Tensor:
  """Returns all steps as the rows of one matrix: [T, B, n] -> [T*B, n]."""
  return tf.reshape(x, [-1, x.shape[-1]])


def casts(dtype: tf.DType) -> tuple[Callable[[tf.Tensor], tf.Tensor],
                                    Callable[[tf.Tensor], tf.Tensor]]:
  """Returns two functions: a cast to the compute dtype, and one to float32.

  Mixed precision uses `dtype` for the GEMMs only. Sums over many steps, such as
  the cell state, are float32. A cast to the dtype that a tensor already has
  adds no op.
  """
  return (functools.partial(tf.cast, dtype=dtype),
          functools.partial(tf.cast, dtype=tf.float32))


def live_steps(inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  """Returns whether each step is before its row's end, [T, B, 1] bool.

  Args:
    inputs: [T, B, ...], for T.
    lengths: [B].
  """
  return (tf.range(tf.shape(inputs)[0])[:, None] < lengths)[..., None]


def zero_out_padding(live: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """Returns x [T, B, n] with zeros where `live` [T, B, 1] is false."""
  return tf.where_v2(live, x, tf.zeros_like(x))


def product(x: tf.Tensor, weights: tf.Tensor,
            live: tf.Tensor | None) -> tf.Tensor:
  """Returns x weights, [N, n] [n, m] -> [N, m], zeros past the last live row.

  So it costs nothing at the steps of a window that no row reaches.

  Args:
    live: N booleans of any shape, or None if all rows are live.
  """
  if live is None:
    return x @ weights
  return pad_rows(live_rows(x, live) @ weights, x)


def live_rows(x: tf.Tensor, live: tf.Tensor | None) -> tf.Tensor:
  """Returns the rows of x [N, n] up to the last live one; see `product`."""
  if live is None:
    return x
  numbers = tf.range(1, tf.size(live) + 1)
  return x[:tf.reduce_max(
      tf.where_v2(tf.reshape(live, [-1]), numbers, tf.zeros_like(numbers)))]


def pad_rows(rows: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
  """Returns rows with as many more, of zeros, as another matrix has."""
  more = tf.shape(like)[0] - tf.shape(rows)[0]
  padded = tf.pad(rows, [[0, more], [0, 0]])
  padded.set_shape([like.shape[0], rows.shape[1]])
  return padded


def unrolled(cell: StepFunction) -> Layer:
  """Returns a layer that applies a cell step by step.

  T has to be static, because every step has its own ops. TensorFlow derives the
  gradient.
  """
  def layer(inputs: tf.Tensor, state: State, *weights: tf.Tensor,
            lengths: tf.Tensor | None = None) -> tuple[tf.Tensor, State]:
    outputs = []
    for t, x in enumerate(tf.unstack(inputs)):
      output, state = _step(cell, t, x, state, weights, lengths)
      outputs.append(output)
    return tf.stack(outputs), state
  return layer


def looped(cell: StepFunction) -> Layer:
  """Returns the same layer as `unrolled` with a loop over the steps.

  The graph does not grow with T, and T need not be static.
  """
  def layer(inputs: tf.Tensor, state: State, *weights: tf.Tensor,
            lengths: tf.Tensor | None = None) -> tuple[tf.Tensor, State]:
    num_steps = tf.shape(inputs)[0]

    def step(t: tf.Tensor, state: State, outputs: tf.TensorArray) -> tuple:
      output, after = _step(cell, t, inputs[t], state, weights, lengths)
      copy_shapes(after, state)
      return t + 1, after, outputs.write(t, output)

    outputs = tf.TensorArray(inputs.dtype, num_steps)
    _, state, outputs = tf.while_loop(
        lambda t, *_: t < num_steps, step, [0, state, outputs])
    outputs = outputs.stack()
    outputs.set_shape([inputs.shape[0], *state.h.shape])
    return outputs, state
  return layer


def _step(cell: StepFunction, t: int | tf.Tensor, x: tf.Tensor, state: State,
          weights: Sequence[tf.Tensor], lengths: tf.Tensor | None
          ) -> tuple[tf.Tensor, State]:
  """Returns the output [B, H] and the state after step t."""
  after = cell(x, state, *weights)
  if lengths is None:
    return after.h, after
  live = (t < lengths)[:, None]
  after = tf.nest.map_structure(
      functools.partial(tf.where_v2, live), after, state)
  return tf.where_v2(live, after.h, tf.zeros_like(after.h)), after


def copy_shapes(after: State, before: State) -> None:
  """Gives the state after a step the static shapes of the state before it.

  A loop refuses a state whose static shape changes. TensorFlow cannot infer the
  shape if the batch size of `lengths` is unknown.
  """
  tf.nest.map_structure(lambda x, y: x.set_shape(y.shape), after, before)


def bidirectional(layer: Layer, inputs: tf.Tensor, states: Sequence[State],
                  weights: Sequence[Sequence[tf.Tensor]],
                  lengths: tf.Tensor
                  ) -> tuple[tf.Tensor, tuple[State, State]]:
  """Applies a layer forward, and another backward from each row's end.

  Args:
    layer: the implementation of both.
    inputs: [T, B, I].
    states: the initial states of the forward and of the backward layer.
    weights: the kernel, the bias and so on of each.
    lengths: [B].

  Returns:
    outputs [T, B, 2H], forward part first, and the two final states.
  """
  def reverse(x: tf.Tensor) -> tf.Tensor:
    return tf.reverse_sequence(x, lengths, seq_axis=0, batch_axis=1)

  forward, last = layer(
      inputs, states[0], *weights[0], lengths=lengths)
  backward, first = layer(
      reverse(inputs), states[1], *weights[1], lengths=lengths)
  return tf.concat([forward, reverse(backward)], axis=2), (last, first)


def cudnn(mode: str, inputs: tf.Tensor, state: State, params: tf.Tensor,
          lengths: tf.Tensor | None) -> tuple[tf.Tensor, State]:
  """Applies cuDNN's layer in one call; needs an NVIDIA GPU.

  Args:
    mode: "lstm", "gru" or "rnn_tanh".
    params: the result of `cudnn_params`.

  Returns:
    outputs, state: as for any layer.
  """
  live = None
  if lengths is None:
    num_steps, batch_size = tf.unstack(tf.shape(inputs)[:2])
    lengths = tf.fill([batch_size], num_steps)
  else:
    live = live_steps(inputs, lengths)
    inputs = zero_out_padding(live, inputs)
    # cuDNN fails on some lengths of 0 (github.com/jax-ml/jax/issues/17966). So
    # an empty row runs for one step of zeros, and its result is dropped below.
    lengths = tf.maximum(lengths, 1)
  c = state.c if "c" in state._fields else tf.zeros_like(state.h)
  # The op's own dropout stays off: it would skip the last layer's outputs.
  result = tf.raw_ops.CudnnRNNV3(
      input=inputs, input_h=state.h[None], input_c=c[None], params=params,
      sequence_lengths=lengths, rnn_mode=mode)
  outputs, ends = result.output, {"c": result.output_c, "h": result.output_h}
  final = type(state)(*(ends[part][0] for part in state._fields))
  if live is None:
    return outputs, final
  # live[0] is false for the rows of length 0, which keep their state.
  return zero_out_padding(live, outputs), tf.nest.map_structure(
      functools.partial(tf.where_v2, live[0]), final, state)


def cudnn_params(kernels: tf.Tensor, biases: tf.Tensor) -> tf.Tensor:
  """Returns a layer's parameters as cuDNN wants them, [G (I + H) H + 2 G H].

  For G gates these are, without gaps: G input matrices [H, I], G recurrent
  matrices [H, H], G biases of the input [H], G recurrent biases [H].

  Args:
    kernels: [G, I + H, H], the gates in cuDNN's order.
    biases: the 2 G H biases in the order of the result, of any shape.
  """
  kernels = tf.transpose(kernels, [0, 2, 1])  # (G, H, I + H)
  input_size = kernels.shape[2] - kernels.shape[1]
  return tf.concat([tf.reshape(part, [-1]) for part in (
      kernels[:, :, :input_size], kernels[:, :, input_size:], biases)], axis=0)


def without_bfloat16(layer: Layer) -> Layer:
  """Decorates a layer to compute in float32 if its inputs are bfloat16."""
  @functools.wraps(layer)
  def wrapper(inputs: tf.Tensor, state: State, kernel: tf.Tensor,
              bias: tf.Tensor, lengths: tf.Tensor | None = None
              ) -> tuple[tf.Tensor, State]:
    if inputs.dtype != tf.bfloat16:
      return layer(inputs, state, kernel, bias, lengths)
    args = cast((inputs, state, kernel, bias), tf.float32)
    return cast(layer(*args, lengths), tf.bfloat16)
  return wrapper


def cast(tensors: Any, dtype: tf.DType | str) -> Any:
  """Returns a structure of tensors with all of them cast to a dtype."""
  return tf.nest.map_structure(lambda x: tf.cast(x, dtype), tensors)


def has_gpu() -> bool:
  """Returns whether TensorFlow sees a GPU with cuDNN, one of NVIDIA's.

  One that is hidden by `tf.config.set_visible_devices` does not count.
  """
  return tf.test.is_built_with_cuda() and bool(
      tf.config.get_visible_devices("GPU"))


def runs_here(name: str) -> bool:
  """Returns whether the layer of this name runs on this machine.

  If not, NEEDS_GPU says why.
  """
  return name != "cudnn" or has_gpu()
