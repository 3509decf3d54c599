"""Rows on the disk, and their batches, for any lengths."""

import hashlib
import io
import itertools
import tempfile
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from rnn import files
from rnn.errors import UserError
from tasks import ragged

LENGTHS = strategies.lists(strategies.integers(1, 40), min_size=1, max_size=60)
SEEDS = strategies.none() | strategies.integers(0, 9)


def write_rows(rows, dtype, width=None):
  """Writes rows as the tasks do: a list of arrays -> Ragged."""
  with files.temporary_file() as file:
    writer = ragged.Writer(file, dtype, width)
    for row in rows:
      writer.append(row)
    return writer.finish()


def make_batches(lengths, batch_size, seed):
  rng = None if seed is None else np.random.default_rng(seed)
  return ragged.batches_by_length(lengths, batch_size, rng)


def as_lists(batches):
  return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
@hypothesis.given(lengths=strategies.lists(strategies.integers(0, 9)),
                  data=strategies.data())
def test_rows_are_read_as_written(dtype, width, lengths, data):
  shape = () if width is None else (width,)
  expected = [data.draw(arrays.arrays(dtype, (length, *shape)))
              for length in lengths]
  rows = write_rows(expected, dtype, width)
  assert len(rows) == len(lengths)
  assert rows.lengths.tolist() == lengths
  for row, expected_row in zip(rows, expected, strict=True):
    assert row.dtype == expected_row.dtype
    np.testing.assert_array_equal(row, expected_row)


def test_rows_by_index():
  rows = write_rows([np.array([1, 2], "int32"), np.array([3], "int32")],
                    "int32")
  assert rows[0].tolist() == [1, 2]
  assert rows[np.int64(1)].tolist() == rows[-1].tolist() == [3]
  with pytest.raises(IndexError):
    _ = rows[2]
  with pytest.raises(ValueError):
    rows[0][0] = 5  # it would not reach the disk


def test_the_digest_covers_rows_and_their_lengths():
  """It is part of config.json, so it must not change."""
  def digest(*rows):
    return write_rows([np.array(row, "uint8") for row in rows], "uint8").digest

  assert digest([1, 2], [3]) == hashlib.sha256(b"2 \1\2" b"1 \3").digest()
  assert len({digest([1, 2], [3]), digest([1], [2, 3]), digest([1, 2, 3]),
              digest([1, 2], [4]), digest()}) == 5


@pytest.mark.parametrize("dtype, shape", [
    ("int64", [3]), ("int32", [3, 2])], ids=["dtype", "width"])
def test_rows_of_another_kind_are_refused(dtype, shape):
  with pytest.raises(ValueError):
    write_rows([np.zeros(shape, dtype)], "int32")


def test_rows_are_not_in_memory():
  row = np.zeros(1 << 18, "int32")
  tracemalloc.start()
  rows = write_rows([row] * 20, "int32")  # 20 MB
  assert not any(row.any() for row in rows)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 4 << 20


@pytest.mark.parametrize("when", ["created", "written", "flushed"])
def test_a_full_disk_is_one_line(monkeypatch, when):
  def fail(*args):
    raise OSError(28, "No space left on device")

  class FullFile(io.BytesIO):
    write = fail if when == "written" else io.BytesIO.write
    flush = fail

  monkeypatch.setattr(tempfile, "TemporaryFile",
                      fail if when == "created" else FullFile)
  with pytest.raises(UserError, match="No space left.*TMPDIR"):
    write_rows([np.zeros(5, "uint8")], "uint8")


