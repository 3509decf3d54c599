"""Several workers of one run, as processes on this machine."""

import contextlib
import os
import random
import socket
import subprocess
import sys

from tests.helpers import warm_python
from tests.helpers.calls import ROOT


def free_ports(number):
  """Returns ports at which no process listens.

  A worker may bind one only seconds later. So they are below the ports that the
  system gives to outgoing connections.
  """
  ports = []
  while len(ports) < number:
    port = random.SystemRandom().randrange(10_000, 32_768)
    with contextlib.suppress(OSError), socket.socket() as each:
      each.bind(("", port))
      ports.append(port)
  return ports


class Team:
  """The processes of several workers, which get the same flags."""

  def __init__(self, size, *args, script="ptb_word_lm.py", cold=()):
    """Starts nothing yet.

    Args:
      args: the flags of all workers.
      cold: the ranks that start Python itself, as for SIGKILL, and not a
        `warm_python`.
    """
    self.addresses = [f"localhost:{port}" for port in free_ports(size)]
    self._args, self._cold, self._script = args, cold, script
    self.processes = {}

  def start(self, rank, *more):
    """Starts a worker, with more flags."""
    return self.start_process(
        rank, f"--workers={','.join(self.addresses)}", f"--worker={rank}",
        *more)

  def start_process(self, rank, *more):
    """Starts a worker without the flags that say so."""
    python = ([sys.executable] if rank in self._cold
              else warm_python.command())
    self.processes[rank] = subprocess.Popen(
        [*python, os.path.join(ROOT, self._script), *self._args,
         *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return self.processes[rank]

  def start_all(self):
    """Starts all workers."""
    for rank in range(len(self.addresses)):
      self.start(rank)
    return self

  def wait_for_step(self):
    """Waits until the chief has printed the progress of a step."""
    lines = []
    while "speed" not in (lines or [""])[-1]:
      lines.append(self.processes[0].stdout.readline())
      assert lines[-1], self.end(0)

  def end(self, rank):
    """Waits for the end of a worker: status, standard output and error."""
    process = self.processes[rank]
    try:
      output = process.communicate(timeout=120)
    finally:
      process.kill()
    return process.returncode, *output

  def ends(self):
    """Waits for the end of all workers: by rank, see `end`."""
    return [self.end(rank) for rank in sorted(self.processes)]


def last_line(text):
  """Returns the last line of a text. TensorFlow may have written others."""
  return text.strip().rpartition("\n")[2]
