"""Texts as numbers: words are numbered as they appear, then by a vocabulary.

`reader` has all of this, too.
"""

import collections
import dataclasses
import itertools
import logging
import shlex
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text import corpora, lines, shards, sources, splitting, writing_systems
from rnn.text.shards import ShardIds
from rnn.text.vocabulary import EOS, UNK, Choice, Vocabulary, Words

_CHUNK = 1 << 20  # tokens
_BATCH = 1 << 10  # lines
_LEARNED = ("min_count=2 or a smaller vocab_size turns rare words of train "
            f"into {UNK}")
_SAMPLE_WORDS = 10_000  # that show whether they are words

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
  """A text as word ids.

  Attributes:
    ids: 1-D int32; or the shards of an indexed text.
    unknown: the number of words that the vocabulary lacks, read as `<unk>`.
    fingerprint: identifies the text: a dict with "file", "bytes", "sha256" and
      "tokens"; of an indexed text, "sha256" is that of its shards.
    stamp: the source's `Source.stamp`, taken before it was read.
  """

  ids: np.ndarray | ShardIds
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


def read_corpus(data_path: str, encoding: str | None = None,
                choice: Choice = Choice()
                ) -> tuple[dict[str, Text], Vocabulary]:
  """Reads a corpus.

  Memory grows with the number of different words, and by 4 bytes per token.

  Args:
    data_path, encoding: see `reader.ptb_raw_data`; or an indexed text.
    choice: how to choose the vocabulary, such as Choice(min_count=2).

  Returns:
    texts, vocabulary: a dict, split -> Text, and the training text's
    `Vocabulary`.

  Raises:
    DataError, SettingError: as in
      `reader.ptb_raw_data`.
  """
  if sources.is_indexed(data_path):
    return read_index(data_path, choice)
  numbered = number_corpus(data_path, encoding)
  _warn_if_unsegmented(data_path, encoding, numbered["train"].words)
  return encode_corpus(numbered, choice=choice)


def number_corpus(data_path: str,
                  encoding: str | None = None) -> dict[str, NumberedText]:
  """Reads a corpus without a vocabulary: a dict, split -> NumberedText.

  Args, raises: see `read_corpus`; not an indexed text.
  """
  found = corpora.find(data_path, encoding)
  if corpora.is_single(data_path):
    return _read_split(found["train"])
  return {split: read_text(source) for split, source in found.items()}


def read_index(data_path: str, choice: Choice = Choice()
               ) -> tuple[dict[str, Text], Vocabulary]:
  """Reads a corpus that is an indexed text, without its ids.

  Args, returns: see `read_corpus`.

  Raises:
    DataError: see `shards.read`.
  """
  index = shards.read(data_path, choice)
  texts = {split: Text(ids, index.unknown[split], index.fingerprints[split],
                       None) for split, ids in index.ids.items()}
  for split, text in texts.items():
    log_size(split, len(text.ids), text.unknown)
  warn_of_unlearned(texts, index.vocabulary, "" if choice.given else
                    f"; data/index.py with {_LEARNED}")
  return texts, index.vocabulary


def _warn_if_unsegmented(data_path: str, encoding: str | None,
                         words: Sequence[str]) -> None:
  """Logs a warning if the different words of a text seem to be phrases."""
  sample = " ".join(words[:_SAMPLE_WORDS])[:writing_systems.SAMPLE]
  if language := writing_systems.unsegmented(sample):
    flags = [f"--data_path={data_path}"]
    if encoding:
      flags.append(f"--encoding={encoding}")
    _log.warning(
        "%s: %s text without blanks between its words; %s, or train on "
        "characters: python -m tasks.char_lm %s", data_path, language,
        writing_systems.advice(language), shlex.join(flags))


def read_held_out(data_path: str, vocabulary: Vocabulary,
                  encoding: str | None = None,
                  whole: bool = True) -> dict[str, Text]:
  """Reads texts to evaluate a model on: a dict, name -> Text.

  Args:
    data_path, encoding: see `read_corpus`.
    vocabulary: the vocabulary of the model.
    whole: whether a single text is read as a whole, as "text". By default it
      is. A text that the model was trained on must be split.

  Raises:
    DataError, SettingError: as in `reader.ptb_raw_data`.
  """
  if sources.is_indexed(data_path):
    texts, _ = read_index(data_path, Choice(vocabulary))
    return {split: texts[split] for split in ("valid", "test")}
  if not corpora.is_single(data_path):
    found = corpora.find_corpus(data_path, ("valid", "test"), encoding)
    return {split: _encoded(split, read_text(source), vocabulary)
            for split, source in found.items()}
  if whole:
    text = read_text(sources.find(data_path, encoding))
    return {"text": _encoded("text", text, vocabulary)}
  texts, _ = read_corpus(data_path, encoding, Choice(vocabulary))
  return {split: texts[split] for split in ("valid", "test")}


def _read_split(source: sources.Source) -> dict[str, NumberedText]:
  """Reads a single text that `splitting` splits."""
  stamp = source.stamp()
  cut = splitting.Split(lambda: lines.of(source), source.name)
  numbered = {}
  for split in splitting.SPLITS:
    digest = sources.Digest()
    numbered[split] = _number(
        source, _blocks(cut.lines(split), digest), digest, stamp)
  return numbered


