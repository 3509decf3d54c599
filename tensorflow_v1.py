"""TensorFlow's 1.x interface, `tf`, as this suite runs it: fast and quiet.

`from tensorflow_v1 import tf` in every module, so that the settings below are
made before TensorFlow is first imported, whichever module comes first.
"""

import os
import re
import sys
import tempfile

# Faster GEMMs; on by default only on the newest processors.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Errors alone. What is logged while TensorFlow is being imported ignores this.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Information, and the word that there is no GPU (303: no CUDA driver library).
_CHATTER = re.compile(
    rb"I\d{4} |WARNING: All log messages before absl|.*cuInit.*\(303\)")


def _import_tensorflow():
  """Imports it and has it look for devices, without its start-up chatter."""
  sys.stderr.flush()
  terminal = os.dup(2)
  with tempfile.TemporaryFile() as log:
    os.dup2(log.fileno(), 2)
    try:
      import tensorflow.compat.v1 as tf
      tf.config.list_physical_devices()
    finally:
      os.dup2(terminal, 2)
      os.close(terminal)
      log.seek(0)
      for line in log:
        if not _CHATTER.match(line):
          os.write(2, line)
  return tf


tf = _import_tensorflow()
tf.logging.set_verbosity(tf.logging.ERROR)  # no word of deprecation
