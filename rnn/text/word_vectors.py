"""Word vectors as files, and analogies to judge them by.

    vectors.npy and vectors.words.txt    the array, and its words, one per line
    vectors.txt                          word2vec's text format: "N D", and then
                                         each word and its numbers on a line

Other programs read word2vec's format, for instance gensim with
KeyedVectors.load_word2vec_format.
"""

import functools
import hashlib
import logging
import os
import warnings
from collections.abc import Container, Mapping, Sequence

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text.vocabulary import Words, split_blanks

_WORDS = ".words.txt"
_ROWS = 200  # questions that are answered at a time
# Limits on what a compressed file can unpack to, in characters and lines.
_MAX_LINE = 10 ** 7  # of a file of vectors
_MAX_QUESTION, _MAX_QUESTIONS = 10_000, 10 ** 6

_log = logging.getLogger(__name__)


def save(prefix: str, words: Sequence[str], vectors: np.ndarray) -> None:
  """Writes `prefix`.npy, .words.txt and .txt, each atomically.

  Args:
    words: N str without blanks.
    vectors: [N, D].
  """
  with files.atomic_write(prefix + _WORDS) as partial:
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
  """Reads a file that `save` wrote: the .npy or the .txt.

  The .txt may be compressed, and may come from other programs. Its lines may
  have up to 10,000,000 characters.

  Args:
    wanted: the words to keep; others are dropped and take no memory. None
      keeps all.

  Returns:
    words, vectors: N str, and float32 [N, D].

  Raises:
    DataError: a file does not exist, has another format, or has a number that
      is not finite.
  """
  load_file = _load_array if path.endswith(".npy") else _load_text
  with np.errstate(over="ignore"):  # infinity is reported below
    words, vectors = load_file(path, wanted)
  if not np.isfinite(vectors).all():
    raise DataError(f"{path}: has a number that is not finite; train or export "
                    "the vectors again")
  return words, vectors


def _load_array(path: str, wanted: Container[str] | None
                ) -> tuple[list[str], np.ndarray]:
  files.check_is_file(path)
  with files.path_errors(path), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # also about the header
    try:
      vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
      raise
    except Exception:  # the header is Python source, so damage raises anything
      raise DataError(f"{path}: not an array of NumPy, or truncated; save it "
                      "with numpy.save") from None
  if not isinstance(vectors, np.ndarray):
    raise DataError(f"{path}: an archive of arrays, not one array; save it "
                    "with numpy.save")
  words_path = path.removesuffix(".npy") + _WORDS
  words = Words.load(words_path).words
  if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(
      words) != len(vectors) or not vectors.size:
    raise DataError(
        f"{path}: {vectors.dtype} {list(vectors.shape)} is not one vector of "
        f"floats for each of the {len(words)} words in {words_path}; save both "
        "again")
  rows = [i for i, word in enumerate(words) if wanted is None or word in wanted]
  return [words[i] for i in rows], np.array(vectors[rows], np.float32)


def _load_text(path: str, wanted: Container[str] | None
               ) -> tuple[list[str], np.ndarray]:
  vectors: dict[str, np.ndarray] = {}
  with files.open_text(path) as file:
    lines = files.limited_lines(file, path, _MAX_LINE)
    header = next(lines, "").split()
    if len(header) != 2 or not all(map(str.isdecimal, header)):
      raise DataError(
          f"{path}: line 1 is not the number of words and the size of the "
          "vectors; convert the file to word2vec's text format")
    size, width = map(int, header)
    if not size or not width:
      raise DataError(f"{path}: line 1 announces {size} words of {width} "
                      "numbers, but at least one of each is needed; export the "
                      "vectors again")
    number = 1
    for number, line in enumerate(lines, 2):
      word, *numbers = line.rstrip().split(" ")
      if len(numbers) != width:
        raise DataError(
            f"{path}: line {number} has {len(numbers)} numbers, not {width} as "
            "line 1 says; correct one of the two, or export the vectors again")
      if word in vectors:
        raise DataError(f"{path}: line {number} repeats the word {word}; "
                        "delete one of its lines")
      if wanted is None or word in wanted:
        try:
          vectors[word] = np.array(numbers, np.float32)
        except ValueError:
          raise DataError(f"{path}: line {number} has a field that is not a "
                          "number; correct it, or export the vectors again"
                          ) from None
  if number - 1 != size:
    raise DataError(f"{path}: has {number - 1} words, but line 1 announces "
                    f"{size}; if it is truncated, get it again, or else "
                    "correct line 1")
  return list(vectors), np.array(list(vectors.values()), np.float32).reshape(
      -1, width)


