"""Labeled texts, wherever they are: folders, tables, the archive of reviews.

    mails/ham/1.txt  mails/spam/2.eml       one folder per label
    train/pos/a.txt  test/neg/b.txt         the same in train, test and valid
    reviews.csv                             a table with named columns
    train.csv  test.csv                     tables in a folder
    aclImdb_v1.tar.gz                       see `imdb`

Folders and tables are read in the order of their names and rows. The names of
files in the folder of a label do not matter; hidden ones are skipped.
"""

import contextlib
import dataclasses
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from rnn import files
from rnn.errors import DataError, SettingError
from rnn.text import sources
from tasks import imdb, tables
from tasks.held_out import PARTS

_PART_OF = {"train": "train", "training": "train", "valid": "valid",
            "validation": "valid", "val": "valid", "dev": "valid",
            "test": "test", "testing": "test"}
# As they are usually called: the columns, the best first, and their flags.
_TEXT_NAMES = ("text", "review", "sentence", "content", "body", "comment",
               "tweet", "message", "document", "review_text", "reviewtext")
_LABEL_NAMES = ("label", "sentiment", "class", "category", "target", "polarity",
                "labels", "rating", "stars", "score", "topic", "intent")
_TABLE = re.compile(r"(.+)\.(csv|tsv)(\.(gz|bz2|xz|zip))?", re.IGNORECASE)
_MAX_TEXT = 10 ** 7  # bytes or characters of a file

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Example:
  """A text with its label.

  Attributes:
    part: one of PARTS; "train" if the data are not divided.
    place: where the text is, for errors.
  """

  part: str
  label: str
  text: str
  place: str


@dataclasses.dataclass(frozen=True)
class Columns:
  """The names of two columns of a table; None stands for the usual names.

  Attributes:
    encoding: of the table or of the files in folders, see `sources.find`.
  """

  text: str | None = None
  label: str | None = None
  encoding: str | None = None


def examples(path: str, columns: Columns = Columns()) -> Iterator[Example]:
  """Generates the texts of a folder, a table, or the archive of reviews.

  Raises:
    DataError: nothing there has labels; a file cannot be read, has another
      encoding, or exceeds a limit; or a table lacks a column. The message
      describes what was found.
    SettingError: a column or the encoding has no effect.
  """
  if os.path.isdir(path):
    return _read_folder(path, columns)
  if imdb.is_archive(path):
    _refuse_columns(columns, "the archive of reviews")
    if columns.encoding is not None:
      raise SettingError("encoding", "has no effect with the archive of "
                         "reviews; leave it out", columns.encoding)
    return (Example(part, label, text, path)
            for part, label, text in imdb.reviews(path) if label is not None)
  return _read_table(path, "train", columns)


# Folders


def _read_folder(path: str, columns: Columns) -> Iterator[Example]:
  root = _descend(path)
  folders, names = _visible(root)
  if parts := _parts(root, {name: name for name in folders}):
    return _read_parts(root, {
        part: _labels_in(path) for part, path in parts.items()}, columns)
  if tables_ := _parts(root, {name: match[1] for name in names
                              if (match := _TABLE.fullmatch(name))}):
    return (example for part, path in tables_.items()
            for example in _read_table(path, part, columns))
  if not folders:
    raise DataError(
        f"{root}: has {_listed(folders, 'folder')} and "
        f"{_listed(names, 'file')}, but texts need labels; put the texts of "
        "each label into a folder of its name, or name a table, CSV or TSV")
  return _read_parts(root, {"train": _labels_in(root)}, columns)


def _parts(root: str, stems: Mapping[str, str]) -> dict[str, str]:
  """Returns a dict, part -> its path, in order; empty if nothing is "train".

  Args:
    stems: a dict, name in the folder `root` -> what may be a name of a part.

  Raises:
    DataError: two of them stand for one part.
  """
  names = {part: [name for name, stem in stems.items()
                  if _PART_OF.get(stem.lower()) == part] for part in PARTS}
  if not names["train"]:
    return {}
  for part, found in names.items():
    if len(found) > 1:
      raise DataError(f"{root}: {found[0]} and {found[1]} both stand for "
                      f"{part}; move one of them away")
  return {part: os.path.join(root, found[0])
          for part, found in names.items() if found}


def _descend(path: str) -> str:
  """Returns the folder in which labels or parts are: often an only folder."""
  while True:
    folders, names = _visible(path)
    if imdb.FOLDER in folders:
      path = os.path.join(path, imdb.FOLDER)
    elif len(folders) == 1 and not any(map(_TABLE.fullmatch, names)) and (
        _PART_OF.get(folders[0].lower()) is None
        and _visible(os.path.join(path, folders[0]))[0]):
      path = os.path.join(path, folders[0])
    else:
      return path


def _visible(path: str) -> tuple[list[str], list[str]]:
  """Returns the names of folders and of other files, sorted."""
  with files.path_errors(path):
    names = sorted(n for n in os.listdir(path) if not n.startswith("."))
  folders = [n for n in names if os.path.isdir(os.path.join(path, n))]
  return folders, [n for n in names if n not in set(folders)]


