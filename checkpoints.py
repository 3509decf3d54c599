"""A run directory: the vocabulary, the metrics and the variables of a run."""

import csv
import os

from tensorflow_v1 import tf

METRICS = ("epoch", "learning_rate", "train_perplexity", "valid_perplexity",
           "words_per_second", "seconds")


class RunError(ValueError):
  """A run directory that cannot be used, said in one line fit for the user."""


class RunDirectory:
  """Where a run is kept: `vocab.txt`, `metrics.csv`, `model.ckpt-STEP.*`."""

  def __init__(self, path):
    self._path = path

  def create(self, vocabulary):
    """Makes the folder, and writes down the vocabulary.

    Raises:
      RunError: the folder holds something already, or cannot be written.
    """
    try:
      os.makedirs(self._path, exist_ok=True)
      if os.listdir(self._path):
        raise RunError(
            f"{self._path}: not empty; give --save_path a new folder")
      vocabulary.save(os.path.join(self._path, "vocab.txt"))
      with self._open_metrics() as file:
        csv.writer(file).writerow(METRICS)
    except OSError as error:
      raise RunError(f"{self._path}: {error.strerror}; give --save_path "
                     "another folder") from None

  def add_epoch(self, row, session, saver):
    """Keeps an epoch: its metrics, and the variables as they are after it.

    Args:
      row: a dict with the keys METRICS.
      saver: a tf.train.Saver; the name of the file tells the step.

    Raises:
      RunError: the disk is full, or the folder gone.
    """
    try:
      saver.save(session, os.path.join(self._path, "model.ckpt"),
                 tf.train.get_global_step(), write_meta_graph=False)
      with self._open_metrics() as file:
        csv.DictWriter(file, METRICS).writerow(row)
    except tf.errors.ResourceExhaustedError:
      raise RunError(f"{self._path}: no space left for epoch {row['epoch']}; "
                     "free some, or give --save_path another disk") from None
    except (OSError, ValueError, tf.errors.OpError) as error:
      raise RunError(f"{self._path}: cannot keep epoch {row['epoch']}: "
                     f"{error}".splitlines()[0]) from None

  def _open_metrics(self):
    return open(os.path.join(self._path, "metrics.csv"), "a", newline="")
