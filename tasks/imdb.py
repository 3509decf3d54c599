"""The film reviews of Maas et al. 2011: archive -> words -> ids. NumPy only.

    aclImdb/train/pos/0_9.txt      a training review that is positive
    aclImdb/test/neg/12_3.txt      a test review that is negative
    aclImdb/train/unsup/7_0.txt    a review without a label

A name is a number and a rating from 1 to 10 stars. Other files in the archive
are skipped.
"""

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

import reader
from rnn import archives, files
from rnn.errors import DataError
from rnn.text.vocabulary import EOS, Vocabulary, ranked
from tasks import ragged

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
LABELS = {"neg": 0, "pos": 1}

_SPLITS = ("train", "test")
_REVIEW = re.compile(r"(?:^|/)(train|test)/(neg|pos|unsup)/\d+_\d+\.txt$")
_TOKEN = re.compile(r"[A-Za-z]+|[!?.:,()]")
_BREAK = "<br />"  # the only markup in the reviews
_MAX_WORDS = 5_000_000  # different ones
_MAX_REVIEW = 10 ** 7  # bytes; the longest has 14,000


@dataclasses.dataclass(frozen=True, eq=False)
class Reviews:
  """A split of the reviews as word ids.

  Attributes:
    ids: the reviews, int32 [n] each. Each ends in `<eos>`, so a review without
      any word is a single `<eos>`.
    labels: uint8, one per review: 1 for pos, 0 for neg.
  """

  ids: ragged.Ragged
  labels: np.ndarray


def read_reviews(path: str,
                 vocab_size: int) -> tuple[Reviews, Reviews, Vocabulary]:
  """Reads the labeled reviews, in one pass.

  Memory grows with the number of different words, of which there may be up to
  5,000,000; the ids are on the disk. One log line per split says how many of
  its words are unknown and become `<unk>`.

  Args:
    path: the archive, or the folder that it unpacks to.
    vocab_size: the size of the vocabulary, at least 2: `<unk>`, `<eos>`, and
      the most frequent words of the training split.

  Returns:
    train, test, vocabulary: the reviews in the order of the archive, and the
    vocabulary. Ids are ranks by (-count, word), and `<unk>` is last.

  Raises:
    DataError: as in `reviews`; a split lacks reviews of a label; there are too
      many different words; or the temporary files cannot be written.
  """
  index_of: collections.defaultdict = collections.defaultdict()
  index_of.default_factory = index_of.__len__  # numbers a new word
  counts: collections.Counter = collections.Counter()  # of the training split
  labels = {split: bytearray() for split in _SPLITS}
  with contextlib.ExitStack() as stack:
    writers = {
        split: ragged.Writer(
            stack.enter_context(files.temporary_file()), np.int32)
        for split in _SPLITS}
    for split, label, text in reviews(path):
      words = [*tokenize(text), EOS]
      if split == "train":
        counts.update(words)
      writers[split].append(np.fromiter(
          map(index_of.__getitem__, words), np.int32, len(words)))
      if len(index_of) > _MAX_WORDS:
        raise DataError(f"{path}: has more than {_MAX_WORDS:,} different words;"
                        " leave some reviews out")
      assert label is not None  # unlabeled reviews were not asked for
      labels[split].append(label)
    numbered = {split: writer.finish() for split, writer in writers.items()}
  for split, (kind, label) in itertools.product(_SPLITS, LABELS.items()):
    if label not in labels[split]:
      raise DataError(f"{path}: no reviews in {split}/{kind}; download {URL} "
                      "again")
  vocabulary = _vocabulary(counts, vocab_size)
  id_of_word = vocabulary.encode(index_of)
  train, test = (
      Reviews(_encode(split, rows, id_of_word, vocabulary.unk),
              np.frombuffer(labels[split], np.uint8))
      for split, rows in numbered.items())
  return train, test, vocabulary


def reviews(path: str,
            unsup: bool = False) -> Iterator[tuple[str, int | None, str]]:
  """Generates the reviews of an archive or a folder as (split, label, text).

  An archive is read as a stream, in its own order, within the limits of
  `archives`. A folder is read in the order of the file names. A review may have
  up to 10,000,000 bytes.

  Args:
    path: a tar archive, compressed or not, or the folder that it unpacks to.
    unsup: whether to include the reviews without a label; it is None then.

  Raises:
    DataError: the file does not exist, is not an archive, is damaged, exceeds
      a limit, has no reviews, or has a review that is not UTF-8.
  """
  kinds = (*LABELS, "unsup") if unsup else tuple(LABELS)
  read = _read_folder if os.path.isdir(path) else _read_archive
  match = None
  for match, data in read(path, kinds):
    try:
      yield match[1], LABELS.get(match[2]), data.decode()
    except UnicodeDecodeError:
      raise DataError(f"{path}: {match.string} is not UTF-8 text; download "
                      f"{URL} again") from None
  if not match:
    raise DataError(
        f"{path}: no reviews with names such as train/pos/0_9.txt; download "
        f"{URL}, and name it or the folder aclImdb in it")


