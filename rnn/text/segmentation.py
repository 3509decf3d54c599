"""Text without blanks between words, such as most Chinese, Japanese and Thai.

Splitting such text at blanks gives phrases, which hardly ever occur twice. So
it has to be segmented into words first, or read as characters.
"""

import dataclasses
import re

_CHINESE_JAPANESE = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff")
_SOUTHEAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"

# Characters -> the fewest blanks per pair of neighbors in segmented text. A
# word of Chinese or Japanese has 1.5 to 2 characters, of Thai, Lao, Khmer or
# Burmese 4 to 6, with their marks; blanks between phrases are much rarer.
_SCRIPTS = {_CHINESE_JAPANESE: 1 / 4, _SOUTHEAST_ASIAN: 1 / 12}
_MIN_SHARE = 0.1  # of the characters that are in such a script
_PATTERNS = {
    script: (re.compile(f"[{script}]"),
             re.compile(rf"[{script}]\s+(?=[{script}])"))
    for script in _SCRIPTS}

ADVICE = ("segment it first, so that blanks separate the words (with jieba for "
          "Chinese, MeCab for Japanese, PyThaiNLP for Thai)")


@dataclasses.dataclass
class Blanks:
  """Counts blanks between characters of scripts that are written without them.

  Attributes:
    total: characters of any kind in all texts.
    characters, pairs, blanks: for each script, the characters, the pairs of
      one and the next in the same text, and the pairs with blanks between.
  """

  total: int = 0
  characters: dict[str, int] = dataclasses.field(
      default_factory=lambda: dict.fromkeys(_SCRIPTS, 0))
  pairs: dict[str, int] = dataclasses.field(
      default_factory=lambda: dict.fromkeys(_SCRIPTS, 0))
  blanks: dict[str, int] = dataclasses.field(
      default_factory=lambda: dict.fromkeys(_SCRIPTS, 0))

  def add(self, text: str) -> None:
    """Counts a text, such as a line."""
    self.total += len(text)
    if text.isascii():
      return
    for script, (character, blank) in _PATTERNS.items():
      if found := len(character.findall(text)):
        self.characters[script] += found
        self.pairs[script] += found - 1
        self.blanks[script] += len(blank.findall(text))

  @property
  def missing(self) -> bool:
    """Whether a tenth of the text or more lacks blanks between words."""
    return sum(self.characters[script] for script, fewest in _SCRIPTS.items()
               if self.blanks[script] < fewest * self.pairs[script]
               ) > _MIN_SHARE * self.total
