"""Work that several processes share, with the progress of all."""

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from rnn.errors import UserError

_T = TypeVar("_T")


def each(function: Callable[..., _T], calls: Sequence[tuple[Any, ...]],
         processes: int, sizes: Sequence[int],
         report: Callable[[int, int], None]) -> list[_T]:
  """Returns the results of calls of a function, in their order.

  Args:
    calls: the arguments of each call.
    processes: how many to use; with 1, it is this process.
    sizes: what each call counts for in the progress.
    report: called with the sum of the sizes of calls that have ended, and of
      all.

  Raises:
    UserError: a process was killed.
    Exception: what a call raises. Calls that have not begun are dropped.
  """
  results: list[_T] = []
  total = sum(sizes)
  try:
    with _pool(min(processes, len(calls))) as submit:
      for done, result in zip(itertools.accumulate(sizes),
                              submit(function, calls), strict=True):
        results.append(result)
        report(done, total)
  except concurrent.futures.BrokenExecutor:
    raise UserError("a process was killed, perhaps because memory ran out; use "
                    "fewer, then repeat the command", "processes") from None
  return results


@contextlib.contextmanager
def alone_in(folder: str) -> Iterator[None]:
  """A context in which no other process has this context for a folder.

  Where the system has no such locks, nothing is checked.

  Raises:
    UserError: another process has it.
    OSError: the folder cannot be opened.
  """
  try:
    import fcntl
  except ImportError:  # Windows
    yield
    return
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(f"{folder}: another process works in this folder; wait "
                      "until it ends, or choose another one", "output"
                      ) from None
    except OSError:  # such as a network file system
      pass
    yield
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[Callable[..., Iterator]]:
  """Yields a function like `itertools.starmap`."""
  if processes <= 1:
    yield lambda function, calls: (function(*call) for call in calls)
    return
  spawn = multiprocessing.get_context("spawn")
  with _sigint_blocked():  # or Ctrl-C could leave a semaphore without an owner
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, spawn, _end_with_parent)
  with pool:
    def submit(function: Callable[..., _T],
               calls: Sequence[tuple[Any, ...]]) -> Iterator[_T]:
      with _sigint_blocked():  # submitting starts the processes
        futures = [pool.submit(function, *call) for call in calls]
      return (future.result() for future in futures)
    try:
      yield submit
    except BaseException:
      pool.shutdown(cancel_futures=True)
      raise


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
  """A context in which SIGINT waits until the end.

  Processes that start within it never receive SIGINT, even while they start.
  Ctrl-C reaches the parent, which then ends the work.
  """
  if (not hasattr(signal, "pthread_sigmask")
      or threading.current_thread() != threading.main_thread()):
    yield
    return
  received: list[int] = []
  handler = signal.signal(
      signal.SIGINT, lambda number, _: received.append(number))
  # The processes inherit the mask. It does not keep the signal from this one: a
  # thread of NumPy may take it, and Python then calls the handler here.
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGINT, handler)
    if received:
      signal.raise_signal(signal.SIGINT)


def _end_with_parent() -> None:
  """Ends this process when its parent does, even if that is killed."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process()
  assert parent

  def wait() -> None:
    parent.join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()
