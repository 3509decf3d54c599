"""Shards of ids: slices, orders, limits, and damage."""

import numpy as np
import pytest

from reader import ptb_iterator
from rnn.errors import DataError
from rnn.text.producer import ptb_producer
from rnn.text.shards import Shard, ShardIds
from rnn.text.streams import EvaluationStreams, TrainingStreams
from rnn.tf1 import tf

SIZES = 5, 1, 7, 30


@pytest.fixture
def ids(tmp_path):
  """The ids 0 to 42, in four shards."""
  shards, start = [], 0
  for number, size in enumerate(SIZES):
    path = tmp_path / f"{number}"
    np.arange(start, start + size, dtype="<i4").tofile(path)
    shards.append(Shard(str(path), size, 43))
    start += size
  return ShardIds(shards, 0)


def test_slices_are_those_of_an_array(ids):
  array = np.arange(43)
  assert len(ids) == 43
  for start in range(-1, 45):
    for stop in (start - 1, start, start + 1, start + 9, 99):
      if start >= 0 and stop >= 0:
        assert ids[start:stop].tolist() == array[start:stop].tolist()


def test_ids_are_a_sequence(ids):
  assert [ids[0], ids[5], ids[-1]] == [0, 5, 42] and type(ids[5]) is int
  assert list(ids) == np.asarray(ids).tolist() == list(range(43))
  assert np.asarray(ids).dtype == np.int32
  with pytest.raises(IndexError):
    ids[43]
  with pytest.raises(ValueError, match="step -1: .* only be read in order"):
    ids[::-1]


def test_a_classic_input_may_be_indexed(ids):
  with tf.Graph().as_default(), tf.Session() as session:
    x, y = ptb_producer(ids, 2, 3)
    assert session.run([x, y])[0].tolist() == [[0, 1, 2], [21, 22, 23]]
  windows = [x.tolist() for x, _ in ptb_iterator(ids, 2, 3)]
  assert windows == [[[start, start + 1, start + 2] for start in (i, 21 + i)]
                     for i in range(0, 18, 3)]


def test_an_epoch_has_an_order_of_whole_shards(ids):
  orders = [ids.shuffled(seed, epoch)[:].tolist()
            for seed in range(3) for epoch in range(3)]
  for order in orders:
    assert sorted(order) == list(range(43))
    starts = [order.index(start) for start in (0, 5, 6, 13)]
    for start, size in zip(starts, SIZES, strict=True):
      assert order[start:start + size] == list(
          range(order[start], order[start] + size))
  assert len({tuple(order) for order in orders}) > 5
  assert ids.shuffled(1, 2)[:].tolist() == orders[5]


def test_the_order_never_changes(ids):
  """Or a run could not resume with a newer version."""
  for epoch, firsts in enumerate([[6, 13, 0, 5], [13, 0, 6, 5]]):
    order = ids.shuffled(1, epoch)[:].tolist()
    assert sorted(firsts, key=order.index) == firsts


@pytest.mark.parametrize("damage, message", [
    (lambda path: path.unlink(), "No such file"),
    (lambda path: path.write_bytes(b"\0" * 27), "damaged"),
    (lambda path: path.write_bytes(b"\xff" * 28), "damaged"),
    (lambda path: np.full(7, 43, "<i4").tofile(path), "damaged")])
def test_a_damaged_shard_is_reported(ids, tmp_path, damage, message):
  damage(tmp_path / "2")
  assert ids[:6].tolist() == list(range(6))
  with pytest.raises(DataError, match=f"2: .*{message}"):
    ids[:7]


def test_three_billion_tokens(tmp_path):
  """In one shard and in several: no position is cut to 32 bits."""
  size, others = 3 * 10**9, 1000
  with open(tmp_path / "large", "wb") as file:
    file.truncate(4 * size)  # sparse: takes no space
    file.seek(4 * (size - 5))
    file.write(np.arange(1, 6, dtype="<i4").data)
  np.arange(others, dtype="<i4").tofile(tmp_path / "small")
  ids = ShardIds([Shard(str(tmp_path / "large"), size, 10**6),
                  Shard(str(tmp_path / "small"), others, 10**6)], 0)
  assert len(ids) == size + others
  assert ids[size - 3:size + 3].tolist() == [3, 4, 5, 0, 1, 2]
  streams = EvaluationStreams(ids, 1, 20)
  last = streams.rows((streams.windows - 1) * 20)
  assert last[last >= 0].tolist() == list(range(
      others - 1 - (size + others - 2) % 20 - 1, others))
  streams = TrainingStreams(ids, 2, 20)
  assert streams.windows == (len(ids) // 2 - 1) // 20
  rows = streams.rows((streams.windows - 1) * 20, columns=slice(1, 2))
  order = ids.shuffled(0, 0)
  start = len(ids) // 2 + (streams.windows - 1) * 20
  assert rows[:, 0].tolist() == order[start:start + 21].tolist()
  epoch, window = streams.place(streams.windows * 7 - 1)
  assert epoch == 6 and streams.windows - streams.part <= window
