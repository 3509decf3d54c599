"""Streams read part by part: from shards as from an array."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rnn.errors import DataError
from rnn.text import streams
from rnn.text.shards import Shard, ShardIds
from rnn.text.streams import EvaluationStreams, Parts, TrainingStreams


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("shards")


def shards_of(folder, sizes):
  """Returns ids 0, 1, ... as shards of some sizes."""
  shards, start = [], 0
  for number, size in enumerate(sizes):
    path = folder / f"{number}-{start}-{size}"
    if not path.exists():
      np.arange(start, start + size, dtype="<i4").tofile(path)
    shards.append(Shard(str(path), size, 2**31 - 1))
    start += size
  return ShardIds(shards, 0)


CASES = {"sizes": strategies.lists(strategies.integers(1, 40), min_size=2,
                                   max_size=5),
         "batch_size": strategies.integers(1, 6),
         "num_steps": strategies.integers(1, 5), "tokens": strategies.integers(
             1, 60)}


@hypothesis.given(**CASES, epoch=strategies.integers(0, 3))
def test_training_reads_the_order_of_the_epoch(
    folder, sizes, batch_size, num_steps, tokens, epoch):
  ids = shards_of(folder, sizes)
  hypothesis.assume(len(ids) // batch_size > num_steps)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(streams, "_TOKENS", tokens)
    ours = TrainingStreams(ids, batch_size, num_steps, seed=3)
  expected = TrainingStreams(
      ids.shuffled(3, epoch)[:], batch_size, num_steps).rows()
  assert (ours.rows(epoch=epoch) == expected).all()
  check_parts(ours, expected, epoch, num_steps)
  for first in range(batch_size):
    for last in range(first + 1, batch_size + 1):
      columns = slice(first, last)
      assert (ours.rows(epoch=epoch, columns=columns)
              == expected[:, columns]).all()


@hypothesis.given(**CASES)
def test_evaluation_reads_shards_as_they_are(
    folder, sizes, batch_size, num_steps, tokens):
  ids = shards_of(folder, sizes)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(streams, "_TOKENS", tokens)
    ours = EvaluationStreams(ids, batch_size, num_steps)
  expected = EvaluationStreams(ids[:], batch_size, num_steps).rows()
  assert expected.shape == (ours.windows * num_steps + 1, batch_size)
  check_parts(ours, expected, 0, num_steps)


def check_parts(ours, expected, epoch, num_steps):
  """Asserts that the parts have the windows of all rows."""
  for window in range(ours.windows):
    step = epoch * ours.windows + window
    part = ours.read(ours.place(step))
    first = (window - ours.place(step)[1]) * num_steps
    start = window * num_steps
    assert (part[first:first + num_steps + 1]
            == expected[start:start + num_steps + 1]).all()
    assert len(part) <= ours.part * num_steps + 1


def test_the_next_part_is_read_ahead(folder, monkeypatch):
  """Across the end of an epoch, too; and another part at once."""
  monkeypatch.setattr(streams, "_TOKENS", 12)
  ours = TrainingStreams(shards_of(folder, [9, 20, 30]), 2, 3)
  assert (ours.windows, ours.part) == (9, 2)
  read, wanted = [], []

  def spy(place, columns):
    read.append(place)
    return TrainingStreams.read(ours, place, columns)

  ours.read = spy
  parts = Parts(ours, slice(1, 2), ahead=True)
  for step in (0, 2, 4, 6, 8, 9, 11, 2):
    rows = parts.read(step)
    wanted.append(ours.place(step))
    assert (rows == TrainingStreams.read(ours, wanted[-1])[:, 1:]).all()
  parts.read(4)
  # The part after the seventh is read ahead, while another one is needed.
  assert read[:7] == wanted[:7] and set(read[7:9]) == {(1, 4), (0, 2)}
  assert read.count((0, 2)) == 2 and wanted[5] == (1, 0)


def test_an_error_of_reading_ahead_comes_when_the_part_is_needed(
    tmp_path, monkeypatch):
  monkeypatch.setattr(streams, "_TOKENS", 1)
  ids = shards_of(tmp_path, [40])
  parts = Parts(EvaluationStreams(ids, 1, 2), slice(None), ahead=True)
  parts.read(0)
  parts.read(1)
  (tmp_path / "0-0-40").unlink()
  with pytest.raises(DataError, match="No such file"):
    for step in range(2, 9):
      parts.read(step)


def test_an_array_is_read_once_for_all_epochs():
  """A text that fits in one part stays in the session."""
  ours = TrainingStreams(np.arange(100), 2, 5)
  assert {ours.place(step) for step in range(50)} == {(0, 0)}


def test_a_part_of_an_array_has_a_limit_in_words(monkeypatch):
  monkeypatch.setattr(streams, "_ARRAY_TOKENS", 60)
  ours = TrainingStreams(np.arange(400), 4, 5)
  assert ours.part == 3
  check_parts(ours, ours.rows(), 0, 5)
