"""The film reviews of Maas et al. 2011: archive -> tokens -> ids. NumPy only.

    aclImdb/train/pos/0_9.txt      a review to train on, of one who liked it
    aclImdb/test/neg/12_3.txt      one to test on, of one who did not
    aclImdb/train/unsup/7_0.txt    one without a label

Names are a number and how many stars of ten were given. What else there is in
the archive is passed over.
"""

import collections
import dataclasses
import hashlib
import itertools
import os
import re
import tarfile

import numpy as np

import compressed
import reader
from tasks import ragged

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
LABELS = {"neg": 0, "pos": 1}

_SPLITS = ("train", "test")
_REVIEW = re.compile(r"(?:^|/)(train|test)/(neg|pos|unsup)/\d+_\d+\.txt$")
_TOKEN = re.compile(r"[A-Za-z]+|[!?.:,()]")
_BREAK = "<br />"  # the one mark-up there is
_BLOCK_BYTES = 1 << 18


@dataclasses.dataclass(frozen=True, eq=False)
class Reviews:
  """A split of the reviews as word ids.

  Attributes:
    ids: a Ragged of int32 [n]; each review ends in `<eos>`, so that one
      without any token is `<eos>` alone.
    labels: uint8, one a review: 1 for pos, 0 for neg.
  """

  ids: ragged.Ragged
  labels: np.ndarray


def read_reviews(path, vocab_size):
  """Reads the labelled reviews, in one pass.

  Memory grows with the different words; the ids are on disk. A log line a
  split says how many of its words were unknown and read as `<unk>`.

  Args:
    path: the archive, or the folder that it unpacks to.
    vocab_size: how many words to keep, `<unk>` and `<eos>` among them, so at
      least 2: those most frequent in the training split.

  Returns:
    train, test, vocabulary: two Reviews, in the order of the archive, and a
    `reader.Vocabulary`; ids are ranks by (-count, word), `<unk>` is last.

  Raises:
    DataError: as `reviews`; or a split lacks reviews of a label.
    UserError: no room for the temporary files.
  """
  places = collections.defaultdict()
  places.default_factory = places.__len__  # a new word takes the next place
  counts = collections.Counter()  # of the training split
  rows = {split: ragged.Ragged("int32") for split in _SPLITS}
  labels = {split: bytearray() for split in _SPLITS}
  for split, label, text in reviews(path):
    words = [*tokenize(text), reader.EOS]
    if split == "train":
      counts.update(words)
    rows[split].append(np.fromiter(
        map(places.__getitem__, words), np.int32, len(words)))
    labels[split].append(label)
  for split, (kind, label) in itertools.product(_SPLITS, LABELS.items()):
    if label not in labels[split]:
      raise reader.DataError(f"{path}: no reviews in {split}/{kind}; "
                             f"download {URL} again")
  vocabulary = _vocabulary(counts, vocab_size)
  ids = vocabulary.encode(places)
  train, test = (
      Reviews(_encode(split, rows[split], ids, vocabulary.unk),
              np.frombuffer(labels[split], np.uint8)) for split in _SPLITS)
  return train, test, vocabulary


def reviews(path, unsup=False):
  """Generates the reviews of an archive or a folder as (split, label, text).

  The archive is read as a stream. Its reviews come in its own order, those of
  a folder in the order of their names.

  Args:
    path: a tar archive, compressed or not, or the folder that it unpacks to.
    unsup: whether to include the reviews without a label: theirs is None.

  Raises:
    DataError: there is no such file, it is no archive, or a damaged one; it
      holds no reviews, or one that is not UTF-8.
  """
  kinds = (*LABELS, "unsup") if unsup else tuple(LABELS)
  read = _read_folder if os.path.isdir(path) else _read_archive
  name = None
  for name, data in read(path, kinds):
    split, kind = _REVIEW.search(name).groups()
    try:
      yield split, LABELS.get(kind), data.decode()
    except UnicodeDecodeError:
      raise reader.DataError(f"{path}: {name} is not UTF-8 text; "
                             f"download {URL} again") from None
  if name is None:
    raise reader.DataError(
        f"{path}: holds no reviews, which are named as train/pos/0_9.txt; "
        f"download {URL}, and name it or the folder aclImdb inside")


