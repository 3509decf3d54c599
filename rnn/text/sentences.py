"""Splits a text into sentences, and sentences into words.

The rules are close to PTB's. data/README.md lists them.
"""

import dataclasses
import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

NUMBER = "N"


@dataclasses.dataclass(frozen=True)
class Style:
  """What of a text becomes words; by default, what PTB has.

  Attributes:
    keep_case: whether capitals stay.
    keep_punctuation: whether marks stay, as words of their own. A run of the
      same mark, such as "...", is one word.
    keep_numbers: whether numbers stay, instead of becoming `N`.
  """

  keep_case: bool = False
  keep_punctuation: bool = False
  keep_numbers: bool = False


PTB = Style()

_CLITICS = "'(?:s|re|ve|m|ll|d)"
# An atom is a number with its points and commas, letters with a dot after each
# (u.s.), or any other run of characters. A word is one or more atoms joined by
# - ' or &, perhaps with an apostrophe or a dot at its end.
_ATOM = (r"(?:\d+(?:[.,:/]\d+)+[^\s.,:/'&-]*|[Pp]h\.D\."
         r"|(?:[^\W\d_]\.){2,}|[^\s.,:/'&-]+)")
_WORD = re.compile(
    rf"{_ATOM}(?:[-'&]{_ATOM})*(?:(?<=s)')?\.?|{_CLITICS}(?!\w)|&")
_CLITIC = re.compile(rf"(.+?)(n't)?({_CLITICS})?({_CLITICS}|(?<=s)')?",
                     re.IGNORECASE | re.ASCII)
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

  def __init__(self, keep_punctuation: bool) -> None:
    super().__init__({
        ord("\u2018"): "'", ord("\u2019"): "'", ord("\u200b"): " ",
        ord("\u2010"): "-", ord("\u2011"): "-", ord("\u2013"): "-"})
    self._keep_punctuation = keep_punctuation

  def __missing__(self, code: int) -> str:
    char = chr(code)
    category = unicodedata.category(char)
    replacement = " "
    if category[0] in "LMN" or char in ".,:/'&-":
      replacement = char
    elif (category == "Sc" or char == "%"
          or self._keep_punctuation and category[0] in "PS"):
      replacement = f" {char} "
    elif category == "Cf":  # soft hyphens, joiners, direction marks
      replacement = ""
    self[code] = replacement
    return replacement


# By whether punctuation is kept.
_REPLACEMENTS = [_Replacements(False), _Replacements(True)]


def split_token(token: str, style: Style = PTB) -> list[str]:
  """Returns the words of a piece of text between blanks, such as "can't,"."""
  return list(_analyse(unicodedata.normalize("NFC", token), style)[0])


def split_line(line: str, style: Style = PTB) -> list[str]:
  """Returns the words of a line; none if it only has marks."""
  tokens = [_analyse(token, style)
            for token in unicodedata.normalize("NFC", line).split()]
  if not any(start for _, start, _ in tokens):
    return []
  return [word for words, _, _ in tokens for word in words]


def split_sentences(paragraph: str,
                    style: Style = PTB) -> Iterator[list[str]]:
  """Generates the sentences of a paragraph. Each is a nonempty list of words.

  "It can't. Why?" gives ["it", "ca", "n't"] and ["why"]. The style does not
  change where sentences end.
  """
  paragraph = unicodedata.normalize("NFC", paragraph)
  # In a paragraph without capitals, a lower-case token may start a sentence.
  bonus = _DIGIT - _LOWER if paragraph.islower() else 0
  sentence: list[str] = []
  has_words, threshold = False, _NO_END
  for token in _UNSPACED_END.sub(r"\1 ", paragraph).split():
    words, start, end = _analyse(token, style)
    if has_words and start + bonus >= threshold:
      yield sentence
      sentence, has_words = [], False
    sentence += words
    has_words = has_words or start > 0
    if start or end != _NO_END:  # a dash between sentences changes nothing
      threshold = end
  if has_words:
    yield sentence


@functools.cache
def _analyse(token: str, style: Style) -> tuple[Sequence[str], int, int]:
  """Returns the words of a token, its start score and its end threshold.

  The start score of a token without words, or with marks only, is 0.
  """
  text = token.translate(_REPLACEMENTS[style.keep_punctuation])
  matches = list(_WORD.finditer(text))
  parts = [_split_word(match.group(), style) for match in matches]
  words = [part for part in itertools.chain.from_iterable(parts)
           if _is_word(part)]
  start = _start_score(token) if words else 0
  if style.keep_punctuation:
    # What is between the matches, and in front of the first and after the last.
    ends = [0, *(match.end() for match in matches)]
    starts = [*(match.start() for match in matches), len(text)]
    words = _join_marks(itertools.chain.from_iterable(
        [*text[end:begin].replace(" ", ""), *part] for end, begin, part in zip(
            ends, starts, [*parts, []], strict=True)))
  return words, start, _end_threshold(token)


def _split_word(text: str, style: Style) -> list[str]:
  """Splits a match of _WORD: "Don't" gives do and n't, "1,000" gives N."""
  word = text if style.keep_case else text.lower()
  dot = "" if _keeps_dot(text) or not word.endswith(".") else "."
  word = word.removesuffix(dot)
  if word.lower() == "cannot":
    return [word[:3], word[3:], *dot]
  match = _CLITIC.fullmatch(word)
  assert match is not None  # it matches any text
  base, *clitics = match.groups()
  if (not style.keep_numbers and any(char.isnumeric() for char in base)
      and not any(char.isalpha() for char in base)):
    base = NUMBER
  return [part for part in (base, *clitics, dot) if part]


def _join_marks(words: Iterable[str]) -> list[str]:
  """Joins equal marks that follow each other to one word."""
  parts: list[list[str]] = []
  repeated = ""  # the mark of which the last part consists, if it is one
  for word in words:
    if word == repeated:
      parts[-1].append(word)
      continue
    parts.append([word])
    mark = word[0]
    repeated = mark if {mark} == set(word) and not _is_word(mark) else ""
  return list(map("".join, parts))


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