def _blocks(texts: Iterable[str], digest: sources.Digest) -> Iterator[bytes]:
  """Generates lines as UTF-8, many at a time."""
  texts = iter(texts)
  while block := "".join(itertools.islice(texts, _BATCH)).encode():
    digest.update(block)
    yield block


def encode_corpus(numbered: dict[str, NumberedText],
                  kind: type[Vocabulary] = Vocabulary,
                  choice: Choice = Choice()
                  ) -> tuple[dict[str, Text], Vocabulary]:
  """Turns numbered texts into word ids, in place.

  Args:
    numbered: a dict, split -> NumberedText, with "train" among the splits.
    kind: the class of the vocabulary.
    choice: how to choose the vocabulary.

  Returns:
    texts, vocabulary: as `read_corpus`.
  """
  vocabulary = build_vocabulary(numbered["train"], kind, choice)
  texts = {split: _encoded(split, text, vocabulary)
           for split, text in numbered.items()}
  warn_of_unlearned(texts, vocabulary,
                    "" if choice.given else f"; {_LEARNED}")
  return texts, vocabulary


def build_vocabulary(text: NumberedText,
                     kind: type[Vocabulary] = Vocabulary,
                     choice: Choice = Choice()) -> Vocabulary:
  """Returns a text's vocabulary, its ids ranked by (-count, word)."""
  counts = np.zeros(len(text.words), np.int64)
  for chunk in _chunks(text.indices):
    counts += np.bincount(chunk, minlength=len(counts))
  return choice.vocabulary(
      dict(zip(text.words, counts.tolist(), strict=True)), kind)


def _encoded(name: str, text: NumberedText, vocabulary: Vocabulary) -> Text:
  """Returns a text as ids, which replace its indices."""
  return Text(*_encode(name, text, vocabulary), text.fingerprint, text.stamp)


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


def unlearned(texts: Mapping[str, Text],
              vocabulary: Words) -> dict[str, float]:
  """Returns the shares of unknown words, if training has none to learn from.

  Returns:
    A dict, split -> share of `<unk>` in it, for valid and test; without the
    splits that have none.
  """
  def share(ids: np.ndarray | ShardIds) -> float:
    number = ids.num_unk if isinstance(ids, ShardIds) else sum(
        int(np.count_nonzero(chunk == unk)) for chunk in _chunks(ids))
    return number / len(ids)

  unk = vocabulary.ids[UNK]
  if share(texts["train"].ids):
    return {}
  shares = {split: share(text.ids) for split, text in texts.items()
            if split != "train"}
  return {split: number for split, number in shares.items() if number}


def warn_of_unlearned(texts: Mapping[str, Text], vocabulary: Words,
                      advice: str = "") -> None:
  """Logs a warning of one line if there is something `unlearned`.

  Args:
    advice: the end of the line.
  """
  if shares := unlearned(texts, vocabulary):
    _log.warning(
        "%s are unknown words, read as %s, which train lacks, so that training "
        "cannot learn it%s", " and ".join(
            f"{_percent(number)} of {split}"
            for split, number in shares.items()), UNK, advice)


def _percent(share: float) -> str:
  """Returns a share above 0 as text."""
  return "under 0.1%" if share < 0.0005 else f"{share:.1%}"


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
  """Generates views of a long array, to keep NumPy's temporary arrays small."""
  for start in range(0, len(array), _CHUNK):
    yield array[start:start + _CHUNK]


# One text


def read_ids(text: str | sources.Source, vocabulary: Vocabulary,
             name: str = "text", encoding: str | None = None) -> np.ndarray:
  """Reads a text with a given vocabulary: a 1-D int32 array of ids.

  A log line calls the text `name` and says how many words are unknown.

  Raises:
    DataError, SettingError: as in `read_text`.
  """
  return _encode(name, read_text(text, encoding), vocabulary)[0]


def read_text(text: str | sources.Source,
              encoding: str | None = None) -> NumberedText:
  """Splits a text into words.

  The line "a b" becomes the words a, b, <eos>. Memory grows with the number of
  different words; the indices are in a temporary file.

  Args:
    text, encoding: see `sources.find`.

  Raises:
    DataError: the text does not exist, is not a file, is empty, or is in
      another encoding.
  """
  source = sources.find(text, encoding)
  before = source.stamp()
  digest = sources.Digest()
  return _number(
      source, lines.end_last(source.blocks(digest)), digest, before)


def _number(source: sources.Source, blocks: Iterable[bytes],
            digest: sources.Digest, stamp: list | None) -> NumberedText:
  """Numbers the words of blocks of UTF-8, each of which ends after a blank."""
  # As bytes: str.split() would also split at the blanks of Unicode.
  distinct, indices = number_words(
      block.replace(b"\n", b" %b " % EOS.encode()).split() for block in blocks)
  if not distinct:
    raise DataError(f"{source.name}: the file is empty")
  return NumberedText(
      [word.decode() for word in distinct], indices,
      {"file": source.label, "bytes": digest.size,
       "sha256": digest.hexdigest(), "tokens": len(indices)}, stamp)


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
