"""Training data of skip-gram: pairs of a word and one in its context.

A text is a series of passages, lists of words: the articles of a dump, the
reviews of an archive, or the lines of plain text. A context never reaches into
another passage. NumPy only.
"""

import array
import collections
import functools
import hashlib
import io
import os
from collections.abc import Iterator, Sequence

import numpy as np

import configs
from rnn import archives, files
from rnn.errors import DataError, SettingError
from rnn.text import sources
from rnn.text.vocabulary import Words, ranked, split_blanks
from tasks import imdb, ragged, tokens, wikipedia

_NOISE_POWER = 0.75  # on the counts, as in word2vec
_MAX_COUNTED = 5_000_000  # different words that are counted at a time
_MAX_WORD = 250  # characters; longer words are not learned
_MAX_LINE = 1 << 20  # characters; a longer line is read as several


def passages(path: str, encoding: str | None = None) -> Iterator[list[str]]:
  """Generates the passages of a text.

  Args:
    path: dumps of Wikipedia, archives of reviews or the folder of one, or plain
      text; see `sources.find`.
    encoding: of plain text, see `sources.find`.

  Raises:
    DataError: a file does not exist, is damaged, exceeds a limit of its kind,
      or is text in another encoding.
    SettingError: there is no such encoding, or it has no effect.
  """
  if any(os.path.isdir(os.path.join(path, name))
         for name in ("aclImdb", "train")):
    readers = [functools.partial(_reviews, path)]
  else:
    source = sources.find(path, encoding)
    source.check_are_files()  # a pipe could not be read twice
    readers = [_reader(file) for file in source.each()]
  if encoding is not None and all(read.func is not _lines for read in readers):
    raise SettingError("encoding", "has no effect on dumps and archives; leave "
                       "it out", encoding)
  for read in readers:
    yield from read()


def _reader(source: sources.Source) -> functools.partial[Iterator[list[str]]]:
  """Returns the function that generates the passages of a file."""
  path = source.name
  if len(files.zip_members(path) or ()) > 1:
    return functools.partial(_lines, source)
  with files.open_binary(path) as file:
    start = file.read(1000)
  if archives.is_archive(io.BytesIO(start)):
    return functools.partial(_reviews, path)
  if start.removeprefix(files.BOM).lstrip().startswith(
      (b"<mediawiki", b"<?xml")):
    return functools.partial(wikipedia.pages, path)
  return functools.partial(_lines, source)


def _reviews(path: str) -> Iterator[list[str]]:
  """Generates the words of each training review, with a label or without.

  The test reviews are left out, so that a model that starts with the vectors
  can be tested on them.
  """
  tokenize = tokens.az_words if imdb.is_original(path) else tokens.words
  return (tokenize(text)
          for split, _, text in imdb.reviews(path, unsup=True)
          if split == "train")


def _lines(source: sources.Source) -> Iterator[list[str]]:
  """Generates the words of each line; a very long line comes in parts.

  Words are split as in `reader`; a line also ends at a carriage return. A word
  that is too long to be learned may be cut.
  """
  rest = ""
  with source.open_text() as file:
    while part := file.readline(_MAX_LINE):
      words, rest = split_blanks(rest + part), ""
      if len(part) == _MAX_LINE and split_blanks(part[-1]):
        # The word may continue in the next part.
        rest = words.pop()[:_MAX_WORD + 1]
      yield words
  if rest:
    yield [rest]


class Corpus:
  """The frequent words of a text, as ids on the disk.

  Other words are dropped before contexts are formed, and so are words of more
  than 250 characters.

  Attributes:
    words: the vocabulary, a `Words`, the most frequent first.
    counts: int64 [V], how often each occurs.
    ids: 1-D int32, the words of all passages, one after the other.
    ends: where the passages end in `ids`.
    digest: the SHA-256 of the ids.
  """

  def __init__(self, path: str, vocab_size: int, min_count: int,
               encoding: str | None = None) -> None:
    """Reads the text twice, as a stream: first to count, then for the ids.

    Args:
      path, encoding: see `passages`.
      vocab_size: the most words to learn.
      min_count: words that occur less often are dropped.

    Raises:
      DataError: as in `passages`; too few words are left; or the temporary
        files cannot be written.
    """
    counts = _count_words(path, encoding)
    frequent = ranked({word: count for word, count in counts.items()
                       if count >= min_count})[:vocab_size]
    if len(frequent) < 2:
      raise DataError(f"{path}: only {len(frequent)} words occur at least "
                      f"{min_count} times; lower min_count, or use a longer "
                      "text")
    self.words = Words(tuple(frequent))
    self.counts = np.array([counts[word] for word in frequent])
    id_of_word = self.words.ids
    ends, digest = array.array("q"), hashlib.sha256()
    with files.temporary_file() as file:
      for words in passages(path, encoding):
        ids = np.array([id_of_word[word] for word in words
                        if word in id_of_word], "<i4")
        digest.update(ids.data)
        file.write(ids.data)
        ends.append(len(ids) + (ends[-1] if ends else 0))
      file.flush()
      self.ids = files.memory_map(file)
    self.ends, self.digest = np.array(ends), digest.hexdigest()
    if np.diff(self.ends, prepend=0).max() < 2:
      raise DataError(f"{path}: no line has two of the words to learn; raise "
                      "vocab_size, or use another text")


