"""Windows of random length: their sum, limits, mean, and what they read."""

import math

import hypothesis
import pytest
from hypothesis import strategies

from rnn.text.jitter import JitteredStreams, Lengths
from rnn.text.streams import NO_TARGET, TrainingStreams
from tests.text.streams_test import folder, shards_of  # noqa: F401

CASES = {
    "num_steps": strategies.integers(1, 40),
    "jitter": strategies.sampled_from([1e-30, 0.3, 1, 5, 40, 1e4]),
    "seed": strategies.integers(-5, 2**64), "epoch": strategies.integers(0, 9)}


@hypothesis.given(**CASES, more=strategies.integers(0, 3000))
def test_lengths_add_up_and_keep_their_limits(
    num_steps, jitter, seed, epoch, more):
  total = num_steps + more
  lengths = Lengths(num_steps, jitter, total, seed)
  drawn = lengths.draw(epoch)
  assert lengths.least == min(5, num_steps)
  assert lengths.most == math.ceil(num_steps + 2 * jitter)
  assert len(drawn) == lengths.windows >= 1
  assert drawn.min() >= lengths.least and drawn.max() <= lengths.most
  missing = total - drawn.sum()
  assert 0 <= missing < lengths.least
  if missing:  # only if no number of windows has this sum
    assert (total // lengths.least) * lengths.most < total


@hypothesis.given(num_steps=strategies.integers(20, 70),
                  share=strategies.floats(0.05, 0.2), seed=CASES["seed"])
def test_the_mean_is_that_of_the_paper(num_steps, share, seed):
  jitter = share * num_steps
  lengths = Lengths(num_steps, jitter, 100_000, seed)
  drawn = lengths.draw(0)
  assert drawn.mean() == pytest.approx(
      0.95 * num_steps + 0.05 * num_steps / 2, rel=0.02)
  # The lengths around T / 2 are apart from the others.
  short = (drawn < 0.72 * num_steps).mean()
  if share < 0.12:
    assert short == pytest.approx(0.05, abs=0.02)
    assert drawn[drawn > 0.72 * num_steps].std() == pytest.approx(
        jitter, rel=0.15)


def test_lengths_follow_from_seed_and_epoch():
  def draw(seed, epoch):
    return Lengths(35, 5, 50_000, seed).draw(epoch)

  assert (draw(1, 2) == draw(1, 2)).all()
  for other in draw(1, 3), draw(2, 2):
    assert other.sum() == draw(1, 2).sum()
    assert (other != draw(1, 2)).mean() > 0.5
  # The bits are the same on any machine, in any version.
  assert draw(1, 0)[:12].tolist() == [
      25, 45, 20, 34, 32, 39, 39, 33, 37, 36, 35, 33]


@hypothesis.given(sizes=strategies.lists(
    strategies.integers(1, 40), min_size=2, max_size=5),
    batch_size=strategies.integers(1, 4), num_steps=strategies.integers(1, 9),
    jitter=CASES["jitter"].filter(lambda x: x < 1e3),
    epoch=strategies.integers(0, 3), part=strategies.integers(1, 4),
    sharded=strategies.booleans())
def test_each_epoch_reads_every_target_of_every_stream_once(
    folder, sizes, batch_size, num_steps, jitter, epoch, part,  # noqa: F811
    sharded):
  shards = shards_of(folder, sizes)
  hypothesis.assume(len(shards) // batch_size > num_steps)
  ids = shards if sharded else shards[:]
  ours = JitteredStreams(ids, batch_size, num_steps, jitter, seed=3)
  text = shards.shuffled(3, epoch)[:] if sharded else ids
  length = len(text) // batch_size
  lengths = Lengths(num_steps, jitter, length - 1, 3).draw(epoch)
  ours.part = part
  position = 0
  for window, size in enumerate(lengths):
    place = ours.place(epoch * ours.windows + window)
    assert place == (epoch, window // part * part)
    start = (window - place[1]) * ours.stride
    rows = ours.read(place)[start:start + ours.stride]
    assert len(rows) == ours.num_steps + 1
    for column in range(batch_size):
      begin = column * length + position
      assert (rows[:size + 1, column] == text[begin:begin + size + 1]).all()
    assert (rows[size + 1:] == NO_TARGET).all()
    position += size
  assert length - 1 - position < min(5, num_steps)
  plain = TrainingStreams(ids, batch_size, num_steps, seed=3)
  assert plain.windows * num_steps - position < min(5, num_steps)
