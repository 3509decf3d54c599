"""Word vectors as files, and analogies to judge them by.

    vectors.npy and vectors.words.txt    the array, and its words, one a line
    vectors.txt                          word2vec's text format: "N D", and then
                                         a line of each word with its numbers

Other programs read the latter, such as gensim's
KeyedVectors.load_word2vec_format.
"""

import functools
import hashlib
import logging
import os
import zipfile

import numpy as np

import checkpoints
import compressed
import reader

_WORDS = ".words.txt"
_ROWS = 200  # questions that are answered at a time

_log = logging.getLogger(__name__)


def save(prefix, words, vectors):
  """Writes `prefix`.npy, .words.txt and .txt; each is complete, or not there.

  Args:
    words: N str without blanks.
    vectors: [N, D].
  """
  with checkpoints.complete(prefix + _WORDS) as partial:
    reader.Words(words).save(partial)
  with checkpoints.complete(f"{prefix}.npy") as partial:
    with open(partial, "wb") as file:
      np.save(file, np.asarray(vectors, np.float32))
  with checkpoints.complete(f"{prefix}.txt") as partial:
    with open(partial, "w", encoding="utf-8") as file:
      file.write("{} {}\n".format(*vectors.shape))
      for word, vector in zip(words, vectors, strict=True):
        file.write(f"{word} {' '.join(f'{x:.6g}' for x in vector)}\n")


def load(path, wanted=None):
  """Reads what `save` wrote: the .npy, or the .txt, which may be compressed.

  Args:
    wanted: a container of words; others are left out, and take no memory.

  Returns:
    words, vectors: a list of N str, and a float32 array [N, D].

  Raises:
    reader.DataError: it is missing, or not as it should be.
  """
  with np.errstate(over="ignore"):  # it is told below
    words, vectors = (_load_array if path.endswith(".npy") else _load_text)(
        path, wanted)
  if not np.isfinite(vectors).all():
    raise reader.DataError(f"{path}: holds a number that is not finite")
  return words, vectors


def _load_array(path, wanted):
  try:
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    reason = getattr(error, "strerror", None) or "is no array of NumPy"
    raise reader.DataError(f"{path}: {reason}") from None
  if not isinstance(vectors, np.ndarray):
    raise reader.DataError(f"{path}: is an archive of arrays, not one array")
  words = reader.Words.load(path.removesuffix(".npy") + _WORDS).words
  if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(
      words) != len(vectors) or not vectors.size:
    raise reader.DataError(
        f"{path}: is no table of a vector for each of {len(words)} words, but "
        f"{vectors.dtype} {list(vectors.shape)}")
  rows = [i for i, word in enumerate(words) if wanted is None or word in wanted]
  return [words[i] for i in rows], np.array(vectors[rows], np.float32)


def _load_text(path, wanted):
  found = {}
  with compressed.open_text(path) as file:
    header = next(file, "").split()
    if len(header) != 2 or not all(map(str.isdecimal, header)):
      raise reader.DataError(
          f"{path}: line 1 is not the number of words and of dimensions, as in "
          "word2vec's text format")
    size, width = map(int, header)
    if not size or not width:
      raise reader.DataError(f"{path}: line 1 says that there are {size} "
                             f"words of {width} numbers")
    number = 1
    for number, line in enumerate(file, 2):
      word, *numbers = line.rstrip().split(" ")
      if len(numbers) != width:
        raise reader.DataError(f"{path}: line {number} has {len(numbers)} "
                               f"numbers, not {width}")
      if word in found:
        raise reader.DataError(
            f"{path}: line {number} has the word {word} once more")
      if wanted is None or word in wanted:
        try:
          found[word] = np.array(numbers, np.float32)
        except ValueError:
          raise reader.DataError(
              f"{path}: line {number} has what is no number") from None
  if number - 1 != size:
    raise reader.DataError(
        f"{path}: has {number - 1} words, and says that it has {size}")
  return list(found), np.array(list(found.values()), np.float32).reshape(
      -1, width)


def initial(path, words, width, scale, seed):
  """The values of an embedding that starts with word vectors.

  Words without one start uniform in +-scale. A log line says how many.

  Args:
    words: V str, in the order of the embedding.
    width: of the embedding.

  Returns:
    values, identity: [V, width], and what tells them from others, a dict.

  Raises:
    reader.DataError: as `load`; or the vectors are of another width.
  """
  places = {word: i for i, word in enumerate(words)}
  found, vectors = load(path, places)
  if vectors.shape[1] != width:
    raise reader.DataError(
        f"{path}: has vectors of {vectors.shape[1]} numbers, but the embedding "
        f"has {width}; give --config_override=embedding_size="
        f"{vectors.shape[1]}")
  values = np.random.default_rng([seed, 2]).uniform(
      -scale, scale, [len(words), width]).astype(np.float32)
  values[[places[word] for word in found]] = vectors
  _log.info("%s: has vectors of %s of the %s words; the others start at random",
            path, f"{len(found):,}", f"{len(words):,}")
  digest = hashlib.sha256(values)
  return values, {"file": os.path.basename(path), "words": len(found),
                  "sha256": digest.hexdigest()}


def read_questions(path):
  """Reads analogies as of word2vec's questions-words.txt.

  Returns:
    A dict, section -> list of four words.

  Raises:
    reader.DataError: there is no such file, or it holds something else.
  """
  sections, questions = {}, None
  with compressed.open_text(path) as file:
    for number, line in enumerate(file, 1):
      words = line.split()
      if words[:1] == [":"] and len(words) > 1:
        questions = sections.setdefault(" ".join(words[1:]), [])
      elif len(words) == 4 and questions is not None:
        questions.append(words)
      elif words:
        raise reader.DataError(f"{path}: line {number} is neither four words "
                               "nor a section, as in : family")
  if not any(sections.values()):
    raise reader.DataError(f"{path}: has no questions")
  return sections


def answer_analogies(words, vectors, sections):
  """Answers "a is to b as c is to ...": the word nearest to b - a + c.

  As word2vec does (Mikolov et al. 2013, arXiv 1301.3781): vectors of length 1,
  by cosine, without a, b and c themselves. Words are looked for as they are
  written, and then in lower case; questions with an unknown word are left out.

  Args:
    sections: as `read_questions` returns them.

  Returns:
    A dict, section -> (right, answered, asked).
  """
  ids = {word: i for i, word in enumerate(words)}
  find = functools.cache(lambda word: ids.get(word, ids.get(word.lower())))
  unit = vectors / np.maximum(
      np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
  results = {}
  for section, questions in sections.items():
    asked = [[find(word) for word in question] for question in questions]
    known = np.array([question for question in asked if None not in question],
                     int).reshape(-1, 4)
    right = 0
    for rows in np.split(known, range(_ROWS, len(known), _ROWS)):
      a, b, c, answer = rows.T
      scores = (unit[b] - unit[a] + unit[c]) @ unit.T
      np.put_along_axis(scores, rows[:, :3], -np.inf, axis=1)
      right += int((scores.argmax(axis=1) == answer).sum())
    results[section] = right, len(known), len(questions)
  return results
