"""Texts that `indexing` reads, and texts that it refuses."""

import os
import tarfile
import zipfile

import pytest

import reader
from rnn.errors import DataError, UserError
from rnn.text import indexing, processes, sources
from rnn.text.vocabulary import Choice

TEXT = "".join(f"word{i % 7} is in line {i}\n" for i in range(300))


def task(output, path, encoding=None):
  """Returns the task to index one text, in pieces of 2,000 bytes."""
  return indexing.Task(
      str(output), {"train": sources.find(str(path), encoding)}, Choice(), 0.1,
      2000, 1)


def test_another_text_may_replace_one_that_failed(tmp_path):
  """The error advised to name another encoding or file."""
  folder = tmp_path / "text"
  folder.mkdir()
  (folder / "1").write_text(TEXT)  # more than a piece
  (folder / "2").write_bytes(("caf\u00e9 \u2019\n" * 999).encode("cp1252"))
  for path in f"{tmp_path}/typo", str(folder):
    with pytest.raises(DataError, match="No such file|may be cp1252"):
      indexing.index(task(tmp_path / "a", path))
  with pytest.raises(DataError, match="a: holds the index of another text"):
    indexing.index(task(tmp_path / "a", f"{folder}/1"))
  indexing.index(task(tmp_path / "a", folder, "cp1252"))
  assert "caf\u00e9" in reader.read_corpus(f"{tmp_path}/a")[1]


def test_archives_and_pipes(tmp_path):
  text = TEXT.encode()
  with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
    for name in "b", "a":
      archive.writestr(name, text)
  indexing.index(task(tmp_path / "a", f"{tmp_path}/zip"))
  with tarfile.open(tmp_path / "tar", "w") as archive:
    archive.add(tmp_path / "zip", "zip")
  os.mkfifo(tmp_path / "pipe")
  for name, message in ("tar", "tar: a tar archive"), ("pipe", "not a file"):
    with pytest.raises(DataError, match=message):
      indexing.index(task(tmp_path / name[0], tmp_path / name))


def test_only_one_process_works_in_a_folder(tmp_path):
  (tmp_path / "text").write_text(TEXT)
  os.mkdir(tmp_path / "a")
  with processes.alone_in(str(tmp_path / "a")):
    with pytest.raises(UserError, match="a: another process works in this"):
      indexing.index(task(tmp_path / "a", tmp_path / "text"))
  indexing.index(task(tmp_path / "a", tmp_path / "text"))
