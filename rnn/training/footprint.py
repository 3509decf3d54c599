"""The memory that a model needs, compared before its graph is built.

Every figure is a lower bound: tensors that are certainly in memory at the same
time. TensorFlow also makes copies, and runs ops side by side. So a model that
is refused cannot work, but one that is not refused may still be too large.

With a GPU nothing is compared. The model is in the memory of the GPU then,
whose lack is an error that TensorFlow reports.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import configs
from rnn import memory
from rnn.layers import blocks, cells, recurrent, sampled
from rnn.memory import Part
from rnn.options import Options
from rnn.tf1 import tf
from rnn.training.optimizers import OPTIMIZERS

# Layers that add ops to the graph for every step, and the bytes of these ops
# per step and layer, in evaluation and in training. They are lower bounds:
# 60,000 and 340,000 were measured, or more.
_UNROLLED = ("basic", "fused")
_STEP_BYTES = {False: 50_000, True: 200_000}


class Parameters(NamedTuple):
  """A group of parameters.

  Attributes:
    number: how many there are.
    dense: how many of them have a gradient in every step. An embedding has one
      only for the words of the window, a sampled softmax for its candidates.
    what, advice: see `memory.Part`.
    fixed: how many of them are not trained.
  """

  number: int
  dense: int
  what: str
  advice: str
  fixed: int = 0


def summary(model: Any) -> str:
  """Returns a line on a model to train: its parameters, and the memory.

  Args:
    model: a `trainable.Trainable`, in the default graph. If the model has an
      attribute `memory`, it is the result of `check`. Otherwise only
      parameters, the optimizer's slots and gradients count.
  """
  number = sum(v.shape.num_elements() for v in model.variables)
  # Each variable that is trained has a gradient.
  size = getattr(model, "memory", None) or sum(
      v.shape.num_elements() * v.dtype.size
      for v in [*tf.global_variables(), *tf.trainable_variables()])
  return (f"{number:,} parameters; training needs at least "
          f"{memory.as_text(size)} of memory")


def check(parameters: Sequence[Parameters], others: Sequence[Part],
          optimizer: str | None = None, item_size: int = 4) -> float:
  """Compares the memory that a model needs with what is available.

  Args:
    others: tensors that are in memory while a window runs.
    optimizer: one of OPTIMIZERS, in training.
    item_size: bytes of a number in the precision of the model.

  Returns:
    The memory that it needs, in bytes.

  Raises:
    UserError: less is available.
  """
  slots = OPTIMIZERS[optimizer].slots if optimizer else 0
  kept = [Part(4 * (p.number + slots * (p.number - p.fixed)), p.what, p.advice)
          for p in parameters]
  moments = [[*kept, *others]]
  if optimizer:
    # The update needs the norm of all gradients, so they exist together.
    moments.append([part._replace(size=part.size + item_size * p.dense)
                    for part, p in zip(kept, parameters, strict=True)])
  largest = max(moments, key=lambda parts: sum(p.size for p in parts))
  if not recurrent.has_gpu():
    memory.check(largest)
  return sum(part.size for part in largest)


def check_language_model(
    config: configs.Config, vocab_size: int, shape: Sequence[int | None],
    is_training: bool, options: Options) -> float:
  """Compares the memory of a PTBModel, and returns it, see `check`.

  Args:
    shape: T and B of a window; None if it varies.
  """
  cell, width, units = (
      cells.CELLS[config.cell], config.input_size, config.layer_sizes)
  output_size = config.output_sizes[-1]
  item_size = tf.as_dtype(options.precision).size
  steps, batch_size = shape[0] or 1, shape[1] or 1
  shorter = "num_steps" + " or window_jitter" * bool(
      is_training and config.window_jitter)
  half = max(steps // 2, 1) * batch_size
  # With reset_state, most positions may have no target, and so no logits.
  targets = 1 if config.reset_state else half
  logits, gradients = _softmax(
      config, vocab_size, targets, is_training, options)
  window = 2 * 4 * logits + item_size * half * output_size
  if is_training:  # inputs and gates are kept for the gradient
    window += item_size * steps * batch_size * (
        width + cell.columns * sum(units))
  others = [Part(
      window, f"windows of batch_size={batch_size:,} x num_steps={steps:,}",
      f"lower batch_size or {shorter}")]
  if shape[0] and cell.resolve(options.rnn_mode) in _UNROLLED:
    others.append(Part(
        _STEP_BYTES[is_training] * steps * len(units),
        f"the ops of num_steps={steps:,}", f"lower {shorter}"))
  if is_training and config.keep_prob_recurrent < 1:
    kernels = sum(math.prod(shapes["kernel"])
                  for shapes in _shapes(cell, width, config.sizes))
    others.append(Part(  # kept for the gradient
        (4 + item_size) * kernels, "the masks of the recurrent weights, and "
        "the weights that they keep,", "set keep_prob_recurrent=1"))
  parameters = [*_words(config, vocab_size, gradients),
                layers(cell, width, config.sizes)]
  if not is_training:
    parameters = [p._replace(advice="use a machine with more memory")
                  for p in parameters]
    # The settings of a run that is evaluated cannot change.
    others = [part._replace(advice=f"{part.advice} in a new run")
              for part in others]
  return check(
      parameters, others, config.optimizer if is_training else None, item_size)


def _softmax(config: configs.Config, vocab_size: int, targets: int,
             is_training: bool, options: Options) -> tuple[int, int]:
  """Returns the logits that exist at a time, and the number of gradients.

  The window runs in halves. Logits and probabilities of one half are float32,
  and both are kept until the cost of the half is known.

  Args:
    targets: of half a window, at least.
  """
  width = config.output_sizes[-1] + 1
  if config.tie_weights:
    width = config.input_size * (config.freeze != "embedding") + 1
  if not config.num_sampled:
    return targets * vocab_size, vocab_size * width
  if is_training and not options.full_softmax:
    # Half of the average, so that chance cannot make it less.
    words = int(sampled.expected_distinct(config.num_sampled, vocab_size) / 2)
    return targets * words, words * width
  logits = min(targets * vocab_size, max(blocks.NUMBERS, targets))
  return logits, vocab_size * width


def _words(config: configs.Config, vocab_size: int,
           gradients: int) -> list[Parameters]:
  """Returns the parameters of the embedding and of the softmax.

  Args:
    gradients: see `_softmax`.
  """
  width, output_size = config.input_size, config.output_sizes[-1]
  tied = config.tie_weights
  widths = [width] if tied else [width, output_size]
  words = Parameters(
      vocab_size * (sum(widths) + 1), gradients,
      f"{vocab_size:,} words with vectors of "
      f"{' and '.join(f'{width:,}' for width in widths)} numbers",
      "limit the vocabulary, or lower hidden_size or embedding_size",
      fixed_embedding(config, vocab_size))
  if not tied or width == output_size:
    return [words]
  size = output_size * width
  return [words, Parameters(
      size, size, f"the projection of {output_size:,} to {width:,} numbers",
      "lower hidden_size or embedding_size")]


def fixed_embedding(config: configs.Config, vocab_size: int) -> int:
  """Returns how many parameters of an embedding are not trained."""
  return vocab_size * config.input_size * (config.freeze == "embedding")


def layers(cell: cells.Cell, width: int, sizes: Sequence[tuple[int, int]],
           times: int = 1) -> Parameters:
  """Returns the parameters of recurrent layers, one on top of the other.

  Args:
    width: of the input.
    sizes: units and width of the outputs of each layer.
    times: how many of each there are.
  """
  number = times * sum(
      math.prod(shape) for shapes in _shapes(cell, width, sizes)
      for shape in shapes.values())
  units = max(units for units, _ in sizes)
  return Parameters(
      number, number, f"layers of hidden_size={units:,}",
      "lower hidden_size" + " or num_layers" * (len(sizes) > 1))


def _shapes(cell: cells.Cell, width: int, sizes: Sequence[tuple[int, int]]
            ) -> list[dict[str, list[int]]]:
  """Returns the `Cell.shapes` of each layer, see `layers`."""
  widths = width, *(output for _, output in sizes[:-1])
  return [cell.shapes(inputs, *of_layer)
          for inputs, of_layer in zip(widths, sizes, strict=True)]


def batch(config: configs.Config, input_size: int, shape: tuple[int, int],
          times: int = 1) -> Part:
  """Returns the tensors of a batch that one layer keeps for its gradient.

  Args:
    shape: T and B.
    times: the number of layers with the same input.
  """
  steps, rows = shape
  gates = cells.CELLS[config.cell].columns * config.layer_sizes[0]
  return Part(
      4 * steps * rows * (input_size + times * gates),
      f"batches of batch_size={rows:,} x {steps:,} steps", "lower batch_size")
