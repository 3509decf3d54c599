"""The softmax layer that a config asks for."""

import configs
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
  return sampled.SampledSoftmax(
      weights, bias, options.precision, sampled.draw(
          config.num_sampled, vocab_size, options.seed,
          seeded.step_or_global(step)), targets,
      pads=options.workers.size > 1)