def tokenize(text):
  """The tokens of a review: words of a-z and single marks of !?.:,().

  What else there is only parts them. `<br />` is removed first.
  """
  tokens = _TOKEN.findall(text.replace(_BREAK, " "))
  # Not before: of other scripts, too, a few letters are a-z in lower case.
  return " ".join(tokens).lower().split()


def _read_archive(path, kinds):
  """Generates name and bytes of the reviews of some kinds."""
  if not os.path.exists(path):
    raise reader.DataError(f"{path}: no such file; download {URL}, and name "
                           "it or the folder aclImdb inside")
  with compressed.open_binary(path) as stream:
    try:
      with tarfile.open(fileobj=stream, mode="r|",
                        bufsize=_BLOCK_BYTES) as archive:
        while member := archive.next():
          archive.members.clear()  # or memory would grow with each member
          match = _REVIEW.search(member.name)
          if match and match[2] in kinds and member.isfile():
            yield member.name, archive.extractfile(member).read()
    except (tarfile.TarError, ValueError) as error:
      raise reader.DataError(f"{path}: not a whole tar archive ({error}); "
                             f"download {URL} again") from None
    while stream.read(_BLOCK_BYTES):  # a check sum may be the last of it
      pass


def _read_folder(path, kinds):
  """Generates name and bytes of the reviews of some kinds."""
  inside = os.path.join(path, "aclImdb")
  root = inside if os.path.isdir(inside) else path
  try:
    for split, kind in itertools.product(_SPLITS, kinds):
      folder = os.path.join(root, split, kind)
      names = os.listdir(folder) if os.path.isdir(folder) else []
      for name in sorted(names):
        name = os.path.join(folder, name)
        if _REVIEW.search(name):
          with open(name, "rb") as file:
            yield name, file.read()
  except OSError as error:
    raise reader.DataError(f"{error.filename}: {error.strerror}") from None


def _vocabulary(counts, vocab_size):
  """The most frequent words, ranked as by `reader.build_vocabulary`."""
  def rank(word):
    return -counts[word], word

  kept = sorted(counts.keys() - {reader.EOS}, key=rank)[:vocab_size - 2]
  return reader.Vocabulary(
      [*sorted([*kept, reader.EOS], key=rank), reader.UNK])


def _encode(split, rows, ids, unk):
  """Rows of places -> rows of the ids there, and a log line on them."""
  encoded, unknown = ragged.Ragged("int32"), 0
  for row in rows:
    encoded.append(ids[row])
    unknown += np.count_nonzero(ids[row] == unk)
  reader.report(split, int(encoded.lengths.sum()), unknown)
  return encoded


class Batches:
  """The batches of a split as feeds: words, lengths and labels."""

  def __init__(self, reviews, rows, batch_size, max_length, seed=None):
    """Those of some rows of Reviews.

    Args:
      max_length: of a longer review, the last so many words are read.
      seed: of the order, another in each epoch; without it always the same.
    """
    self._reviews, self._rows, self._max_length = reviews, rows, max_length
    self.lengths = np.minimum(reviews.ids.lengths[rows], max_length)
    self._order = ragged.Order(self.lengths, batch_size, seed)
    self.size = self._order.size

  # words [T, B], lengths [B], labels [B]
  inputs = (("int32", [None, None]), ("int32", [None]), ("int32", [None]))

  def __call__(self, step):
    """The arrays of a step."""
    rows = self._rows[self._order(step)]
    words, lengths = ragged.padded(
        [self._reviews.ids[i][-self._max_length:] for i in rows])
    return words, lengths, self._reviews.labels[rows]

  @property
  def identity(self):
    """What tells the split from others, for config.json."""
    digest = hashlib.sha256(self._rows)
    digest.update(self._reviews.ids.digest)
    digest.update(self._reviews.labels)
    return {"reviews": len(self._rows), "words": int(self.lengths.sum()),
            "sha256": digest.hexdigest()}

  def saving(self):
    """The share of steps that random batches would take, and these do not."""
    return ragged.saving(self.lengths, [
        self._order(step) for step in range(self.size)])
