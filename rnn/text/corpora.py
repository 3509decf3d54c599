"""Corpora: folders with train, valid and test by name, or one text."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rnn.errors import DataError
from rnn.text import sources
from rnn.text.splitting import SPLITS

# The SHA-256 of the splits of the Penn Treebank, as preprocessed by Mikolov.
PTB = {
    "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"}

_NAMINGS = ("ptb.{}.txt", "{}.txt", "wiki.{}.tokens")
_OF_CHARACTERS = "ptb.char.{}.txt"  # only tasks.char_lm reads these
_ENDINGS = ("", ".gz", ".bz2", ".xz", ".zip")
_FOLDERS = ("", "data", os.path.join("simple-examples", "data"))


def find(data_path: str, encoding: str | None = None
         ) -> dict[str, sources.Source]:
  """Returns the files of a corpus, or a single text: a dict, split -> Source.

  A single text (see `is_single`) is the source of each split.

  Args:
    data_path: a folder, see `reader.ptb_raw_data`; or one text, see
      `sources.find`.
    encoding: see `sources.find`.

  Raises:
    DataError: nothing is found, or a folder lacks some of the splits.
    SettingError: there is no such encoding.
  """
  if is_single(data_path):
    return dict.fromkeys(SPLITS, sources.find(data_path, encoding))
  return find_corpus(data_path, encoding=encoding)


def is_ptb(data: Mapping[str, Any]) -> bool:
  """Returns whether texts are those of the Penn Treebank.

  Args:
    data: the entries of config.json's "data", of which each split has a
      "sha256".
  """
  return all(isinstance(data.get(split), Mapping)
             and data[split].get("sha256") == digest
             for split, digest in PTB.items())


def name(data: Mapping[str, Any]) -> str:
  """Returns the name of a corpus, as shown to the user.

  Args:
    data: see `is_ptb`; also with the "path" of the corpus.
  """
  if is_ptb(data):
    return "the Penn Treebank"
  return os.path.basename(str(data.get("path", "")).rstrip("/"))


def is_single(data_path: str) -> bool:
  """Returns whether a path names one text, which `splitting.Split` splits.

  An indexed text does not, nor does a folder in which a file has the name of a
  split.
  """
  if not os.path.isdir(data_path):
    return data_path != ""
  if sources.is_indexed(data_path):
    return False
  return not any(
      with_ending(os.path.join(data_path, folder, naming.format(split)))
      for folder in _FOLDERS for naming in (*_NAMINGS, _OF_CHARACTERS)
      for split in SPLITS)


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
  sources.refuse_index(data_path)
  incomplete = None
  for folder in _FOLDERS:
    for naming in _NAMINGS:
      paths = {split: os.path.join(data_path, folder, naming.format(split))
               for split in splits}
      found = {split: with_ending(path)
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


def with_ending(path: str) -> str | None:
  """Returns the path if it exists, or else with the ending of an archive."""
  return next((path + ending for ending in _ENDINGS
               if os.path.exists(path + ending)), None)
