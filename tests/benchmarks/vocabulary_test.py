"""The memory of training and resuming with a large vocabulary."""

import sys

import pytest

from benchmarks import transcript, vocabulary


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_nothing_that_is_kept_is_in_memory_twice(monkeypatch, tmp_path):
  """Memory holds parameters and slots once, and what a window needs.

  A window needs about 0.4 GB in training, whatever the vocabulary.
  """
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("PYTHONPATH", transcript.ROOT)
  first, second = vocabulary.figures(80_000, 512, steps=2)
  kept = first["kept"]
  assert kept == pytest.approx(8 * 80_000 * 1025, rel=0.05)
  assert second["restored"] - second["before"] < 1.3 * kept
  for figures in first, second:
    assert figures["peak"] - figures["before"] < kept + 0.7e9
