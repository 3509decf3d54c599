"""Folders that hold a corpus: train, valid and test, under usual names."""

import os
from collections.abc import Sequence

from rnn.errors import DataError
from rnn.text import sources

SPLITS = ("train", "valid", "test")
_NAMINGS = ("ptb.{}.txt", "{}.txt", "wiki.{}.tokens")
_ENDINGS = ("", ".gz", ".bz2", ".xz", ".zip")
_FOLDERS = ("", "data", os.path.join("simple-examples", "data"))


def find_corpus(data_path: str, splits: Sequence[str] = SPLITS,
                encoding: str | None = None) -> dict[str, sources.Source]:
  """Returns the files of a corpus: a dict, split -> Source.

  Args:
    data_path: see `reader.ptb_raw_data`.
    splits: the splits to find.
    encoding: see `sources.find`.

  Raises:
    DataError: the folder does not exist, or lacks some of the splits.
    SettingError: there is no such encoding.
  """
  if not os.path.isdir(data_path):
    what = "not a folder" if os.path.exists(data_path) else "no such folder"
    raise DataError(f"{data_path or 'data_path'}: {what}; name the folder with "
                    "the files train.txt, valid.txt and test.txt")
  incomplete = None
  for folder in _FOLDERS:
    for naming in _NAMINGS:
      paths = {split: os.path.join(data_path, folder, naming.format(split))
               for split in splits}
      found = {split: _with_ending(path)
               for split, path in paths.items()}
      missing = [paths[split] for split in splits if not found[split]]
      if not missing:
        return {split: sources.of_file(path, encoding)
                for split, path in found.items() if path}
      if len(missing) < len(splits):
        incomplete = incomplete or missing[0]
  if incomplete:
    raise DataError(f"{incomplete}: missing, although the rest of the corpus "
                    "exists; restore it")
  names = " or ".join(n.format("{train,valid,test}") for n in _NAMINGS)
  raise DataError(f"{data_path}: no corpus in this folder; its files must be "
                  f"named {names}")


def _with_ending(path: str) -> str | None:
  """Returns the path if it exists, or else with the ending of an archive."""
  return next((path + ending for ending in _ENDINGS
               if os.path.exists(path + ending)), None)
