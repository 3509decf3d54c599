"""Labeled texts for training: examples -> vocabulary, ids, parts, batches.

NumPy only. Memory grows with the number of texts and of different words; the
ids are on the disk.
"""

import array
import collections
import contextlib
import dataclasses
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

import configs
import reader
from rnn import files
from rnn.errors import DataError
from rnn.text import writing_systems
from rnn.text.vocabulary import EOS, Characters, Vocabulary, ranked
from tasks import held_out, imdb, labeled, ragged, tokens

_MAX_WORDS = 5_000_000  # different ones
_MAX_LABELS = 1000
_MAX_LABEL = 100  # characters
_EMPTY = 0.9  # a part in which more texts have no words cannot be learned
_FOREIGN = 0.005  # of the characters of English text; the archive has 0.0001
_OTHER = re.compile(r"[^\x00-\x7f]")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Reading:
  """How texts are read; part of the identity of a run.

  Attributes:
    tokens: "words" or "characters".
    letters: "any"; or "a-z", the only letters of words.
  """

  tokens: str = "words"
  letters: str = "any"

  @property
  def tokenize(self) -> Callable[[str], list[str]]:
    """The function, text -> tokens."""
    return tokens.TOKENIZERS[self.tokens, self.letters]


def usual_reading(path: str, characters: bool = False) -> Reading:
  """Returns the reading of new runs: a-z for the archive of film reviews.

  Its published results were measured so.

  Raises:
    DataError: the path does not exist, or is a damaged archive.
  """
  if characters:
    return Reading("characters")
  return Reading(letters="a-z" if imdb.is_original(path) else "any")


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
  """The texts of a part as ids.

  Attributes:
    ids: the texts, int32 [n] each. Each ends in `<eos>`, so a text without any
      word is a single `<eos>`.
    labels: one index of a label per text, uint8 if there are at most 256.
  """

  ids: ragged.Ragged
  labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
  """Labeled texts, ready for training.

  Attributes:
    splits: a dict, "train", "valid" and "test" -> Batches.
    vocabulary: a Vocabulary; its ids are ranks by (-count, word) in the texts
      that are not for testing, and `<unk>` is last.
    labels: the names, sorted, numbers by value.
  """

  splits: dict[str, "Batches"]
  vocabulary: Vocabulary
  labels: tuple[str, ...]


def read(path: str, vocab_size: int, config: configs.Config, seed: int,
         reading: Reading = Reading(), shares: Sequence[float] | None = None,
         columns: labeled.Columns = labeled.Columns()) -> Corpus:
  """Reads labeled texts in one pass, and divides them.

  One log line per split says how many of its words become `<unk>`.

  Args:
    path, columns: see `labeled.examples`.
    vocab_size: the size of the vocabulary, at least 2: `<unk>`, `<eos>`, and
      the most frequent words.
    config: its num_steps is the most words to read of a text.
    seed: determines which texts are held out, and the order of the others.
    shares: see `held_out.divide`.

  Raises:
    DataError: as in `labeled.examples`; there are too few texts, labels or
      words; the words are not separated; or the temporary files cannot be
      written.
    SettingError: there is a test part in spite of `shares`.
  """
  numbered, words, labels = _number(path, reading, columns)
  indices = held_out.divide(
      path, {part: (texts.labels, texts.ids) for part, texts
             in numbered.items()}, seed, shares)
  _check_labels(path, numbered, indices, labels)
  vocabulary = _vocabulary(
      Characters if reading.tokens == "characters" else Vocabulary,
      words, numbered, indices, vocab_size)
  id_of_word = vocabulary.encode(words)
  encoded = {
      part: dataclasses.replace(texts, ids=_encode(texts.ids, id_of_word))
      for part, texts in numbered.items()}
  splits = {}
  for split, (part, chosen) in indices.items():
    splits[split] = Batches(
        encoded[part], chosen, config.batch_size, config.num_steps,
        seed if split == "train" else None)
    counts = _count(encoded[part].ids, chosen, len(vocabulary))
    reader.log_size(split, int(counts.sum()), int(counts[vocabulary.unk]))
  return Corpus(splits, vocabulary, labels)


# Examples -> numbers


