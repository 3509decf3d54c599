"""Vocabularies: words or characters, their ids, and the file of a run."""

import dataclasses
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar, overload

from rnn import files
from rnn.errors import DataError
from rnn.text import sources

if TYPE_CHECKING:
  import numpy as np

EOS = "<eos>"
UNK = "<unk>"

_NO_BLANKS = re.compile(r"[^ \t\n\r\v\f]+")

_W = TypeVar("_W", bound="Words")
_V = TypeVar("_V", bound="Vocabulary")


def ranked(counts: Mapping[str, int]) -> list[str]:
  """Returns words by (-count, word): the most frequent first, ties by word."""
  # The order of equal counts stays, and no tuples are compared.
  return sorted(sorted(counts), key=counts.__getitem__, reverse=True)


def split_blanks(text: str) -> list[str]:
  """Splits a text at the blanks of ASCII: spaces, tabs and line ends.

  `str.split` would also split at the blanks of Unicode, such as a no-break
  space.
  """
  return _NO_BLANKS.findall(text)


@dataclasses.dataclass(frozen=True)
class Words:
  """A list of different words. The id of a word is its index.

  It is used like a tuple of words, and maps both ways: `vocabulary[0]` is the
  word with the id 0, `vocabulary.ids["the"]` the id of a word. `len`, `in` and
  `for` go over the words. `decode` turns ids into words.

  Attributes:
    words: a tuple of str.
    MARKS: words that must be among them.

  Raises:
    DataError: a word occurs twice, or one of MARKS is missing.
  """

  words: tuple[str, ...]
  _ids: dict[str, int] = dataclasses.field(
      init=False, repr=False, compare=False)

  MARKS: ClassVar[tuple[str, ...]] = ()
  ONE: ClassVar[str] = "one word"  # for messages

  def __post_init__(self) -> None:
    object.__setattr__(self, "words", tuple(self.words))
    ids = {word: i for i, word in enumerate(self.words)}
    object.__setattr__(self, "_ids", ids)
    for i, word in enumerate(self.words):
      if ids[word] != i:
        raise DataError(f"the vocabulary has the word {word} twice")
    for word in self.MARKS:
      if word not in ids:
        raise DataError(f"the vocabulary lacks the word {word}")

  def __len__(self) -> int:
    return len(self.words)

  def __contains__(self, word: str) -> bool:
    return word in self._ids

  def __iter__(self) -> Iterator[str]:
    return iter(self.words)

  @overload
  def __getitem__(self, index: int) -> str: ...

  @overload
  def __getitem__(self, index: slice) -> tuple[str, ...]: ...

  def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
    return self.words[index]

  @property
  def ids(self) -> Mapping[str, int]:
    """A read-only mapping, word -> id."""
    return types.MappingProxyType(self._ids)

  def decode(self, ids: Iterable[int]) -> list[str]:
    """Returns the words of a sequence of ids."""
    return [self.words[i] for i in ids]

  def save(self, path: str) -> None:
    """Writes a UTF-8 text file with one word per line, in order of id."""
    # `load` removes a carriage return at the end of a line, which must not be
    # the word's own.
    end = "\r\n" if any(word.endswith("\r") for word in self.words) else "\n"
    with open(path, "wb") as file:
      if self.words[0].encode().startswith(files.BOM):
        # `load` removes a BOM, which must not be the word's own.
        file.write(files.BOM)
      file.write(end.join([*self.words, ""]).encode())

  @classmethod
  def load(cls: type[_W], path: str, encoding: str | None = None) -> _W:
    """Reads a file that `save` wrote, or another list of words.

    Args:
      path: the file, which may be compressed.
      encoding: see `sources.find`.

    Raises:
      DataError: the file does not exist, is not in the encoding, has an empty
        line, or has a word twice.
    """
    return cls._of_file(path, cls._read(path, encoding))

  @classmethod
  def _of_file(cls: type[_W], path: str, words: Sequence[str]) -> _W:
    """Returns the vocabulary of the words of a file."""
    try:
      return cls(tuple(words))
    except DataError as error:
      raise DataError(f"{path}: {error}") from None

  @staticmethod
  def _read(path: str, encoding: str | None = None) -> list[str]:
    """Reads the lines of a list of words."""
    source = sources.of_file(path, encoding)
    text = source.read() if encoding else sources.read_utf_8(source)
    *words, rest = text.replace("\r\n", "\n").split("\n")
    words += [rest] if rest else []
    if "" in words:
      raise DataError(f"{path}: line {words.index('') + 1} has no word")
    return words


