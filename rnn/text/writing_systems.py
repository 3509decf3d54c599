"""Text without blanks between words: Chinese, Japanese, Thai and others."""

import re

# Letters, with the marks that belong to them.
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
_SCRIPTS = {
    "Japanese": _KANA,
    "Chinese": "\u3005\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e", "Lao": "\u0e81-\u0ece",
    "Burmese": "\u1000-\u103f", "Khmer": "\u1780-\u17d3",
    "Tibetan": "\u0f40-\u0fbc"}
_LETTERS = "".join(_SCRIPTS.values())
_LETTER = re.compile(f"[{_LETTERS}]")
# Two letters that follow each other, perhaps after blanks in the same line.
_NEIGHBORS = re.compile(rf"[{_LETTERS}]([ \t\u3000]*)(?=[{_LETTERS}])")
_OTHER_LETTERS = re.compile(rf"[^\W\d_{_LETTERS}]")

_SEGMENTERS = {"Chinese": "jieba", "Japanese": "MeCab", "Thai": "PyThaiNLP"}

SAMPLE = 100_000  # characters of a text that show whether it has blanks
_MIN_PAIRS = 10  # fewer say nothing
_MAX_BLANKS = 0.1  # per pair; Thai has some between phrases


def unsegmented(text: str) -> str | None:
  """Returns the language of a text without blanks between words, or None.

  It looks at pairs of neighboring letters of the scripts that are
  written without blanks. In a text that is segmented into words, blanks part
  many of the pairs: a third in Chinese, a fifth in Thai. A text is unsegmented
  if blanks part less than a tenth of at least ten pairs, and these letters are
  at least half of all letters. Punctuation and line ends count for nothing.

  Args:
    text: a text, or a part of it of some thousand characters.

  Returns:
    "Chinese", "Japanese", "Thai", "Lao", "Burmese", "Khmer" or "Tibetan": the
    script with the most letters, where a tenth of kana makes Chinese Japanese.
  """
  blanks = _NEIGHBORS.findall(text)
  num_letters = len(_LETTER.findall(text))
  if (len(blanks) < _MIN_PAIRS
      or sum(map(bool, blanks)) >= _MAX_BLANKS * len(blanks)
      or num_letters < len(_OTHER_LETTERS.findall(text))):
    return None
  counts = {language: len(re.findall(f"[{letters}]", text))
            for language, letters in _SCRIPTS.items()}
  if counts["Japanese"] * 10 >= num_letters:
    return "Japanese"
  return max(counts, key=lambda language: counts[language])


def advice(language: str) -> str:
  """Returns what to do about an unsegmented text: "segment it first, ..."."""
  tool = _SEGMENTERS.get(language)
  return "segment it first" + (f", with {tool} for example" if tool else "")
