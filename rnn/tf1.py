"""TensorFlow's 1.x interface, set up to be fast, quiet and repeatable.

Every module takes it from here, `from rnn.tf1 import tf`: the settings below
take effect only before TensorFlow is imported.
"""

import contextlib
import faulthandler
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# oneDNN has the faster GEMMs. Only the newest processors use it by default.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Takes only the GPU memory that is used, so that several scripts can share it.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# Logs errors only. Messages during TensorFlow's import ignore this.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Information, the notice that there is no GPU (303: no CUDA driver), and what
# builds for GPUs say about their own libraries.
_CHATTER = re.compile(
    rb"I\d{4} |WARNING: All log messages before absl|.*cuInit.*\(303\)"
    rb"|[EW]\d{4} .*(?:Unable to register cu\w+ factory|already registered)")


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
  """Withholds standard error, and later prints all of it except the chatter."""
  with contextlib.ExitStack() as stack:
    try:
      stderr = os.dup(2)
      stack.callback(os.close, stderr)
      log = stack.enter_context(tempfile.TemporaryFile())
    except OSError:  # there is no standard error, or no temporary folder
      yield
      return
    if not faulthandler.is_enabled():  # a crash must reach the user at once
      faulthandler.enable(stderr)
      stack.callback(faulthandler.disable)
    os.dup2(log.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(stderr, 2)
      log.seek(0)
      for line in log:
        if not _CHATTER.match(line):
          os.write(2, line)


with _without_chatter():
  import tensorflow.compat.v1 as tf
  tf.config.list_physical_devices()  # TensorFlow looks for a GPU now
tf.logging.set_verbosity(tf.logging.ERROR)  # hides deprecation warnings
# A GPU then multiplies with float32's 24 bits, not with the 11 bits of TF32.
tf.config.experimental.enable_tensor_float_32_execution(False)


def session_config(adjust: Callable[[tf.ConfigProto], None] | None = None
                   ) -> tf.ConfigProto:
  """Returns the configuration of sessions with repeatable results.

  TensorFlow's optimizer would merge sums of two terms into sums of many. Such
  a sum starts from whichever term can lend its memory, which differs from run
  to run, and so does the last bit.

  Args:
    adjust: makes further changes, such as `Workers.adjust`.
  """
  # A session by itself would also use GPUs that are hidden from TensorFlow.
  config = tf.ConfigProto(
      device_count={"GPU": len(tf.config.get_visible_devices("GPU"))})
  rewriting = config.graph_options.rewrite_options
  rewriting.arithmetic_optimization = rewriting.OFF
  if adjust:
    adjust(config)
  return config


def repeatable_session(
    target: str = "", adjust: Callable[[tf.ConfigProto], None] | None = None
) -> tf.Session:
  """Returns a session for the default graph, see `session_config`.

  Args:
    target: the server to run in; by default the process itself.
  """
  make = _ServerSession if target else tf.Session
  return make(target, config=session_config(adjust))


class _ServerSession(tf.Session):
  """A session in a server, which repeats requests that the server refuses.

  TensorFlow gives each request a random number that depends on 32 random bits,
  and a server refuses a number that one of the last 100,000 requests had. In a
  long run that happens once in about 43,000 steps. The refused request has done
  nothing. A step that fails keeps its number, so for other workers, which wait
  in it, the repeated request is the same step. But the refusal also drops what
  they have asked for in this step already. If they were that fast, all workers
  end as if one of them were lost.
  """

  def run(self, *args: Any, **kwargs: Any) -> Any:
    """See tf.Session."""
    while True:
      try:
        return super().run(*args, **kwargs)
      except tf.errors.AbortedError as error:
        if "request was received twice" not in str(error):
          raise


def read_in_place(variable: Any) -> Any:
  """Returns an op; after it a variable is read or assigned without a copy.

  TensorFlow would otherwise copy a variable of which rows were gathered or
  updated. The next gather or update ends this.
  """
  return tf.raw_ops.DisableCopyOnRead(resource=variable.handle)


def in_turn(make: Callable[..., Any], *variables: Sequence[Any]) -> Any:
  """Returns an op that changes variables, one after the other.

  So it needs extra memory for one variable at a time. Reading a variable makes
  no copy, see `read_in_place`.

  Args:
    make: called with a variable from each list; returns an op.
    variables: lists of the same length.
  """
  last: list[Any] = []
  for together in zip(*variables, strict=True):
    with tf.control_dependencies(last):
      in_place = [read_in_place(variable) for variable in together]
    with tf.control_dependencies(in_place):
      last = [make(*together)]
  return tf.group(*last)


def filled(shape: Any, number: float) -> Any:
  """Returns a tensor of a static shape, with the same number everywhere.

  A constant of this size would stay in the session for good, next to the
  variable that starts from it.
  """
  # It could be fed, so it counts as no constant.
  return tf.fill(shape, tf.placeholder_with_default(number, []))


@contextlib.contextmanager
def integer_shapes() -> Iterator[None]:
  """A context in which the entries of static shapes are int or None.

  Many notebooks of TensorFlow 1.x start with `tf.disable_v2_behavior()`, which
  makes them Dimension objects. They are again after this context.
  """
  if isinstance(tf.TensorShape([1])[0], int):
    yield
    return
  tf.enable_v2_tensorshape()
  try:
    yield
  finally:
    tf.disable_v2_tensorshape()


def on_host() -> contextlib.AbstractContextManager:
  """Returns a context that places ops on the CPU.

  It is for scalars that a GPU would only copy back to the host.
  """
  return tf.device("/CPU:0")


_chosen_threads: int | None = None  # by `use_threads`


def use_threads(number: int) -> None:
  """Lets TensorFlow compute in so many threads, not in one per core.

  Has to be called before TensorFlow first computes something, as for
  `halve_threads_per_op`.
  """
  global _chosen_threads
  _chosen_threads = number
  for name in "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS":
    os.environ[name] = str(number)


def halve_threads_per_op() -> None:
  """Gives each op half of the threads, so that two ops can run at once.

  TensorFlow reads the setting once per process, when it first computes
  something; folding a constant while a graph is built counts. Later calls have
  no effect. A value that the user has set wins. The number of threads can
  change the last bit of a sum.
  """
  name = "TF_NUM_INTRAOP_THREADS"
  if _chosen_threads:
    os.environ[name] = str(max(1, _chosen_threads // 2))
  else:
    os.environ.setdefault(name, str(max(1, _num_cores() // 2)))


def _num_cores() -> int:
  """Returns the number of cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def error_cause(error: Exception) -> str:
  """Returns the one-line cause from a multi-line TensorFlow error."""
  message = str(getattr(error, "message", error))
  # The cause is the last part of its line, before the name of the node, if any.
  match = re.search(r"(?:^|; |\n)([^;\n]+?)\s*(?:\n\s*\[\[|$)", message)
  return match[1] if match else type(error).__name__
