"""Limits of time and memory, for tests with damaged files."""

import contextlib
import resource
import signal

import pytest

SECONDS, GIGABYTES = 30, 4


@contextlib.contextmanager
def limits():
  """Fails what takes too long, or too much memory."""
  def stop(*_):
    pytest.fail(f"takes {SECONDS} s")

  with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
  soft, hard = resource.getrlimit(resource.RLIMIT_AS)
  handler = signal.signal(signal.SIGALRM, stop)
  signal.alarm(SECONDS)
  resource.setrlimit(resource.RLIMIT_AS, (used + GIGABYTES * 10 ** 9, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
