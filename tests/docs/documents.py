"""Reads the Markdown documents: code blocks, commands, links and headings."""

import dataclasses
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(
    f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
DOCUMENTS = [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md"]


@dataclasses.dataclass(frozen=True)
class Block:
  """A fenced code block.

  Attributes:
    line: number of the opening fence in the document, from 1.
    mark: "run" or "run: slow", from an HTML comment above; "" without one.
    language: the word after the opening fence.
    text: the code.
  """

  line: int
  mark: str
  language: str
  text: str


_BLOCK = re.compile(
    r"^(?:<!-- (run(?:: slow)?) -->\n)?^```(\w*)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\[\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_SHELL_OPERATORS = {"|", ";", "&", "&&", "||", ">", ">>", "<", "2>"}


def read(name: str) -> str:
  """Returns the text of a document."""
  return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
  """Returns the fenced code blocks of a document."""
  return [Block(text.count("\n", 0, match.start(2)) + 1, match[1] or "",
                match[2], match[3]) for match in _BLOCK.finditer(text)]


def prose(text: str) -> str:
  """Returns a document without its fenced code blocks."""
  return _BLOCK.sub("", text)


def code_spans(text: str) -> list[str]:
  """Returns the inline code of a document."""
  return _SPAN.findall(prose(text))


def links(text: str) -> list[str]:
  """Returns the targets of the links and images of a document."""
  return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
  """Returns the anchors that GitHub gives to the headings of a document."""
  slugs: set[str] = set()
  for heading in _HEADING.findall(prose(text)):
    words = re.sub(r"[^\w\- ]", "", heading.lower())
    slug = anchor = words.strip().replace(" ", "-")
    number = 0
    while anchor in slugs:
      number += 1
      anchor = f"{slug}-{number}"
    slugs.add(anchor)
  return slugs


def commands(code: str) -> list[list[str]]:
  """Returns the calls of python and make in shell code, each as a list.

  Redirections and pipes end a call.
  """
  calls = []
  for line in code.replace("\\\n", " ").splitlines():
    if re.match(r"(python|make) ", line):
      lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
      lexer.whitespace_split = True
      words: list[str] = []
      for word in lexer:
        if word in _SHELL_OPERATORS:
          break
        words.append(word)
      calls.append(words)
  return calls
