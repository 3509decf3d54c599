"""An indexed text: a folder with the word ids of a text too long to hold.

    text_index.json     the splits with their shards, and digests of everything
    vocab.txt           the words of the vocabulary, in order of id
    train-00000.int32   a part of a split as ids, little-endian; and so on

`data/index.py` writes it, and training reads a few of the ids at a time.
"""

import bisect
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Mapping
from typing import Any, overload

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text.sources import INDEX
from rnn.text.vocabulary import Choice, Vocabulary

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Shard:
  """A file of ids.

  Attributes:
    path: the file.
    tokens: the number of ids.
    limit: all ids are below it.
  """

  path: str
  tokens: int
  limit: int

  def read(self, start: int, stop: int) -> np.ndarray:
    """Returns some of the ids, int32.

    Raises:
      DataError: the file is gone or damaged.
    """
    with files.path_errors(self.path), files.open_regular(self.path) as file:
      if os.fstat(file.fileno()).st_size != 4 * self.tokens:
        raise self._damaged()
      ids = np.array(files.memory_map(file)[start:stop], np.int32)
    # As unsigned numbers, negative ones are large.
    if len(ids) and ids.view(np.uint32).max() >= self.limit:
      raise self._damaged()
    return ids

  def _damaged(self) -> DataError:
    return DataError(f"{self.path}: damaged; restore it from a copy, or index "
                     "the text again")


class ShardIds:
  """The ids of shards one after the other, as a sequence.

  A slice of it is an array; `np.asarray` reads all of it into memory.

  Attributes:
    num_unk: how many of them are `<unk>`.
  """

  def __init__(self, shards: list[Shard], num_unk: int) -> None:
    """Opens no file yet."""
    self._shards, self.num_unk = shards, num_unk
    self._ends = list(itertools.accumulate(shard.tokens for shard in shards))

  def __len__(self) -> int:
    return self._ends[-1] if self._ends else 0

  def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
    """Returns all ids; see `__getitem__`."""
    return np.asarray(self[:], dtype)

  @overload
  def __getitem__(self, part: int) -> int: ...

  @overload
  def __getitem__(self, part: slice) -> np.ndarray: ...

  def __getitem__(self, part: int | slice) -> int | np.ndarray:
    """Returns one id, or the ids from part.start to part.stop, int32.

    Raises:
      DataError: a shard is gone or damaged.
      IndexError: there is no such id.
      ValueError: the slice has a step.
    """
    if not isinstance(part, slice):
      place = range(len(self))[part]  # also for -1
      return int(self[place:place + 1][0])
    start, stop, step = part.indices(len(self))
    if step != 1:
      raise ValueError(f"step {step}: these ids can only be read in order")
    pieces = []
    number = bisect.bisect_right(self._ends, start)
    while start < stop:
      shard, end = self._shards[number], self._ends[number]
      first = end - shard.tokens
      pieces.append(shard.read(start - first, min(stop, end) - first))
      start, number = end, number + 1
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)

  @functools.lru_cache(maxsize=2)  # noqa: B019 (few and small)
  def shuffled(self, seed: int, epoch: int) -> "ShardIds":
    """Returns the shards in the order of an epoch.

    The order follows from hashes of seed, epoch and number, so it is always the
    same, with any library of random numbers.
    """
    def key(number: int) -> bytes:
      return hashlib.sha256(f"{seed} {epoch} {number}".encode()).digest()
    return ShardIds([self._shards[number] for number in sorted(
        range(len(self._shards)), key=key)], self.num_unk)


@dataclasses.dataclass(frozen=True)
class Index:
  """The content of an indexed text.

  Attributes:
    ids: a dict, split -> ShardIds.
    unknown: a dict, split -> the number of words that are not in the
      vocabulary.
    fingerprints: a dict, split -> a dict that identifies it, see
      `numbering.Text`.
    vocabulary: the words.
  """

  ids: dict[str, ShardIds]
  unknown: dict[str, int]
  fingerprints: dict[str, dict]
  vocabulary: Vocabulary


def read(path: str, choice: Choice = Choice()) -> Index:
  """Reads an index, but none of the ids.

  Args:
    path: the folder.
    choice: how to choose the vocabulary; it must agree with the index. The
      default always does.

  Raises:
    DataError: a file is missing or damaged; or the choice does not agree.
  """
  content = content_of(path)
  try:
    vocabulary = Vocabulary.load(os.path.join(path, "vocab.txt"))
    splits: Mapping[str, Any] = content["splits"]
    if files.json_digest(vocabulary.words) != content["vocabulary"]:
      raise DataError(f"{os.path.join(path, 'vocab.txt')}: not as the index "
                      "has it; restore it from a copy, or index the text again")
    index = Index(
        {name: _ids(path, split, len(vocabulary))
         for name, split in splits.items()},
        {name: split["unknown"] for name, split in splits.items()},
        {name: _fingerprint(path, split) for name, split in splits.items()},
        vocabulary)
  except (KeyError, TypeError, AttributeError):
    raise DataError(f"{os.path.join(path, INDEX)}: damaged; index the text "
                    "again") from None
  _check_choice(path, content["choice"], vocabulary, choice)
  return index


def content_of(path: str) -> dict:
  """Returns the content of an index's file.

  Raises:
    DataError: it cannot be read.
  """
  try:
    content = files.read_sealed(os.path.join(path, INDEX))
  except files.DamagedError as error:
    raise DataError(f"{error}; restore it from a copy, or index the text again"
                    ) from None
  if content["format"] > FORMAT:
    raise DataError(f"{os.path.join(path, INDEX)}: a newer version wrote it; "
                    "use that version, or index the text again")
  return content


def _ids(path: str, split: Mapping[str, Any], limit: int) -> ShardIds:
  """Returns the ids of a split, after a look at the sizes of its shards."""
  shards = [Shard(os.path.join(path, shard["file"]), shard["tokens"], limit)
            for shard in split["shards"]]
  for shard in shards:
    shard.read(0, 0)
  return ShardIds(shards, split["unk"])


def _fingerprint(path: str, split: Mapping[str, Any]) -> dict:
  """Returns the fingerprint of a split.

  Its digest is the digest of the list of its shards' digests.
  """
  shards = [shard["sha256"] for shard in split["shards"]]
  tokens = sum(shard["tokens"] for shard in split["shards"])
  return {"file": os.path.basename(os.path.abspath(path)),
          "sha256": files.json_digest(shards), "tokens": tokens}


def _check_choice(path: str, there: Mapping[str, object],
                  vocabulary: Vocabulary, choice: Choice) -> None:
  """Raises a DataError if a choice is not that of the index."""
  if choice.given:
    if choice.given.words != vocabulary.words:
      raise DataError(f"{path}: indexed with another vocabulary; index the "
                      "text with this one, by --vocab_path of data/index.py")
    return
  for name, value in choice.describe().items():
    if there.get(name) != value:
      setting = {"size": "vocab_size"}.get(name, name)
      raise DataError(f"{path}: not indexed with {setting}={value}; leave it "
                      "out, or index the text again", setting)
