"""The softmax layer that a config asks for, and the losses of a window."""

import configs
import reader
from rnn.layers import sampled, seeded
from rnn.layers.blocks import BlockedSoftmax
from rnn.layers.softmax import Softmax
from rnn.options import Options
from rnn.tf1 import read_in_place, tf


def add_softmax(parameters: seeded.Parameters, config: configs.Config,
                vocab_size: int, options: Options, targets: tf.Tensor,
                is_training: bool, step: tf.Tensor | None) -> Softmax:
  """Adds the parameters of the softmax, and returns the layer.

  The bias is float32 in any precision, because it is added to float32 logits.

  Args:
    targets: [T, B], of the window.
    step: scalar int64, which determines the candidates of a sampled softmax; by
      default the global step.
  """
  width = config.output_sizes[-1]
  if not config.num_sampled:
    weights = parameters.add("softmax_w", [width, vocab_size])
    bias = parameters.add("softmax_b", [vocab_size])
    return Softmax(
        tf.cast(weights.read_value(), options.precision), bias.read_value())
  # One row per word, so that the gradient can be sparse.
  weights = parameters.add("softmax_rows", [vocab_size, width])
  bias = parameters.add("softmax_b", [vocab_size])
  if not is_training or options.full_softmax:
    with tf.control_dependencies([read_in_place(weights)]):
      return BlockedSoftmax(weights.read_value(), bias.read_value())
  if step is None:
    step = tf.train.get_or_create_global_step().read_value()
  return sampled.SampledSoftmax(
      weights, bias, options.precision, sampled.draw(
          config.num_sampled, vocab_size, options.seed, step), targets,
      pads=options.workers.size > 1)


def losses(outputs: tf.Tensor, columns: tf.Tensor, softmax: Softmax,
           is_ragged: bool = False) -> tf.Tensor:
  """Returns the loss of each target in nats: [T, B, H], [T, B] -> [T, B].

  Args:
    columns: of the softmax, for the targets; NO_TARGET where there is none.
    is_ragged: whether many positions may have no target. The softmax is spared
      them.
  """
  if is_ragged:
    live = tf.where(tf.not_equal(columns, reader.NO_TARGET))  # (N, 2)
    of_live = softmax.losses(
        tf.gather_nd(outputs, live), tf.gather_nd(columns, live))
    return tf.scatter_nd(live, of_live, tf.shape(columns, out_type=live.dtype))
  of_all = softmax.losses(
      tf.reshape(outputs, [-1, outputs.shape[-1]]),
      tf.reshape(tf.maximum(columns, 0), [-1]))  # (T*B,)
  of_all = tf.reshape(of_all, tf.shape(columns))
  return tf.where(tf.equal(columns, reader.NO_TARGET),
                  tf.zeros_like(of_all), of_all)
