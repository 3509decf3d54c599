"""Runs a window in two halves, which keeps two cores busy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from configs import Config
from rnn.layers import recurrent
from rnn.tf1 import halve_threads_per_op, tf

# A function of inputs [T, B], targets [T, B], masks (a dict, [T or 1, B, ...]
# each) and state; returns a dict, [T, B, ...] each, and the next state.
Run = Callable[..., tuple[dict[str, tf.Tensor], Any]]


def run_in_halves(run: Run, inputs: tf.Tensor, targets: tf.Tensor,
                  masks: Mapping[int, tf.Tensor], state: Any,
                  usual: int | None = None) -> tuple[dict[str, tf.Tensor], Any]:
  """Runs a window in two halves along T.

  While the first half is in the next layer or in the softmax, the second half
  is in the layer before. A single run would give the same result, except for
  the last bits of some sums. A resumed run has the same bits only if the halves
  and the order of their ops stay as they are.

  Args and results are as those of `run`. A mask [1, B, ...] is for all steps.

  Args:
    usual: the length of most windows, if it is below T. Windows are split in
      its middle.
  """
  sizes = _sizes(inputs.shape[0], usual)
  split = [_split(x, sizes) for x in (inputs, targets, *masks.values())]
  parts = []
  for half in range(len(sizes)):
    half_inputs, half_targets, *half_masks = (x[half] for x in split)
    results, state = run(half_inputs, half_targets,
                         dict(zip(masks, half_masks, strict=True)), state)
    parts.append(results)
  return {name: tf.concat([part[name] for part in parts], axis=0)
          for name in parts[0]}, state


def _sizes(num_steps: int | None, usual: int | None) -> list[int | None]:
  """Returns the steps of each part of a window, halves of the usual steps.

  It stays whole if T is 1 or not static. It also stays whole on a GPU, whose
  single stream runs one op after the other.
  """
  if num_steps is None or num_steps < 2 or recurrent.has_gpu():
    return [num_steps]
  usual = min(usual or num_steps, num_steps)
  # The first half is the longer one if T is odd.
  first = usual - usual // 2
  return [first, num_steps - first]


def _split(x: tf.Tensor, sizes: Sequence[int | None]) -> Sequence[tf.Tensor]:
  """Splits [T, ...] along T. Each part gets the whole of [1, ...]."""
  if len(sizes) == 1 or x.shape[0] == 1:
    return [x] * len(sizes)
  return tf.split(x, sizes)


def set_threads(config: Config) -> None:
  """Gives each op half of the cores, so that the halves share them.

  More threads for a small op cost more than they save. With matrices that
  exceed the processor's caches it is the other way round, so large models keep
  all cores for each op. Has to be called before the first graph is built; see
  `tf1.halve_threads_per_op`.
  """
  if max(config.layer_sizes) < 1000:
    halve_threads_per_op()
