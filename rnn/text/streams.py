"""Parallel streams of word ids: how a text is cut, and read part by part.

A text is a sequence of ids: an array, or the shards of a text that does not fit
in memory. It is cut into B streams, the columns of a matrix [rows, B], which
nobody holds as a whole. Window w reads the rows from w * T to (w + 1) * T, and
predicts the rows one further on. In `ragged_streams`, each window has T + 1
rows of its own instead.
"""

import concurrent.futures
from collections.abc import Sequence

import numpy as np

from rnn.errors import DataError
from rnn.text.shards import ShardIds

NO_TARGET = -1  # fills up a stream: nothing to predict there, and no cost

Ids = Sequence[int] | np.ndarray | ShardIds

# Of a part, at most.
_WINDOWS = 10_000
_ARRAY_TOKENS = 1 << 24
_TOKENS = 1 << 20  # of shards


class Streams:
  """The streams of a text.

  Attributes:
    windows: the number of windows in a pass over the text.
    part: the number of windows that are read at a time.
    num_steps: T, the targets of a window in one stream.
    stride: the distance of one window from the next, in rows.
  """

  def __init__(self, ids: Ids, batch_size: int, num_steps: int,
               length: int, windows: int, shuffles: bool = False,
               stride: int | None = None) -> None:
    """Reads nothing yet.

    Args:
      length: the distance of one stream from the next, in ids.
      shuffles: whether each epoch has an order of its own.
      stride: by default num_steps.
    """
    self._shuffles = shuffles
    self._ids = ids if isinstance(ids, ShardIds) else np.asarray(ids, np.int32)
    self._batch_size, self.num_steps = batch_size, num_steps
    self._length, self.windows = length, windows
    self.stride = stride or num_steps
    tokens = _TOKENS if isinstance(ids, ShardIds) else _ARRAY_TOKENS
    self.part = min(_WINDOWS, max(1, tokens // (batch_size * num_steps)))

  def rows(self, start: int = 0, stop: int | None = None, epoch: int = 0,
           columns: slice = slice(None)) -> np.ndarray:
    """Returns some rows of some streams: int32 [stop - start, columns].

    Args:
      start, stop: the first row, and the one after the last; by default all.
        Past the last window there are no rows.
      epoch: the pass over the text, from 0.
      columns: which of the streams.

    Raises:
      DataError: a shard is gone or damaged.
    """
    ids = self.order(epoch)
    end = self._end(self.windows)
    stop = end if stop is None else min(stop, end)
    return np.stack([
        self._column(ids, epoch, column, start, stop)
        for column in range(self._batch_size)[columns]], axis=1)

  def _end(self, window: int) -> int:
    """Returns the row after the last one of the windows before a window."""
    return (window - 1) * self.stride + self.num_steps + 1

  def order(self, epoch: int) -> np.ndarray | ShardIds:
    """Returns the text as an epoch reads it."""
    return self._ids

  def _column(self, ids: np.ndarray | ShardIds, epoch: int, column: int,
              start: int, stop: int) -> np.ndarray:
    """Returns some rows of a stream; `ids` are in the order of the epoch."""
    first = column * self._length
    return ids[first + start:first + stop]

  def place(self, step: int) -> tuple[int, int]:
    """Returns the epoch and the first window of the part that a step reads."""
    epoch, window = divmod(step, self.windows)
    return epoch if self._shuffles else 0, window // self.part * self.part

  def read(self, place: tuple[int, int],
           columns: slice = slice(None)) -> np.ndarray:
    """Returns the rows of a part."""
    epoch, window = place
    return self.rows(window * self.stride, self._end(window + self.part),
                     epoch, columns)


class TrainingStreams(Streams):
  """Streams of equal length, of whole windows; the rest of the text is dropped.

  They are the rows of `reader.ptb_iterator`, as columns. Shards are read in an
  order of their own in each epoch.
  """

  def __init__(self, ids: Ids, batch_size: int, num_steps: int,
               seed: int | None = 0) -> None:
    """Reads nothing yet.

    Args:
      seed: determines the order of shards; None keeps that of the text.

    Raises:
      DataError: the text is too short for a single window, or a size is not
        positive.
    """
    if batch_size < 1 or num_steps < 1:
      raise DataError(f"batch_size={batch_size}, num_steps={num_steps}: both "
                      "must be at least 1")
    length = len(ids) // batch_size
    windows = (length - 1) // num_steps
    if windows < 1:
      advice = [f"{name} to at most {most}" for name, most in (
          ("num_steps", length - 1), ("batch_size", len(ids) // (num_steps + 1))
      ) if most > 0] or ["both num_steps and batch_size, or use a longer text"]
      raise DataError(
          f"{len(ids)} tokens are too few for batch_size={batch_size} x "
          f"num_steps={num_steps}: lower " + " or ".join(advice))
    super().__init__(ids, batch_size, num_steps, length, windows,
                     shuffles=isinstance(ids, ShardIds) and seed is not None)
    self._seed = seed

  def order(self, epoch: int) -> np.ndarray | ShardIds:
    """See `Streams`; shards are shuffled."""
    if isinstance(self._ids, ShardIds) and self._seed is not None:
      return self._ids.shuffled(self._seed, epoch)
    return self._ids


class EvaluationStreams(Streams):
  """Streams that keep every target.

  In contrast to TrainingStreams nothing is dropped: each token after the first
  is predicted exactly once. Each stream ends with the token that the next one
  starts from. NO_TARGET fills up the last rows. With batch_size 2 and num_steps
  2, the stream a b c d e f g h gives the rows

      a e   b f   c g   d h   e .
  """

  def __init__(self, ids: Ids, batch_size: int, num_steps: int) -> None:
    """Reads nothing yet.

    Raises:
      DataError: the text has fewer than two tokens, so there is no target.
    """
    if len(ids) < 2:
      raise DataError(f"at least 2 tokens are needed, there are {len(ids)}")
    length = -(-(len(ids) - 1) // batch_size)  # targets per stream, rounded up
    super().__init__(
        ids, batch_size, num_steps, length, -(-length // num_steps))

  def _column(self, ids: np.ndarray | ShardIds, epoch: int, column: int,
              start: int, stop: int) -> np.ndarray:
    first = column * self._length
    rows = np.full(stop - start, NO_TARGET, np.int32)
    end = min(self._length + 1, len(ids) - first)  # of the stream
    if end > 1:  # otherwise it has no target
      piece = ids[first + start:first + min(stop, end)]
      rows[:len(piece)] = piece
    return rows


class Parts:
  """Reads the parts of streams in turn, each while the one before is used."""

  def __init__(self, streams: Streams, columns: slice, ahead: bool) -> None:
    """Reads nothing yet.

    Args:
      columns: which of the streams.
      ahead: whether a thread reads the next part.
    """
    self._streams, self._columns = streams, columns
    self._pool = (concurrent.futures.ThreadPoolExecutor(1, "read ahead")
                  if ahead else None)
    self._next: tuple[tuple[int, int], concurrent.futures.Future] | None = None

  def read(self, step: int) -> np.ndarray:
    """Returns the rows of the part that a step reads.

    Raises:
      DataError: see `Streams.rows`.
    """
    place, expected = self._streams.place(step), self._next
    self._next = None
    rows = (expected[1].result() if expected and expected[0] == place
            else self._streams.read(place, self._columns))
    if self._pool:
      epoch, window = place
      following = self._streams.place(
          epoch * self._streams.windows
          + min(window + self._streams.part, self._streams.windows))
      self._next = following, self._pool.submit(
          self._streams.read, following, self._columns)
    return rows
