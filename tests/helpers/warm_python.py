"""A Python that has imported TensorFlow, for tests that start many scripts.

The import takes three seconds of a processor. Here it happens once: a script
runs in a fork of a process that has done it. It is otherwise a process like any
other. Tests of the start itself and of limits that a new process gets take
`sys.executable`.
"""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from rnn.layers import recurrent

_FOLDER = os.path.dirname(os.path.abspath(__file__))


@functools.cache
def command() -> list[str]:
  """Returns the words that stand for `python` in a command.

  On a GPU, and on systems other than Linux, that is Python itself.
  """
  if recurrent.has_gpu() or sys.platform != "linux":
    return [sys.executable]
  folder = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, folder)
  address = os.path.join(folder, "socket")
  with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.bind(address)
    server.listen()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.warm_server",
         str(server.fileno())], cwd=os.path.dirname(os.path.dirname(_FOLDER)),
        stdin=subprocess.PIPE, pass_fds=[server.fileno()])
  atexit.register(process.communicate)  # which closes the pipe
  return [sys.executable, "-S", "-E", os.path.join(_FOLDER, "warm_client.py"),
          address]


class Process(subprocess.Popen):
  """A process of which the program may be `command()`: kill() ends the fork."""

  def kill(self):
    """Sends SIGKILL."""
    warm = command()
    if self.args[:len(warm)] != warm or warm == [sys.executable]:
      return super().kill()
    while self.poll() is None:
      with open(f"/proc/{self.pid}/comm") as file:
        name = file.read().strip()
      if name.isdigit():  # then it is the number of the fork
        with contextlib.suppress(ProcessLookupError):  # it has just ended
          os.kill(int(name), signal.SIGKILL)
        return
      time.sleep(0.001)
