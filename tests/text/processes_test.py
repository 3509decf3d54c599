"""Work that several processes share."""

import operator
import os
import signal
import subprocess
import sys
import threading

import pytest

from rnn.errors import UserError
from rnn.text.processes import _sigint_blocked, each
from tests.helpers.calls import allow_sigint


@pytest.mark.parametrize("processes", [
    1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_are_in_order_and_the_progress_is_reported(processes):
  progress = []
  assert each(operator.add, [(k, 10) for k in range(5)], processes,
              [1, 2, 3, 4, 5], lambda *now: progress.append(now)
              ) == [10, 11, 12, 13, 14]
  assert progress == [(1, 15), (3, 15), (6, 15), (10, 15), (15, 15)]


@pytest.mark.parametrize("processes", [
    1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_ends_the_work(processes):
  with pytest.raises(ZeroDivisionError):
    each(operator.floordiv, [(1, 0), (1, 1)], processes, [1, 1],
         lambda *_: None)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX")
def test_ctrl_c_waits_while_processes_start(request):
  """Even if another thread takes the signal, as one of NumPy does."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
  begins, waited = threading.Event(), False

  def interrupt():
    begins.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

  thread = threading.Thread(target=interrupt)
  thread.start()
  with pytest.raises(KeyboardInterrupt), _sigint_blocked():
    begins.set()
    thread.join()
    waited = True
  assert waited and signal.SIGINT not in signal.pthread_sigmask(
      signal.SIG_BLOCK, [])


# A signal after a semaphore is registered, and before an object owns it that
# removes it.
_INTERRUPT = """
import signal
from multiprocessing import resource_tracker
from rnn.text import processes

register = resource_tracker.register

def interrupt(*resource):
  register(*resource)
  signal.raise_signal(signal.SIGINT)

resource_tracker.register = interrupt
try:
  processes.each(print, [(1,), (2,)], 2, [1, 1], print)
except KeyboardInterrupt:
  print("interrupted")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_ctrl_c_leaves_no_semaphore():
  result = subprocess.run([sys.executable, "-c", _INTERRUPT],
                          capture_output=True, text=True,
                          preexec_fn=allow_sigint)
  assert (result.stdout, result.stderr) == ("interrupted\n", "")


@pytest.mark.slow
def test_a_process_that_is_killed_is_reported():
  with pytest.raises(UserError, match="a process was killed.* use fewer"):
    each(os._exit, [(1,), (1,)], 2, [1, 1], lambda *_: None)