def _labels_in(folder: str) -> dict[str, str]:
  """Returns a dict, label -> its folder.

  Raises:
    DataError: there are fewer than two.
  """
  folders, names = _visible(folder)
  labels = {name: os.path.join(folder, name) for name in folders
            if name != imdb.UNLABELED}
  if len(labels) < 2:
    raise DataError(
        f"{folder}: has {_listed(list(labels), 'folder')} and "
        f"{_listed(names, 'file')}, but needs one folder per label, at least "
        "two")
  return labels


def _read_parts(root: str, folders: dict[str, dict[str, str]],
                columns: Columns) -> Iterator[Example]:
  """Generates the texts of a dict, part -> label -> folder.

  Raises:
    SettingError: a column is given, which only a table has.
  """
  _refuse_columns(columns, "a folder for each label")
  if {label for labels in folders.values() for label in labels} == set(
      imdb.LABELS):
    folders = {part: {imdb.LABELS[name]: path for name, path in labels.items()}
               for part, labels in folders.items()}
  _log.info("%s: %s", root, "; ".join(
      f"{part} has {_listed(list(labels), 'label')}"
      for part, labels in folders.items()))
  for part, labels in folders.items():
    for label, folder in labels.items():
      inside, names = _visible(folder)
      if not names:
        raise DataError(
            f"{folder}: has {_listed(inside, 'folder')} but no file with a text"
            f" of the label {label}; add some, or move the folder away")
      for name in names:
        place = os.path.join(folder, name)
        yield Example(part, label, _read_text(place, columns.encoding), place)


def _refuse_columns(columns: Columns, what: str) -> None:
  for name in "text", "label":
    if (column := getattr(columns, name)) is not None:
      raise SettingError(f"{name}_column", f"has no effect with {what}; leave "
                         "it out", column)


@contextlib.contextmanager
def _open(path: str, encoding: str | None) -> Iterator[io.TextIOWrapper]:
  """Yields a file, which may be compressed, as a stream of text."""
  files.check_is_file(path)
  with files.open_binary(path):
    pass  # it exists, and an archive has one file
  with sources.of_file(path, encoding).open_text() as file:
    yield file


def _read_text(path: str, encoding: str | None) -> str:
  with _open(path, encoding) as file:
    text = file.read(_MAX_TEXT + 1)
  if len(text) > _MAX_TEXT:
    raise DataError(f"{path}: has more than {_MAX_TEXT:,} characters, so it is "
                    "no single text with a label; move it away")
  return text


def _listed(names: Sequence[str], what: str) -> str:
  """Returns names as in "3 folders (a, b, c)"."""
  if not names:
    return f"no {what}s"
  some = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
  return f"{len(names):,} {what}{'s' * (len(names) != 1)} ({some})"


# Tables


def _read_table(path: str, part: str, columns: Columns) -> Iterator[Example]:
  """Generates the rows of a table as texts of a part."""
  with _open(path, columns.encoding) as file:
    table = tables.Table.read(path, file)
    text, label = _find_columns(table, columns)
    _log.info("%s: the text is in the column %r, the label in %r", path,
              table.columns[text], table.columns[label])
    for number, row in table.rows():
      place = f"{path}, line {number:,}"
      if len(row) != len(table.columns):
        raise DataError(
            f"{path}: line {number:,}: the row has {len(row)} values, the "
            f"header {len(table.columns)} names; put a text with separators or "
            "quotes in it into double quotes")
      if not row[label].strip():
        raise DataError(f"{path}: line {number:,}: the column "
                        f"{table.columns[label]!r} has no label; add it, or "
                        "remove the row")
      yield Example(part, row[label].strip(), row[text], place)


def _find_columns(table: tables.Table, columns: Columns) -> tuple[int, int]:
  """Returns the indices of the texts and of the labels.

  Raises:
    DataError: they are not found.
  """
  text = _find(table, columns.text, _TEXT_NAMES, "text_column")
  label = _find(table, columns.label, _LABEL_NAMES, "label_column")
  if len(table.columns) == 2 and (text is None) != (label is None):
    text = 1 - label if text is None else text  # type: ignore[operator]
    label = 1 - text if label is None else label
  for index, what, setting in ((text, "texts", "text_column"),
                               (label, "labels", "label_column")):
    if index is None:
      raise DataError(
          f"{table.path}: none of its columns {_quoted(table)} has a usual name"
          f" for {what}; name the column, or add a header if the first line is"
          " a text", setting)
  assert text is not None and label is not None
  if text == label:
    raise DataError(f"{table.path}: the column {table.columns[text]!r} cannot "
                    f"hold both texts and labels; its columns are "
                    f"{_quoted(table)}; name another one", "label_column")
  return text, label


def _find(table: tables.Table, name: str | None, usual: Sequence[str],
          setting: str) -> int | None:
  """Returns the index of a column, or None if none has a usual name."""
  if name is not None:
    if name not in table.columns:
      raise DataError(f"{table.path}: has no column {name!r}, but "
                      f"{_quoted(table)}; name one of them", setting)
    return table.columns.index(name)
  lower = [column.lower() for column in table.columns]
  return next((lower.index(u) for u in usual if u in lower), None)


def _quoted(table: tables.Table) -> str:
  shown = [repr(name if len(name) < 40 else f"{name[:36]}...")
           for name in table.columns[:20]]
  return ", ".join(shown) + ", ..." * (len(table.columns) > 20)
