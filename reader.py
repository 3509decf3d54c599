"""Text files -> vocabulary -> id streams -> batches. NumPy only.

A corpus is three text files, one sentence a line, words between blanks (of
ASCII: space, tab). Each line ends in the word `<eos>`. The vocabulary is that
of the training file alone, most frequent word first.
"""

import collections
import contextlib
import dataclasses
import hashlib
import logging
import os
import tempfile
import types

import numpy as np

import errors

EOS = "<eos>"
UNK = "<unk>"
NO_TARGET = -1  # fills a stream up: nothing to predict there, and no cost

SPLITS = ("train", "valid", "test")
_NAMINGS = ("ptb.{}.txt", "{}.txt", "wiki.{}.tokens")
_FOLDERS = ("", "data", os.path.join("simple-examples", "data"))
_BLOCK_BYTES = 1 << 20
_STRETCH = 1 << 20  # tokens
_BOM = b"\xef\xbb\xbf"

_log = logging.getLogger(__name__)


class DataError(errors.UserError):
  """Text that cannot be used, said in one line fit for the user."""


@dataclasses.dataclass(frozen=True)
class Words:
  """A list of words; a word's id is its place in `words`.

  Raises:
    DataError: a word occurs twice, or one of `MARKS` is missing.
  """

  words: tuple

  MARKS = ()

  def __post_init__(self):
    object.__setattr__(self, "words", tuple(self.words))
    ids = {word: i for i, word in enumerate(self.words)}
    object.__setattr__(self, "_ids", ids)
    for i, word in enumerate(self.words):
      if ids[word] != i:
        raise DataError(f"the vocabulary holds the word {word} twice")
    for word in self.MARKS:
      if word not in ids:
        raise DataError(f"the vocabulary lacks the word {word}")

  def __len__(self):
    return len(self.words)

  def __contains__(self, word):
    return word in self._ids

  @property
  def ids(self):
    """A read-only mapping, word -> id."""
    return types.MappingProxyType(self._ids)

  def decode(self, ids):
    """The list of words of a sequence of ids."""
    return [self.words[i] for i in ids]

  def save(self, path):
    """Writes the words to a UTF-8 text file, one a line, in order of id."""
    with open(path, "wb") as file:
      if self.words[0].encode().startswith(_BOM):
        file.write(_BOM)  # or `load` would take the word's own for it
      file.writelines(word.encode() + b"\n" for word in self.words)

  @classmethod
  def load(cls, path):
    """Reads what `save` wrote.

    Raises:
      DataError: no such file, not UTF-8, an empty line, a word twice.
    """
    text = b"".join(_blocks(path)).removeprefix(_BOM).decode()
    text = text.replace("\r\n", "\n")
    *words, rest = text.split("\n")
    words += [rest] if rest else []
    if "" in words:
      raise DataError(f"{path}: line {words.index('') + 1} has no word")
    try:
      return cls(words)
    except DataError as error:
      raise DataError(f"{path}: {error}") from None


class Vocabulary(Words):
  """The words of a training text, `<unk>` and `<eos>` among them."""

  MARKS = (UNK, EOS)

  @property
  def unk(self):
    """The id of `<unk>`."""
    return self._ids[UNK]

  @property
  def eos(self):
    """The id of `<eos>`."""
    return self._ids[EOS]

  def encode(self, words):
    """Ids of a sequence of words, int32; a word not known reads as `<unk>`."""
    known, unk = self._ids.get, self.unk
    return np.fromiter((known(word, unk) for word in words), np.int32)

  @staticmethod
  def split(text):
    """The words of a str, parted at ASCII's blanks; a newline is `<eos>`."""
    return [word.decode(errors="surrogateescape") for word in text.replace(
        "\n", f" {EOS} ").encode(errors="surrogateescape").split()]

  @staticmethod
  def join(words):
    """Words as a str; `<eos>` is a newline."""
    return "\n".join(
        line.strip(" ") for line in " ".join(words).split(EOS))


