"""The softmax layer that a config asks for, and the losses of a window."""

from collections.abc import Callable, Mapping

import configs
from rnn.layers import sampled, seeded
from rnn.layers.blocks import BlockedSoftmax
from rnn.layers.softmax import ProjectedSoftmax, Softmax, SoftmaxOfRows
from rnn.options import Options
from rnn.text.streams import NO_TARGET
from rnn.tf1 import read_in_place, tf


def add_softmax(parameters: seeded.Parameters, config: configs.Config,
                embedding: tf.Variable, options: Options, targets: tf.Tensor,
                is_training: bool, step: tf.Tensor | None
                ) -> tuple[tf.Variable | tf.Tensor, Softmax]:
  """Adds the parameters of the softmax.

  The bias is float32 in any precision, because it is added to float32 logits.

  Args:
    embedding: [V, E]. With `tie_weights` it is the weights of the softmax, too.
    targets: [T, B], of the window.
    step: scalar int64, which determines the candidates of a sampled softmax; by
      default the global step.

  Returns:
    table, softmax: what to look words up in, [V, E]; and the layer.
  """
  width, (vocab_size, embedded) = config.output_sizes[-1], embedding.shape
  projection = None
  if config.tie_weights:
    weights = embedding
    if width != embedded:
      projection = parameters.add("softmax_projection", [width, embedded])
  elif config.num_sampled:
    # One row per word, so that the gradient can be sparse.
    weights = parameters.add("softmax_rows", [vocab_size, width])
  else:
    weights = parameters.add("softmax_w", [width, vocab_size])
  bias = parameters.add("softmax_b", [vocab_size])
  table: tf.Variable | tf.Tensor = embedding
  softmax: Softmax
  if config.num_sampled and is_training and not options.full_softmax:
    softmax = sampled.SampledSoftmax(
        weights, bias, options.precision, sampled.draw(
            config.num_sampled, vocab_size, options.seed,
            seeded.step_or_global(step)), targets,
        pads=options.workers.size > 1)
  else:
    value = _read(weights, rows_are_gathered=config.num_sampled > 0)
    if config.tie_weights:
      table, value = tied(value) if is_training else (value, value)
    softmax = _full_softmax(config, value, bias, options.precision)
  if projection is not None:
    softmax = ProjectedSoftmax(
        tf.cast(projection.read_value(), options.precision), softmax)
  return table, softmax


def losses(has_padding: bool, results: Mapping[str, tf.Tensor],
           columns: tf.Tensor, softmax: Softmax) -> tf.Tensor:
  """Returns the loss of each target in nats, [T, B].

  Args:
    has_padding: whether to leave out positions without a target.
    results: of a window, see `stack.run`.
    columns: the result of `softmax.columns` for the targets; NO_TARGET where a
      position has no target.
  """
  outputs = results["outputs"]
  if has_padding:
    live = tf.where(tf.not_equal(columns, NO_TARGET))  # (N, 2)
    of_live = softmax.losses(
        tf.gather_nd(outputs, live), tf.gather_nd(columns, live))
    return tf.scatter_nd(live, of_live, tf.shape(columns, out_type=live.dtype))
  of_all = softmax.losses(
      tf.reshape(outputs, [-1, outputs.shape[-1]]),
      tf.reshape(tf.maximum(columns, 0), [-1]))  # (T*B,)
  of_all = tf.reshape(of_all, tf.shape(columns))
  return tf.where(tf.equal(columns, NO_TARGET),
                  tf.zeros_like(of_all), of_all)


def _read(weights: tf.Variable, rows_are_gathered: bool) -> tf.Tensor:
  """Returns the value of the weights.

  Args:
    rows_are_gathered: whether another step gathers or updates single rows, so
      that TensorFlow would copy all of them here.
  """
  before = [read_in_place(weights)] if rows_are_gathered else []
  with tf.control_dependencies(before):
    return weights.read_value()


def _full_softmax(config: configs.Config, weights: tf.Tensor,
                  bias: tf.Variable, precision: str) -> Softmax:
  """Returns the layer that compares each target with all words."""
  if config.num_sampled:  # of so many words that their logits take gigabytes
    return BlockedSoftmax(weights, bias.read_value())
  weights = tf.cast(weights, precision)
  if not config.tie_weights:
    return Softmax(weights, bias.read_value())
  # In float32, oneDNN's GEMM of the logits takes 1.3 to 2 times as long with
  # rows. So they are transposed once for both halves of a window. In 16 bits
  # rows are as fast.
  transposed = [tf.transpose(weights)] if precision == "float32" else []
  return SoftmaxOfRows(weights, bias.read_value(), *transposed)


@tf.custom_gradient
def tied(embedding: tf.Tensor
         ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
  """Returns the embedding twice: to look words up, and as softmax weights.

  The gradient of the first is one row per position of the text, that of the
  second is dense. TensorFlow would turn the dense one into V more rows, and sum
  them by word. Here each position's row is added to the word's row of the dense
  gradient, one after the other. So the bits do not vary.

  Args:
    embedding: [V, E].
  """
  def grad(d_table: tf.IndexedSlices, d_weights: tf.Tensor) -> tf.Tensor:
    # In contrast to tf.tensor_scatter_nd_add, it copies no dense gradient.
    return tf.raw_ops.ScatterNdNonAliasingAdd(
        input=d_weights, indices=d_table.indices[:, None],
        updates=d_table.values)

  return (tf.identity(embedding), tf.identity(embedding)), grad
