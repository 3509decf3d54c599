"""Stopping between two steps when SIGINT or SIGTERM asks for it."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


class Stopped(BaseException):
  """A signal asked the process to stop.

  Like KeyboardInterrupt it is no Exception, so that no handler of errors
  catches it.

  Attributes:
    signum: the number of the signal.
  """

  def __init__(self, signum: int) -> None:
    super().__init__(signal.Signals(signum).name)
    self.signum = signum


@contextlib.contextmanager
def on_signals() -> Iterator[Callable[[], None]]:
  """A context in which SIGINT and SIGTERM wait for the current step.

  A SIGINT after another signal ends the process at once with status 130. Only
  the main thread can enter the context.

  Yields:
    A function to call between steps. It raises Stopped after a signal.
  """
  received: list[int] = []
  reader, writer = os.pipe()
  os.set_blocking(writer, False)  # as set_wakeup_fd requires

  def watch() -> None:
    # The read returns b"", which is 0, when the pipe is closed.
    while signum := int.from_bytes(os.read(reader, 1), "big"):
      if received and signum == signal.SIGINT:
        os._exit(128 + signum)
      received.append(signum)

  def check() -> None:
    if received:
      raise Stopped(received[0])

  # Python runs signal handlers in the main thread, but only after TensorFlow
  # has returned to it, at the end of a step. A second Ctrl-C could not end a
  # long step. Python writes the number to the wakeup pipe at once, though, and
  # this thread reads it there.
  watcher = threading.Thread(target=watch, daemon=True)
  watcher.start()
  # With the default action, SIGTERM would end the process. So handlers are
  # needed, even if they do nothing. The pipe is there before and after them, so
  # that no signal is lost.
  pipe_before = signal.set_wakeup_fd(writer)
  handlers_before = {signum: signal.signal(signum, lambda *_: None)
                     for signum in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield check
  finally:
    for signum, handler in handlers_before.items():
      signal.signal(signum, handler)
    signal.set_wakeup_fd(pipe_before)
    os.close(writer)  # ends the watcher
    watcher.join()
    os.close(reader)
