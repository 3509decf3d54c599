"""Text files -> vocabulary -> streams of word ids -> batches. NumPy only.

    train, valid, test, vocabulary = reader.ptb_raw_data("data/factbook")
    for x, y in reader.ptb_iterator(train, batch_size=20, num_steps=35):
      ...

A corpus is three text files, one sentence per line, with blanks (ASCII spaces
or tabs) between the words. Each line ends with the word `<eos>`. The vocabulary
comes from the training file only, the most frequent word first.
"""

import collections
import dataclasses
import hashlib
import logging
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text.producer import ptb_producer  # noqa: F401 (for notebooks)
from rnn.text.vocabulary import (  # noqa: F401
  EOS,
  UNK,
  VOCABULARIES,
  Characters,
  Vocabulary,
  Words,
)

# The ids of train, valid and test, and the vocabulary.
RawData = tuple[np.ndarray, np.ndarray, np.ndarray, Words]

NO_TARGET = -1  # fills up a stream: nothing to predict there, and no cost

SPLITS = ("train", "valid", "test")
_NAMINGS = ("ptb.{}.txt", "{}.txt", "wiki.{}.tokens")
_FOLDERS = ("", "data", os.path.join("simple-examples", "data"))
_CHUNK = 1 << 20  # tokens

_log = logging.getLogger(__name__)


# A corpus


def ptb_raw_data(data_path: str) -> RawData:
  """Reads a corpus.

  Args:
    data_path: a folder with `ptb.{train,valid,test}.txt`,
      `{train,valid,test}.txt` or `wiki.{train,valid,test}.tokens`, or the
      folder that `simple-examples.tgz` unpacks to.

  Returns:
    train, valid, test, vocabulary: three 1-D int32 arrays of word ids, and the
    `Vocabulary` of the training text. One log line per split says how many of
    its words are unknown and become `<unk>`.

  Raises:
    DataError: the folder or a file is missing, empty, or not UTF-8 text.
  """
  texts, vocabulary = read_corpus(data_path)
  train, valid, test = (text.ids for text in texts.values())
  return train, valid, test, vocabulary


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
  """A text as word ids.

  Attributes:
    ids: 1-D int32.
    unknown: the number of words that the vocabulary lacks, read as `<unk>`.
    fingerprint: identifies the text: a dict with "file", "bytes", "sha256" and
      "tokens".
    stamp: the file's `files.stamp`, taken before it was read.
  """

  ids: np.ndarray
  unknown: int
  fingerprint: dict
  stamp: list | None


@dataclasses.dataclass(frozen=True, eq=False)
class NumberedText:
  """A text whose words are numbered by their first appearance.

  Attributes:
    words: the different words, in order of first appearance.
    indices: 1-D int32, the index in `words` of each word of the text.
    fingerprint, stamp: see `Text`.
  """

  words: list[str]
  indices: np.ndarray
  fingerprint: dict
  stamp: list | None


def read_corpus(data_path: str, vocabulary: Vocabulary | None = None
                ) -> tuple[dict[str, Text], Vocabulary]:
  """Reads a corpus, each file once, in memory of 4 bytes per token.

  Args:
    vocabulary: the words to know; by default those of the training text.

  Returns:
    texts, vocabulary: a dict, split -> Text, and the `Vocabulary`.

  Raises:
    DataError: as in `ptb_raw_data`.
  """
  return encode_corpus({
      split: read_text(path) for split, path in find_corpus(data_path).items()},
      vocabulary=vocabulary)


def find_corpus(data_path: str,
                splits: Sequence[str] = SPLITS) -> dict[str, str]:
  """Returns the paths of a corpus's files: a dict, split -> path.

  Raises:
    DataError: the folder does not exist, or lacks some of the splits.
  """
  if not os.path.isdir(data_path):
    what = "not a folder" if os.path.exists(data_path) else "no such folder"
    raise DataError(f"{data_path or 'data_path'}: {what}; name the folder with "
                    "the files train.txt, valid.txt and test.txt")
  incomplete = None
  for folder in _FOLDERS:
    for naming in _NAMINGS:
      paths = {split: os.path.join(data_path, folder, naming.format(split))
               for split in splits}
      missing = [p for p in paths.values() if not os.path.exists(p)]
      if not missing:
        return paths
      if len(missing) < len(splits):
        incomplete = incomplete or missing[0]
  if incomplete:
    raise DataError(f"{incomplete}: missing, although the rest of the corpus "
                    "exists; restore it")
  names = " or ".join(n.format("{train,valid,test}") for n in _NAMINGS)
  raise DataError(f"{data_path}: no corpus in this folder; its files must be "
                  f"named {names}")


