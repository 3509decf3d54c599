"""Networks for measurements: this machine's loopback, or links of some rate.

A link is between network namespaces, each of which is to the kernel a machine
of its own. It needs root, and the commands `ip` and `tc`.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_PORT = 45_000


class Network(NamedTuple):
  """A network between workers.

  Attributes:
    name: as in the table.
    addresses: one per worker.
    prefixes: the words before the command of each worker.
    interface: the one whose counters have what each worker sends.
  """

  name: str
  addresses: Sequence[str]
  prefixes: Sequence[Sequence[str]]
  interface: str


def loopback(size: int) -> Network:
  """Returns this machine's own network."""
  return Network("loopback", [f"localhost:{_PORT + n}" for n in range(size)],
                 [[]] * size, "lo")


@contextlib.contextmanager
def links(size: int, gigabits: float) -> Iterator[Network]:
  """A context with a namespace per worker, at a switch.

  Args:
    gigabits: the rate at which each worker can send, in Gbit/s.

  Raises:
    subprocess.CalledProcessError: the machine does not permit it.
  """
  names = [f"worker{n}" for n in range(size)]
  try:
    _ip("link", "add", "switch", "type", "bridge")
    _ip("link", "set", "switch", "up")
    for number, name in enumerate(names):
      _ip("netns", "add", name)
      _ip("link", "add", f"port{number}", "type", "veth", "peer", "name",
          "eth", "netns", name)
      _ip("link", "set", f"port{number}", "master", "switch", "up")
      _ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth")
      for interface in "eth", "lo":
        _ip("-n", name, "link", "set", interface, "up")
      _run("tc", "-n", name, "qdisc", "add", "dev", "eth", "root", "tbf",
           "rate", f"{gigabits}gbit", "burst", "256kb", "latency", "50ms")
    yield Network(
        f"{gigabits:g} Gbit/s",
        [f"10.77.0.{n + 1}:{_PORT}" for n in range(size)],
        [["ip", "netns", "exec", name] for name in names], "eth")
  finally:
    for number, name in enumerate(names):
      _ip("link", "del", f"port{number}", check=False)
      _ip("netns", "del", name, check=False)
    _ip("link", "del", "switch", check=False)


def sent_bytes(interface: str) -> int:
  """Returns the bytes that an interface has sent, headers included."""
  path = os.path.join("/sys/class/net", interface, "statistics", "tx_bytes")
  with open(path) as file:
    return int(file.read())


def _ip(*args: str, check: bool = True) -> None:
  _run("ip", *args, check=check)


def _run(*command: str, check: bool = True) -> None:
  subprocess.run(command, check=check, capture_output=True)
