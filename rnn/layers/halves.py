"""Runs a window in two halves, which keeps two cores busy."""

from collections.abc import Callable, Sequence
from typing import Any

from configs import Config
from rnn.layers import recurrent
from rnn.tf1 import halve_threads_per_op, tf


def run_in_halves(run: Callable[..., tuple[tf.Tensor, tf.Tensor, Any]],
                  inputs: tf.Tensor, targets: tf.Tensor,
                  masks: Sequence[tf.Tensor], state: Any,
                  usual: int | None = None
                  ) -> tuple[tf.Tensor, tf.Tensor, Any]:
  """Runs a window in two halves along T.

  While the first half is in the next layer or in the softmax, the second half
  is in the layer before. A single run would give the same result, except for
  the last bits of some sums. A resumed run has the same bits only if the halves
  and the order of their ops stay as they are.

  Args:
    run: a function of inputs, targets, masks and state; returns outputs, losses
      and the next state.
    inputs, targets: [T, B].
    masks: [T, B, ...] each.
    usual: the number of steps in the middle of which windows are split, if most
      of them do not reach T.

  Returns:
    outputs [T, B, H], losses [T, B], and the state after the window.
  """
  split = [_halves(x, usual) for x in (inputs, targets, *masks)]
  outputs, losses = [], []
  for half in range(len(split[0])):
    half_inputs, half_targets, *half_masks = (x[half] for x in split)
    half_outputs, half_losses, state = run(
        half_inputs, half_targets, half_masks, state)
    outputs.append(half_outputs)
    losses.append(half_losses)
  return tf.concat(outputs, axis=0), tf.concat(losses, axis=0), state


def _halves(x: tf.Tensor, usual: int | None) -> list[tf.Tensor]:
  """Splits [T, ...] in two along T, in the middle of the usual steps.

  It stays whole if T is 1 or not static. It also stays whole on a GPU, whose
  single stream runs one op after the other.
  """
  num_steps = x.shape[0]
  if num_steps is None or num_steps < 2 or recurrent.has_gpu():
    return [x]
  usual = min(usual or num_steps, num_steps)
  # The first half is the longer one if T is odd.
  first = usual - usual // 2
  return tf.split(x, [first, num_steps - first])


def set_threads(config: Config) -> None:
  """Gives each op half of the cores, so that the halves share them.

  More threads for a small op cost more than they save. With matrices that
  exceed the processor's caches it is the other way round, so large models keep
  all cores for each op. Has to be called before the first graph is built; see
  `tf1.halve_threads_per_op`.
  """
  if max(config.layer_sizes) < 1000:
    halve_threads_per_op()
