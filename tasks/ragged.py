"""Rows of unequal length: kept on disk, batched with little padding.

A row is an array [n] or [n, width]; n is its length, in steps. NumPy only.
"""

import array
import hashlib
import itertools
import math
import os
import tempfile

import numpy as np

import errors

_JITTER = 0.05  # of a length: rows so near to each other may share a batch


class Ragged:
  """A sequence of rows of one dtype, in a temporary file without a name.

  Rows are appended, and read from that file one by one, so that memory holds
  8 bytes a row. The environment variable TMPDIR names the folder of the file.

  Args:
    width: of rows [n, width]; None for rows [n].

  Raises:
    UserError: the file cannot be made or written.
  """

  def __init__(self, dtype, width=None):
    self._dtype = np.dtype(dtype)
    self._step_shape = () if width is None else (width,)
    self._ends = array.array("q", [0])  # of the rows, in steps
    self._digest = hashlib.sha256()
    try:
      self._file = tempfile.TemporaryFile()
    except OSError as error:
      raise _cannot_write(error) from None

  def append(self, row):
    """Adds a row, an array [n] or [n, width] of the dtype."""
    row = np.asarray(row)
    if row.dtype != self._dtype or row.shape[1:] != self._step_shape:
      raise ValueError(f"rows are {self._dtype} [n, *{self._step_shape}], "
                       f"not {row.dtype} {row.shape}")
    try:
      self._file.write(row.tobytes())
    except OSError as error:
      raise _cannot_write(error) from None
    self._digest.update(b"%d %b" % (len(row), row.tobytes()))
    self._ends.append(self._ends[-1] + len(row))

  def __len__(self):
    return len(self._ends) - 1

  def __getitem__(self, i):
    i = range(len(self))[i]
    start, end = self._ends[i:i + 2]
    try:
      self._file.flush()
    except OSError as error:
      raise _cannot_write(error) from None
    step_bytes = self._dtype.itemsize * math.prod(self._step_shape)
    # Not a memory map a row, of which a process has no more than 65,530.
    row = os.pread(self._file.fileno(), (end - start) * step_bytes,
                   start * step_bytes)
    return np.frombuffer(row, self._dtype).reshape(-1, *self._step_shape)

  @property
  def digest(self):
    """SHA-256 of the rows up to here, as bytes."""
    return self._digest.digest()

  @property
  def lengths(self):
    """The lengths of all rows, int64."""
    return np.diff(np.array(self._ends))


def _cannot_write(error):
  return errors.UserError(
      f"temporary file: {error.strerror}; let the environment variable TMPDIR "
      "name a folder with room to write")


def batches_by_length(lengths, batch_size, rng=None):
  """Cuts an epoch into batches of rows of nearly the same length.

  Padded, they have hardly more steps than their rows. With `rng`, rows are
  sorted by their lengths times a random factor from 1 to 1.05: rows of about
  the same length meet in other batches each epoch, and the batches follow each
  other in random order. For epochs that are a function of a seed and their
  number alone, whatever was drawn before:

      batches_by_length(lengths, 20, np.random.default_rng((seed, epoch)))

  Args:
    lengths: of all rows.
    batch_size: at most so many rows a batch; sizes differ by one at most.
    rng: a NumPy Generator; without it, batches go from the shortest rows to
      the longest, always the same.

  Returns:
    A list of ceil(rows / batch_size) arrays of the places of rows; each row is
    in one of them.
  """
  keys = np.asarray(lengths)
  if rng:
    keys = keys * rng.uniform(1, 1 + _JITTER, len(keys))
  order = np.argsort(keys, kind="stable")
  count = -(-len(order) // batch_size)
  ends = [len(order) * k // max(count, 1) for k in range(count + 1)]
  batches = [order[start:end] for start, end in itertools.pairwise(ends)]
  return [batches[k] for k in rng.permutation(count)] if rng else batches


class Order:
  """Which rows are in the batch of a step; see `batches_by_length`.

  Attributes:
    size: batches in a pass over all rows.
  """

  def __init__(self, lengths, batch_size, seed=None):
    """Of rows of these lengths.

    Args:
      seed: of the order, another in each pass; without it always the same.
    """
    self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
    self._pass = None, None  # the one at hand: its number, its batches
    self.size = -(-len(lengths) // batch_size)

  def __call__(self, step):
    """The places of the rows of a step."""
    number, place = divmod(step, self.size)
    if self._pass[0] != number:
      rng = (None if self._seed is None
             else np.random.default_rng([self._seed, number]))
      self._pass = number, batches_by_length(
          self._lengths, self._batch_size, rng)
    return self._pass[1][place]


def padded(rows, num_steps=None):
  """Rows side by side, time-major, zeros below the short ones.

  Args:
    rows: B arrays of one dtype, [n] or [n, width].
    num_steps: T, no less than the longest row has; by default just that.

  Returns:
    An array [T, B] or [T, B, width], and the lengths of the rows, int32 [B].
  """
  lengths = np.array([len(row) for row in rows], np.int32)
  if num_steps is None:
    num_steps = lengths.max()
  shape = [num_steps, len(rows), *rows[0].shape[1:]]
  steps = np.zeros(shape, rows[0].dtype)
  for column, row in enumerate(rows):
    steps[:len(row), column] = row
  return steps, lengths


def saving(lengths, batches):
  """The share of steps that batches save against random ones.

  Both are padded to their longest row; random batches are as large as these,
  and have the steps that can be expected of them.
  """
  lengths = np.asarray(lengths)
  steps = sum(len(batch) * lengths[batch].max() for batch in batches)
  sizes, counts = np.unique([len(batch) for batch in batches],
                            return_counts=True)
  expected = sum(count * size * _expected_longest(lengths, size)
                 for size, count in zip(sizes, counts, strict=True))
  return float(1 - steps / expected)


def _expected_longest(lengths, size):
  """The mean length of the longest of `size` rows drawn without repetition.

  Of n rows, all drawn are among the k shortest with probability
  k (k-1) ... (k-size+1) / n (n-1) ... (n-size+1).
  """
  n = len(lengths)
  k = np.arange(n + 1)
  within = np.ones(n + 1)
  for drawn in range(size):
    within *= np.maximum(k - drawn, 0) / (n - drawn)
  return np.diff(within) @ np.sort(lengths)
