"""The lock of a run directory."""

import errno
import fcntl
import os
import re
import sys
import types

import pytest

from rnn.runs.checkpoints import RunError
from rnn.runs.lock import Lock


@pytest.fixture
def locks(tmp_path):
  """Two locks on the same file, as of two processes."""
  return [Lock(str(tmp_path / "lock"), "RUN") for _ in range(2)]


def test_only_one_process_holds_the_lock(locks, tmp_path):
  one, other = locks
  with one.hold():
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    message = f"^RUN: in use by process {os.getpid()}; wait"
    with pytest.raises(RunError, match=message):
      with other.hold():
        pass
    one.check()
  with other.hold():
    other.check()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_gets_a_warning(
    locks, tmp_path, monkeypatch, caplog, number):
  def flock(*_):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, "flock", flock)
  with locks[0].hold():
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
  assert "/lock: the file system has no locks (" in caplog.text


def test_nothing_is_left_of_a_longer_process_id(locks, tmp_path):
  (tmp_path / "lock").write_text("4294967296\n")  # of a process that has ended
  with locks[0].hold():
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_holder_is_named_whatever_the_file_has(locks, tmp_path):
  one, other = locks
  with one.hold():
    for content, name in (b"", "?"), (b"\xff\n", "\ufffd"), (
        b"7" * 5000, "7" * 99):
      (tmp_path / "lock").write_bytes(content)
      with pytest.raises(RunError, match=re.escape(f"process {name};")):
        with other.hold():
          pass


def test_a_lock_on_windows(locks, tmp_path, monkeypatch):
  """With a stand-in for msvcrt that locks by fcntl."""
  locked = []

  def locking(descriptor, mode, num_bytes):
    locked.append((mode, os.lseek(descriptor, 0, os.SEEK_CUR), num_bytes))
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

  monkeypatch.setitem(sys.modules, "fcntl", None)
  monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(
      LK_NBLCK=2, locking=locking))
  one, other = locks
  with one.hold(), pytest.raises(RunError, match=f"process {os.getpid()};"):
    with other.hold():
      pass
  assert locked == [(2, 1 << 30, 1)] * 2


@pytest.mark.parametrize("make", [
    lambda path: path.symlink_to(path.with_name("thesis")),
    lambda path: path.symlink_to("/nowhere/at/all"),
    os.mkfifo, os.mkdir], ids=["link", "dangling link", "pipe", "folder"])
@pytest.mark.usefixtures("no_hang")
def test_only_a_regular_file_is_written_to(locks, tmp_path, make):
  (tmp_path / "thesis").write_text("kept")
  make(tmp_path / "lock")
  with pytest.raises(RunError, match="/lock: not a regular file; remove it$"):
    with locks[0].hold():
      pass
  assert (tmp_path / "thesis").read_text() == "kept"


def test_a_deleted_lock_is_written_again(locks, tmp_path, caplog):
  one, other = locks
  with one.hold():
    os.remove(tmp_path / "lock")
    one.check()
    assert caplog.messages == [
        f"{tmp_path}/lock: deleted during training; written again"]
    with pytest.raises(RunError, match="in use"):
      with other.hold():
        pass
    one.check()
  with other.hold():  # it was released
    pass


def test_another_file_with_the_same_holder_is_no_other_lock(locks, tmp_path):
  """Some network file systems renumber their files."""
  with locks[0].hold():
    os.remove(tmp_path / "lock")
    (tmp_path / "lock").write_text(f"{os.getpid()}\n")
    locks[0].check()


def test_a_disk_that_is_full_leaves_no_lock(locks, tmp_path, monkeypatch):
  one, other = locks
  monkeypatch.setattr(os, "getpid", lambda: 1 // 0)
  with pytest.raises(ZeroDivisionError):
    with one.hold():
      pass
  monkeypatch.undo()
  with other.hold():
    pass


def test_a_lock_that_another_process_took_over_stops_this_one(
    locks, tmp_path, monkeypatch):
  one, other = locks
  with one.hold():
    os.remove(tmp_path / "lock")
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with other.hold():
      monkeypatch.undo()
      with pytest.raises(RunError, match="another process has trained in this"):
        one.check()
    with pytest.raises(RunError, match="another process has trained in this"):
      one.check()  # even if it has ended


def test_a_folder_that_was_moved_away_is_an_error(locks, tmp_path):
  lock = Lock(str(tmp_path / "run" / "lock"), "RUN")
  (tmp_path / "run").mkdir()
  with lock.hold():
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
      lock.check()
