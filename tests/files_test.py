"""Files: written atomically, sealed, compressed, locked."""

import bz2
import glob
import gzip
import io
import lzma
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from rnn import files
from rnn.errors import DataError, UserError
from tests.helpers.calls import ROOT
from tests.helpers.run_folders import damaged_versions

# Writing


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
  path = tmp_path / "file"
  path.write_text("old")
  with files.atomic_write(str(path)) as partial:
    with open(partial, "w") as file:
      file.write("new")
    assert path.read_text() == "old"
  assert path.read_text() == "new"
  assert os.listdir(tmp_path) == ["file"]


def test_a_folder_gets_its_name_when_it_is_complete(tmp_path):
  path = tmp_path / "folder"
  with files.atomic_write(str(path)) as partial:
    os.mkdir(partial)
    with open(f"{partial}/file", "w") as file:
      file.write("new")
    assert not path.exists()
  assert (path / "file").read_text() == "new"
  assert os.listdir(tmp_path) == ["folder"]


def test_an_exception_leaves_the_old_file_and_no_new_one(tmp_path):
  path = tmp_path / "file"
  path.write_text("old")
  with pytest.raises(OSError, match="full"):
    with files.atomic_write(str(path)) as partial:
      with open(partial, "w") as file:
        file.write("new")
      raise OSError("full")
  assert path.read_text() == "old"
  assert os.listdir(tmp_path) == ["file"]


def test_nothing_that_exists_is_written_over_but_the_file_itself(tmp_path):
  (tmp_path / "file.partial").mkdir()
  (tmp_path / "file.partial" / "kept").touch()
  names = set()
  for _ in range(2):  # two processes at a time
    with (files.atomic_write(str(tmp_path / "file")) as one,
          files.atomic_write(str(tmp_path / "file")) as other):
      for partial in one, other:
        names.add(partial)
        with open(partial, "x") as file:
          file.write(partial)
  assert len(names) == 4
  assert sorted(os.listdir(tmp_path)) == ["file", "file.partial"]
  assert os.listdir(tmp_path / "file.partial") == ["kept"]


@pytest.mark.parametrize("name", [
    "file", "a.b+[c]", "step-000000178-epoch-2", "\u00e9" * 120])
def test_the_leftover_of_a_killed_write_is_recognised(tmp_path, name):
  with files.atomic_write(str(tmp_path / name)) as partial:
    open(partial, "x").close()
    (leftover,) = os.listdir(tmp_path)
  assert os.listdir(tmp_path) == [name]
  assert files.is_leftover(leftover, name)
  assert files.is_leftover(f"{name}.partial", name)  # of an older version
  for other in name, f"x{leftover}", f"{leftover}x", f"{name}.old.partial":
    assert not files.is_leftover(other, name)


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
  events = []

  def fsync(descriptor, real=os.fsync):
    events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    real(descriptor)

  def replace(source, target, real=os.replace):
    events.append("rename")
    real(source, target)

  monkeypatch.setattr(os, "fsync", fsync)
  monkeypatch.setattr(os, "replace", replace)
  folder = f"{tmp_path}/folder"
  with files.atomic_write(folder) as partial:
    os.makedirs(f"{partial}/inside")
    open(f"{partial}/inside/file", "w").close()
  assert events == [f"{partial}/inside/file", f"{partial}/inside", partial,
                    "rename", str(tmp_path)]


def test_remove_accepts_a_file_a_folder_and_nothing(tmp_path):
  (tmp_path / "file").touch()
  (tmp_path / "folder" / "inside").mkdir(parents=True)
  (tmp_path / "kept" / "inside").mkdir(parents=True)
  (tmp_path / "link").symlink_to(tmp_path / "kept")
  for name in "file", "folder", "link", "nothing":
    files.remove(str(tmp_path / name))
  assert os.listdir(tmp_path) == ["kept"]
  assert os.listdir(tmp_path / "kept") == ["inside"]


# Sealed files


def test_a_sealed_file_reads_as_it_was_written(tmp_path):
  path = str(tmp_path / "file")
  content = {"b": [1, 2.5, None, "\u00e9"], "a": {"c": True}}
  files.write_sealed(path, content)
  assert files.read_sealed(path) == content


def test_damage_to_a_sealed_file_is_detected(tmp_path):
  path = tmp_path / "file"
  files.write_sealed(str(path), {"rows": [{"epoch": 1, "perplexity": 2.5}]})
  whole, detected = path.read_bytes(), 0
  for content in (b"", whole[:-3], b"null", b"[]", b"[" * 5000, b"\xff",
                  b'{"sha256": 1}', *damaged_versions(whole, len(whole))):
    path.write_bytes(content)
    try:
      assert files.read_sealed(str(path)) == {
          "rows": [{"epoch": 1, "perplexity": 2.5}]}
    except files.DamagedError as error:
      assert str(error).startswith(f"{path}: ")
      detected += 1
  # A changed blank between two values does no harm.
  assert detected > 0.9 * len(whole)
  path.unlink()
  with pytest.raises(files.DamagedError, match="No such file"):
    files.read_sealed(str(path))


# Temporary files


