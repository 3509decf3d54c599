"""The rule by which a single text is split into train, valid and test.

A text is cut in order: the first 80 % are to train on, the next 10 % to
validate, the rest to test. So each split is contiguous, and lines next to each
other are in the same split, whichever period the lines have. A cut is at the
first line end after 80 or 90 % of the size. If a paragraph (a blank line) ends
within the next 2 % of the text, the cut is there. If no line ends within the
next 5 %, as in a text on one line, the cut is between two words.

A line of valid or test that is also in an earlier split is dropped: a model
that has been trained on it is not tested by it. In a text as it is, the lines
that count are those of 25 characters or more. If they make up more than a fifth
of a split, all are kept, because a text that repeats itself would leave only
its short lines.

`Split` applies the rule to a text that need not fit in memory. The parts of the
rule serve other texts: `find_cuts` any units with a size, `repeated_lines` any
splits.
"""

import collections
import dataclasses
import hashlib
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from rnn.errors import DataError

SPLITS = ("train", "valid", "test")
# What config.json calls the rule.
RULE = "in order, 80/10/10"

# Kinds of places where a text may be cut. The higher the better.
WITHIN_WORD, WORD, LINE, PARAGRAPH = range(4)
# How far after its target a cut may be for the sake of a better place, in
# percent of the text.
_WITHIN_PERCENT = {WORD: 5, LINE: 5, PARAGRAPH: 2}

_LONG_LINE = 200  # characters; a shorter line is never cut
_MIN_REPEATED = 25  # characters; a shorter line may be in several splits
_MAX_DROPPED = 0.2  # of a split

_BLANK = re.compile("[ \t]")

_log = logging.getLogger(__name__)


class _TooShortError(DataError):
  """A text is too short to be split."""


def find_cuts(units: Iterable[tuple[int, int]], total: int) -> tuple[int, int]:
  """Returns where to cut a text into train, valid and test.

  Each split gets at least one unit.

  Args:
    units: the pieces that are not cut, such as lines. For each, its size (in
      words, for instance), and the kind of place at its end, such as LINE.
    total: the sum of the sizes.

  Returns:
    valid, test: the index of the first unit of each.

  Raises:
    DataError: there are fewer than three units.
  """
  targets = total * 8 // 10, total * 9 // 10
  # The first place of each kind at or after a target, and not too far.
  places: tuple[dict[int, int], ...] = {}, {}
  position = count = 0
  for count, (size, kind) in enumerate(units, 1):
    position += size
    for target, found in zip(targets, places, strict=True):
      for k in range(kind + 1) if position >= target else ():
        if k not in _WITHIN_PERCENT or (
            position - target) * 100 <= total * _WITHIN_PERCENT[k]:
          found.setdefault(k, count)
  if count < len(SPLITS):
    raise _TooShortError(
        "the text is too short to be split in train, valid and test; give more "
        "text")
  valid, test = (found[max(found)] for found in places)
  valid = min(valid, count - 2)
  return valid, min(max(test, valid + 1), count - 1)


def line_key(line: str) -> bytes:
  """Returns a hash by which `repeated_lines` tells lines apart."""
  return hashlib.blake2b(line.strip().encode("utf-8", "surrogatepass"),
                         digest_size=8).digest()


def repeated_lines(
    splits: Mapping[str, Iterable[str]]) -> dict[str, dict[bytes, int]]:
  """Finds the lines of valid and test that are also in an earlier split.

  Memory grows with the number of different lines in valid and test.

  Args:
    splits: the lines of train, valid and test. Each is iterated over once.

  Returns:
    For valid and test, a dict with the `line_key` of each such line, and the
    number of its characters, summed over its copies in the split.
  """
  sizes: dict[str, collections.Counter[bytes]] = {}
  for split in SPLITS[1:]:
    sizes[split] = collections.Counter()
    for line in splits[split]:
      sizes[split][line_key(line)] += len(line)
  held_out = sizes["valid"].keys() | sizes["test"].keys()
  earlier = {key for key in map(line_key, splits["train"]) if key in held_out}
  repeated = {}
  for split, sizes_of in sizes.items():
    repeated[split] = {
        key: size for key, size in sizes_of.items() if key in earlier}
    earlier |= sizes_of.keys()
  return repeated


