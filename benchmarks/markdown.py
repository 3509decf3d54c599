"""Tables in Markdown."""


def row(*cells: str) -> str:
  """Returns a row of a table; an empty cell has one blank."""
  return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def header(*cells: str) -> list[str]:
  """Returns the first two lines of a table, with the names of its columns."""
  return [row(*cells), "|---" * len(cells) + "|"]