class Characters(Vocabulary):
  """The characters of a training text; a newline is `<eos>`."""

  @staticmethod
  def split(text):
    """The characters of a str; any end of a line is `<eos>`."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return [EOS if character == "\n" else character for character in text]

  @staticmethod
  def join(words):
    """Characters as a str; `<eos>` is a newline."""
    return "".join("\n" if word == EOS else word for word in words)


# By what a run says that its text is made of.
VOCABULARIES = {"words": Vocabulary, "characters": Characters,
                "names": Words}


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
  """A text as word ids.

  Attributes:
    ids: 1-D int32.
    unknown: how many of its words the vocabulary lacks, read as `<unk>`.
    identity: what tells it from others: a dict with "file", "bytes", "sha256"
      and "tokens".
    stamp: that of the file, from before it was read; see `stamp`.
  """

  ids: np.ndarray
  unknown: int
  identity: dict
  stamp: list


def ptb_raw_data(data_path):
  """Reads a corpus.

  Args:
    data_path: a folder with `ptb.{train,valid,test}.txt`,
      `{train,valid,test}.txt` or `wiki.{train,valid,test}.tokens`, or the one
      that `simple-examples.tgz` unpacks to.

  Returns:
    train, valid, test, vocabulary: three 1-D int32 arrays of word ids, and the
    `Vocabulary` of the training text. A log line a split says how many of its
    words were unknown and read as `<unk>`.

  Raises:
    DataError: the folder or a file is missing, empty, or not UTF-8 text.
  """
  texts, vocabulary = read_corpus(data_path)
  return *(text.ids for text in texts.values()), vocabulary


def read_corpus(data_path):
  """Reads a corpus, each file once.

  Memory grows with the ids, 4 bytes each, and the different words.

  Returns:
    texts, vocabulary: a dict, split -> Text, and as `ptb_raw_data`.

  Raises:
    DataError: as `ptb_raw_data`.
  """
  return encode_corpus({
      split: _read(path) for split, path in find_corpus(data_path).items()})


def encode_corpus(found, kind=Vocabulary):
  """Makes word ids of what was read, in place.

  Args:
    found: a dict, split -> (words, places, identity, stamp): what `read_text`
      returns, and of a `Text`.
    kind: one of VOCABULARIES.

  Returns:
    As `read_corpus`.
  """
  vocabulary = build_vocabulary(*found["train"][:2], kind)
  texts = {}
  for split, (words, places, identity, stamp) in found.items():
    unknown = _encode(split, words, places, vocabulary)
    texts[split] = Text(places, unknown, identity, stamp)
  return texts, vocabulary


def read_ids(path, vocabulary, name="text"):
  """Reads a text with the vocabulary of another: a 1-D int32 array of ids.

  A log line, in which `name` stands for the text, says how many of its words
  were unknown and read as `<unk>`.

  Raises:
    DataError: as `read_text`.
  """
  words, ids = read_text(path)
  _encode(name, words, ids, vocabulary)
  return ids


def read_lines(path, split=Vocabulary.split):
  """Generates the words of each line of a text, a list of str.

  Lines and words are parted as by `read_text`, but no `<eos>` is added. Memory
  grows with the longest line, not with the text.

  Args:
    path: of a file or of a pipe; "-" is standard input.
    split: a function, a line -> its words, such as `Characters.split`.

  Raises:
    DataError: no such file, not a file, empty, or not UTF-8.
  """
  name = "standard input" if path == "-" else path
  empty = True
  try:
    # 0 is the descriptor of standard input.
    with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
      for number, line in enumerate(file, 1):
        words = split(line.removeprefix(_BOM if number == 1 else b"").decode()
                      .removesuffix("\n").removesuffix("\r"))
        if words or line.endswith(b"\n"):
          empty = False
          yield words
  except UnicodeDecodeError:
    raise DataError(f"{name}: line {number} is not UTF-8 text; convert it, or "
                    "name another") from None
  except OSError as error:
    raise DataError(f"{name}: {error.strerror}") from None
  except ValueError as error:  # a NUL, or what is no character
    raise DataError(f"{path}: not the name of a file: {error}") from None
  if empty:
    raise DataError(f"{name}: the file is empty")


def _encode(name, words, places, vocabulary):
  """Makes ids of places, as of `read_text`, in place: how many are unknown."""
  ids = vocabulary.encode(words)
  is_unknown = np.array([word not in vocabulary for word in words])
  unknown = 0
  for part in _stretches(places):
    unknown += int(np.count_nonzero(is_unknown[part]))
    part[:] = ids[part]
  report(name, len(places), unknown)
  return unknown


def report(name, tokens, unknown):
  """Logs how many words a text has, and how many of them are unknown."""
  _log.info("%s: %s tokens, %s of them unknown words, read as %s", name,
            f"{tokens:,}", f"{unknown:,}", UNK)


def _stretches(ids):
  """Views of a long array, for what NumPy needs 8 bytes an element for."""
  for start in range(0, len(ids), _STRETCH):
    yield ids[start:start + _STRETCH]


def stamp(path):
  """What changes along with a file: its path, inode, size and times, a list.

  Not seen by it is an edit of the same size within a tick of the file system's
  clock (some milliseconds) after another one, with that clock set back, or past
  the file system. None where there is no such file.
  """
  try:
    found = os.stat(path)
  except (OSError, ValueError):  # the latter of what is no name of a file
    return None
  return [os.path.abspath(path), found.st_ino, found.st_size,
          found.st_mtime_ns, found.st_ctime_ns]


def find_corpus(data_path, splits=SPLITS):
  """The paths of a corpus's files: a dict, split -> path.

  Raises:
    DataError: there is no such folder, or it does not hold all the splits.
  """
  if not os.path.isdir(data_path):
    what = "not a folder" if os.path.exists(data_path) else "no such folder"
    raise DataError(f"{data_path or 'data_path'}: {what}; name the one with "
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
    raise DataError(f"{incomplete}: missing, though the rest of the corpus is "
                    "there")
  names = " or ".join(n.format("{train,valid,test}") for n in _NAMINGS)
  raise DataError(f"{data_path}: holds no corpus; its files are named {names}")


def read_text(path):
  """Splits a text file into words.

  The line "a b" is the words a, b, <eos>. Memory grows with the number of
  words and of different words, not with the text.

  Returns:
    words, places: the different words (str) in order of first appearance, and
    a 1-D int32 array with the place in `words` of every word of the text.

  Raises:
    DataError: no such file, not a file, empty, or not UTF-8.
  """
  return _read(path)[:2]


def _read(path):
  """As `read_text`; then the identity and the stamp of a Text."""
  before = stamp(path)
  digest, size = hashlib.sha256(), 0

  def words():
    nonlocal size
    eos, ends_in_words = EOS.encode(), False
    for block in _blocks(path):
      digest.update(block)
      text = block if size else block.removeprefix(_BOM)
      size += len(block)
      # As bytes, split() knows the blanks of ASCII only; as text, it would also
      # break words at those of Unicode.
      yield text.replace(b"\n", b" %b " % eos).split()
      _, newline, rest = text.rpartition(b"\n")
      ends_in_words = bool(rest.strip()) or ends_in_words and not newline
    if ends_in_words:
      yield [eos]  # the last line of a file lacks its newline

  found, ids = number_words(words())
  if not found:
    raise DataError(f"{path}: the file is empty")
  identity = {"file": os.path.basename(path), "bytes": size,
              "sha256": digest.hexdigest(), "tokens": len(ids)}
  return [word.decode() for word in found], ids, identity, before


def number_words(blocks):
  """Numbers words by their first appearance.

  Args:
    blocks: iterable of lists of words, hashable.

  Returns:
    words, places: as `read_text`; the latter array lies in a file without a
    name, so that a text need not fit in memory.

  Raises:
    DataError: that file cannot be written.
  """
  found = collections.defaultdict()
  found.default_factory = found.__len__  # a new word takes the next place
  with temporary_file() as file:
    for words in blocks:
      file.write(np.fromiter(map(found.__getitem__, words), "<i4", len(words)))
    file.flush()
    return list(found), mapped(file, "r+")


@contextlib.contextmanager
def temporary_file():
  """A context with a file without a name, which is gone when nothing uses it.

  Raises:
    DataError: it cannot be made or written.
  """
  try:
    with tempfile.TemporaryFile() as file:
      yield file
  except OSError as error:
    raise DataError(
        f"{tempfile.gettempdir()}: cannot write temporary files: "
        f"{error.strerror}; make room, or name another folder by the "
        "environment variable TMPDIR") from None


def mapped(file, mode="r"):
  """The int32 numbers that an open file holds, as an array on the disk."""
  if not os.fstat(file.fileno()).st_size:
    return np.zeros(0, np.int32)
  return np.memmap(file, "<i4", mode)


def build_vocabulary(words, places, kind=Vocabulary):
  """The vocabulary of a text as `read_text` returns it.

  Ids are ranks by (-count, word). A mark of the kind that the text lacks, as
  most lack `<unk>`, becomes the last word.

  Args:
    kind: one of VOCABULARIES.
  """
  counts = sum(np.bincount(part, minlength=len(words))
               for part in _stretches(places))
  ranked = sorted(zip((-counts).tolist(), words, strict=True))
  vocabulary = [word for _, word in ranked]
  return kind(vocabulary + [
      mark for mark in kind.MARKS if mark not in vocabulary])


def ptb_iterator(raw_data, batch_size, num_steps):
  """Generates the training windows of one epoch, batch-major.

  The stream is cut into `batch_size` stretches, one a row, and what is left
  over is dropped; windows of `num_steps` columns follow each other, so that
  the state of row b at the end of one is its state at the start of the next.
  With batch_size 2 and num_steps 2, the stream a b c d e f g h i j k gives

      a b c d e      x = a b   y = b c     then   x = c d   y = d e
      f g h i j          f g       g h                h i       i j

  (k does not fill a column.)

  Args:
    raw_data: 1-D sequence of word ids.

  Yields:
    (x, y): int32 arrays [batch_size, num_steps]; y is x one word on.

  Raises:
    DataError: the stream is too short for a single window.
  """
  streams = training_streams(raw_data, batch_size, num_steps)
  for start in range(0, len(streams) - 1, num_steps):
    window = streams[start:start + num_steps + 1].T
    yield window[:, :-1], window[:, 1:]


def training_streams(ids, batch_size, num_steps):
  """Cuts a stream into `batch_size` parallel ones, for whole windows.

  These are the columns of the rows that `ptb_iterator` draws. Window w reads
  rows w * num_steps to (w + 1) * num_steps, and predicts those one row on.

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


