"""Splits a text into sentences, and sentences into words.

The rules are close to PTB's. data/README.md lists them.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence

NUMBER = "N"

_CLITICS = "'(?:s|re|ve|m|ll|d)"
# An atom is a number with its points and commas, letters with a dot after each
# (u.s.), or any other run of characters. A word is one or more atoms joined by
# - ' or &, perhaps with an apostrophe or a dot at its end.
_ATOM = (r"(?:\d+(?:[.,:/]\d+)+[^\s.,:/'&-]*|[Pp]h\.D\."
         r"|(?:[^\W\d_]\.){2,}|[^\s.,:/'&-]+)")
_WORD = re.compile(
    rf"{_ATOM}(?:[-'&]{_ATOM})*(?:(?<=s)')?\.?|{_CLITICS}(?!\w)|&")
_CLITIC = re.compile(rf"(.+?)(n't)?({_CLITICS})?({_CLITICS}|(?<=s)')?")
_DOTTED = re.compile(r"([^\W\d_]\.)+[^\W\d_]?")

# A sentence never ends after these: a name or a number follows.
_TITLES = frozenset(
    "adm approx brig ca capt cf cmdr col dr fig ft gen gov hon lt maj messrs "
    "mr mrs ms mt pres prof rep rev sen sgt st vol vs e.g i.e".split())
# A sentence ends after these if the next word is in _STARTERS.
_ABBREVIATIONS = frozenset(
    "apr ariz aug bros calif co colo conn corp cos dec dept est feb fla inc "
    "intl jan jr ltd minn natl nov oct ph.d sept sr tenn".split())
# The same holds for these. They are also plain words, so their dot is dropped.
_WORDS_OR_ABBREVIATIONS = frozenset("i no nos".split())
# A sentence ends after these before any capital: "300 B.C. Rome".
_END_BEFORE_CAPITAL = frozenset("a.d a.m b.c b.c.e c.e p.m".split())
# Words that mostly stand at the start of a sentence when capitalized.
_STARTERS = frozenset(
    "a after all although an and as at because before both but by despite "
    "during each following for from he her his however i if in it its many "
    "most of on our she since some such that the their there these they this "
    "then those to under until we when where while with you".split())

_ENDS = ".!?\u2026\u3002\uff01\uff1f\uff0e\u0964\u0965\u061f\u06d4"
_CLOSERS = ")]}\"'*_\u201d\u2019\u00bb\u203a\u300d\u300f\uff09"
_OPENERS = ("([{\"'*_\u201c\u2018\u00ab\u2039\u201e\u300c\u300e\uff08"
            "\u00bf\u00a1")
# Scripts without blanks between words have none between sentences either.
_UNSPACED_END = re.compile(
    r"([\u3002\uff01\uff1f]+[\u201d\u300d\u300f\uff09]*)")
_FIRST = re.compile(r"[^\W_]")

# A token is a piece of text between blanks. Its start score says how likely it
# is to start a sentence. Its end threshold is the lowest start score of the
# next token at which a sentence ends between the two.
_LOWER, _DIGIT, _UPPER, _STARTER = 1, 2, 3, 4
_END, _END_IF_UPPER, _END_IF_STARTER, _NO_END = _DIGIT, _UPPER, _STARTER, 9


class _Replacements(dict):
  """A table for str.translate. It computes the entry of a character once."""

  def __missing__(self, code: int) -> str:
    char = chr(code)
    category = unicodedata.category(char)
    replacement = " "
    if category[0] in "LMN" or char in ".,:/'&-":
      replacement = char
    elif category == "Sc" or char == "%":
      replacement = f" {char} "
    elif category == "Cf":  # soft hyphens, joiners, direction marks
      replacement = ""
    self[code] = replacement
    return replacement


_REPLACEMENTS = _Replacements({
    ord("\u2018"): "'", ord("\u2019"): "'", ord("\u200b"): " ",
    ord("\u2010"): "-", ord("\u2011"): "-", ord("\u2013"): "-"})


def split_sentences(paragraph: str) -> Iterator[list[str]]:
  """Generates the sentences of a paragraph. Each is a nonempty list of words.

  "It can't. Why?" gives ["it", "ca", "n't"] and ["why"].
  """
  paragraph = unicodedata.normalize("NFC", paragraph)
  # In a paragraph without capitals, a lower-case token may start a sentence.
  bonus = _DIGIT - _LOWER if paragraph.islower() else 0
  sentence: list[str] = []
  threshold = _NO_END
  for token in _UNSPACED_END.sub(r"\1 ", paragraph).split():
    words, start, end = _analyse(token)
    if sentence and start + bonus >= threshold:
      yield sentence
      sentence = []
    sentence += words
    if words or end != _NO_END:  # a dash between sentences changes nothing
      threshold = end
  if sentence:
    yield sentence


@functools.cache
def _analyse(token: str) -> tuple[Sequence[str], int, int]:
  """Returns the words of a token, its start score and its end threshold."""
  words = tuple(itertools.chain.from_iterable(
      _split_word(match.group()) for match in _WORD.finditer(
          token.translate(_REPLACEMENTS))))
  return words, _start_score(token) if words else 0, _end_threshold(token)


def _split_word(text: str) -> list[str]:
  """Splits a match of _WORD: "Don't" gives do and n't, "1,000" gives N."""
  text = text.lower() if _keeps_dot(text) else text.lower().removesuffix(".")
  if text == "cannot":
    return ["can", "not"]
  match = _CLITIC.fullmatch(text)
  assert match is not None  # it matches any text
  base, *clitics = match.groups()
  if (any(char.isnumeric() for char in base)
      and not any(char.isalpha() for char in base)):
    base = NUMBER
  return [word for word in (base, *clitics) if word and _is_word(word)]


def _is_word(text: str) -> bool:
  """Returns whether a text has a letter or digit, or is a sign PTB keeps."""
  return (any(char.isalnum() for char in text) or text in ("%", "&", "'")
          or len(text) == 1 and unicodedata.category(text) == "Sc")


def _keeps_dot(text: str) -> bool:
  """Returns whether the final dot of a word, if any, belongs to the word."""
  core = text.lower().removesuffix(".").rpartition("-")[2]
  return (core in _TITLES or core in _ABBREVIATIONS or _is_initial(text)
          or "." in core and _DOTTED.fullmatch(core) is not None)


def _is_initial(text: str) -> bool:
  """Returns whether a word is an initial, as in "John F. Kennedy".

  "I." is not: it is more often a number ("World War I.") or a pronoun.
  """
  return len(text) == 2 and text[0].isupper() and text != "I."


def _start_score(token: str) -> int:
  """Returns how likely a token starts a sentence."""
  first = _FIRST.search(token)
  if first is None or first.group().islower():
    return _LOWER
  if first.group().isnumeric():
    return _DIGIT
  word = token.strip(_OPENERS + _CLOSERS + ",.").lower()
  return _STARTER if word in _STARTERS else _UPPER


def _end_threshold(token: str) -> int:
  """Returns the start score at which the next token starts a sentence."""
  text = token.rstrip(_CLOSERS)
  if not text or text[-1] not in _ENDS:
    return _NO_END
  text = text.lstrip(_OPENERS)
  core = text.lower().removesuffix(".")
  if text[-1] != "." or not core:
    return _END
  if core in _END_BEFORE_CAPITAL:
    return _END_IF_UPPER
  if core in _TITLES:
    return _NO_END
  if core in _WORDS_OR_ABBREVIATIONS or _keeps_dot(text):
    return _END_IF_STARTER
  return _END
