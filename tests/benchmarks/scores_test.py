"""Perplexities in the summary of score.py."""

import types

import numpy as np
import pytest

from benchmarks import scores
from rnn.text.vocabulary import Vocabulary
from trained import score_output, scoring


def test_summary_of_scores_is_read():
  """With the names that `score.py` gives to averages and to methods."""
  models = [types.SimpleNamespace(name=f"runs/{name} (epoch 13)")
            for name in "ab"]
  for used, methods in (models, [""]), (models[:1], [
      "", "cache", "dynamic", "dynamic_cache"]):
    totals = scoring.Totals(Vocabulary(("<eos>", "<unk>", "a")), 4)
    totals.add(scoring.Line(1, ["a", "<eos>"], np.array([2, 0])),
               np.log(np.arange(1, 9).reshape(4, 2) / 9))
    estimates = scoring.list_estimates(used, methods)
    summary = score_output.summary(totals, estimates + [estimates[0]] * (
        4 - len(estimates)), "data/ptb/ptb.valid.txt", 1.0)
    labels = scores.read_scores(summary)["valid"]
    assert list(labels) == [estimate.label for estimate in estimates]
    assert [*labels.values()][1] == pytest.approx(9 / 12 ** 0.5, abs=1e-3)
  assert list(scores.by_method(labels)) == [
      "", "cache", "dynamic", "dynamic and cache"]
