"""Rows on disk, and their batches, on any lengths."""

import itertools
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

import errors
from tasks import ragged

LENGTHS = strategies.lists(strategies.integers(1, 40), min_size=1, max_size=60)
SEEDS = strategies.none() | strategies.integers(0, 9)


def batches_of(lengths, batch_size, seed):
  rng = None if seed is None else np.random.default_rng(seed)
  return ragged.batches_by_length(lengths, batch_size, rng)


def as_lists(batches):
  return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
@hypothesis.given(lengths=strategies.lists(strategies.integers(0, 9)),
                  data=strategies.data())
def test_rows_come_back(dtype, width, lengths, data):
  rows = ragged.Ragged(dtype, width)
  shape = () if width is None else (width,)
  expected = [data.draw(arrays.arrays(dtype, (length, *shape)))
              for length in lengths]
  for row in expected:
    rows.append(row)
  assert len(rows) == len(lengths)
  assert rows.lengths.tolist() == lengths
  for found, row in zip(rows, expected, strict=True):
    assert found.dtype == row.dtype
    np.testing.assert_array_equal(found, row)


def test_rows_by_place():
  rows = ragged.Ragged("int32")
  rows.append(np.array([1, 2], "int32"))
  assert rows[0].tolist() == [1, 2]  # before more is written
  rows.append(np.array([3], "int32"))
  assert rows[np.int64(1)].tolist() == rows[-1].tolist() == [3]
  assert rows[0].tolist() == [1, 2]
  with pytest.raises(IndexError):
    _ = rows[2]
  with pytest.raises(ValueError):
    rows[0][0] = 5  # it would not be written


@pytest.mark.parametrize("dtype, shape", [
    ("int64", [3]), ("int32", [3, 2])], ids=["dtype", "width"])
def test_rows_of_another_kind_are_refused(dtype, shape):
  with pytest.raises(ValueError):
    ragged.Ragged("int32").append(np.zeros(shape, dtype))


def test_rows_are_not_in_memory():
  rows, row = ragged.Ragged("int32"), np.zeros(1 << 18, "int32")
  tracemalloc.start()
  for _ in range(20):  # 20 MB
    rows.append(row)
  assert not any(found.any() for found in rows)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 4 << 20


@pytest.mark.parametrize("when", ["made", "appended", "read"])
def test_no_room_is_one_line(monkeypatch, when):
  def fail(*args):
    raise OSError(28, "No space left on device")

  class Full:
    write = fail if when == "appended" else len
    flush = fail

  monkeypatch.setattr(ragged.tempfile, "TemporaryFile",
                      fail if when == "made" else Full)
  with pytest.raises(errors.UserError, match="No space left.*TMPDIR"):
    rows = ragged.Ragged("uint8")
    rows.append(np.zeros(5, "uint8"))
    rows[0]


@hypothesis.given(LENGTHS, strategies.integers(1, 9), SEEDS)
def test_each_row_is_in_one_batch(lengths, batch_size, seed):
  batches = batches_of(lengths, batch_size, seed)
  assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
  assert len(batches) == -(-len(lengths) // batch_size)
  sizes = {len(batch) for batch in batches}
  assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
  assert as_lists(batches) == as_lists(batches_of(lengths, batch_size, seed))


def test_no_rows_no_batches():
  assert batches_of([], 4, None) == batches_of([], 4, 0) == []


@hypothesis.given(LENGTHS, strategies.integers(1, 9), SEEDS)
def test_rows_of_a_batch_are_of_nearly_one_length(lengths, batch_size, seed):
  """Batches do not overlap in length, but for the random twentieth."""
  lengths = np.array(lengths)
  batches = sorted((lengths[batch].min(), lengths[batch].max())
                   for batch in batches_of(lengths, batch_size, seed))
  for (_, longest), (shortest, _) in itertools.pairwise(batches):
    assert longest <= shortest * (1 if seed is None else 1.05)


def test_without_rng_batches_go_from_short_to_long():
  assert as_lists(batches_of([5, 1, 3, 1, 4, 2], 2, None)) == [
      [1, 3], [5, 2], [4, 0]]
  ties = np.concatenate(batches_of([2, 1] * 50, 10, None))
  assert ties.tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


def test_epochs_differ():
  """In who shares a batch, and in the batches' order."""
  lengths = np.random.default_rng(0).integers(90, 110, 100)
  one, other = batches_of(lengths, 5, 1), batches_of(lengths, 5, 2)
  assert ({frozenset(batch) for batch in as_lists(one)}
          != {frozenset(batch) for batch in as_lists(other)})
  order = as_lists(batches_of([1] * 9 + [2] * 9 + [4] * 9, 9, 1))
  assert [batch[0] // 9 for batch in order] != [0, 1, 2]


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
def test_saving_is_against_all_random_batches(lengths, batch_size):
  batches = batches_of(lengths, batch_size, None)
  lengths = np.array(lengths)
  steps = sum(len(batch) * max(lengths[batch]) for batch in batches)
  expected = sum(
      len(batch) * np.mean([max(drawn) for drawn in itertools.combinations(
          lengths.tolist(), len(batch))]) for batch in batches)
  assert ragged.saving(lengths, batches) == pytest.approx(1 - steps / expected)
