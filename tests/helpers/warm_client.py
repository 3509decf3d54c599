"""Stands in for `python`: the call runs in a fork of `warm_server`.

    python warm_client.py ADDRESS [-m MODULE | SCRIPT] [ARGUMENT...]

Its streams, folder and environment are those of the call; SIGINT and SIGTERM
reach it; this process ends as it does. The name of this process becomes the
number of the fork, for a SIGKILL.
"""

import contextlib
import json
import os
import signal
import socket
import sys


def main() -> None:
  """Runs a call in the server at an address."""
  _, address, *words = sys.argv
  with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(address)
    call = json.dumps([words, os.getcwd(), dict(os.environ)])
    socket.send_fds(server, [call.encode()], [0, 1, 2])
    child = int(server.recv(99))
    with open("/proc/self/comm", "w") as file:
      file.write(str(child))
    for signum in signal.SIGINT, signal.SIGTERM:
      signal.signal(signum, lambda signum, _: os.kill(child, signum))
    status = os.waitstatus_to_exitcode(int(server.recv(99)))
  if status < 0:
    with contextlib.suppress(OSError):  # raised for SIGKILL
      signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
  sys.exit(status)


if __name__ == "__main__":
  main()
