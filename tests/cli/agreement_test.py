"""Workers that would train something else are refused, with the reason."""

import pytest

from rnn.cli import agreement
from rnn.parallel.workers import Workers, WorkersError

SHA = "0123456789abcdef" * 4
RUN = {"model": "small", "seed": 1, "settings": {"hidden_size": 200},
       "rnn_mode": "fused", "vocabulary": SHA,
       "data": {"path": "/a", "train": {"sha256": SHA, "file": "train.txt"}}}


class Three(Workers):
  """Worker 0 of three, to which the others have sent something."""

  size = 3

  def __init__(self, *changes):
    super().__init__()
    self._changes = changes

  def exchange(self, value):
    sent, _ = value
    return [value, *([{**sent, **changes}, resumes]
                     for changes, resumes in self._changes)]


def refusal(*changes, resumes=False):
  """Returns the error: its summary, and its details."""
  with pytest.raises(WorkersError) as caught:
    agreement.check(Three(*changes), RUN, resumes)
  return caught.value.summary, list(caught.value.details)


def test_the_same_model_and_text_are_accepted():
  agreement.check(Workers(), RUN, False)
  agreement.check(Three(({}, False), ({}, True)), RUN, False)


def test_what_differs_from_machine_to_machine_is_accepted():
  elsewhere = {"rnn_mode": "cudnn", "data": {
      "path": "/b", "encoding": "utf-8",
      "train": {"sha256": SHA, "file": "part.gz"}}}
  agreement.check(Three((elsewhere, False), ({}, False)), RUN, False)


def test_each_difference_is_named():
  summary, details = refusal(
      ({}, False), ({"seed": 3, "TensorFlow": "1.15", "vocabulary": "f" * 64},
                    False))
  assert summary == ("the workers differ as listed below; give all of them the "
                     "same flags, text and versions")
  assert "worker 2: seed (3 there, 1 at worker 0)" in details
  assert any(line.startswith("worker 2: TensorFlow (1.15 there")
             for line in details)
  assert ("worker 2: vocabulary (ffffffff... there, 01234567... at worker 0)"
          in details)
  assert len(details) == 3


def test_a_worker_without_the_run_needs_its_flags():
  """If the chief resumes, the run stands in for its flags only."""
  summary, _ = refusal(({}, True), ({"seed": 3}, False), resumes=True)
  assert summary.endswith("; without a copy of the run in --save_path, all "
                          "flags of the run are needed at worker 2")
  summary, _ = refusal(({}, True), ({"seed": 3}, True), resumes=True)
  assert "copy" not in summary
