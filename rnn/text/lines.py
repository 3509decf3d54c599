"""The lines of a text that need not fit in memory."""

from collections.abc import Iterable, Iterator

from rnn.text.sources import Source

_LONGEST = 1 << 20  # characters of a line in one part
_BLANKS = " \t\n\v\f\r"


def end_last(blocks: Iterable[bytes]) -> Iterator[bytes]:
  """Generates blocks, and a newline if the last line has words but none."""
  ends_in_words = False
  for block in blocks:
    yield block
    _, newline, rest = block.rpartition(b"\n")
    ends_in_words = bool(rest.strip()) or ends_in_words and not newline
  if ends_in_words:
    yield b"\n"


def of(source: Source) -> Iterator[str]:
  """Generates the lines of a text, each with its newline.

  A line of more than _LONGEST characters comes in parts that end after a blank.
  They depend on the text only, not on the blocks in which it is read.

  Raises:
    DataError: see `Source.blocks`.
  """
  rest = ""
  for block in end_last(source.blocks()):
    *whole, rest = (rest + block.decode()).split("\n")
    for line in whole:
      yield from _parts(line.removesuffix("\r") + "\n")
    *parts, rest = _parts(rest)  # the last one may go on in the next block
    yield from parts
  if rest:
    yield rest


def _parts(line: str) -> list[str]:
  """Returns a line, in parts if it has more than _LONGEST characters."""
  parts = []
  while len(line) > _LONGEST:
    end = 1 + max(line.rfind(blank, 0, _LONGEST) for blank in _BLANKS)
    if not end:
      places = (line.find(blank, _LONGEST) for blank in _BLANKS)
      end = 1 + min((place for place in places if place >= 0),
                    default=len(line) - 1)
    parts.append(line[:end])
    line = line[end:]
  return [*parts, line] if line or not parts else parts
