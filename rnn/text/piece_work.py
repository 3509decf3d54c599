"""What processes do with the pieces of a text, see `indexing`.

A result is complete under its name, or it does not exist. So a call that was
killed can be repeated, and one that has ended returns at once.
"""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn import files
from rnn.text import word_arrays
from rnn.text.pieces import Piece
from rnn.text.sources import UNFINISHED
from rnn.text.vocabulary import UNK


@dataclasses.dataclass(frozen=True)
class Segment:
  """A part of a piece that becomes a shard: its numbers from start to stop."""

  split: str
  name: str  # of the shard
  start: int
  stop: int


def number_piece(work: str, name: str, piece: Piece) -> list[str]:
  """Numbers the words of a piece; returns the names of the results.

  Each result is a folder with the different words, how often each occurs, and
  the numbers of all words. There are several if a file is read as a whole.
  """
  mark = os.path.join(work, f"{name}.json")
  if os.path.exists(mark):
    return files.read_sealed(mark)["names"]
  names = []
  for number, text in enumerate(piece.texts()):
    names.append(f"{name}-{number:05}")
    path = os.path.join(work, names[-1])
    if os.path.exists(path):
      continue
    arrays = word_arrays.number(text)
    counts = np.bincount(
        arrays.indices, minlength=arrays.words.count(b"\n"))
    with files.atomic_write(path) as partial:
      os.mkdir(partial)
      for part, content in (("words", arrays.words), ("counts", counts.data),
                            ("numbers", arrays.indices.data)):
        with open(os.path.join(partial, part), "wb") as file:
          file.write(content)
  files.write_sealed(mark, {"names": names})
  return names


def words(work: str, name: str) -> bytes:
  """Returns the different words of a piece."""
  with open(os.path.join(work, name, "words"), "rb") as file:
    return file.read()


@contextlib.contextmanager
def numbers(work: str, name: str) -> Iterator[np.ndarray]:
  """Yields the numbers of the words of a piece."""
  with open(os.path.join(work, name, "numbers"), "rb") as file:
    yield files.memory_map(file)


def write_shards(output: str, name: str,
                 segments: Sequence[Mapping[str, Any]]) -> list[dict]:
  """Writes the shards of a piece; returns their descriptions."""
  work = os.path.join(output, UNFINISHED)
  mark = os.path.join(work, f"{name}.shards.json")
  if os.path.exists(mark):
    return files.read_sealed(mark)["shards"]
  with open(os.path.join(work, "vocabulary"), "rb") as file:
    vocabulary = file.read()
  number = vocabulary.count(b"\n")
  unk = word_arrays.place(vocabulary, UNK)
  groups = word_arrays.number(vocabulary + words(work, name), eos=False)
  id_of_group = np.full(groups.words.count(b"\n"), -1, np.int32)
  id_of_group[groups.indices[:number]] = np.arange(number)
  id_of_word = id_of_group[groups.indices[number:]]
  result = []
  with numbers(work, name) as of_words:
    for segment in (Segment(**segment) for segment in segments):
      ids = id_of_word[of_words[segment.start:segment.stop]]
      is_unknown = ids < 0
      ids[is_unknown] = unk
      content = ids.astype("<i4").data
      with files.atomic_write(os.path.join(output, segment.name)) as partial:
        with open(partial, "wb") as file:
          file.write(content)
      result.append({
          "split": segment.split, "file": segment.name, "tokens": len(ids),
          "unknown": int(np.count_nonzero(is_unknown)),
          "unk": int(np.count_nonzero(ids == unk)),
          "sha256": hashlib.sha256(content).hexdigest()})
  files.write_sealed(mark, {"shards": result})
  return result
