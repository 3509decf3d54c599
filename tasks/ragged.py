"""Rows of unequal length: kept on the disk, batched with little padding.

A row is an array [n] or [n, width]. Its length n counts steps. NumPy only.
"""

import array
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from rnn import files

_JITTER = 0.05  # rows whose lengths differ by this share may meet in a batch


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
  """A sequence of rows of one dtype.

  Attributes:
    steps: the rows, one after the other: [total] or [total, width].
    bounds: int64 [rows + 1]; row i is steps[bounds[i]:bounds[i + 1]].
    digest: the SHA-256 of the rows and their lengths.
  """

  steps: np.ndarray
  bounds: np.ndarray
  digest: bytes

  def __len__(self) -> int:
    return len(self.bounds) - 1

  def __getitem__(self, i: int) -> np.ndarray:
    i = range(len(self))[i]  # counts from the end, or raises an IndexError
    start, end = self.bounds[i:i + 2]
    return self.steps[start:end]

  def __iter__(self) -> Iterator[np.ndarray]:
    return map(self.__getitem__, range(len(self)))

  @property
  def lengths(self) -> np.ndarray:
    """The lengths of all rows, int64."""
    return np.diff(self.bounds)


class Writer:
  """Writes rows to a file, so that memory holds 8 bytes per row.

  The file is usually a temporary one. It must be open until `finish`.
  """

  def __init__(self, file: IO[bytes], dtype: npt.DTypeLike,
               width: int | None = None) -> None:
    """Starts at the beginning of a file.

    Args:
      width: for rows [n, width]; None for rows [n].
    """
    self._file, self._dtype = file, np.dtype(dtype)
    self._step_shape = () if width is None else (width,)
    self._bounds = array.array("q", [0])
    self._digest = hashlib.sha256()

  def append(self, row: np.ndarray) -> None:
    """Adds a row.

    Raises:
      ValueError: its dtype or shape differs from the writer's.
    """
    if row.dtype != self._dtype or row.shape[1:] != self._step_shape:
      raise ValueError(f"rows are {self._dtype} [n, *{self._step_shape}], "
                       f"not {row.dtype} {row.shape}")
    data = row.tobytes()
    self._file.write(data)
    self._digest.update(b"%d %b" % (len(row), data))
    self._bounds.append(self._bounds[-1] + len(row))

  def finish(self) -> Ragged:
    """Returns the rows. They are read from the file when they are used."""
    self._file.flush()
    # One map for all rows: a process can have no more than 65,530 of them.
    # A plain array on top of it, because slicing a memmap is slow.
    steps = np.asarray(files.memory_map(self._file, dtype=self._dtype))
    return Ragged(steps.reshape(-1, *self._step_shape), np.array(self._bounds),
                  self._digest.digest())


def batches_by_length(lengths: npt.ArrayLike, batch_size: int,
                      rng: np.random.Generator | None = None
                      ) -> list[np.ndarray]:
  """Cuts an epoch into batches of rows of nearly the same length.

  So padding adds few steps. With `rng`, rows are sorted by their length times a
  random factor from 1 to 1.05: rows of similar length meet in different batches
  in each epoch. The batches then come in random order. To make an epoch a
  function of its number and a seed:

      batches_by_length(lengths, 20, np.random.default_rng((seed, epoch)))

  Args:
    lengths: the lengths of all rows.
    batch_size: the most rows per batch; the sizes differ by one at most.
    rng: without it, batches go from the shortest rows to the longest, always
      the same.

  Returns:
    A list of ceil(rows / batch_size) arrays of indices of rows. Each row is in
    one of them.
  """
  keys = np.asarray(lengths)
  if rng:
    keys = keys * rng.uniform(1, 1 + _JITTER, len(keys))
  order = np.argsort(keys, kind="stable")
  count = -(-len(order) // batch_size)
  ends = [len(order) * k // max(count, 1) for k in range(count + 1)]
  batches = [order[start:end] for start, end in itertools.pairwise(ends)]
  return [batches[k] for k in rng.permutation(count)] if rng else batches


class EpochOrder:
  """Finds the item of a step, in an order that differs between epochs."""

  def __init__(self, size: int, make_order: Callable[[int], Any]) -> None:
    """Does not draw an order yet.

    Args:
      size: steps per epoch.
      make_order: a function, epoch -> the sequence of its items. The order of
        one epoch is remembered, because steps follow each other.
    """
    self._size = size
    self._order = functools.lru_cache(maxsize=1)(make_order)

  def __call__(self, step: int) -> tuple[int, Any]:
    """Returns the epoch and the item of a step."""
    epoch, index = divmod(step, self._size)
    return epoch, self._order(epoch)[index]


class Order:
  """The rows in the batch of each step; see `batches_by_length`.

  Attributes:
    size: batches per epoch.
    largest: T and B of the batch with the longest row, B rounded down.
  """

  def __init__(self, lengths: np.ndarray, batch_size: int,
               seed: int | None = None) -> None:
    """Orders rows of these lengths.

    Args:
      seed: determines the random order, which differs between epochs. Without
        it, the order is always the same.
    """
    def cut_epoch(epoch: int) -> Sequence[np.ndarray]:
      rng = None if seed is None else np.random.default_rng([seed, epoch])
      return batches_by_length(lengths, batch_size, rng)

    self.size = -(-len(lengths) // batch_size)
    self.largest = int(lengths.max()), len(lengths) // self.size
    self._order = EpochOrder(self.size, cut_epoch)

  def __call__(self, step: int) -> np.ndarray:
    """Returns the indices of the rows of a step."""
    return self._order(step)[1]


def padded(rows: Sequence[np.ndarray],
           num_steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
  """Puts rows side by side, time-major, with zeros below the short ones.

  Args:
    rows: B arrays of one dtype, [n] or [n, width].
    num_steps: T, at least the length of the longest row, which is the default.

  Returns:
    steps, lengths: [T, B] or [T, B, width], and int32 [B].
  """
  lengths = np.array([len(row) for row in rows], np.int32)
  if num_steps is None:
    num_steps = lengths.max()
  steps = np.zeros([num_steps, len(rows), *rows[0].shape[1:]], rows[0].dtype)
  for column, row in enumerate(rows):
    steps[:len(row), column] = row
  return steps, lengths


def saving(lengths: npt.ArrayLike, batches: Sequence[np.ndarray]) -> float:
  """Returns the share of steps that batches save against random ones.

  Every batch is padded to its longest row. The random batches have the sizes of
  the given ones; their number of steps is the expected one.
  """
  lengths = np.asarray(lengths)
  steps = sum(len(batch) * lengths[batch].max() for batch in batches)
  sizes, counts = np.unique([len(batch) for batch in batches],
                            return_counts=True)
  expected = sum(count * size * _expected_longest(lengths, size)
                 for size, count in zip(sizes, counts, strict=True))
  return float(1 - steps / expected)


def _expected_longest(lengths: np.ndarray, size: int) -> float:
  """Returns the mean of the longest of `size` rows, drawn without repetition.

  Of n rows, all drawn ones are among the k shortest with probability
  k (k-1) ... (k-size+1) / n (n-1) ... (n-size+1).
  """
  n = len(lengths)
  k = np.arange(n + 1)
  within = np.ones(n + 1)
  for drawn in range(size):
    within *= np.maximum(k - drawn, 0) / (n - drawn)
  return np.diff(within) @ np.sort(lengths)
