"""The GEMMs of a training step, and how fast this machine can compute them.

As a contender of `speed.py`, it reports the rates of TensorFlow's GEMMs.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import contender

# (m, k, n, transpose_a, transpose_b): multiplies [m, k] by [k, n].
Shape = tuple[int, int, int, bool, bool]

# Returns a function that computes a GEMM once, and returns the seconds.
Timer = Callable[[int, int, int, bool, bool], Callable[[], float]]


def shapes(config: dict[str, Any],
           vocab_size: int) -> list[tuple[Shape, int]]:
  """Returns the GEMMs of a step: shapes, and how often each occurs.

  Their work adds up to 6 floating-point operations per weight and word: 2 in
  the forward pass, 2 for the gradient of the input, and 2 for the gradient of
  the weight.

  Args:
    config: the fields of a configs.Config.
  """
  size, batch_size = config["hidden_size"], config["batch_size"]
  num_steps, num_layers = config["num_steps"], config["num_layers"]
  rows = num_steps * batch_size
  return [
      # The input's share of the gates, and its gradient.
      ((rows, size, 4 * size, False, False), num_layers),
      ((rows, 4 * size, size, False, True), num_layers),
      # The gradient of the kernel, which has rows for the input and for h.
      ((2 * size, rows, 4 * size, True, False), num_layers),
      # The recurrent share, step by step, and its gradient.
      ((batch_size, size, 4 * size, False, False), num_layers * num_steps),
      ((batch_size, 4 * size, size, False, False), num_layers * num_steps),
      # The softmax, and the gradients of its input and of its weights.
      ((rows, size, vocab_size, False, False), 1),
      ((rows, vocab_size, size, False, True), 1),
      ((size, rows, vocab_size, True, False), 1)]


def flops(shape: Shape) -> int:
  """Returns the floating-point operations of a GEMM."""
  m, k, n, *_ = shape
  return 2 * m * k * n


def rates(config: dict[str, Any], vocab_size: int, repeats: int,
          timer: Timer) -> list[float]:
  """Returns the best rate of each shape, in floating-point operations/s.

  Args:
    config: the fields of a configs.Config.
    repeats: the number of measurements per shape.
  """
  best = []
  for shape, _ in shapes(config, vocab_size):
    measure = timer(*shape)
    best.append(flops(shape) / min(measure() for _ in range(repeats)))
  return best


def limits(config: dict[str, Any], vocab_size: int,
           measured: Sequence[Sequence[float]]) -> dict[str, float]:
  """Returns the speed of a step that consists of its GEMMs only.

  Args:
    config: the fields of a configs.Config.
    measured: results of `rates`; the best of them counts for each shape.

  Returns:
    A dict: "rate", the best rate of any shape, in floating-point operations/s;
    "limit", words per second if all GEMMs had this rate; "by shape", words per
    second if each GEMM had the best rate of its own shape.
  """
  best = [max(shape_rates) for shape_rates in zip(*measured, strict=True)]
  work = [flops(shape) * number for shape, number
          in shapes(config, vocab_size)]
  words = config["batch_size"] * config["num_steps"]
  return {"rate": max(best), "limit": words * max(best) / sum(work),
          "by shape": words / sum(
              w / rate for w, rate in zip(work, best, strict=True))}


def make(spec: dict[str, Any]) -> tuple:
  """Makes the contender, see `contender.serve`; a step is a softmax GEMM."""
  config, vocab_size = spec["config"], spec["vocab_size"]
  step = tensorflow_timer(*shapes(config, vocab_size)[-1][0])

  def report(repeats: int) -> list[float]:
    return rates(config, vocab_size, repeats, tensorflow_timer)

  return step, {}, report


def tensorflow_timer(m: int, k: int, n: int, transpose_a: bool,
                     transpose_b: bool) -> Callable[[], float]:
  """Times TensorFlow's GEMMs; a `Timer`."""
  from rnn.tf1 import tf  # PyTorch's environment has no TensorFlow
  shape = m, k, n, transpose_a, transpose_b
  # Small GEMMs run many times in a row, so that the call does not count.
  times = min(max(1, 2 * 10**8 // flops(shape)), 50)
  with tf.Graph().as_default():
    a, b = (tf.Variable(tf.random_uniform(sizes), use_resource=True)
            for sizes in ((k, m) if transpose_a else (m, k),
                          (n, k) if transpose_b else (k, n)))
    values, last = (a.read_value(), b.read_value()), list[tf.Tensor]()
    for _ in range(times):
      with tf.control_dependencies(last):
        last = [tf.matmul(*values, transpose_a, transpose_b)]
    session = tf.Session(config=_without_merging())
    session.run(tf.global_variables_initializer())
    session.run(last[0].op)

  def measure() -> float:
    start = time.perf_counter()
    session.run(last[0].op)
    return (time.perf_counter() - start) / times

  return measure


def _without_merging() -> Any:
  """Returns session settings with which TensorFlow does not merge equal ops."""
  from rnn.tf1 import tf
  settings = tf.ConfigProto()
  settings.graph_options.optimizer_options.opt_level = (
      tf.OptimizerOptions.L0)
  settings.graph_options.rewrite_options.disable_meta_optimizer = True
  return settings


if __name__ == "__main__":
  contender.serve(make)