@dataclasses.dataclass(frozen=True)
class _Piece:
  """A line, or a part of a long line, and the kind of place at its end."""

  text: str
  end: int


class Split:
  """A text, split by the rule of this module.

  The size of a text is its number of characters.
  """

  def __init__(self, read_lines: Callable[[], Iterable[str]],
               name: str = "the text") -> None:
    """Reads the text several times.

    A log line says how many lines are dropped from valid and test.

    Args:
      read_lines: generates the lines of the text, each with its newline, anew
        at each call. A long line may come in parts.
      name: the text's name for errors.

    Raises:
      DataError: the text has fewer than three lines, counting the parts of a
        long one.
    """
    self._read_lines = read_lines
    total = sum(map(len, read_lines()))
    # A line longer than 0.5 % of the text is cut between words.
    self._longest = max(total // 200, _LONG_LINE)
    try:
      self._cuts = find_cuts(
          ((len(piece.text), piece.end) for piece in self._pieces()), total)
    except _TooShortError as error:
      raise DataError(f"{name}: {error}") from None
    self._dropped: dict[str, dict[bytes, int]] = {}  # as repeated_lines
    self._find_dropped()

  def lines(self, split: str) -> Iterator[str]:
    """Generates the lines of a split; parts of a line that is too long."""
    dropped = self._dropped.get(split)
    for text in self._all_lines(split):
      if not (dropped and _may_be_dropped(text) and line_key(text) in dropped):
        yield text

  def _pieces(self) -> Iterator[_Piece]:
    """Generates the units of the text that are not cut."""
    starts_line = True
    for line in self._read_lines():
      start = 0
      while len(line) - start > self._longest:
        least = start + self._longest
        blank = _BLANK.search(line, least - 1, least + self._longest)
        end = blank.end() if blank else least
        yield _Piece(line[start:end], WORD if blank else WITHIN_WORD)
        start = end
      rest = line[start:]
      if rest.endswith("\n"):
        is_blank = starts_line and not line.strip()
        yield _Piece(rest, PARAGRAPH if is_blank else LINE)
      elif rest:
        yield _Piece(
            rest, WORD if _BLANK.fullmatch(rest[-1]) else WITHIN_WORD)
      starts_line = line.endswith("\n")

  def _all_lines(self, split: str) -> Iterator[str]:
    """Generates the lines of a split, before any is dropped."""
    index = SPLITS.index(split)
    start, end = (0, *self._cuts, None)[index:index + 2]
    for piece in itertools.islice(self._pieces(), start, end):
      yield piece.text

  def _find_dropped(self) -> None:
    repeated = repeated_lines({
        split: filter(_may_be_dropped, self._all_lines(split))
        for split in SPLITS})
    dropped, kept = [], []
    for split, sizes in repeated.items():
      share = sum(sizes.values()) / sum(map(len, self._all_lines(split)))
      if share <= _MAX_DROPPED:
        self._dropped[split] = sizes
        dropped.append(f"{split} {len(sizes):,} ({share:.1%} of it)")
      else:
        kept.append(f"{share:.0%} of {split}")
    if any(self._dropped.values()):
      _log.info("different lines dropped, already in an earlier split: %s",
                ", ".join(dropped))
    if kept:
      _log.warning("%s are lines of an earlier split, too; all are kept, "
                   "so the figures say little about new text",
                   " and ".join(kept))


def _may_be_dropped(line: str) -> bool:
  """Returns whether a line is too long to recur by chance."""
  return len(line.strip()) >= _MIN_REPEATED
