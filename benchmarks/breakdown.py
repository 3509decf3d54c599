"""The time of a training step by kind of op, from TensorFlow's own tracing."""

import collections
import time
from typing import Any

from rnn.tf1 import tf


def trace_steps(session: tf.Session, fetches: Any, steps: int) -> dict:
  """Runs some steps and traces them.

  Returns:
    A dict, all times in milliseconds per step:
      "wall": the duration of a step.
      "cpu": the time of the process on all cores. Threads that wait for each
        other in a loop count.
      "busy": the sum over all ops. It exceeds "wall" if ops run at once.
      "ops": a dict, kind of op -> [time, number of ops].
  """
  ops: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
  wall = cpu = 0.0
  for _ in range(steps):
    metadata = tf.RunMetadata()
    start, start_cpu = time.perf_counter(), time.process_time()
    session.run(fetches, run_metadata=metadata, options=tf.RunOptions(
        trace_level=tf.RunOptions.FULL_TRACE))
    wall += time.perf_counter() - start
    cpu += time.process_time() - start_cpu
    for device in metadata.step_stats.dev_stats:
      for node in device.node_stats:
        # The label is "name = Kind(inputs)".
        kind = node.timeline_label.partition(" = ")[2].partition("(")[0]
        time_and_number = ops[kind or node.node_name]
        time_and_number[0] += (
            node.op_end_rel_nanos - node.op_start_rel_nanos) / 1e6 / steps
        time_and_number[1] += 1 / steps
  return {"wall": 1e3 * wall / steps, "cpu": 1e3 * cpu / steps, "ops": ops,
          "busy": sum(milliseconds for milliseconds, _ in ops.values())}
