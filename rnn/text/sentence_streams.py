"""Streams of sentences, each of which starts from a zero state.

A sentence is a line of the text: the words up to an `<eos>`, and that `<eos>`.
These are its targets. Its first input is the `<eos>` before; the first sentence
of a text gets one. So each word of the text is a target, also its first.
"""

import numpy as np

from rnn.errors import DataError
from rnn.text.ragged_streams import RaggedStreams
from rnn.text.shards import ShardIds
from rnn.text.streams import Ids


class SentenceStreams(RaggedStreams):
  """Streams in which a window never holds words of two sentences.

  A sentence of more than T targets is cut into pieces. They follow each other
  in one stream, and the state is carried from one to the next. A piece is the
  first one of its sentence exactly if its first input is `<eos>`.

  Each stream has a run of consecutive sentences. The streams are as short as
  that allows. With batch_size 2 and num_steps 2, and `.` for `<eos>`, the text
  a b c . d . gives the windows

      . .   a d   b .        b -   c -   . -
  """

  def __init__(self, ids: Ids, batch_size: int, num_steps: int,
               eos: int | None) -> None:
    """Reads nothing yet.

    Args:
      eos: the id of `<eos>`.

    Raises:
      DataError: there is no word, no `<eos>`, or the text is in shards.
    """
    if isinstance(ids, ShardIds):
      raise DataError("reset_state=true: sentences of an indexed text cannot "
                      "be told apart; name the text itself, or set "
                      "reset_state=false")
    if eos is None:
      raise DataError("reset_state=true: the vocabulary has no <eos>, which "
                      "ends sentences; set reset_state=false")
    if not len(ids):
      raise DataError("at least 1 token is needed, there are none")
    text = np.concatenate([[eos], ids]).astype(np.int32)
    self._begins, self._lengths = _cut(text, eos, num_steps)
    # A stream can begin with any piece that begins a sentence.
    starts = np.flatnonzero(text[self._begins] == eos)
    self._bounds = _share(np.append(starts, len(self._begins)), batch_size)
    super().__init__(text, batch_size, num_steps,
                     int(np.diff(self._bounds).max()))

  def _pieces(self, epoch: int, column: int) -> tuple[int, np.ndarray]:
    first, last = self._bounds[column:column + 2]
    lengths = np.zeros(self.windows, np.int64)
    lengths[:last - first] = self._lengths[first:last]
    return int(self._begins[first]) if first < last else 0, lengths


def _cut(text: np.ndarray, eos: int,
         num_steps: int) -> tuple[np.ndarray, np.ndarray]:
  """Cuts sentences into pieces of at most `num_steps` targets.

  Args:
    text: `<eos>`, then the sentences.

  Returns:
    The index of the word before each piece, and its number of targets.
  """
  ends = np.union1d(np.flatnonzero(text[1:] == eos) + 1, len(text) - 1)
  before = np.append(0, ends[:-1])  # the <eos> before each sentence
  numbers = -(-(ends - before) // num_steps)  # pieces of each sentence
  nth = np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers,
                                             numbers)
  begins = np.repeat(before, numbers) + nth * num_steps
  return begins, np.minimum(np.repeat(ends, numbers) - begins, num_steps)


def _share(starts: np.ndarray, batch_size: int) -> np.ndarray:
  """Shares sentences among streams, so that the longest has few pieces.

  Args:
    starts: the first piece of each sentence, and the number of all pieces.

  Returns:
    The first piece of each stream, and the number of all pieces.
  """
  def share(most: int) -> np.ndarray:
    """Gives each stream as many sentences as fit into so many pieces."""
    bounds = [0]
    for _ in range(batch_size):
      bounds.append(starts[np.searchsorted(
          starts, bounds[-1] + most, side="right") - 1])
    return np.array(bounds)

  # The least number with which all sentences have a place.
  low = max(np.diff(starts).max(), -(-starts[-1] // batch_size))
  high = starts[-1]
  while low < high:
    middle = (low + high) // 2
    if share(middle)[-1] == starts[-1]:
      high = middle
    else:
      low = middle + 1
  return share(low)
