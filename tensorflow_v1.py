"""TensorFlow's 1.x interface, `tf`, as this suite runs it: fast and quiet.

`from tensorflow_v1 import tf` in every module, so that the settings below are
made before TensorFlow is first imported, whichever module comes first.
"""

import contextlib
import faulthandler
import os
import re
import tempfile

# Faster GEMMs; on by default only on the newest processors.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# As much of a GPU's memory as is used, so that scripts can share one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# Errors alone. What is logged while TensorFlow is being imported ignores this.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Information, and the word that there is no GPU (303: no CUDA driver library).
_CHATTER = re.compile(
    rb"I\d{4} |WARNING: All log messages before absl|.*cuInit.*\(303\)")


@contextlib.contextmanager
def _without_chatter():
  """Holds back what is written to standard error, and drops the chatter."""
  with contextlib.ExitStack() as stack:
    try:
      stderr = os.dup(2)
      stack.callback(os.close, stderr)
      log = stack.enter_context(tempfile.TemporaryFile())
    except OSError:  # no standard error, or nowhere to hold it back
      yield
      return
    if not faulthandler.is_enabled():  # a crash is the one thing not held back
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
  tf.config.list_physical_devices()  # which is when it looks for a GPU
tf.logging.set_verbosity(tf.logging.ERROR)  # no word of deprecation
# Float32 has 24 bits on a GPU too, not the 11 that TF32 leaves it in GEMMs.
tf.config.experimental.enable_tensor_float_32_execution(False)


def repeatable_session():
  """A session for the default graph whose results are the same to the bit.

  TensorFlow would merge sums of two terms into sums of many, which begin with
  whichever term can lend its memory: another one from run to run.
  """
  config = tf.ConfigProto()
  rewriting = config.graph_options.rewrite_options
  rewriting.arithmetic_optimization = rewriting.OFF
  return tf.Session(config=config)


def on_host():
  """A context for scalars that a GPU would at once have to hand back."""
  return tf.device("/CPU:0")


def halve_threads_per_op():
  """Leaves half of the cores to an op, for two of them at once.

  TensorFlow looks once in a process, when there is first something to compute,
  be it a constant of a graph; so this has no effect later, nor where the
  environment has the number. It tells, now and then, in the last bit of a sum.
  """
  os.environ.setdefault(
      "TF_NUM_INTRAOP_THREADS", str(max(1, _num_cores() // 2)))


def _num_cores():
  """Those that this process may use, where the system tells."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
