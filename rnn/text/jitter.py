"""Windows whose lengths are drawn anew in each epoch.

Windows of one length end at the same words in every epoch, so that the gradient
of a word always reaches equally far back. Merity, Keskar and Socher 2018 (arXiv
1708.02182, section 5) draw the lengths: around T with probability 0.95,
otherwise around T / 2.
"""

import functools
import hashlib
import math
import statistics

import numpy as np

from rnn.text.ragged_streams import RaggedStreams
from rnn.text.shards import ShardIds
from rnn.text.streams import Ids, TrainingStreams

SHARE_OF_LONG = 0.95  # of the windows, around T
_LEAST = 5  # targets


class JitteredStreams(RaggedStreams):
  """Streams for training with windows of random length.

  A length is drawn from a normal distribution around T or T / 2, rounded, and
  clipped to at least 5, or T if it is less, and at most T plus two standard
  deviations. The streams of all columns are cut at the same places. All epochs
  have the same number of windows, and each epoch has lengths of its own. A
  stream has the targets that `TrainingStreams` gives it, and also the last
  ones, which do not fill a window there; see `Lengths` for the exception.

  Attributes:
    num_steps: the longest window.
  """

  def __init__(self, ids: Ids, batch_size: int, num_steps: int, jitter: float,
               seed: int = 0) -> None:
    """Reads nothing yet.

    Args:
      num_steps: T.
      jitter: the standard deviation of the lengths.
      seed: determines the lengths, and the order of shards.

    Raises:
      DataError: the text is too short for a window of T.
    """
    self._plain = TrainingStreams(ids, batch_size, num_steps, seed)
    self._distance = len(ids) // batch_size
    self._lengths = Lengths(num_steps, jitter, self._distance - 1, seed)
    super().__init__(
        ids, batch_size, self._lengths.most, self._lengths.windows)
    # Also for the part that is read ahead.
    self._draw = functools.lru_cache(2)(self._lengths.draw)

  def place(self, step: int) -> tuple[int, int]:
    """See `Streams`; the lengths of each epoch differ."""
    return step // self.windows, super().place(step)[1]

  def order(self, epoch: int) -> np.ndarray | ShardIds:
    """See `TrainingStreams`."""
    return self._plain.order(epoch)

  def _pieces(self, epoch: int, column: int) -> tuple[int, np.ndarray]:
    return column * self._distance, self._draw(epoch)


def longest(num_steps: int, jitter: float) -> int:
  """Returns the length of the longest window."""
  return math.ceil(num_steps + 2 * jitter)


class Lengths:
  """The lengths of the windows of an epoch, a function of seed and epoch.

  Attributes:
    least, most: their limits.
    windows: how many there are.
  """

  def __init__(self, num_steps: int, jitter: float, total: int,
               seed: int) -> None:
    """Draws nothing yet.

    Args:
      num_steps, jitter, seed: see `JitteredStreams`.
      total: the targets of a stream, at least num_steps. The last ones, fewer
        than `least`, are left out if no windows have this sum.
    """
    self._num_steps, self._jitter, self._seed = num_steps, jitter, seed
    self.least = min(_LEAST, num_steps)
    self.most = longest(num_steps, jitter)
    mean = (SHARE_OF_LONG * self._mean(num_steps)
            + (1 - SHARE_OF_LONG) * self._mean(num_steps / 2))
    self.windows = min(total // self.least, max(
        round(total / mean), -(-total // self.most)))
    self._total = min(total, self.windows * self.most)

  def _mean(self, center: float) -> float:
    """Returns the mean of a clipped normal distribution."""
    normal, scale = statistics.NormalDist(), self._jitter
    low, high = ((limit - center) / scale for limit in (self.least, self.most))
    below, above = normal.cdf(low), normal.cdf(-high)
    return (self.least * below + self.most * above
            + center * (1 - below - above)
            + scale * (normal.pdf(low) - normal.pdf(high)))

  def draw(self, epoch: int) -> np.ndarray:
    """Returns the lengths of an epoch, int64 [windows].

    Their sum is the same in all epochs. What the drawn lengths lack is spread
    evenly over the windows.
    """
    # A hash and a counter, so that the bits depend on no version of NumPy.
    key = hashlib.sha256(f"{self._seed} {epoch} lengths".encode()).digest()
    raw = np.random.Philox(key=int.from_bytes(key[:16], "little")).random_raw(
        2 * self.windows)
    u, v = np.split(((raw >> np.uint64(12)) + 0.5) / 2**52, 2)  # in (0, 1)
    center = np.where(u < SHARE_OF_LONG, self._num_steps, self._num_steps / 2)
    normal = np.array([*map(statistics.NormalDist().inv_cdf, v.tolist())])
    lengths = np.clip(np.rint(center + self._jitter * normal), self.least,
                      self.most).astype(np.int64)
    self._fit(lengths)
    return lengths

  def _fit(self, lengths: np.ndarray) -> None:
    """Makes the lengths add up to the total, with as few changes as can be."""
    while lack := self._total - int(lengths.sum()):
      free, = np.nonzero(lengths < self.most if lack > 0 else
                         lengths > self.least)
      number = min(abs(lack), len(free))
      lengths[free[np.arange(number) * len(free) // number]] += np.sign(lack)
