"""Several devices of one process, which share each batch.

The parameters are on the first device. Each device gets them in each step, runs
its columns of the batch, and returns its part of the gradient, which
`tf.gradients` adds up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnn.tf1 import tf


def run_on_devices(
    devices: Sequence[str],
    run: Callable[..., tuple[dict[str, tf.Tensor], Any]],
    inputs: tf.Tensor, targets: tf.Tensor, masks: Mapping[int, tf.Tensor],
    state: Any) -> tuple[dict[str, tf.Tensor], Any]:
  """Runs a window, with B / N of its streams on each of N devices.

  One device runs all streams if N does not divide B, as with the single stream
  of the test.

  Args:
    devices: their names.
    run: a function of the four others, see `halves.Run`.
    inputs, targets: [T, B].
    masks: a dict, [T or 1, B, ...] each.
    state: a structure of [B, ...].

  Returns:
    A dict of [T, B, ...], and the state after the window.
  """
  batch_size, number = inputs.shape[1], len(devices)
  if number == 1 or batch_size is None or batch_size % number:
    return run(inputs, targets, masks, state)
  split = [tf.split(x, number, axis=1)
           for x in (inputs, targets, *masks.values())]
  states = [tf.split(x, number) for x in tf.nest.flatten(state)]
  parts = []
  for n, device in enumerate(devices):
    with tf.device(device):
      part_inputs, part_targets, *part_masks = (x[n] for x in split)
      parts.append(run(
          part_inputs, part_targets, dict(zip(masks, part_masks, strict=True)),
          tf.nest.pack_sequence_as(state, [x[n] for x in states])))
  results, after = zip(*parts, strict=True)
  return ({name: tf.concat([part[name] for part in results], axis=1)
           for name in results[0]},
          tf.nest.map_structure(lambda *rows: tf.concat(rows, axis=0), *after))
