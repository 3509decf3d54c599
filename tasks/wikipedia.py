"""The words of the articles in a dump of Wikipedia, as a stream."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from rnn import files
from rnn.errors import DataError

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
_DEPTH = 3  # the captions of images can contain links, which nest this deep


def pages(path: str) -> Iterator[list[str]]:
  """Generates the articles of a dump, each a list of lower-case words.

  Redirects are skipped, and so are pages that are not articles. Memory grows
  with the longest page.

  Raises:
    DataError: the file does not exist, is not a dump, or is damaged.
  """
  with files.open_binary(path) as file:
    try:
      events = ElementTree.iterparse(file, ("start", "end"))
      _, root = next(events)
      if _tag(root) != "mediawiki":
        raise ValueError(f"the first tag is <{_tag(root)}>")
      for event, element in events:
        if event == "end" and _tag(element) == "page":
          text = _wikitext(element)
          root.clear()
          if text is not None:
            yield extract_words(text)
    # LookupError and ValueError: the XML declares an encoding that is unknown.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
      raise DataError(
          f"{path}: not a MediaWiki dump, or truncated or damaged ({error}); "
          f"get a dump from {URL}") from None


def _wikitext(page: ElementTree.Element) -> str | None:
  """Returns the wikitext of a page; None if it is not an article."""
  parts = {_tag(part): part for part in page.iter()}
  if "redirect" in parts or "text" not in parts or (
      "ns" in parts and parts["ns"].text != "0"):
    return None
  return parts["text"].text or ""


def _tag(element: ElementTree.Element) -> str:
  """Returns the tag of an element without its namespace."""
  return element.tag.rpartition("}")[2]


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
