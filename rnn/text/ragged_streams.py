"""Streams whose windows hold pieces of the text of different lengths."""

import numpy as np

from rnn.text.shards import ShardIds
from rnn.text.streams import NO_TARGET, Ids, Streams

_NUMBERS = 1 << 24  # of a part, about


class RaggedStreams(Streams):
  """Streams in which each window has T + 1 rows of its own.

  In each stream, a window holds a piece of the text, of at most T targets. Its
  first row is the word before the piece. NO_TARGET fills up the others. The
  pieces of a stream follow each other in the text.
  """

  def __init__(self, ids: Ids, batch_size: int, num_steps: int,
               windows: int) -> None:
    """Reads nothing yet.

    Args:
      num_steps: the most targets of a piece.
    """
    super().__init__(ids, batch_size, num_steps, 0, windows,
                     shuffles=isinstance(ids, ShardIds), stride=num_steps + 1)
    # Padding takes up memory, too.
    self.part = min(
        self.part, max(1, _NUMBERS // (batch_size * self.stride)))

  def _pieces(self, epoch: int, column: int) -> tuple[int, np.ndarray]:
    """Returns how the text of a stream is cut.

    Returns:
      The index of the word before the first target, and the number of targets
      in each window, [windows].
    """
    raise NotImplementedError

  def _column(self, ids: np.ndarray | ShardIds, epoch: int, column: int,
              start: int, stop: int) -> np.ndarray:
    first, last = start // self.stride, -(-stop // self.stride)  # windows
    begin, lengths = self._pieces(epoch, column)
    begin += int(lengths[:first].sum())
    lengths = lengths[first:last, None]
    words = ids[begin:begin + int(lengths.sum()) + 1]
    row = np.arange(self.stride)
    index = np.cumsum(lengths)[:, None] - lengths + row  # (windows, T + 1)
    rows = np.where((row <= lengths) & (lengths > 0),
                    words[np.minimum(index, len(words) - 1)], NO_TARGET)
    return rows.ravel()[start - first * self.stride:stop - first * self.stride]