def _count_words(path: str, encoding: str | None) -> collections.Counter:
  """Counts the words of a text in bounded memory.

  Words of more than 250 characters are not counted. Whenever there are too many
  different words, the rarest are forgotten, with a bar that rises each time, as
  in word2vec.
  """
  counts: collections.Counter = collections.Counter()
  bar = 1
  for words in passages(path, encoding):
    counts.update(word for word in words if len(word) <= _MAX_WORD)
    while len(counts) > _MAX_COUNTED:
      counts = collections.Counter(
          {word: count for word, count in counts.items() if count > bar})
      bar += 1
  return counts


class Batches:
  """The pairs of each step: words, and words in their contexts.

  A step processes a block of batch_size consecutive words, or one fewer. Each
  word draws a width from 1 to max_context, and is paired with all words within
  that distance, before and after it. They must be in the same passage, and in a
  block that contains one of the max_context words before or after the block.

  Attributes:
    size: steps per epoch. An epoch processes each block once, in random order.
    inputs: the dtype and shape of each array of a batch.
  """

  # words [N], contexts [N], noise [S]
  inputs: Sequence[tuple[str, list]] = (
      ("int32", [None]), ("int32", [None]), ("int64", [None]))

  def __init__(self, corpus: Corpus, config: configs.Word2Vec,
               max_context: int, subsample: float, seed: int) -> None:
    """Prepares the steps.

    Args:
      subsample: t. A word whose share of the text is f stays with probability
        sqrt(t / f) + t / f, as in word2vec; the others are dropped before
        contexts are formed. With 0, all words stay.
      seed: determines all random numbers.

    Raises:
      SettingError: `subsample` drops nearly all words.
    """
    self._corpus, self._seed = corpus, seed
    self._max_context, self._num_noise = max_context, config.num_noise
    self._block_size = config.batch_size
    self.size = -(-len(corpus.ids) // config.batch_size)
    share = corpus.counts / corpus.counts.sum()
    self._stay = np.ones(len(share))
    if subsample:
      self._stay = np.sqrt(subsample / share) + subsample / share
      left = corpus.counts @ np.minimum(self._stay, 1)
      if left < 2:
        raise SettingError("subsample", f"leaves {left:.2g} words of the "
                           "text; raise it, or give more text", subsample)
    self._cumulative_noise = np.cumsum(noise_distribution(corpus.counts))
    self._order = ragged.EpochOrder(
        self.size, lambda epoch: np.random.default_rng(
            [seed, 2, epoch]).permutation(self.size))

  def __call__(self, step: int) -> Sequence[np.ndarray]:
    """Returns the arrays of a step; they follow from it and the seed only."""
    epoch, block = self._order(step)
    rng = np.random.default_rng([self._seed, 1, step])
    noise = np.searchsorted(
        self._cumulative_noise,
        rng.random(self._num_noise) * self._cumulative_noise[-1], "right")
    return (*self.pairs(epoch, block), noise)

  def pairs(self, epoch: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs of a block: words [N], contexts [N]."""
    # Each block has its own seed: every reader of a block sees the same draw.
    reach = -(-self._max_context // max(self._block_size - 1, 1))
    blocks = range(max(block - reach, 0), min(block + reach + 1, self.size))
    drawn = [self._draw(epoch, b) for b in blocks]
    in_block = np.repeat([b == block for b in blocks],
                         [len(indices) for indices, _ in drawn])
    indices, widths = (np.concatenate(parts)
                       for parts in zip(*drawn, strict=True))
    ids = self._corpus.ids[indices]
    passage = np.searchsorted(self._corpus.ends, indices, "right")
    words, contexts = [ids[:0]], [ids[:0]]
    for distance in range(1, min(self._max_context + 1, len(indices))):
      # All words but the last `distance`, and the words `distance` further on.
      first, second = slice(None, -distance), slice(distance, None)
      same_passage = passage[first] == passage[second]
      for word, context in (first, second), (second, first):
        chosen = same_passage & in_block[word] & (widths[word] >= distance)
        words.append(ids[word][chosen])
        contexts.append(ids[context][chosen])
    return np.concatenate(words), np.concatenate(contexts)

  def _draw(self, epoch: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of a block's words that stay, and their widths."""
    total = len(self._corpus.ids)
    indices = np.arange(total * block // self.size,
                        total * (block + 1) // self.size)
    rng = np.random.default_rng([self._seed, 3, epoch, block])
    stays = rng.random(len(indices)) < self._stay[self._corpus.ids[indices]]
    widths = rng.integers(1, self._max_context + 1, len(indices))
    return indices[stays], widths[stays]


def noise_distribution(counts: np.ndarray) -> np.ndarray:
  """Returns the probabilities [V] with which noise words are drawn."""
  weights = counts.astype(float) ** _NOISE_POWER
  return weights / weights.sum()
