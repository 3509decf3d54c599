"""Ends the process when something takes too long that nothing can interrupt.

TensorFlow limits the time of a step, but not while it looks for a worker that
never arrives.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

_TICK = 0.2  # seconds between two looks at the clock


class Watchdog:
  """A thread that ends the process at a deadline, with one line."""

  def __init__(self) -> None:
    self._deadline: tuple[float, str] | None = None
    threading.Thread(target=self._watch, daemon=True).start()

  @contextlib.contextmanager
  def limit(self, seconds: float, line: str) -> Iterator[None]:
    """A context that ends the process after so many seconds in it.

    Args:
      line: what is printed to standard error in that case.
    """
    self._deadline = time.monotonic() + seconds, line
    try:
      yield
    finally:
      self._deadline = None

  def _watch(self) -> None:
    while True:
      deadline = self._deadline
      if deadline and time.monotonic() > deadline[0]:
        with contextlib.suppress(OSError):
          print(deadline[1], file=sys.stderr, flush=True)
        os._exit(1)
      time.sleep(_TICK)
