"""The words of the articles in a dump of Wikipedia, as a stream."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping

from rnn import files
from rnn.errors import DataError, UserError

URL = "https://dumps.wikimedia.org/enwiki/latest/"

_WORD = re.compile(r"[^\W\d_]+")
# Opens or closes a part that is not running text. A heading closes all open
# parts.
_MARK = re.compile(
    r"(\{\{|\{\||\}\}|\|\}|<!--|-->|\n==|</?(?:ref|math|chem|gallery|timeline|"
    r"syntaxhighlight|source|code|pre|score|imagemap|nowiki)\b[^<>]*>)",
    re.IGNORECASE)
# These nest. In all other parts only the closing mark counts.
_OPEN = ("{{", "{|", "<ref")
_CLOSE = ("}}", "|}", "</ref")
_NOWIKI = "</nowiki"  # closes text that is shown as it is, so its words count
_TAG = re.compile(r"<(\w+)")
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
# As in [[Category: Birds]] and [[de:Vogel]], unlike [[2001: A Space Odyssey]].
_NOT_TEXT = re.compile(r":?\s*(?:(?i:file|image|category):|[\w-]+:\S)")
_REST = re.compile(r"https?://[^\s\]|]*|<[^<>]*>|&[a-z]+;", re.IGNORECASE)
_PARTS = ("ns", "redirect", "text")  # of a page
_BLOCK_BYTES = 1 << 14
_MAX_TAG = 1 << 20  # bytes
_MAX_NAMES = 1000  # the parser remembers all names, and the tags that are open
_MAX_PAGE = 20_000_000  # characters; MediaWiki's own limit is 2 MB
_DEPTH = 3  # the captions of images can contain links, which nest this deep


def pages(path: str) -> Iterator[list[str]]:
  """Generates the articles of a dump, each a list of lower-case words.

  Redirects are skipped, and so are pages that are not articles. Memory grows
  with the longest article, which may have 20,000,000 characters; a tag or a
  comment may have a megabyte.

  Raises:
    DataError: the file does not exist, is not a dump, is damaged, or exceeds a
      limit.
  """
  with files.open_binary(path) as file:
    target = _Target(path)
    parser = ElementTree.XMLParser(target=target)
    try:
      while block := file.read(_BLOCK_BYTES):
        target.count(len(block))
        parser.feed(block)
        yield from map(extract_words, target.take())
      parser.close()
    # LookupError and ValueError: the XML declares an encoding that is unknown.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
      if isinstance(error, UserError):
        raise
      raise DataError(
          f"{path}: not a MediaWiki dump, or truncated or damaged ({error}); "
          f"get a dump from {URL}") from None


class _Target:
  """Collects the wikitext of articles, as the target of an XMLParser.

  A tree of elements would take memory for every tag of a page.
  """

  def __init__(self, path: str) -> None:
    self._path = path
    self._names: set[str] = set()  # of tags and attributes
    self._depth = 0
    self._number = 0  # of pages
    self._parts: dict[str, str] = {}  # of the last page
    self._pieces: list[str] | None = None  # of the part that is read now
    self._length = self._bytes = 0  # of these pieces; without an event
    self._texts: list[str] = []

  def count(self, size: int) -> None:
    """Counts bytes that the parser gets; some event must come of them."""
    self._bytes += size
    if self._bytes > _MAX_TAG:
      self._fail(f"a tag of more than {_MAX_TAG:,} bytes")

  def take(self) -> list[str]:
    """Returns the wikitexts of the articles that have ended."""
    texts, self._texts = self._texts, []
    return texts

  def doctype(self, *_: str | None) -> None:
    """Refuses definitions of entities, which can unpack to anything."""
    raise ValueError("it has a document type declaration")

  def start(self, tag: str, attributes: Mapping[str, str]) -> None:
    """Starts an element, the first of which must be the dump."""
    self._bytes = 0
    name = _name(tag)
    if not self._names and name != "mediawiki":
      raise ValueError(f"the first tag is <{name}>")
    self._names.update((tag, *attributes))
    self._depth += 1
    if max(len(self._names), self._depth) > _MAX_NAMES:
      self._fail(f"more than {_MAX_NAMES:,} kinds of tags, or levels of them")
    if name == "page":
      self._number, self._parts = self._number + 1, {}
    self._pieces, self._length = [] if name in _PARTS else None, 0

  def data(self, text: str) -> None:
    """Adds to the text of an element."""
    self._bytes = 0
    if self._pieces is not None:
      self._pieces.append(text)
      self._length += len(text)
      if self._length > _MAX_PAGE:
        self._fail(f"more than {_MAX_PAGE:,} characters")

  def end(self, tag: str) -> None:
    """Ends an element."""
    self._bytes = 0
    self._depth -= 1
    name = _name(tag)
    if self._pieces is not None:
      self._parts[name] = "".join(self._pieces)
      self._pieces = None
    if name == "page" and "redirect" not in self._parts and self._parts.get(
        "ns", "0") == "0" and "text" in self._parts:
      self._texts.append(self._parts["text"])

  def close(self) -> None:
    """Ends the dump."""

  def _fail(self, problem: str) -> None:
    raise DataError(f"{self._path}: page number {self._number:,} has {problem}"
                    f"; get a dump of pages-articles from {URL}")


def _name(tag: str) -> str:
  """Returns a tag without its namespace."""
  return tag.rpartition("}")[2]


def extract_words(wikitext: str) -> list[str]:
  """Returns the lower-case words of the running text.

  Punctuation, markup, templates, tables and notes are dropped.
  """
  text = _running_text(wikitext)
  for _ in range(_DEPTH):
    text = _LINK.sub(_link_text, text)
  return _WORD.findall(_REST.sub(" ", text).lower())


def _running_text(wikitext: str) -> str:
  """Drops the content of {{ }}, {| |}, comments, notes, formulas and the like.

  The time is linear in the length, even if marks do not match.
  """
  pieces: list[str] = []
  depth, end = 0, None  # end: the only mark that counts now
  for number, piece in enumerate(_MARK.split(wikitext)):
    mark = piece.lower()
    if number % 2 == 0:  # the text between two marks
      if not depth and end in (None, _NOWIKI):
        pieces.append(piece)
    elif piece == "\n==":
      depth, end = 0, None
      pieces.append("\n")
    elif end:
      if mark.startswith(end):
        end = None
        pieces.append(" ")
    elif mark.endswith("/>"):
      pieces.append(" ")
    elif mark.startswith(_OPEN):
      depth += 1
    elif mark.startswith(_CLOSE):
      depth = max(depth - 1, 0)
      pieces.append(" ")
    elif mark == "<!--":
      end = "-->"
    elif match := _TAG.match(mark):
      end = f"</{match[1]}"
  return "".join(pieces)


def _link_text(link: re.Match[str]) -> str:
  """Returns the visible text b of [[a|b]]; a blank for a file or category."""
  if _NOT_TEXT.match(link[1]):
    return " "
  return link[1].rpartition("|")[2]
