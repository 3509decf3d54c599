"""How a model is computed, as opposed to its hyperparameters."""

import dataclasses

from rnn.parallel.workers import ALONE, Workers

PRECISIONS = ("float32", "bfloat16", "float16")
# The implementations of recurrent layers, the fastest first; no cell has all.
RNN_MODES = ("cudnn", "fused", "block", "basic", "dynamic")


@dataclasses.dataclass(frozen=True)
class Options:
  """Options that travel from the flags to the graph.

  Attributes:
    rnn_mode: the implementation of the recurrent layers, such as "fused" (see
      `rnn.layers.cells`). None stands for the fastest on this machine.
    seed: determines the initial values and the dropout masks.
    precision: the number format of the GEMMs, one of PRECISIONS. Parameters,
      updates and the cost are always float32.
    workers: the processes and devices that share each batch.
    full_softmax: whether a step of training compares each target with all
      words, even if the config has `num_sampled`.
    has_padding: whether the softmax leaves out positions without a target. It
      always does if the config has padding.
  """

  rnn_mode: str | None = None
  seed: int = 1
  precision: str = "float32"
  full_softmax: bool = False
  has_padding: bool = False
  workers: Workers = ALONE