def encode_corpus(numbered: dict[str, NumberedText],
                  kind: type[Vocabulary] = Vocabulary,
                  vocabulary: Vocabulary | None = None
                  ) -> tuple[dict[str, Text], Vocabulary]:
  """Turns numbered texts into word ids, in place.

  Args:
    numbered: a dict, split -> NumberedText, with "train" among the splits.
    kind: the class of the vocabulary.
    vocabulary: the words to know; by default those of the training text.

  Returns:
    texts, vocabulary: as `read_corpus`.
  """
  vocabulary = vocabulary or build_vocabulary(numbered["train"], kind)
  return {split: Text(*_encode(split, text, vocabulary), text.fingerprint,
                      text.stamp)
          for split, text in numbered.items()}, vocabulary


def build_vocabulary(text: NumberedText,
                     kind: type[Vocabulary] = Vocabulary) -> Vocabulary:
  """Returns a text's vocabulary, its ids ranked by (-count, word)."""
  counts = np.zeros(len(text.words), np.int64)
  for chunk in _chunks(text.indices):
    counts += np.bincount(chunk, minlength=len(counts))
  return kind.from_counts(dict(zip(text.words, counts.tolist(), strict=True)))


def _encode(name: str, text: NumberedText,
            vocabulary: Vocabulary) -> tuple[np.ndarray, int]:
  """Turns indices into ids in place; also returns the number of unknowns."""
  id_of_word = vocabulary.encode(text.words)
  is_unknown = np.array([word not in vocabulary for word in text.words])
  unknown = 0
  for chunk in _chunks(text.indices):
    unknown += int(np.count_nonzero(is_unknown[chunk]))
    chunk[:] = id_of_word[chunk]
  log_size(name, len(text.indices), unknown)
  return text.indices, unknown


def log_size(name: str, tokens: int, unknown: int) -> None:
  """Logs how many tokens a text has, and how many of them are unknown."""
  _log.info("%s: %s tokens, %s of them unknown words, read as %s", name,
            f"{tokens:,}", f"{unknown:,}", UNK)


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
  """Generates views of a long array, to keep NumPy's temporary arrays small."""
  for start in range(0, len(array), _CHUNK):
    yield array[start:start + _CHUNK]


# One text


def read_ids(path: str, vocabulary: Vocabulary,
             name: str = "text") -> np.ndarray:
  """Reads a text with a given vocabulary: a 1-D int32 array of ids.

  A log line calls the text `name` and says how many words are unknown.

  Raises:
    DataError: as in `read_text`.
  """
  return _encode(name, read_text(path), vocabulary)[0]


def read_text(path: str) -> NumberedText:
  """Splits a text file into words.

  The line "a b" becomes the words a, b, <eos>. Memory grows with the number of
  different words; the indices are in a temporary file.

  Raises:
    DataError: the file does not exist, is not a file, is empty, or not UTF-8.
  """
  before = files.stamp(path)
  digest, size = hashlib.sha256(), 0

  def words() -> Iterator[list[bytes]]:
    nonlocal size
    eos, ends_in_words = EOS.encode(), False
    for block in files.read_blocks(path):
      digest.update(block)
      text = block if size else block.removeprefix(files.BOM)
      size += len(block)
      # As bytes: str.split() would also split at the blanks of Unicode.
      yield text.replace(b"\n", b" %b " % eos).split()
      _, newline, rest = text.rpartition(b"\n")
      ends_in_words = bool(rest.strip()) or ends_in_words and not newline
    if ends_in_words:
      yield [eos]  # the last line of the file lacks its newline

  distinct, indices = number_words(words())
  if not distinct:
    raise DataError(f"{path}: the file is empty")
  return NumberedText(
      [word.decode() for word in distinct], indices,
      {"file": os.path.basename(path), "bytes": size,
       "sha256": digest.hexdigest(), "tokens": len(indices)}, before)


def number_words(
    blocks: Iterable[Sequence[Hashable]]) -> tuple[list, np.ndarray]:
  """Numbers words by their first appearance.

  Args:
    blocks: sequences of words.

  Returns:
    words, indices: as in `NumberedText`. The array is in a file without a
    name, so a text need not fit in memory.

  Raises:
    DataError: that file cannot be written.
  """
  index_of: collections.defaultdict = collections.defaultdict()
  index_of.default_factory = index_of.__len__  # numbers a new word
  with files.temporary_file() as file:
    for words in blocks:
      file.write(np.fromiter(
          map(index_of.__getitem__, words), "<i4", len(words)).data)
    file.flush()
    return list(index_of), files.memory_map(file, "r+")


