"""The pairs of skip-gram: words, and words in their contexts. NumPy only.

A text is read as passages, lists of words: the articles of a dump, the reviews
of an archive, the lines of plain text. Contexts stay within a passage.
"""

import array
import codecs
import collections
import hashlib
import os
import tarfile

import numpy as np

import compressed
import reader
from tasks import imdb, wikipedia

_NOISE_POWER = 0.75  # of the counts, as in word2vec
_MOST_WORDS = 5_000_000  # that are counted at a time
_LONGEST_LINE = 1 << 20  # characters; a longer line is read as several


def passages(path):
  """Generates the passages of a text, lists of words; contexts stay in one.

  Raises:
    reader.DataError: there is no such file, or it is garbled.
  """
  reader.check_is_file(path)  # it is read more than once
  with compressed.open_binary(path) as file:
    start = file.read(1000).removeprefix(codecs.BOM_UTF8).lstrip()
  if os.path.isfile(path) and tarfile.is_tarfile(path):
    return (imdb.tokenize(text) for *_, text in imdb.reviews(path, unsup=True))
  if start.startswith((b"<mediawiki", b"<?xml")):
    return wikipedia.pages(path)
  return _lines(path)


def _lines(path):
  rest = ""
  with compressed.open_text(path) as file:
    while part := file.readline(_LONGEST_LINE):
      words, rest = (rest + part).split(), ""
      if len(part) == _LONGEST_LINE and not part[-1].isspace():
        rest = words.pop()  # it may go on
      yield words
  if rest:
    yield [rest]


class Corpus:
  """The frequent words of a text, as ids on the disk.

  Attributes:
    words: a reader.Words, the most frequent first.
    counts: [V], int64.
    ids: 1-D int32; other words are left out before contexts are formed.
    ends: of the passages, within `ids`.
    digest: of the ids.
  """

  def __init__(self, path, vocab_size, min_count):
    """Reads the text twice, as a stream: to count words, and for their ids.

    Raises:
      reader.DataError: as `passages`; or too few words are left.
    """
    counter, least = collections.Counter(), 1
    for words in passages(path):
      counter.update(words)
      while len(counter) > _MOST_WORDS:  # as word2vec does
        counter = collections.Counter(
            {word: n for word, n in counter.items() if n > least})
        least += 1
    kept = sorted((-n, word) for word, n in counter.items() if n >= min_count)
    kept = kept[:vocab_size]
    if len(kept) < 2:
      raise reader.DataError(f"{path}: has {len(kept)} words that occur "
                             f"{min_count} times; lower --min_count, or use a "
                             "longer text")
    self.words = reader.Words([word for _, word in kept])
    self.counts = np.array([-n for n, _ in kept])
    known = self.words.ids
    ends, digest = array.array("q"), hashlib.sha256()
    with reader.temporary_file() as file:
      for words in passages(path):
        ids = np.array([known[word] for word in words if word in known], "<i4")
        digest.update(ids)
        file.write(ids)
        ends.append(len(ids) + (ends[-1] if ends else 0))
      file.flush()
      self.ids = reader.mapped(file)
    self.ends, self.digest = np.array(ends), digest.hexdigest()
    if np.diff(self.ends, prepend=0).max() < 2:
      raise reader.DataError(f"{path}: no line has two of the words to learn; "
                             "raise --vocab_size, or use another text")


class Batches:
  """The pairs of a step: words, and words in their contexts.

  A step goes through a block of batch_size consecutive words, or one fewer.
  Each is paired with those at most so many places away as is drawn for it, from
  1 to max_context, within its passage and the blocks that max_context words
  before and after its own are in.

  Attributes:
    size: of an epoch, in which each block has its turn once, in random order.
    inputs: the dtype and shape of each array of a batch.
  """

  # words [N], contexts [N], noise [S]
  inputs = (("int32", [None]), ("int32", [None]), ("int64", [None]))

  def __init__(self, corpus, config, max_context, subsample, seed):
    """Of a Corpus.

    Args:
      subsample: t; of a word that is the share f of the text, as many are kept
        as sqrt(t / f) + t / f says, before contexts are formed. 0 keeps all.
    """
    self._corpus, self._seed = corpus, seed
    self._max_context, self._num_noise = max_context, config.num_noise
    self._block_size = config.batch_size
    self.size = -(-len(corpus.ids) // config.batch_size)
    share = corpus.counts / corpus.counts.sum()
    self._keep = np.ones(len(share))
    if subsample:
      self._keep = np.sqrt(subsample / share) + subsample / share
    self._noise = np.cumsum(noise_distribution(corpus.counts))
    self._order = None, None  # of an epoch: its number, its blocks

  def __call__(self, step):
    """The arrays of a step: a function of it and the seed alone."""
    epoch, place = divmod(step, self.size)
    if self._order[0] != epoch:
      self._order = epoch, np.random.default_rng(
          [self._seed, 2, epoch]).permutation(self.size)
    rng = np.random.default_rng([self._seed, 1, step])
    noise = np.searchsorted(
        self._noise, rng.random(self._num_noise) * self._noise[-1], "right")
    return (*self.pairs(epoch, self._order[1][place]), noise)

  def pairs(self, epoch, block):
    """The words and contexts of a block, two arrays [N]."""
    reach = -(-self._max_context // max(self._block_size - 1, 1))
    blocks = range(max(block - reach, 0), min(block + reach + 1, self.size))
    places, widths = zip(*(self._drawn(epoch, b) for b in blocks), strict=True)
    centers = np.repeat(
        [b == block for b in blocks], list(map(len, places)))
    places, widths = np.concatenate(places), np.concatenate(widths)
    ids = self._corpus.ids[places]
    passage = np.searchsorted(self._corpus.ends, places, "right")
    found = [(ids[:0], ids[:0])]
    for away in range(1, min(self._max_context + 1, len(places))):
      near = passage[away:] == passage[:-away]
      for word, context in ((slice(None, -away), slice(away, None)),
                            (slice(away, None), slice(None, -away))):
        chosen = near & centers[word] & (widths[word] >= away)
        found.append((ids[word][chosen], ids[context][chosen]))
    return tuple(map(np.concatenate, zip(*found, strict=True)))

  def _drawn(self, epoch, block):
    """The places of a block's words that are kept, and the widths drawn."""
    places = np.arange(*(len(self._corpus.ids) * end // self.size
                         for end in (block, block + 1)))
    rng = np.random.default_rng([self._seed, 3, epoch, block])
    kept = rng.random(len(places)) < self._keep[self._corpus.ids[places]]
    widths = rng.integers(1, self._max_context + 1, len(places))
    return places[kept], widths[kept]


def noise_distribution(counts):
  """[V], the probabilities that noise is drawn with."""
  weights = counts.astype(float) ** _NOISE_POWER
  return weights / weights.sum()