def test_numbers_in_a_temporary_file_are_mapped():
  with files.temporary_file() as file:
    assert files.memory_map(file).tolist() == []
    file.write(np.arange(5, dtype="<i4").tobytes())
    file.flush()
    numbers = files.memory_map(file, "r+")
  numbers[0] = 7  # the map keeps the file
  assert numbers.tolist() == [7, 1, 2, 3, 4]


def test_no_room_for_temporary_files_gives_one_line(tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
  with pytest.raises(DataError, match="none: cannot write temporary files: No "
                                      "such file .* TMPDIR"):
    with files.temporary_file():
      pass


# Reading


TEXT = "caf\u00e9 \u2028 b\r\nc\n" * 99


@pytest.mark.parametrize("compress", [
    bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_read_whatever_their_names(tmp_path, compress):
  path = tmp_path / "file"
  path.write_bytes(compress(b"\xef\xbb\xbf" + TEXT.encode()))
  with files.open_binary(str(path)) as file:
    assert file.read() == b"\xef\xbb\xbf" + TEXT.encode()
  with files.open_text(str(path)) as file:
    assert list(file) == list(io.StringIO(TEXT, newline=""))


@pytest.mark.parametrize("compress", [
    gzip.compress, bz2.compress, lzma.compress])
def test_several_compressed_streams_are_one_file(tmp_path, compress):
  path = tmp_path / "file"
  one, other = np.random.default_rng(0).bytes(200_000), b"other" * 99
  whole = compress(one) + compress(b"") + compress(other)
  for end in b"", bytes(3), bytes(100_000):
    path.write_bytes(whole + end)
    with files.open_binary(str(path)) as file:
      assert file.read() == one + other


@pytest.mark.parametrize("compress, offset", [
    (gzip.compress, 20), (bz2.compress, 12), (lzma.compress, 20),
    (bz2.compress, 0), (lzma.compress, 0)])
def test_damage_in_a_later_stream_is_reported(tmp_path, compress, offset):
  path = tmp_path / "file"
  first, other = compress(b"one " * 99), bytearray(compress(b"other " * 9999))
  other[offset] ^= 0x55
  path.write_bytes(first + other)
  with pytest.raises(DataError, match="truncated or damaged"):
    with files.open_binary(str(path)) as file:
      file.read()


@pytest.mark.parametrize("compress", [
    gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_files_give_one_line(tmp_path, compress):
  path = tmp_path / "file"
  whole = compress(np.random.default_rng(0).bytes(5000))
  for content in (whole[:len(whole) // 2],
                  whole[:100] + b"\xff" * 50 + whole[150:]):
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
      with files.open_binary(str(path)) as file:
        file.read()
    assert str(error.value).startswith(f"{path}: truncated or damaged (")
    assert str(error.value).isprintable()


def test_text_that_is_not_utf_8_gives_one_line(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(b"a\nb\xff\n")
  with pytest.raises(DataError, match="file: not UTF-8 text; convert the file"):
    with files.open_text(str(path)) as file:
      file.read()


@pytest.mark.parametrize("name, message", [
    ("none", ": No such file"), ("folder", ": Is a directory"),
    ("nul\0", "nul.*: not a file name: "),
    ("surrogate\ud800", "surrogate.*: not a file name: "),
    ("n" * 300, ": File name too long")])
def test_paths_that_cannot_be_opened_give_one_line(tmp_path, name, message):
  (tmp_path / "folder").mkdir()
  with pytest.raises(DataError, match=message) as error:
    with files.open_binary(f"{tmp_path}/{name}"):
      pass
  assert str(error.value).startswith(str(tmp_path))
  assert str(error.value).isprintable()


def test_errors_of_the_reading_code_pass_unchanged(tmp_path):
  """A ValueError may come from the code that reads, not from the path."""
  (tmp_path / "file").touch()
  with pytest.raises(DataError, match="^line 3$"):
    with files.open_binary(str(tmp_path / "file")):
      raise DataError("line 3")


def test_only_files_are_read(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  for path in str(tmp_path), str(tmp_path / "pipe"):
    with pytest.raises(DataError, match="not a file$"):
      files.check_is_file(path)
  files.check_is_file(str(tmp_path / "none"))


@pytest.mark.slow
def test_the_suite_imports_no_module_that_only_unix_has():
  modules = [os.path.relpath(path, ROOT).removesuffix(".py").replace("/", ".")
             for folder in ("rnn", "trained", "tasks")
             for path in glob.glob(f"{ROOT}/{folder}/**/*.py", recursive=True)]
  scripts = ["ptb_word_lm", "generate", "score", "export", "neighbors"]
  done = subprocess.run(
      [sys.executable, "-c", "import sys, importlib\n"
       "for name in ('fcntl', 'resource', 'termios', 'pty', 'pwd', 'grp'):\n"
       "  sys.modules[name] = None\n"
       "for name in sys.argv[1:]: importlib.import_module(name)",
       *scripts, *modules], cwd=ROOT, capture_output=True, text=True)
  assert (done.returncode, done.stderr) == (0, "")


def test_other_errors_of_users_keep_their_text():
  with pytest.raises(UserError, match="^vectors: line 3 is empty$"):
    with files.path_errors("text"):
      raise UserError("vectors: line 3 is empty")