def initial(path: str, words: Sequence[str], width: int, scale: float,
            seed: int) -> tuple[np.ndarray, dict]:
  """Returns the initial values of an embedding that starts with word vectors.

  Words without a vector start uniform in +-scale. A log line says how many have
  one.

  Args:
    words: V str, in the order of the embedding.
    width: E, the width of the embedding.

  Returns:
    values, fingerprint: float32 [V, E], and a dict that identifies them.

  Raises:
    DataError: as in `load`; or the vectors have another width.
  """
  ids = {word: i for i, word in enumerate(words)}
  known, vectors = load(path, ids)
  if vectors.shape[1] != width:
    raise DataError(
        f"{path}: has vectors of {vectors.shape[1]} numbers, but the embedding "
        f"has {width}; set embedding_size="
        f"{vectors.shape[1]}")
  values = np.random.default_rng([seed, 2]).uniform(
      -scale, scale, [len(words), width]).astype(np.float32)
  values[[ids[word] for word in known]] = vectors
  _log.info("%s: has vectors of %s of the %s words; the others start at random",
            path, f"{len(known):,}", f"{len(words):,}")
  return values, {"file": os.path.basename(path), "words": len(known),
                  "sha256": hashlib.sha256(values.data).hexdigest()}


def nearest(embedding: np.ndarray, word: int,
            number: int) -> list[tuple[int, float]]:
  """Returns the nearest neighbors of a word, by the cosine of the angle.

  Args:
    embedding: [V, H].
    word: an id.
    number: the number of neighbors; fewer if the vocabulary has fewer words.

  Returns:
    A list of (id, cosine), the nearest first, without the word itself.
  """
  lengths = np.linalg.norm(embedding, axis=1)
  # An embedding of zeros has no direction; its cosine is 0, not NaN.
  cosines = embedding @ embedding[word] / np.maximum(
      lengths * lengths[word], np.finfo(np.float32).tiny)
  order = np.argsort(-cosines, kind="stable")
  return [(int(i), float(cosines[i])) for i in order[order != word][:number]]


def read_questions(path: str) -> dict[str, list[list[str]]]:
  """Reads analogies in the format of word2vec's questions-words.txt.

  Returns:
    A dict, section -> list of questions, of four words each.

  Raises:
    DataError: the file does not exist, has another format, no questions, more
      than 1,000,000 lines, or a line of more than 10,000 characters.
  """
  sections: dict[str, list[list[str]]] = {}
  questions: list[list[str]] | None = None
  with files.open_text(path) as file:
    for number, line in enumerate(
        files.limited_lines(file, path, _MAX_QUESTION), 1):
      words = split_blanks(line)
      if words[:1] == [":"] and len(words) > 1:
        questions = sections.setdefault(" ".join(words[1:]), [])
      elif len(words) == 4 and questions is not None:
        questions.append(words)
      elif words:
        raise DataError(f"{path}: line {number} is neither a section, such as "
                        "\": family\", nor four words within one; use a file "
                        "in the format of questions-words.txt")
      if number > _MAX_QUESTIONS:
        raise DataError(f"{path}: has more than {_MAX_QUESTIONS:,} lines; use "
                        "fewer questions")
  if not any(sections.values()):
    raise DataError(f"{path}: has no questions; use a file in the format of "
                    "questions-words.txt")
  return sections


def answer_analogies(
    words: Sequence[str], vectors: np.ndarray,
    sections: Mapping[str, Sequence[Sequence[str]]],
) -> dict[str, tuple[int, int, int]]:
  """Answers "a is to b as c is to ...": the word nearest to b - a + c.

  As word2vec does (Mikolov et al. 2013, arXiv 1301.3781): vectors are scaled to
  length 1, compared by cosine, and a, b and c are no answers. A word is looked
  up as written, and then in lower case. Questions with an unknown word are
  skipped.

  Args:
    vectors: [N, D].
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
    # In parts, because the scores of all questions might not fit in memory.
    for part in np.split(known, range(_ROWS, len(known), _ROWS)):
      a, b, c, answer = part.T
      scores = (unit[b] - unit[a] + unit[c]) @ unit.T  # (questions, N)
      np.put_along_axis(scores, part[:, :3], -np.inf, axis=1)
      right += int((scores.argmax(axis=1) == answer).sum())
    results[section] = right, len(known), len(questions)
  return results