class _Facts:
  """What the texts of a source are like, to refuse those without words."""

  def __init__(self, path: str, reading: Reading) -> None:
    self._path, self._reading = path, reading
    self._texts: collections.Counter = collections.Counter()  # by part
    self._empty: collections.Counter = collections.Counter()
    self._example = ""  # the place of the first empty text
    self._foreign = 0  # letters other than a-z
    self._characters = 0
    self._sample = ""

  def add(self, example: labeled.Example, words: Iterable[str]) -> None:
    """Notes a text and its tokens."""
    self._texts[example.part] += 1
    if all(word in tokens.MARKS for word in words):
      self._empty[example.part] += 1
      self._example = self._example or example.place
    self._characters += len(example.text)
    if len(self._sample) < writing_systems.SAMPLE:
      self._sample += example.text + "\n"
    if self._reading.letters == "a-z" and not example.text.isascii():
      self._foreign += sum(map(str.isalpha, _OTHER.findall(example.text)))

  def check(self) -> None:
    """Raises a DataError if training would learn nothing of the texts."""
    path = self._path
    if (self._foreign > _FOREIGN * self._characters
        and not os.path.isdir(path)):  # an older run goes on with its folder
      raise DataError(
          f"{path}: {self._foreign / self._characters:.1%} of the characters "
          "are letters other than a-z, so this is not the archive of English "
          "reviews; unpack it, and name its folder, whose words may have "
          "letters of any script")
    language = writing_systems.unsegmented(self._sample)
    if self._reading.tokens == "words" and language:
      raise DataError(
          f"{path}: {language} text without blanks between its words; "
          f"{writing_systems.advice(language)}, or read its characters",
          "characters")
    for part, total in self._texts.items():
      empty = self._empty[part]
      found = (f"{path}: {empty:,} of {total:,} texts for {part} have no "
               f"{self._reading.tokens}, such as {self._example}")
      if empty >= _EMPTY * total:
        raise DataError(f"{found}; name texts with letters")
      if empty > (1 - _EMPTY) * total:
        _log.warning("%s", found)


def _number(path: str, reading: Reading, columns: labeled.Columns
            ) -> tuple[dict[str, Texts], list[str], tuple[str, ...]]:
  """Reads the texts, and numbers words by their first appearance.

  Returns:
    numbered, words, labels: a dict, part -> Texts whose ids are indices of
    `words`; the words; and the names of the labels, sorted.
  """
  index_of: collections.defaultdict = collections.defaultdict()
  index_of.default_factory = index_of.__len__  # numbers a new word
  label_of: dict[str, int] = {}
  label_indices: dict[str, array.array] = {}
  facts, tokenize = _Facts(path, reading), reading.tokenize
  with contextlib.ExitStack() as stack:
    writers: dict[str, ragged.Writer] = {}
    for example in labeled.examples(path, columns):
      words = tokenize(example.text)
      facts.add(example, words)
      words.append(EOS)
      if example.part not in writers:
        writers[example.part] = ragged.Writer(
            stack.enter_context(files.temporary_file()), np.int32)
        label_indices[example.part] = array.array("i")
      writers[example.part].append(np.fromiter(
          map(index_of.__getitem__, words), np.int32, len(words)))
      label_indices[example.part].append(
          label_of.setdefault(example.label, len(label_of)))
      if len(index_of) > _MAX_WORDS:
        raise DataError(f"{path}: has more than {_MAX_WORDS:,} different words;"
                        " leave some texts out")
      if len(label_of) > _MAX_LABELS or len(example.label) > _MAX_LABEL:
        raise _no_labels(path, label_of, len(label_indices[example.part]))
    ids = {part: writer.finish() for part, writer in writers.items()}
  if not ids:
    raise DataError(f"{path}: has no rows below the header")
  facts.check()
  labels = sorted(label_of, key=_by_number)
  new_index = np.empty(len(labels), np.min_scalar_type(len(labels) - 1))
  for rank, label in enumerate(labels):
    new_index[label_of[label]] = rank
  return ({part: Texts(ids[part], new_index[np.array(label_indices[part])])
           for part in held_out.PARTS if part in ids}, list(index_of),
          tuple(labels))


def _by_number(label: str) -> tuple[float, str]:
  """Returns the key that sorts labels: numbers by value, before other names."""
  try:
    number = float(label)
  except ValueError:
    number = np.inf
  return number if np.isfinite(number) else np.inf, label  # "nan" has no order


def _no_labels(path: str, labels: Iterable[str], texts: int) -> DataError:
  some = ", ".join(repr(name[:_MAX_LABEL]) for name, _ in zip(
      labels, range(3), strict=False))
  return DataError(f"{path}: among {texts:,} texts are {len(list(labels)):,} "
                   f"labels, such as {some}; name the column of the labels, or "
                   "use fewer labels and more texts", "label_column")