@hypothesis.given(LENGTHS, strategies.integers(1, 9), SEEDS)
def test_each_row_is_in_one_batch(lengths, batch_size, seed):
  batches = make_batches(lengths, batch_size, seed)
  assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
  assert len(batches) == -(-len(lengths) // batch_size)
  sizes = {len(batch) for batch in batches}
  assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
  assert as_lists(batches) == as_lists(make_batches(lengths, batch_size, seed))


def test_without_rows_there_are_no_batches():
  assert make_batches([], 4, None) == make_batches([], 4, 0) == []


@hypothesis.given(LENGTHS, strategies.integers(1, 9), SEEDS)
def test_rows_of_a_batch_have_nearly_one_length(lengths, batch_size, seed):
  """Batches do not overlap in length, apart from the random factor."""
  lengths = np.array(lengths)
  batches = sorted((lengths[batch].min(), lengths[batch].max())
                   for batch in make_batches(lengths, batch_size, seed))
  for (_, longest), (shortest, _) in itertools.pairwise(batches):
    assert longest <= shortest * (1 if seed is None else 1.05)


def test_without_rng_batches_go_from_short_to_long():
  assert as_lists(make_batches([5, 1, 3, 1, 4, 2], 2, None)) == [
      [1, 3], [5, 2], [4, 0]]
  ties = np.concatenate(make_batches([2, 1] * 50, 10, None))
  assert ties.tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


def test_seeds_change_the_batches_and_their_order():
  lengths = np.random.default_rng(0).integers(90, 110, 100)
  one, other = make_batches(lengths, 5, 1), make_batches(lengths, 5, 2)
  assert ({frozenset(batch) for batch in as_lists(one)}
          != {frozenset(batch) for batch in as_lists(other)})
  order = as_lists(make_batches([1] * 9 + [2] * 9 + [4] * 9, 9, 1))
  assert [batch[0] // 9 for batch in order] != [0, 1, 2]


@pytest.mark.parametrize("seed", [None, 5])
def test_the_order_is_a_function_of_the_step(seed):
  lengths = np.random.default_rng(0).integers(90, 110, 10)
  order = ragged.Order(lengths, 3, seed)
  assert order.size == 4
  steps = range(3 * order.size)
  batches = as_lists(map(order, steps))
  again = ragged.Order(lengths, 3, seed)
  for step in reversed(steps):
    assert again(step).tolist() == batches[step]
  epochs = [batches[start:start + 4] for start in (0, 4, 8)]
  for epoch in epochs:
    assert sorted(sum(epoch, [])) == list(range(10))
  assert (epochs[0] == epochs[1]) == (seed is None)
  assert (epochs[1] == epochs[2]) == (seed is None)


@pytest.mark.parametrize("width", [None, 2])
@pytest.mark.parametrize("num_steps", [None, 6])
def test_padded(width, num_steps):
  rng = np.random.default_rng(0)
  shape = () if width is None else (width,)
  rows = [rng.integers(1, 9, (length, *shape), "uint8")
          for length in (2, 4, 1)]
  steps, lengths = ragged.padded(rows, num_steps)
  assert steps.shape == (num_steps or 4, 3, *shape)
  assert steps.dtype == "uint8"
  assert lengths.dtype == "int32" and lengths.tolist() == [2, 4, 1]
  for column, row in enumerate(rows):
    np.testing.assert_array_equal(steps[:len(row), column], row)
    assert not steps[len(row):, column].any()


def test_rows_longer_than_the_steps_are_refused():
  with pytest.raises(ValueError):
    ragged.padded([np.ones(3), np.ones(5)], num_steps=4)


@hypothesis.given(strategies.lists(
    strategies.integers(1, 40), min_size=1, max_size=8),
    strategies.integers(1, 4))
def test_saving_compares_with_the_mean_of_random_batches(lengths, batch_size):
  batches = make_batches(lengths, batch_size, None)
  lengths = np.array(lengths)
  steps = sum(len(batch) * max(lengths[batch]) for batch in batches)
  expected = sum(
      len(batch) * np.mean([max(drawn) for drawn in itertools.combinations(
          lengths.tolist(), len(batch))]) for batch in batches)
  assert ragged.saving(lengths, batches) == pytest.approx(1 - steps / expected)
