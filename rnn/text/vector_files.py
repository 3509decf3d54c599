"""Files of word vectors, in the formats that people have them in.

    vectors.npy and vectors.words.txt    NumPy's array, and its words, one per
                                         line
    vectors.txt, .vec                    word2vec's text format: "N D", and then
                                         each word and its numbers on a line;
                                         or GloVe's, which lacks the first line
    vectors.bin                          word2vec's binary format

Each may be compressed. The content shows the format, whatever the name is.
Other programs read these formats, for instance gensim with
KeyedVectors.load_word2vec_format.
"""

import contextlib
import io
import logging
from collections.abc import Container, Iterator, Sequence

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text import vector_formats
from rnn.text.vocabulary import Words

_START_BYTES = 1 << 16  # of which the format is found
# The first bytes of other formats, and what to do about them.
_OTHERS = {
    b"\xba\x16\x4f\x2f": "a model of fastText, not its vectors; use the .vec "
                         "file that fastText writes with it",
    b"\x80": "an object of Python, such as a model of gensim; save the vectors "
             "with save_word2vec_format",
}

_log = logging.getLogger(__name__)


def save(prefix: str, words: Sequence[str], vectors: np.ndarray) -> None:
  """Writes `prefix`.npy, .words.txt and .txt, each atomically.

  Args:
    words: N str without blanks.
    vectors: [N, D].
  """
  with files.atomic_write(prefix + vector_formats.WORDS) as partial:
    Words(tuple(words)).save(partial)
  with files.atomic_write(f"{prefix}.npy") as partial:
    with open(partial, "wb") as file:
      np.save(file, np.asarray(vectors, np.float32))
  with files.atomic_write(f"{prefix}.txt") as partial:
    with open(partial, "w", encoding="utf-8") as text:
      text.write("{} {}\n".format(*vectors.shape))
      for word, vector in zip(words, vectors, strict=True):
        text.write(f"{word} {' '.join(f'{x:.6g}' for x in vector)}\n")


def load(path: str, wanted: Container[str] | None = None
         ) -> tuple[list[str], np.ndarray]:
  """Reads a file of vectors.

  A line of a text may have up to 10,000,000 characters, and a vector up to
  1,000,000 numbers.

  Args:
    wanted: the words to keep; others are dropped and take no memory. None
      keeps all.

  Returns:
    words, vectors: N different str, and float32 [N, D]. If the file has a word
    twice, its first vector counts, and a warning says so.

  Raises:
    DataError: a file does not exist, is truncated, has another format, or has a
      number that is not finite.
  """
  vectors = dict(records(
      path, lambda word: wanted is None or word in wanted))
  return list(vectors), np.array(list(vectors.values()), np.float32).reshape(
      len(vectors), -1 if vectors else width(path))


def width(path: str) -> int:
  """Returns D, the numbers per vector of a file; reads only its beginning.

  Raises:
    DataError: as in `load`, as far as the beginning shows it.
  """
  with _open(path) as file:
    return file.width


def records(path: str, wanted: vector_formats.Wanted) -> vector_formats.Records:
  """Generates the words of a file with their vectors, see `load`.

  Args:
    wanted: a function, word -> whether to keep it.

  Yields:
    word, vector: a str that did not come before, and float32 [D].
  """
  seen: set[str] = set()
  repeated = 0
  with _open(path) as file:
    for word, vector in file.records(wanted):
      if word in seen:
        repeated += 1
        continue
      seen.add(word)
      if not np.isfinite(vector).all():
        raise DataError(f"{path}: has a number that is not finite; train or "
                        "export the vectors again")
      yield word, vector
  if repeated:
    _log.warning("%s: has %s more vectors for words that it had before; the "
                 "first vector of a word counts", path, f"{repeated:,}")


@contextlib.contextmanager
def _open(path: str) -> Iterator[vector_formats.Format]:
  """Yields a file in its format."""
  files.check_is_file(path)
  try:
    # Infinity is reported by `records`.
    with files.open_binary(path) as content, np.errstate(over="ignore"):
      start = content.read(_START_BYTES)
      content.seek(0)
      for magic, problem in _OTHERS.items():
        if start.startswith(magic):
          raise DataError(f"{path}: {problem}")
      if start.startswith(b"\x93NUMPY") or vector_formats.NPY.search(path):
        yield vector_formats.Array(content, path)
      elif vector_formats.is_binary(start):
        yield vector_formats.Binary(content, path)
      else:
        yield vector_formats.Text(io.TextIOWrapper(
            content, encoding="utf-8-sig", newline="\n"), path)
  except UnicodeDecodeError:
    raise DataError(f"{path}: not UTF-8 text, nor in a binary format that is "
                    "known; convert the file, or choose another one") from None
