"""Ops that send tensors between the workers of a cluster.

Each op needs a key, by which the workers find each other. The keys count up, so
all workers have to add the same ops in the same order. Sums have the same bits
on all workers and in all runs; the bits depend on the number of workers.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rnn.tf1 import on_host, tf

_GROUP = 1  # all workers are one group
# Tensors with fewer numbers are sent together: each message costs time, too.
_SMALL = 2 ** 14


class Collectives:
  """Adds the ops to the default graph, for one worker of several."""

  def __init__(self, size: int) -> None:
    self._size = size
    self._keys = itertools.count(1)

  def _group(self) -> dict[str, int]:
    return {"group_size": self._size, "group_key": _GROUP,
            "instance_key": next(self._keys)}

  def reduce(self, x: tf.Tensor, final: str = "Id") -> tf.Tensor:
    """Returns the sum of the workers' tensors; with final="Div" the mean."""
    with on_host():
      return tf.raw_ops.CollectiveReduceV2(
          input=x, ordering_token=[], merge_op="Add", final_op=final,
          **self._group())

  def gather(self, x: tf.Tensor) -> tf.Tensor:
    """Returns the workers' tensors, one after another: [n, ...] -> [W n, ...].

    All workers have the same n, in every step.
    """
    with on_host():
      # The op has no bfloat16. float16 has the same size.
      is_bfloat16 = x.dtype == tf.bfloat16
      gathered = tf.raw_ops.CollectiveGatherV2(
          input=tf.bitcast(x, tf.float16) if is_bfloat16 else x,
          ordering_token=[], **self._group())
      gathered.set_shape([None, *x.shape[1:]])
      return tf.bitcast(gathered, x.dtype) if is_bfloat16 else gathered

  def broadcast(self, variable: tf.Variable, is_sender: bool) -> tf.Operation:
    """Returns an op that gives all workers the sender's value."""
    with on_host():
      if is_sender:
        return tf.raw_ops.CollectiveBcastSendV2(
            input=variable.read_value(), **self._group()).op
      return variable.assign(tf.raw_ops.CollectiveBcastRecvV2(
          shape=variable.shape.as_list(), T=variable.dtype.base_dtype,
          **self._group())).op

  def sums(self, tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the sum of each tensor over the workers, sent as one, float64."""
    totals = self._reduce_together({
        name: tf.cast(x, tf.float64) for name, x in tensors.items()})
    return {name: total if tensors[name].dtype.is_floating
            else tf.cast(total, tensors[name].dtype)
            for name, total in totals.items()}

  def mean(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices],
           low_precision: bool) -> list[tf.Tensor | tf.IndexedSlices]:
    """Returns the mean of the workers' gradients, see `Workers.mean`.

    Each large gradient is an op of its own, so that it travels while TensorFlow
    computes the next one.
    """
    means: dict[int, tf.Tensor | tf.IndexedSlices] = {}
    small: dict[int, tf.Tensor] = {}
    for number, gradient in enumerate(gradients):
      if isinstance(gradient, tf.IndexedSlices):
        means[number] = self._mean_rows(gradient, low_precision)
      elif gradient.shape.num_elements() < _SMALL:
        small[number] = gradient
      else:
        low = tf.cast(gradient, tf.bfloat16) if low_precision else gradient
        means[number] = tf.cast(self.reduce(low, "Div"), gradient.dtype)
    if small:
      means.update(self._reduce_together(small, "Div"))
    return [means[number] for number in range(len(gradients))]

  def _reduce_together(self, tensors: Mapping[Any, tf.Tensor],
                       final: str = "Id") -> dict[Any, tf.Tensor]:
    """Reduces each tensor, see `reduce`; they travel as one."""
    flat = [tf.reshape(x, [-1]) for x in tensors.values()]
    parts = tf.split(self.reduce(tf.concat(flat, axis=0), final),
                     [x.shape[0] for x in flat])
    return {key: tf.reshape(part, x.shape)
            for (key, x), part in zip(tensors.items(), parts, strict=True)}

  def _mean_rows(self, gradient: tf.IndexedSlices,
                 low_precision: bool) -> tf.IndexedSlices:
    """Returns the rows of all workers, each divided by their number."""
    values = gradient.values
    low = tf.cast(values, tf.bfloat16) if low_precision else values
    return tf.IndexedSlices(
        tf.cast(self.gather(low), values.dtype) / self._size,
        self.gather(gradient.indices), gradient.dense_shape)
