"""Prepares ordinary English as the corpus of a vocabulary was prepared.

The vocabulary shows how: whether it has capitals, marks and numbers.
"""

import difflib
import logging
import unicodedata
from collections.abc import Iterable

from rnn.text.sentences import NUMBER, Style, split_token
from rnn.text.vocabulary import UNK, Characters, Vocabulary, Words

_MARKS = (",", ".", "?", "!", ";", ":")
# Below this share, words with capitals are oddities of the corpus.
_MIN_CAPITALS = 0.01
_MAX_NAMED = 10  # words in a warning

_log = logging.getLogger(__name__)


def style_of(vocabulary: Words) -> Style:
  """Returns how the corpus of a vocabulary was prepared, as its words show.

  Case was kept if at least 1 % of the words have capitals (`N` does not count);
  punctuation, if one of , . ? ! ; : is a word; numbers, if there is no word
  `N`, or if a word has digits only.
  """
  capitals = sum(word not in (NUMBER, word.lower()) for word in vocabulary)
  return Style(
      keep_case=capitals >= max(_MIN_CAPITALS * len(vocabulary), 1),
      keep_punctuation=any(mark in vocabulary for mark in _MARKS),
      keep_numbers=(NUMBER not in vocabulary
                    or any(map(str.isdecimal, vocabulary))))


class Preparation:
  """Splits texts into the words, or characters, of a vocabulary.

  Attributes:
    vocabulary: the vocabulary.
    normalize: whether texts are ordinary English. They are then prepared as
      `style_of` says. A word that the vocabulary has stays as it is, so a text
      that is prepared already does not change.
  """

  def __init__(self, vocabulary: Vocabulary, normalize: bool = False) -> None:
    self.vocabulary, self.normalize = vocabulary, normalize
    self._style = style_of(vocabulary)

  def split(self, text: str) -> list[str]:
    """Returns the words of a text; a newline is `<eos>`."""
    if not self.normalize:
      return self.vocabulary.split(text)
    if isinstance(self.vocabulary, Characters):
      return [part for c in self.vocabulary.split(
          unicodedata.normalize("NFC", text)) for part in self._characters(c)]
    return [word for token in self.vocabulary.split(text)
            for word in self._words(token)]

  def _words(self, token: str) -> list[str]:
    """Returns the words of a piece of text between blanks."""
    if token in self.vocabulary:
      return [token]
    return split_token(token, self._style)

  def _characters(self, character: str) -> list[str]:
    """Returns a character as the vocabulary has it.

    It may have it with its marks apart, or in lower case only.
    """
    for form in character, character.lower():
      for parts in [form], list(unicodedata.normalize("NFD", form)):
        if all(part in self.vocabulary for part in parts):
          return parts
    return [character]

  def nearest_form(self, word: str) -> str | None:
    """Returns the form in which the vocabulary has a word that it lacks.

    It is what normalizing makes of the word, or else the word in other case.

    Returns:
      The form, such as "company" for "Company", "N" for "1,000" or "do n't" for
      "don't"; None if there is none, or if normalizing drops the word.
    """
    if not isinstance(self.vocabulary, Characters):
      words = self._words(word)
      if words and all(part in self.vocabulary for part in words):
        return " ".join(words)
    return next((form for form in (
        word.lower(), word.capitalize(), word.upper())
        if form in self.vocabulary), None)

  def warn(self, words: Iterable[str]) -> None:
    """Warns of words that the vocabulary lacks; no warning without any."""
    unknown = [word for word in words if word not in self.vocabulary]
    if unknown:
      can_help = not self.normalize and any(map(self.nearest_form, unknown))
      _log.warning("not in the vocabulary, read as %s: %s%s", UNK,
                   self.describe(unknown), (
                       "; normalize prepares ordinary English" * can_help))

  def describe(self, unknown: Iterable[str]) -> str:
    """Lists unknown words: "Oil (the vocabulary has oil), xyz"."""
    words = list(dict.fromkeys(unknown))
    listed = []
    for word in words[:_MAX_NAMED]:
      form = self.nearest_form(word)
      listed.append(f"{word} (the vocabulary has {form})" if form else word)
    if len(words) > _MAX_NAMED:
      listed.append(f"and {len(words) - _MAX_NAMED:,} more")
    # Bytes of a terminal that are no UTF-8 cannot be printed.
    return ", ".join(listed).encode(errors="backslashreplace").decode()


def near_in_spelling(word: str, words: Iterable[str],
                     number: int = 5) -> list[str]:
  """Returns the words with the most similar spelling, the nearest first.

  Those that are the same in lower case come first.
  """
  # Comparing takes long, so it is limited to words of a similar length.
  most = len(word) // 3 + 1
  similar = [other for other in words if abs(len(other) - len(word)) <= most]
  same = [other for other in similar if other.lower() == word.lower()]
  near = difflib.get_close_matches(word, similar, number)
  return list(dict.fromkeys([*same, *near]))[:number]
