"""The lock of a run directory: only one process trains there at a time."""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterator
from typing import IO

from rnn.runs.checkpoints import RunError

# The errors of file systems without locks, such as some network file systems.
_NO_LOCKS = errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP

_log = logging.getLogger(__name__)


class Lock:
  """The file `lock` of a run directory. It has the process id of its holder.

  The system frees the lock when the process ends, however it ends.
  """

  def __init__(self, path: str, folder: str) -> None:
    """Does not touch the file yet.

    Args:
      path: of the file. folder: of the run, as the user gave it.
    """
    self._path, self._folder = path, folder
    self._file: IO[bytes] | None = None

  @contextlib.contextmanager
  def hold(self) -> Iterator[None]:
    """A context in which this process holds the lock.

    Raises:
      RunError: another process holds it, or it is not a regular file.
      OSError: the file cannot be written.
    """
    try:
      self._take()
      yield
    finally:
      self._release()

  def check(self) -> None:
    """Checks that no other process can hold the lock; takes it again if needed.

    A file that was deleted locks out nobody. If it was replaced, another
    process has begun to train here.

    Raises:
      RunError: the file was replaced.
      OSError: it was deleted and cannot be written again.
    """
    if not self._file:
      return
    try:
      there = os.stat(self._path, follow_symlinks=False)
    except FileNotFoundError:
      self._release()
      self._take()
      _log.warning("%s: deleted during training; written again", self._path)
      return
    # On some network file systems the numbers by which files are compared may
    # change, but not the content.
    if not os.path.samestat(os.fstat(self._file.fileno()), there) and (
        self._holder() != str(os.getpid())):
      raise RunError(
          f"{self._path}: replaced, so another process has trained in this "
          "folder; make sure that it has ended, then resume")

  def _take(self) -> None:
    file = self._open()
    if not try_lock(file):
      file.close()
      raise RunError(
          f"{self._folder}: in use by process {self._holder() or '?'}; wait "
          "until it ends, or choose another folder for the run", "save_path")
    self._file = file
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())

  def _holder(self) -> str:
    """Returns the process id in the file."""
    with self._open() as file:
      return file.read(99).decode(errors="replace").strip()

  def _release(self) -> None:
    if self._file:
      self._file.close()
    self._file = None

  def _open(self) -> IO[bytes]:
    """Opens the file, and creates it if it does not exist."""
    # A link is not followed: the file that it names is not a run's.
    flags = (os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
             | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if os.path.lexists(self._path) and not stat.S_ISREG(
        os.stat(self._path, follow_symlinks=False).st_mode):
      raise RunError(f"{self._path}: not a regular file; remove it")
    return open(self._path, "r+b", buffering=0,
                opener=lambda name, _: os.open(name, flags, 0o666))


def try_lock(file: IO[bytes]) -> bool:
  """Locks an open file for this process; returns whether that succeeded."""
  try:
    import fcntl
  except ImportError:  # Windows
    return _try_lock_on_windows(file)
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    _log.warning("%s: the file system has no locks (%s); let only one process "
                 "train in this folder", file.name, error.strerror)
  return True


def _try_lock_on_windows(file: IO[bytes]) -> bool:
  """Locks one byte far past the end of the content, so others can read it."""
  import msvcrt
  file.seek(1 << 30)
  try:
    msvcrt.locking(  # type: ignore[attr-defined]
        file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    return True
  except OSError:
    return False
  finally:
    file.seek(0)
