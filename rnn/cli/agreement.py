"""Checks that all workers train the same model on the same text."""

from collections.abc import Mapping
from typing import Any

from rnn.parallel.workers import Workers, WorkersError
from rnn.runs import config_file
from rnn.tf1 import tf

# These may differ from machine to machine.
_MAY_DIFFER = ("data.path", "data.encoding", "data.*.file", "rnn_mode",
               *config_file.START_MAY_CHANGE)


def check(workers: Workers, description: Mapping[str, Any]) -> None:
  """Compares the description of a run with those of the other workers.

  Args:
    description: the content of config.json, which has digests of the texts and
      of the vocabulary.

  Raises:
    WorkersError: a worker differs from the chief. All workers raise it.
  """
  first, *others = workers.exchange(
      {**description, "TensorFlow": tf.version.VERSION})
  differences = [
      f"worker {rank}: {difference.replace(' here)', ' at worker 0)')}"
      for rank, other in enumerate(others, 1)
      for difference in config_file.differences(other, first, _MAY_DIFFER)[0]]
  if differences:
    raise WorkersError(
        "the workers differ as listed below; give all of them the same flags, "
        "text and versions", details=differences)