def evaluation_streams(ids, batch_size, num_steps):
  """Cuts a stream into `batch_size` parallel ones that keep every target.

  Like `training_streams`, but nothing is dropped: each token after the first
  is predicted exactly once. A stretch ends with the token that the next one
  starts from; what is left of the last rows is NO_TARGET. With batch_size 2 and
  num_steps 2, the stream a b c d e f g h gives the rows

      a e   b f   c g   d h   e .

  Returns:
    An int32 array [epoch_size * num_steps + 1, batch_size].

  Raises:
    DataError: there is no target, for the stream has fewer than two tokens.
  """
  ids = np.asarray(ids, np.int32)
  if len(ids) < 2:
    raise DataError(f"at least 2 tokens are needed, there are {len(ids)}")
  length = -(-(len(ids) - 1) // batch_size)  # targets a stream, rounded up
  rows = -(-length // num_steps) * num_steps + 1
  streams = np.full([rows, batch_size], NO_TARGET, np.int32)
  for column in range(batch_size):
    stretch = ids[column * length:(column + 1) * length + 1]
    if len(stretch) > 1:
      streams[:len(stretch), column] = stretch
  return streams


def check_is_file(path):
  """Raises a DataError for a folder or a pipe; not for what is not there."""
  if os.path.exists(path) and not os.path.isfile(path):
    raise DataError(f"{path}: not a file")


def _blocks(path):
  """Reads a UTF-8 file as bytes, whole words of about a megabyte at a time."""
  check_is_file(path)
  try:
    with open(path, "rb") as file:
      offset = 0
      while block := file.read(_BLOCK_BYTES):
        end = max(block.rfind(b" "), block.rfind(b"\n")) + 1
        if end:  # what follows begins the next block
          file.seek(end - len(block), os.SEEK_CUR)
          block = block[:end]
        else:
          block += file.readline()
        block.decode()
        yield block
        offset += len(block)
  except UnicodeDecodeError as error:
    raise DataError(f"{path}: not UTF-8 text, see byte {offset + error.start}; "
                    "convert the file, or name another") from None
  except OSError as error:
    raise DataError(f"{path}: {error.strerror}") from None
  except ValueError as error:  # a NUL, or what is no character
    raise DataError(f"{path}: not the name of a file: {error}") from None
