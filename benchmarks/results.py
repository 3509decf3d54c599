"""Writes tables into the documents, from the files in results/ and `configs`.

    python -m benchmarks.results

A table is between two lines of a document:

    <!-- results: NAME -->
    <!-- end of results -->

`tables.py` says which tables there are. A test checks that the documents have
the tables that this script writes.
"""

import glob
import os
import re
from collections.abc import Mapping, Sequence

from benchmarks import tables, transcript
from rnn import files
from rnn.cli import scripts
from rnn.errors import UserError

_BLOCK = re.compile(
    r"^(<!-- results: (\w+) -->\n).*?^(<!-- end of results -->)$",
    re.MULTILINE | re.DOTALL)


def documents(root: str = transcript.ROOT) -> list[str]:
  """Returns the paths of the documents that may have tables."""
  return [os.path.join(root, "README.md"),
          *sorted(glob.glob(os.path.join(glob.escape(root), "docs", "*.md"))),
          os.path.join(root, "results", "README.md")]


def fill(text: str, lines: Mapping[str, Sequence[str]]) -> str:
  """Returns a document with its tables replaced.

  Args:
    lines: the lines of each table, by name.

  Raises:
    UserError: there is no table with a name.
  """
  def replacement(match: re.Match) -> str:
    if match[2] not in lines:
      raise UserError(f"results: {match[2]}: no such table; there are "
                      + ", ".join(lines))
    return "".join([
        match[1], *(f"{line}\n" for line in lines[match[2]]), match[3]])

  return _BLOCK.sub(replacement, text)


def define_flags() -> None:
  """Defines no flags: there is nothing to choose."""


def main(argv: Sequence[str]) -> None:
  """Rewrites the documents, and prints the names of those that changed."""
  with scripts.error_lines(argv[0]):
    update(transcript.ROOT)


def update(root: str) -> None:
  """Rewrites the documents of a checkout.

  Raises:
    UserError: a file cannot be read or written.
  """
  lines = tables.tables(tables.Results(os.path.join(root, "results")))
  changed = False
  for path in documents(root):
    with files.open_text(path) as file:
      before = file.read()
    after = fill(before, lines)
    if after == before:
      continue
    try:
      with files.atomic_write(path) as partial:
        with open(partial, "w", encoding="utf-8", newline="") as file:
          file.write(after)
    except OSError as error:
      raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    changed = True
    print(f"{os.path.relpath(path, root)}: updated", flush=True)
  if not changed:
    print("all tables are up to date", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