def _check_labels(path: str, parts: Mapping[str, Texts],
                  indices: Mapping[str, tuple[str, np.ndarray]],
                  labels: Sequence[str]) -> None:
  """Raises a DataError if a label cannot be learned; logs which lack texts."""
  if len(labels) < 2:
    raise DataError(f"{path}: all texts have the label {labels[0]!r}; at least "
                    "two labels are needed")
  total = sum(len(texts.labels) for texts in parts.values())
  if total < 2 * len(labels):
    raise _no_labels(path, labels, total)
  for split, (part, chosen) in indices.items():
    counts = np.bincount(parts[part].labels[chosen], minlength=len(labels))
    _log.info("%s: %s texts: %s", split, f"{len(chosen):,}", ", ".join(
        f"{count:,} {label}" for label, count in zip(
            labels[:10], counts, strict=False)) + ", ..." * (len(labels) > 10))
    lacking = ", ".join(label for label, count in zip(
        labels, counts, strict=True) if not count)
    if lacking and split == "train":
      raise DataError(f"{path}: no texts are for training with the label "
                      f"{lacking}; add some, or leave the label out")
    if lacking:
      _log.warning("%s: no texts with the label %s", split, lacking)


# Numbers -> ids


def _blocks(rows: ragged.Ragged, indices: np.ndarray) -> Iterator[np.ndarray]:
  """Generates the steps of some rows, about a million at a time."""
  ends = np.cumsum(rows.lengths[indices])
  bounds = [0, *np.flatnonzero(np.diff(ends // 10**6)) + 1, len(indices)]
  for start, end in itertools.pairwise(bounds):
    if start < end:
      yield np.concatenate([rows[i] for i in indices[start:end]])


def _count(rows: ragged.Ragged, indices: np.ndarray, size: int) -> np.ndarray:
  """Returns how often each number from 0 to size - 1 is in some rows."""
  counts = np.zeros(size, np.int64)
  for block in _blocks(rows, indices):
    counts += np.bincount(block, minlength=size)
  return counts


def _vocabulary(kind: type[Vocabulary], words: Sequence[str],
                parts: Mapping[str, Texts],
                indices: Mapping[str, tuple[str, np.ndarray]],
                vocab_size: int) -> Vocabulary:
  """Returns the vocabulary of the most frequent words and the marks.

  Texts for testing are not counted, nor those of a part for validation.
  """
  learned = np.concatenate([
      chosen for split, (part, chosen) in indices.items()
      if part == "train" and split != "test"])
  totals = _count(parts["train"].ids, learned, len(words))
  counts = {word: int(total) for word, total in zip(words, totals, strict=True)
            if total}
  frequent = [word for word in ranked(counts) if word != EOS]
  return kind.from_counts(
      {word: counts[word] for word in (*frequent[:vocab_size - 2], EOS)})


def _encode(rows: ragged.Ragged, id_of_word: np.ndarray) -> ragged.Ragged:
  """Turns rows of indices into rows of ids."""
  with files.temporary_file() as file:
    writer = ragged.Writer(file, np.int32)
    for row in rows:
      writer.append(id_of_word[row])
    return writer.finish()


# Batches


class Batches:
  """The batches of a split: words, lengths and labels.

  Attributes:
    lengths: the length of each text, after it was cut.
    size: batches per epoch.
    largest: see `ragged.Order`.
    inputs: the dtype and shape of each array of a batch.
  """

  # words [T, B], lengths [B], labels [B]
  inputs: Sequence[tuple[str, list]] = (
      ("int32", [None, None]), ("int32", [None]), ("int32", [None]))

  def __init__(self, texts: Texts, indices: np.ndarray, batch_size: int,
               max_length: int, seed: int | None = None) -> None:
    """Selects the texts of the split.

    Args:
      indices: the indices of the texts.
      max_length: of a longer text, only the last words are read.
      seed: see `ragged.Order`.
    """
    self._texts, self._indices = texts, indices
    self._max_length = max_length
    self.lengths = np.minimum(texts.ids.lengths[indices], max_length)
    self._order = ragged.Order(self.lengths, batch_size, seed)
    self.size, self.largest = self._order.size, self._order.largest

  def __call__(self, step: int) -> Sequence[np.ndarray]:
    """Returns the arrays of a step."""
    indices = self._indices[self._order(step)]
    words, lengths = ragged.padded(
        [self._texts.ids[i][-self._max_length:] for i in indices])
    return words, lengths, self._texts.labels[indices]

  @property
  def fingerprint(self) -> dict:
    """Identifies the split in config.json."""
    digest = hashlib.sha256(self._indices.data)
    digest.update(self._texts.ids.digest)
    digest.update(self._texts.labels.data)
    return {"reviews": len(self._indices), "words": int(self.lengths.sum()),
            "sha256": digest.hexdigest()}

  def saving(self) -> float:
    """Returns the share of steps that the order saves, see `ragged.saving`."""
    return ragged.saving(self.lengths, [
        self._order(step) for step in range(self.size)])
