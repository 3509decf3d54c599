"""Checks that all workers train the same model on the same text."""

from collections.abc import Mapping
from typing import Any

from rnn.parallel.workers import Workers, WorkersError
from rnn.runs import config_file
from rnn.tf1 import tf


def check(workers: Workers, description: Mapping[str, Any],
          resumes: bool) -> None:
  """Compares the description of a run with those of the other workers.

  Args:
    description: the content of config.json, which has digests of the texts and
      of the vocabulary.
    resumes: whether there is a run at --save_path, which stands in for flags.

  Raises:
    WorkersError: a worker differs from the chief. All workers raise it.
  """
  answers = workers.exchange(
      [{**description, "TensorFlow": tf.version.VERSION}, resumes])
  (first, chief_resumes), *others = answers
  differences = [
      f"worker {rank}: {difference}"
      for rank, (other, _) in enumerate(others, 1)
      for difference in config_file.differences(
          other, first, config_file.PLACE_MAY_CHANGE, "at worker 0")[0]]
  if differences:
    without = [str(rank) for rank, (_, other_resumes) in enumerate(others, 1)
               if chief_resumes and not other_resumes]
    raise WorkersError(
        "the workers differ as listed below; give all of them the same flags, "
        "text and versions" + (
            "; without a copy of the run in --save_path, all flags of the run "
            f"are needed at worker {' and '.join(without)}" if without else ""),
        details=differences)
