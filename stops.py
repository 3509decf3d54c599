"""Stopping between two steps when SIGINT or SIGTERM asks for it."""

import contextlib
import signal


class Stopped(BaseException):
  """A signal asked the process to stop; `signum` is its number."""

  def __init__(self, signum):
    super().__init__(signal.Signals(signum).name)
    self.signum = signum


@contextlib.contextmanager
def on_signals():
  """Within it, SIGINT and SIGTERM wait for the step in hand.

  A second SIGINT ends the process at once.

  Yields:
    A function to call between steps; it raises Stopped once a signal came.
  """
  received = []

  def note(signum, _):
    received.append(signum)
    # Not Python's own handler: it would wait for TensorFlow to return.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

  def check():
    if received:
      raise Stopped(received[0])

  before = {signum: signal.signal(signum, note)
            for signum in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield check
  finally:
    for signum, handler in before.items():
      signal.signal(signum, handler)
