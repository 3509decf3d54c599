"""Networks for measurements: this machine's loopback, or links of some rate.

A link is between network namespaces, each of which is to the kernel a machine
of its own. It needs root, and the commands `ip` and `tc`.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.transcript import last_line
from rnn.errors import UserError

_PORT, _SWITCH = 45_000, "ptb-switch"


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
    UserError: the machine does not permit it.
  """
  names = [f"ptb-worker{n}" for n in range(size)]
  with contextlib.ExitStack() as stack:  # removes what has been added
    _ip("link", "add", _SWITCH, "type", "bridge")
    stack.callback(_ip, "link", "del", _SWITCH)
    _ip("link", "set", _SWITCH, "up")
    for number, name in enumerate(names):
      port = f"ptb-port{number}"
      _ip("netns", "add", name)
      stack.callback(_ip, "netns", "del", name)
      _ip("link", "add", port, "type", "veth", "peer", "name", "eth", "netns",
          name)
      stack.callback(_ip, "link", "del", port)
      _ip("link", "set", port, "master", _SWITCH, "up")
      _ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth")
      for interface in "eth", "lo":
        _ip("-n", name, "link", "set", interface, "up")
      _run("tc", "-n", name, "qdisc", "add", "dev", "eth", "root", "tbf",
           "rate", f"{gigabits}gbit", "burst", "256kb", "latency", "50ms")
    yield Network(
        f"{gigabits:g} Gbit/s",
        [f"10.77.0.{n + 1}:{_PORT}" for n in range(size)],
        [["ip", "netns", "exec", name] for name in names], "eth")


def sent_bytes(interface: str) -> int:
  """Returns the bytes that an interface has sent, headers included."""
  path = os.path.join("/sys/class/net", interface, "statistics", "tx_bytes")
  with open(path) as file:
    return int(file.read())


def _ip(*args: str) -> None:
  _run("ip", *args)


def _run(*command: str) -> None:
  try:
    subprocess.run(command, check=True, capture_output=True, text=True)
  except FileNotFoundError:
    raise UserError(f"{command[0]}: no such command; install the package "
                    "iproute2") from None
  except subprocess.CalledProcessError as error:
    raise UserError(f"{' '.join(command)}: {last_line(error.stderr)}; this "
                    "needs root, and names that nothing else has") from None
