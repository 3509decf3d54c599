"""The archive of film reviews of Maas et al. 2011, as a stream.

    aclImdb/train/pos/0_9.txt      a training review that is positive
    aclImdb/test/neg/12_3.txt      a test review that is negative
    aclImdb/train/unsup/7_0.txt    a review without a label

A name is a number and a rating from 1 to 10 stars. Other files in the archive
are skipped.
"""

import itertools
import os
import re
from collections.abc import Iterator, Sequence

from rnn import archives, files
from rnn.errors import DataError

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
FOLDER = "aclImdb"
UNLABELED = "unsup"
LABELS = {"neg": "negative", "pos": "positive"}

_SPLITS = ("train", "test")
_REVIEW = re.compile(r"(?:^|/)(train|test)/(neg|pos|unsup)/\d+_\d+\.txt$")
_MAX_REVIEW = 10 ** 7  # bytes; the longest has 14,000


def is_archive(path: str) -> bool:
  """Returns whether a file is a tar archive, or has the name of one.

  Raises:
    DataError: the file does not exist, or is damaged.
  """
  if not os.path.exists(path):
    raise DataError(f"{path}: no such file or folder")
  files.check_is_file(path)
  if re.search(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)$", path, re.IGNORECASE):
    return True
  with files.open_binary(path) as stream:
    return archives.is_archive(stream)


def is_original(path: str) -> bool:
  """Returns whether a path is the archive or what it unpacks to.

  A folder of other reviews may be laid out in the same way, but has no file
  imdb.vocab.
  """
  if os.path.isdir(path):
    return os.path.exists(os.path.join(_root(path), "imdb.vocab"))
  return is_archive(path)


def reviews(path: str,
            unsup: bool = False) -> Iterator[tuple[str, str | None, str]]:
  """Generates the reviews of an archive or a folder as (split, label, text).

  A label is one of the values of LABELS.

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
  kinds = (*LABELS, UNLABELED) if unsup else tuple(LABELS)
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
        f"{path}: has no files with names such as train/pos/0_9.txt, as the "
        f"archive of {URL} has; unpack an archive of other texts, and name its "
        "folder")


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


def _root(path: str) -> str:
  """Returns the folder with train and test: the path, or aclImdb in it."""
  inside = os.path.join(path, FOLDER)
  return inside if os.path.isdir(inside) else path


def _read_folder(path: str, kinds: Sequence[str]
                 ) -> Iterator[tuple[re.Match[str], bytes]]:
  """Does the same as `_read_archive`, with a folder."""
  root = _root(path)
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
