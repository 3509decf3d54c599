"""The end of a run of several workers."""

import pytest

from rnn.parallel import cluster
from rnn.parallel.workers import WorkersError


@pytest.mark.parametrize("is_chief", [True, False])
def test_only_the_chief_does_not_mind_a_loss_at_the_end(monkeypatch, is_chief):
  """Another worker cannot know whether the chief has saved the run."""
  def lose(_):
    raise WorkersError("lost")

  monkeypatch.setattr(cluster.Cluster, "barrier", lose)
  worker = object.__new__(cluster.Cluster)
  worker.rank = 0 if is_chief else 1
  if is_chief:
    worker.finish()
  else:
    with pytest.raises(WorkersError):
      worker.finish()
