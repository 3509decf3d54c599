"""Word vectors: to start an embedding with, neighbors, and analogies.

`vector_files` reads and writes the files.
"""

import functools
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text import vector_files
from rnn.text.vocabulary import split_blanks

_ROWS = 200  # questions that are answered at a time
_MAX_QUESTION, _MAX_QUESTIONS = 10_000, 10 ** 6  # characters, lines

_log = logging.getLogger(__name__)


def initial(path: str, words: Sequence[str], width: int, scale: float,
            seed: int, ignore_case: bool = False) -> tuple[np.ndarray, dict]:
  """Returns the initial values of an embedding that starts with word vectors.

  Words without a vector start uniform in +-scale. A log line says how many have
  one, also by another case.

  Args:
    path: a file that `vector_files.load` reads.
    words: V str, in the order of the embedding.
    width: E, the width of the embedding.
    ignore_case: whether a word without a vector of its own takes the first one
      of a word that is the same in lower case.

  Returns:
    values, fingerprint: float32 [V, E], and a dict that identifies them.

  Raises:
    DataError: as in `vector_files.load`; or the vectors have another width, or
      none of the words has one.
  """
  if (there := vector_files.width(path)) != width:
    raise DataError(
        f"{path}: has vectors of {there} numbers, but the embedding has "
        f"{width}; leave out embedding_size, or set embedding_size={there}")
  own, by_case = _match(path, words, ignore_case)
  vectors = own | by_case if ignore_case else own
  found = (f"{path}: has vectors of {len(vectors):,} of the {len(words):,} "
           f"words{_case_note(len(by_case), ignore_case)}")
  if not vectors:
    raise DataError(f"{found}; choose a file for this language, or leave it "
                    "out")
  _log.info("%s; the others start at random", found)
  values = np.random.default_rng([seed, 2]).uniform(
      -scale, scale, [len(words), width]).astype(np.float32)
  for i, vector in vectors.items():
    values[i] = vector
  return values, {"file": os.path.basename(path), "words": len(vectors),
                  "sha256": hashlib.sha256(values.data).hexdigest()}


def _match(path: str, words: Sequence[str], ignore_case: bool
           ) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
  """Returns the vectors of words by id, and the further ones by lower case."""
  ids = {word: i for i, word in enumerate(words)}
  forms = {word.lower() for word in words}
  own: dict[int, np.ndarray] = {}
  by_form: dict[str, np.ndarray] = {}
  nothing = np.zeros(0, np.float32)
  for word, vector in vector_files.records(
      path, lambda word: word in ids or word.lower() in forms):
    if word in ids:
      own[ids[word]] = vector
    # Files have the most frequent words first.
    by_form.setdefault(word.lower(), vector if ignore_case else nothing)
  return own, {i: by_form[word.lower()] for i, word in enumerate(words)
               if i not in own and word.lower() in by_form}


def _case_note(number: int, ignore_case: bool) -> str:
  """Returns what the log says about matches by lower case."""
  if ignore_case:
    return f" ({number:,} by lower case)"
  return f" ({number:,} more with --lowercase_vectors)" if number else ""


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