def read_lines(path: str,
               split: Callable[[str], list[str]] = Vocabulary.split
               ) -> Iterator[list[str]]:
  """Generates the words of each line of a text.

  Lines are split as in `read_text`, but get no `<eos>`. Memory grows with the
  longest line, not with the text.

  Args:
    path: a file or a pipe; "-" is standard input.
    split: splits a line into words, for instance `Characters.split`.

  Raises:
    DataError: the file does not exist, is not a file, is empty, or not UTF-8.
  """
  name = "standard input" if path == "-" else path
  empty, number = True, 1
  try:
    with files.path_errors(name), open(
        0 if path == "-" else path, "rb", closefd=path != "-") as file:
      for number, line in enumerate(file, 1):
        words = split(
            line.removeprefix(files.BOM if number == 1 else b"").decode()
            .removesuffix("\n").removesuffix("\r"))
        if words or line.endswith(b"\n"):
          empty = False
          yield words
  except UnicodeDecodeError:
    raise DataError(f"{name}: line {number} is not UTF-8 text; convert it to "
                    "UTF-8") from None
  if empty:
    raise DataError(f"{name}: the file is empty")


# Batches


def ptb_iterator(
    raw_data: Sequence[int] | np.ndarray, batch_size: int, num_steps: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Generates the training windows of one epoch, batch-major.

  The stream is cut into `batch_size` rows of equal length; the rest is dropped.
  Windows of `num_steps` columns follow each other, so the state of row b at the
  end of a window is its state at the start of the next one. With batch_size 2
  and num_steps 2, the stream a b c d e f g h i j k gives

      a b c d e      x = a b   y = b c     then   x = c d   y = d e
      f g h i j          f g       g h                h i       i j

  (k does not fill a column.)

  Args:
    raw_data: 1-D sequence of word ids.

  Yields:
    (x, y): int32 arrays [batch_size, num_steps]; y is x shifted by one word.

  Raises:
    DataError: the stream is too short for a single window.
  """
  streams = training_streams(raw_data, batch_size, num_steps)
  for start in range(0, len(streams) - 1, num_steps):
    window = streams[start:start + num_steps + 1].T
    yield window[:, :-1], window[:, 1:]


def training_streams(ids: Sequence[int] | np.ndarray, batch_size: int,
                     num_steps: int) -> np.ndarray:
  """Cuts a stream into `batch_size` parallel streams of whole windows.

  They are the rows of `ptb_iterator`, as columns. Window w reads the rows from
  w * num_steps to (w + 1) * num_steps, and predicts the rows one further on.

  Returns:
    An int32 array [epoch_size * num_steps + 1, batch_size].

  Raises:
    DataError: the stream is too short for a single window.
  """
  ids = np.asarray(ids, np.int32)
  length = len(ids) // batch_size
  epoch_size = (length - 1) // num_steps
  if epoch_size < 1:
    advice = [f"{name} to at most {most}" for name, most in (
        ("num_steps", length - 1), ("batch_size", len(ids) // (num_steps + 1)))
        if most > 0] or ["both num_steps and batch_size, or use a longer text"]
    raise DataError(
        f"{len(ids)} tokens are too few for batch_size={batch_size} x "
        f"num_steps={num_steps}: lower " + " or ".join(advice))
  return ids[:batch_size * length].reshape(batch_size, length).T[
      :epoch_size * num_steps + 1]


def evaluation_streams(ids: Sequence[int] | np.ndarray, batch_size: int,
                       num_steps: int) -> np.ndarray:
  """Cuts a stream into `batch_size` parallel streams that keep every target.

  In contrast to `training_streams` nothing is dropped: each token after the
  first is predicted exactly once. Each stream ends with the token that the next
  one starts from. NO_TARGET fills up the last rows. With batch_size 2 and
  num_steps 2, the stream a b c d e f g h gives the rows

      a e   b f   c g   d h   e .

  Returns:
    An int32 array [epoch_size * num_steps + 1, batch_size].

  Raises:
    DataError: the stream has fewer than two tokens, so there is no target.
  """
  ids = np.asarray(ids, np.int32)
  if len(ids) < 2:
    raise DataError(f"at least 2 tokens are needed, there are {len(ids)}")
  length = -(-(len(ids) - 1) // batch_size)  # targets per stream, rounded up
  rows = -(-length // num_steps) * num_steps + 1
  streams = np.full([rows, batch_size], NO_TARGET, np.int32)
  for column in range(batch_size):
    piece = ids[column * length:(column + 1) * length + 1]
    if len(piece) > 1:
      streams[:len(piece), column] = piece
  return streams
