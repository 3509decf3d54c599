"""Words of the articles in a dump of Wikipedia, as a stream."""

import re
import xml.etree.ElementTree as ElementTree

import compressed
import reader

URL = "https://dumps.wikimedia.org/enwiki/latest/"

_WORD = re.compile(r"[^\W\d_]+")
# What opens and closes a part that is no running text. A heading ends whatever
# was left open.
_PART = re.compile(
    r"(\{\{|\{\||\}\}|\|\}|<!--|-->|\n==|</?(?:ref|math|chem|gallery|timeline|"
    r"syntaxhighlight|source|code|pre|score|imagemap|nowiki)\b[^<>]*>)",
    re.IGNORECASE)
_OPEN = ("{{", "{|", "<ref")  # these may hold others; the rest only its end
_CLOSE = ("}}", "|}", "</ref")
_NOWIKI = "</nowiki"  # the end of what is shown as it is
_TAG = re.compile(r"<(\w+)")
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
# As in [[Category: Birds]] and [[de:Vogel]], unlike [[2001: A Space Odyssey]].
_NO_TEXT = re.compile(r":?\s*(?:(?i:file|image|category):|[\w-]+:\S)")
_REST = re.compile(r"https?://[^\s\]|]*|<[^<>]*>|&[a-z]+;", re.IGNORECASE)
_DEPTH = 3  # of links within captions of images


def pages(path):
  """Generates the articles of a dump, each a list of words, lower-cased.

  Redirects, and pages that are no articles, are left out. Memory grows with the
  longest page.

  Raises:
    reader.DataError: there is no such file, or it is cut off or garbled.
  """
  with compressed.open_binary(path) as file:
    try:
      events = ElementTree.iterparse(file, ("start", "end"))
      _, root = next(events)
      if _tag(root) != "mediawiki":
        raise ValueError(f"it begins with <{_tag(root)}>")
      for event, element in events:
        if event == "end" and _tag(element) == "page":
          text = _article(element)
          root.clear()
          if text is not None:
            yield words_of(text)
    # The latter two of what the text says of its encoding.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
      raise reader.DataError(
          f"{path}: is no dump of MediaWiki, or cut off or garbled ({error}); "
          f"get it again, from {URL}") from None


def _article(page):
  """The wikitext of a page; None if it is no article."""
  parts = {_tag(part): part for part in page.iter()}
  if "redirect" in parts or "text" not in parts or (
      "ns" in parts and parts["ns"].text != "0"):
    return None
  return parts["text"].text or ""


def _tag(element):
  """The name of an element, without its namespace."""
  return element.tag.rpartition("}")[2]


def words_of(wikitext):
  """The words of running text, without marks, templates, tables and notes."""
  text = _without_parts(wikitext)
  for _ in range(_DEPTH):
    text = _LINK.sub(_shown, text)
  return _WORD.findall(_REST.sub(" ", text).lower())


def _without_parts(wikitext):
  """Leaves out what stands in {{ }}, {| |}, comments, notes and formulas."""
  kept, depth, end = [], 0, None
  for number, piece in enumerate(_PART.split(wikitext)):
    mark = piece.lower()
    if number % 2 == 0:
      if not depth and end in (None, _NOWIKI):
        kept.append(piece)
    elif piece == "\n==":
      depth, end = 0, None
      kept.append("\n")
    elif end:
      if mark.startswith(end):
        end = None
        kept.append(" ")
    elif mark.endswith("/>"):
      kept.append(" ")
    elif mark.startswith(_OPEN):
      depth += 1
    elif mark.startswith(_CLOSE):
      depth = max(depth - 1, 0)
      kept.append(" ")
    elif mark == "<!--":
      end = "-->"
    elif match := _TAG.match(mark):
      end = f"</{match[1]}"
  return "".join(kept)


def _shown(link):
  """What a reader sees of [[a|b]]: b; of a file or a category, nothing."""
  if _NO_TEXT.match(link[1]):
    return " "
  return link[1].rpartition("|")[2]