def tokenize(text: str) -> list[str]:
  """Splits a review into words of a-z and single marks of !?.:,().

  Other characters, and `<br />`, only separate words.
  """
  tokens = _TOKEN.findall(text.replace(_BREAK, " "))
  # Not lowered before: some letters of other scripts are a-z in lower case.
  return " ".join(tokens).lower().split()


def _read_archive(path: str, kinds: Sequence[str]
                  ) -> Iterator[tuple[re.Match[str], bytes]]:
  """Generates the reviews of some kinds: a match of _REVIEW, and the bytes."""
  if not os.path.exists(path):
    raise DataError(f"{path}: no such file; download {URL}, and name it or the "
                    "folder aclImdb in it")
  with files.open_binary(path) as stream:
    archive = archives.Archive(stream)
    try:
      for member in archive:
        match = _REVIEW.search(member.name)
        if match and match[2] in kinds and member.isfile():
          yield match, archive.read(member, _MAX_REVIEW)
    except archives.ArchiveError as error:
      raise DataError(f"{path}: {error}; download {URL} again, or unpack the "
                      "archive, and name its folder") from None


def _read_folder(path: str, kinds: Sequence[str]
                 ) -> Iterator[tuple[re.Match[str], bytes]]:
  """Does the same as `_read_archive`, with a folder."""
  inside = os.path.join(path, "aclImdb")
  root = inside if os.path.isdir(inside) else path
  for split, kind in itertools.product(_SPLITS, kinds):
    folder = os.path.join(root, split, kind)
    with files.path_errors(folder):
      names = os.listdir(folder) if os.path.isdir(folder) else []
    for name in sorted(names):
      if match := _REVIEW.search(os.path.join(folder, name)):
        files.check_is_file(match.string)
        with files.path_errors(match.string), open(match.string, "rb") as file:
          data = file.read(_MAX_REVIEW + 1)
        if len(data) > _MAX_REVIEW:
          raise DataError(f"{match.string}: has more than {_MAX_REVIEW:,} bytes"
                          ", so it is no review; move it away")
        yield match, data


def _vocabulary(counts: Mapping[str, int], vocab_size: int) -> Vocabulary:
  """Returns the vocabulary of the most frequent words and the marks."""
  words = [word for word in ranked(counts) if word != EOS]
  return Vocabulary.from_counts(
      {word: counts[word] for word in (*words[:vocab_size - 2], EOS)})


def _encode(split: str, rows: ragged.Ragged, id_of_word: np.ndarray,
            unk: int) -> ragged.Ragged:
  """Turns rows of indices into rows of ids, and logs the number of unknowns."""
  unknown = 0
  with files.temporary_file() as file:
    writer = ragged.Writer(file, np.int32)
    for row in rows:
      ids = id_of_word[row]
      writer.append(ids)
      unknown += int(np.count_nonzero(ids == unk))
    encoded = writer.finish()
  reader.log_size(split, len(encoded.steps), unknown)
  return encoded


class Batches:
  """The batches of a split: words, lengths and labels.

  Attributes:
    lengths: the length of each review, after it was cut.
    size: batches per epoch.
    largest: see `ragged.Order`.
    inputs: the dtype and shape of each array of a batch.
  """

  # words [T, B], lengths [B], labels [B]
  inputs: Sequence[tuple[str, list]] = (
      ("int32", [None, None]), ("int32", [None]), ("int32", [None]))

  def __init__(self, reviews: Reviews, indices: np.ndarray, batch_size: int,
               max_length: int, seed: int | None = None) -> None:
    """Selects the reviews of the split.

    Args:
      indices: the indices of the reviews.
      max_length: of a longer review, only the last words are read.
      seed: see `ragged.Order`.
    """
    self._reviews, self._indices = reviews, indices
    self._max_length = max_length
    self.lengths = np.minimum(reviews.ids.lengths[indices], max_length)
    self._order = ragged.Order(self.lengths, batch_size, seed)
    self.size, self.largest = self._order.size, self._order.largest

  def __call__(self, step: int) -> Sequence[np.ndarray]:
    """Returns the arrays of a step."""
    indices = self._indices[self._order(step)]
    words, lengths = ragged.padded(
        [self._reviews.ids[i][-self._max_length:] for i in indices])
    return words, lengths, self._reviews.labels[indices]

  @property
  def fingerprint(self) -> dict:
    """Identifies the split in config.json."""
    digest = hashlib.sha256(self._indices.data)
    digest.update(self._reviews.ids.digest)
    digest.update(self._reviews.labels.data)
    return {"reviews": len(self._indices), "words": int(self.lengths.sum()),
            "sha256": digest.hexdigest()}

  def saving(self) -> float:
    """Returns the share of steps that the order saves, see `ragged.saving`."""
    return ragged.saving(self.lengths, [
        self._order(step) for step in range(self.size)])
