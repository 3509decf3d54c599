"""Texts of people, such as reviews, as words or as characters.

    words        letters of any script, in lower case, and marks !?.:,()
    a-z words    the same, but letters other than a-z only separate words, as
                 in the archive of film reviews and its published results
    characters   all characters, in lower case; for Chinese, Japanese or Thai
                 without blanks between words

Text in ASCII gives the same words both ways.
"""

import re
import unicodedata
from collections.abc import Callable

MARKS = frozenset("!?.:,()")

_AZ_TOKEN = re.compile(r"[A-Za-z]+|[!?.:,()]")
_BREAK = "<br />"  # the markup of film reviews
# The marks of other scripts.
_SAME_MARKS = {
    "\uff01": "!", "\uff1f": "?", "\u061f": "?", "\u3002": ".", "\uff0e": ".",
    "\u0964": ".", "\u06d4": ".", "\uff1a": ":", "\uff0c": ",", "\u3001": ",",
    "\u060c": ",", "\uff08": "(", "\uff09": ")"}
# Within a word: the joiners of Persian and of Indic scripts.
_JOINERS = "\u200c\u200d"
# Dropped: they only change how a word looks (soft hyphen, direction, tatweel,
# variants of a glyph).
_INVISIBLE = re.compile(
    "[\u00ad\u0640\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069"
    "\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")


class _Separated(dict):
  """A table for `str.translate`: puts blanks around and in place of characters.

  Letters and the marks that combine with them stay. Marks become tokens.
  """

  def __missing__(self, code: int) -> str:
    character = chr(code)
    mark = _SAME_MARKS.get(character, character)
    if mark in MARKS:
      value = f" {mark} "
    elif (unicodedata.category(character)[0] in "LM"
          or character in _JOINERS):
      value = character
    else:
      value = " "
    self[code] = value
    return value


_SEPARATED = _Separated()


def words(text: str) -> list[str]:
  """Splits a text into words of letters, and single marks of !?.:,().

  A letter may be of any script, with the marks that combine with it, composed
  (NFC) and in lower case. Full stops and other marks of other scripts become
  those of ASCII. Other characters, such as digits and apostrophes, and
  `<br />`, only separate words.
  """
  text = text.replace(_BREAK, " ").lower()
  if not text.isascii():
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
  tokens = text.translate(_SEPARATED).split()
  if text.isascii():
    return tokens
  # A mark that combines with no letter is no word.
  return [token for token in map(_begin_with_letter, tokens) if token]


def _begin_with_letter(token: str) -> str:
  """Removes joiners, and marks that combine with no letter, from the ends."""
  token = token.strip(_JOINERS)
  while token and unicodedata.category(token[0])[0] in "MC":
    token = token[1:]
  return token


def az_words(text: str) -> list[str]:
  """Splits a text into words of a-z, and single marks of !?.:,().

  Other characters, and `<br />`, only separate words.
  """
  tokens = _AZ_TOKEN.findall(text.replace(_BREAK, " "))
  # Not lowered before: some letters of other scripts are a-z in lower case.
  return " ".join(tokens).lower().split()


def characters(text: str) -> list[str]:
  """Splits a text into composed (NFC) characters in lower case.

  Blanks of any kind and number, and `<br />`, become one space.
  """
  text = unicodedata.normalize("NFC", text.replace(_BREAK, " ").lower())
  return list(" ".join(text.split()))


# The function for the values of "tokens" and "letters" in config.json.
TOKENIZERS: dict[tuple[str, str], Callable[[str], list[str]]] = {
    ("words", "any"): words, ("words", "a-z"): az_words,
    ("characters", "any"): characters}
