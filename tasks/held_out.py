"""Which of the labeled texts are held out for validation and test."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from rnn.errors import DataError, SettingError
from tasks import ragged

PARTS = ("train", "valid", "test")
SHARES = (0.8, 0.1, 0.1)  # of train, valid and test

_VALID = 10  # one training text in ten, if there is a test part


def parse_shares(texts: Sequence[str]) -> list[float]:
  """Returns the shares of training, validation and test that a user gives.

  Raises:
    SettingError: they are not three numbers above 0 with the sum 1.
  """
  try:
    shares = [float(text) for text in texts]
    if len(shares) == 3 and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6:
      return shares
  except ValueError:
    pass
  raise SettingError("split", "must be three shares above 0 with the sum 1, of "
                     "training, validation and test, such as 0.8,0.1,0.1",
                     ",".join(texts))


def divide(path: str, parts: Mapping[str, tuple[np.ndarray, ragged.Ragged]],
           seed: int, shares: Sequence[float] | None = None
           ) -> dict[str, tuple[str, np.ndarray]]:
  """Holds out texts for the parts that data lack.

  Without a test part, texts are drawn at random for testing and, if need be,
  for validation. Of each label as many are drawn as its share of all. Equal
  texts stay together, so none of them is in training and in test.

  With a test part, but without one for validation, a tenth of the training
  texts is drawn at random.

  Args:
    path: the name of the data for errors.
    parts: a dict, one of PARTS -> the labels and the texts in it. It has
      "train".
    seed: determines the choice.
    shares: of train, valid and test, if there is no test part; by default
      SHARES.

  Returns:
    A dict, one of PARTS -> the name of the part that has the texts, and their
    indices in it, sorted.

  Raises:
    DataError: there are too few texts.
    SettingError: there is a test part in spite of `shares`.
  """
  if shares and "test" in parts:
    raise SettingError("split", f"has no effect, because {path} has its own "
                       "texts for testing; leave it out")
  labels, texts = parts["train"]
  order = np.random.default_rng([seed, 0]).permutation(len(labels))
  if "test" in parts:
    sizes = {} if "valid" in parts else {"valid": len(order) // _VALID}
    cuts = _cut_at(order, np.arange(len(order)), labels, sizes)
  else:
    weights = dict(zip(PARTS, shares or SHARES, strict=True))
    total = sum(weight for split, weight in weights.items()
                if split == "train" or split not in parts)
    sizes = {split: max(round(len(order) * weights[split] / total), 1)
             for split in PARTS[1:] if split not in parts}
    cuts = _cut_at(*_mix(order, labels, texts), labels, sizes)
  if not all(map(len, cuts.values())):
    raise DataError(
        f"{path}: has {len(order)} training texts, too few different ones to "
        f"hold some out for {' and '.join(sizes)}; at least {_VALID} are "
        "needed")
  return {split: ("train", np.sort(cuts[split])) if split in cuts
          else (split, np.arange(len(parts[split][0]))) for split in PARTS}


def _mix(order: np.ndarray, labels: np.ndarray, texts: ragged.Ragged
         ) -> tuple[np.ndarray, np.ndarray]:
  """Orders texts so that any stretch has about the same share of each label.

  Args:
    order: a random permutation of the texts.

  Returns:
    order, groups: the new order; and for each text in it the number of its
    group of equal texts, from 0.
  """
  position = np.empty(len(order))  # of each text among those of its label
  for label in np.unique(labels):
    members = order[labels[order] == label]
    position[members] = (np.arange(len(members)) + 0.5) / len(members)
  order = order[np.argsort(position[order], kind="stable")]
  seen: dict[bytes, int] = {}
  groups = np.array([
      seen.setdefault(hashlib.sha256(texts[i].data).digest(), len(seen))
      for i in order])
  return order, groups


def _cut_at(order: np.ndarray, groups: np.ndarray, labels: np.ndarray,
            sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
  """Cuts an order into parts: the given ones, and "train" with the rest.

  Of each label, a part gets as many texts as a stretch of `size` texts has. A
  group is not cut: the part takes the groups that fit in, so it may get fewer
  texts. If none fits, it gets the smallest one.

  Args:
    groups: see `_mix`.
    labels: of all texts.
    sizes: a dict, name of a part -> the wanted size.
  """
  stable = np.argsort(groups, kind="stable")
  members = np.split(order[stable], np.flatnonzero(np.diff(groups[stable])) + 1)
  cuts, start = {}, 0
  for split, size in sizes.items():
    room = np.bincount(labels[order[start:start + size]],
                       minlength=int(labels.max()) + 1)
    start += size
    chosen: list[np.ndarray] = []
    rest: list[np.ndarray] = []
    for group in members:
      counts = np.bincount(labels[group], minlength=len(room))
      fits = size and (counts <= room).all()
      if fits:
        room -= counts
      (chosen if fits else rest).append(group)
    if size and not chosen and rest:
      smallest = min(range(len(rest)), key=lambda i: len(rest[i]))
      chosen = [rest.pop(smallest)]
    cuts[split] = np.concatenate([*chosen, order[:0]])
    members = rest
  return {**cuts, "train": np.concatenate([*members, order[:0]])}
