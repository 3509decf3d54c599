"""Which texts are held out."""

import tempfile

import numpy as np
import pytest

from rnn.errors import DataError, SettingError
from tasks import held_out, ragged


def part(labels, texts=None):
  """Returns a part with texts of one id each, by default all different."""
  writer = ragged.Writer(tempfile.TemporaryFile(), np.int32)
  for text in range(len(labels)) if texts is None else texts:
    writer.append(np.array([text], np.int32))
  return np.array(labels, np.uint8), writer.finish()


def chosen(parts, seed=1, shares=None):
  return {split: (name, indices.tolist()) for split, (name, indices)
          in held_out.divide("x", parts, seed, shares).items()}


def test_each_label_has_its_share_of_each_part():
  labels = np.array([0] * 100 + [1] * 50 + [2] * 10)
  cuts = held_out.divide("x", {"train": part(labels)}, 1)
  assert list(cuts) == ["train", "valid", "test"]
  for split, sizes in {"train": [80, 40, 8], "valid": [10, 5, 1],
                       "test": [10, 5, 1]}.items():
    assert cuts[split][0] == "train"
    counts = np.bincount(labels[cuts[split][1]], minlength=3)
    assert np.abs(counts - sizes).max() <= 1, split
    assert counts.sum() == sum(sizes)
  together = np.sort(np.concatenate([indices for _, indices in cuts.values()]))
  assert together.tolist() == list(range(160))


def test_the_shares_and_the_seed_decide():
  parts = {"train": part([0, 1] * 50)}
  sizes = {split: len(indices) for split, (_, indices) in chosen(
      parts, shares=(0.5, 0.2, 0.3)).items()}
  assert sizes == {"train": 50, "valid": 20, "test": 30}
  assert chosen(parts) == chosen(parts) != chosen(parts, seed=2)


def test_equal_texts_stay_together():
  texts = np.random.default_rng(0).integers(0, 40, 200)
  cuts = chosen({"train": part([0, 1] * 100, texts)})
  sets = [set(texts[indices]) for _, indices in cuts.values()]
  assert sum(map(len, sets)) == len(set(texts))
  assert all(15 <= len(cuts[split][1]) <= 20 for split in ("valid", "test"))


def test_equal_texts_do_not_crowd_out_a_label():
  """Each label is its own few texts, many times; each keeps its share."""
  labels = np.array([0, 1] * 60)
  texts = np.random.default_rng(0).integers(0, 24, 120) + 24 * labels
  for seed in range(10):
    cuts = chosen({"train": part(labels, texts)}, seed, (0.6, 0.2, 0.2))
    for split in "valid", "test":
      counts = np.bincount(labels[cuts[split][1]], minlength=2)
      assert counts.min() >= 8 and counts.max() <= 12, (split, counts)


def test_only_what_is_missing_is_held_out():
  """Validation and training keep their proportion, 8 to 1, in the default."""
  cuts = chosen({"train": part([0, 1] * 45), "valid": part([0, 1])})
  assert cuts["valid"] == ("valid", [0, 1])
  assert {split: len(cuts[split][1]) for split in ("train", "test")} == {
      "train": 80, "test": 10}
  assert chosen({"train": part([0, 1] * 2), "valid": part([0, 1]),
                 "test": part([0])}) == {
      "train": ("train", [0, 1, 2, 3]), "valid": ("valid", [0, 1]),
      "test": ("test", [0])}


def test_with_a_test_part_a_tenth_is_held_out_as_in_published_results():
  cuts = chosen({"train": part([0, 1] * 20, [0] * 40), "test": part([0, 1])})
  order = np.random.default_rng([1, 0]).permutation(40)
  assert cuts == {"train": ("train", sorted(order[4:])),
                  "valid": ("train", sorted(order[:4])),
                  "test": ("test", [0, 1])}


def test_errors():
  with pytest.raises(DataError, match="^x: has 9 training texts, too few .* for"
                     " valid; at least 10 are needed"):
    held_out.divide("x", {"train": part([0] * 9), "test": part([0])}, 1)
  with pytest.raises(DataError, match="too few different .* valid and test"):
    held_out.divide("x", {"train": part([0, 1] * 9, [3] * 18)}, 1)
  with pytest.raises(SettingError, match="^split: has no effect, because x has "
                     "its own texts for testing"):
    held_out.divide("x", {"train": part([0] * 20), "test": part([0])}, 1,
                    (0.8, 0.1, 0.1))
