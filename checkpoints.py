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

  def create(self):
    """Makes the folder.

    Raises:
      RunError: it holds something already, or cannot be written to.
    """
    try:
      os.makedirs(self._path, exist_ok=True)
      if os.listdir(self._path):
        raise RunError(
            f"{self._path}: not empty; give --save_path a new folder")
      with self._open("metrics.csv"):  # to see now, not after an epoch
        pass
      os.remove(os.path.join(self._path, "metrics.csv"))
    except OSError as error:
      raise RunError(f"{self._path}: {error.strerror}; give --save_path "
                     "another folder") from None

  def add_epoch(self, row, vocabulary, session, saver):
    """Keeps an epoch: its metrics, and the variables as they are after it.

    Args:
      row: a dict with the keys METRICS.
      saver: a tf.train.Saver; the name of the file tells the step.

    Raises:
      RunError: the disk is full, or the folder gone.
    """
    try:
      path = os.path.join(os.path.abspath(self._path), "model.ckpt")
      saver.save(session, path, tf.train.get_global_step(),
                 write_meta_graph=False)
      vocabulary.save(os.path.join(self._path, "vocab.txt"))
      with self._open("metrics.csv") as file:
        writer = csv.DictWriter(file, METRICS)
        if file.tell() == 0:
          writer.writeheader()
        writer.writerow(row)
    except tf.errors.ResourceExhaustedError:
      self._fail(row, "no space left on the disk")
    except tf.errors.OpError as error:
      # The cause stands last, but for the name of the node.
      lines = error.message.splitlines()
      self._fail(row, [line for line in lines if "[[{{" not in line][-1])
    except (OSError, ValueError) as error:
      self._fail(row, error)

  def _fail(self, row, reason):
    raise RunError(
        f"{self._path}: cannot keep epoch {row['epoch']}: {reason}") from None

  def _open(self, name):
    return open(os.path.join(self._path, name), "a", newline="")