class Vocabulary(Words):
  """The words of a training text, with `<unk>` and `<eos>`.

  In addition to `Words` it has the ids `unk` and `eos`. `encode` turns words
  into ids, `split` a text into words, and `join` words into a text.
  """

  MARKS = (UNK, EOS)

  @classmethod
  def load_list(cls: type[_V], path: str) -> _V:
    """Reads a list of words in the order of their ids.

    Marks that it lacks come last.

    Raises:
      DataError: as in `load`; also if a line is not a single word of a text,
        so that it would never be found in one.
    """
    words = cls._read(path)
    for number, word in enumerate(words, 1):
      if word not in cls.MARKS and cls.split(word) != [word]:
        raise DataError(f"{path}: line {number} is not {cls.ONE}; name a list "
                        f"with {cls.ONE} per line")
    if not words:
      raise DataError(f"{path}: the file is empty")
    return cls._of_file(path, (
        *words, *(mark for mark in cls.MARKS if mark not in words)))

  @classmethod
  def from_counts(cls: type[_V], counts: Mapping[str, int]) -> _V:
    """Returns the vocabulary of a text, its ids ranked by (-count, word).

    Marks that the text lacks, usually `<unk>`, come last.
    """
    return cls((*ranked(counts),
                *(mark for mark in cls.MARKS if mark not in counts)))

  @property
  def unk(self) -> int:
    """The id of `<unk>`."""
    return self._ids[UNK]

  @property
  def eos(self) -> int:
    """The id of `<eos>`."""
    return self._ids[EOS]

  def encode(self, words: Iterable[str]) -> "np.ndarray":
    """Returns the int32 ids of words; an unknown word becomes `<unk>`."""
    import numpy as np  # slow; the scripts in data/ do without it

    get_id, unk = self._ids.get, self.unk
    return np.fromiter((get_id(word, unk) for word in words), np.int32)

  @staticmethod
  def split(text: str) -> list[str]:
    """Splits a text at ASCII blanks; a newline becomes `<eos>`."""
    return split_blanks(text.replace("\n", f" {EOS} "))

  @staticmethod
  def join(words: Sequence[str]) -> str:
    """Joins words to a text; `<eos>` becomes a newline."""
    text = " ".join("\n" if word == EOS else word for word in words)
    return "\n".join(line.strip(" ") for line in text.split("\n"))


class Characters(Vocabulary):
  """The characters of a training text; a newline is `<eos>`."""

  ONE = "one character"

  @staticmethod
  def split(text: str) -> list[str]:
    """Splits a text into characters; a line end of any kind is `<eos>`."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return [EOS if character == "\n" else character for character in text]

  @staticmethod
  def join(words: Sequence[str]) -> str:
    """Joins characters to a text; `<eos>` becomes a newline."""
    return "".join("\n" if word == EOS else word for word in words)


@dataclasses.dataclass(frozen=True)
class Choice:
  """How the vocabulary of a training text is chosen.

  Attributes:
    given: a vocabulary to take as it is, whatever the text has; it excludes the
      other two.
    size: the most words, `<unk>` and `<eos>` included. The most frequent stay.
    min_count: how often a word must occur.
  """

  given: Vocabulary | None = None
  size: int | None = None
  min_count: int = 1

  def vocabulary(self, counts: Mapping[str, int],
                 kind: type[Vocabulary] = Vocabulary) -> Vocabulary:
    """Returns the vocabulary of a text.

    All words that are left out count as `<unk>`, so the ids are those of a text
    in which they are `<unk>`.

    Args:
      counts: how often each word occurs.
      kind: the class of the vocabulary.

    Raises:
      DataError: no word is frequent enough.
    """
    if self.given:
      return self.given
    words = [word for word in ranked(counts) if word not in kind.MARKS
             and counts[word] >= self.min_count]
    if self.size is not None:
      words = words[:max(self.size - len(kind.MARKS), 0)]
    if not words and counts.keys() - kind.MARKS:
      raise DataError("no word of the training text is frequent enough for the "
                      "vocabulary", "min_count")
    kept = {word: counts[word] for word in (*words, *kind.MARKS)
            if word in counts}
    rare = sum(counts.values()) - sum(kept.values())
    if rare:
      kept[UNK] = kept.get(UNK, 0) + rare
    return kind.from_counts(kept)

  def describe(self) -> dict[str, object]:
    """Returns a dict of JSON types that is empty for the default choice."""
    return {name: value for name, value, default in (
        ("sha256", self.given and files.json_digest(self.given.words), None),
        ("size", self.size, None), ("min_count", self.min_count, 1))
        if value != default}


# The class for each value of "tokens" in config.json.
VOCABULARIES: dict[str, type[Words]] = {
    "words": Vocabulary, "characters": Characters, "names": Words}
