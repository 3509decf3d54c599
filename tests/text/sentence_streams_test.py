"""Streams of sentences: each target once, and no window of two sentences."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.errors import DataError
from rnn.text.sentence_streams import SentenceStreams
from rnn.text.shards import ShardIds
from rnn.text.streams import NO_TARGET

EOS = 0
TEXTS = strategies.lists(strategies.integers(0, 3), min_size=1, max_size=60)


def number(text):
  """Returns the text with a different id for each word but <eos>."""
  return [word and position + 1 for position, word in enumerate(text)]


def sentences_of(text):
  """Returns the sentences, each with the <eos> before it."""
  sentences = [[EOS]]
  for word in text:
    sentences[-1].append(word)
    if word == EOS:
      sentences.append([EOS])
  return [sentence for sentence in sentences if len(sentence) > 1]


def windows_of(streams):
  """Returns all windows, [windows, T + 1, B]."""
  rows = streams.rows()
  return rows.reshape(streams.windows, streams.stride, rows.shape[1])


def check_column(windows):
  """Returns the sentences of a stream, after checks of its windows."""
  sentences, before = [], 0
  for window in windows:
    live = np.count_nonzero(window != NO_TARGET)
    assert (window[live:] == NO_TARGET).all()
    piece = window[:live].tolist()
    if not piece:
      continue
    if piece[0] == EOS:
      sentences.append(piece)
    else:  # goes on with the sentence, which filled the window before
      assert sentences[-1][-1] == piece[0] and before == len(window)
      sentences[-1] += piece[1:]
    assert EOS not in piece[1:-1] and live > 1
    before = live
  return sentences


@hypothesis.given(text=TEXTS, batch_size=strategies.integers(1, 6),
                  num_steps=strategies.integers(1, 9))
@hypothesis.example(  # hard to share: sentences of 8 3 8 6 8 2 words
    text=[int(n not in (7, 10, 18, 24, 32, 34)) for n in range(35)],
    batch_size=5, num_steps=1)
def test_every_target_counts_once_after_its_own_predecessor(
    text, batch_size, num_steps):
  text = number(text)
  streams = SentenceStreams(text, batch_size, num_steps, EOS)
  windows = windows_of(streams)
  assert windows.shape == (streams.windows, num_steps + 1, batch_size)
  assert (windows[:, 1:] != NO_TARGET).sum() == len(text)
  columns = [check_column(windows[:, :, column])
             for column in range(batch_size)]
  assert sum(columns, []) == sentences_of(text)
  # No shorter streams have room for all sentences, in their order.
  pieces = [-(-(len(sentence) - 1) // num_steps)
            for sentence in sentences_of(text)]
  assert streams.windows == fewest_windows(pieces, batch_size)


def fewest_windows(pieces, batch_size):
  """Returns the length of the longest stream, in the best way to share."""
  if batch_size == 1 or len(pieces) == 1:
    return sum(pieces)
  return min(max(sum(pieces[:n]), fewest_windows(pieces[n:], batch_size - 1))
             for n in range(1, len(pieces)))


@hypothesis.given(text=TEXTS, batch_size=strategies.integers(1, 6),
                  num_steps=strategies.integers(1, 9),
                  part=strategies.integers(1, 5), data=strategies.data())
def test_parts_and_columns_are_those_of_all_rows(
    text, batch_size, num_steps, part, data):
  streams = SentenceStreams(number(text), batch_size, num_steps, EOS)
  streams.part = part
  first = data.draw(strategies.integers(0, batch_size - 1))
  columns = slice(first, data.draw(strategies.integers(first + 1, batch_size)))
  windows = windows_of(streams)
  for window in range(streams.windows):
    place = streams.place(window + 3 * streams.windows)
    rows = streams.read(place, columns)
    assert len(rows) <= part * streams.stride
    start = (window - place[1]) * streams.stride
    assert (rows[start:start + streams.stride]
            == windows[window, :, columns]).all()


def test_a_few_long_sentences_do_not_take_up_more_memory_than_a_part():
  streams = SentenceStreams([*range(1, 9), EOS] * 1000, 2, 10**6, EOS)
  assert streams.read((0, 0)).size < 1 << 25


@pytest.mark.parametrize("ids, eos, message", [
    ([], EOS, "at least 1 token is needed"),
    ([1, 2], None, "reset_state=true: the vocabulary has no <eos>"),
    (ShardIds([], 0), EOS, "reset_state=true: .* indexed text .* name the text "
     "itself, or set reset_state=false"),
])
def test_a_text_without_sentences_is_refused(ids, eos, message):
  with pytest.raises(DataError, match=message) as error:
    SentenceStreams(ids, 2, 3, eos)
  assert "\n" not in str(error.value)
