"""The process behind `warm_python`: TensorFlow is there, each call is a fork.

    python -m tests.helpers.warm_server SOCKET < PIPE

SOCKET is the number of a listening socket. The process ends when the pipe does.
"""

import json
import os
import runpy
import select
import signal
import socket
import sys


def main() -> None:
  """Serves calls; in the fork for a call, runs it and ends as Python would."""
  import rnn.tf1  # noqa: F401, once for all calls
  for name in list(sys.modules):
    if name.partition(".")[0] in ("rnn", "tests"):
      del sys.modules[name]  # a call may be of another checkout
  words = _wait_for_call(socket.socket(fileno=int(sys.argv[1])))
  sys.orig_argv = [sys.executable, *words]
  if words[0] == "-m":
    sys.argv = words[1:]
    sys.path[0] = os.getcwd()
    runpy.run_module(words[1], run_name="__main__", alter_sys=True)
  else:
    sys.argv = words
    sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
    runpy.run_path(words[0], run_name="__main__")


def _wait_for_call(server: socket.socket) -> list[str]:
  """Returns the words of a call, in a new process for each call."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that forks leave nothing
  while server in select.select([server, sys.stdin], [], [])[0]:
    call, _ = server.accept()
    if not os.fork():
      server.close()
      return _start(call)
    call.close()
  os._exit(0)


def _start(call: socket.socket) -> list[str]:
  """Forks once more: one process is the call, the other tells how it ends."""
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  message, streams, *_ = socket.recv_fds(call, 1 << 20, 3)
  child = os.fork()
  if child:
    for stream in streams:
      os.close(stream)
    call.send(str(child).encode())
    call.send(str(os.waitpid(child, 0)[1]).encode())
    os._exit(0)
  call.close()
  signal.signal(signal.SIGINT, signal.default_int_handler)
  for target, stream in enumerate(streams):
    os.dup2(stream, target)
    os.close(stream)
  sys.stdin = open(0, closefd=False)
  sys.stdout = open(1, "w", closefd=False)
  sys.stderr = open(2, "w", closefd=False, errors="backslashreplace",
                    buffering=1)
  words, folder, environment = json.loads(message)
  os.chdir(folder)
  os.environ.clear()
  os.environ.update(environment)
  return words


if __name__ == "__main__":
  main()
