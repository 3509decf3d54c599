"""The command line of the scripts in this folder.

The scripts run as `python data/NAME.py`, so Python looks for modules in data/
and not in the folder above, which holds the package rnn. Importing this module
first makes rnn importable. Until `run`, Ctrl-C ends a script without a
traceback, while its slow imports are running.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(_FOLDER))
_MAIN = getattr(sys.modules["__main__"], "__file__", None)
if _MAIN and os.path.dirname(os.path.abspath(_MAIN)) == _FOLDER and (
    signal.getsignal(signal.SIGINT) == signal.default_int_handler):
  signal.signal(signal.SIGINT, signal.SIG_DFL)

from rnn import terminal
from rnn.errors import SettingError, UserError, one_line


class Parser(argparse.ArgumentParser):
  """An argument parser that prints an error as one line, without the usage."""

  def error(self, message: str) -> NoReturn:
    """Prints the message and exits with status 2."""
    self.exit(2, f"{self.prog}: {one_line(message)}\n")


def _with_flag(error: UserError) -> str:
  """Returns an error's text with the flag of its setting, if it has one."""
  if isinstance(error, SettingError):  # the text begins with the setting
    return f"--{error}"
  return f"{error} (--{error.setting})" if error.setting else str(error)


@terminal.safe_output()
def run(prog: str, action: Callable[[], str],
        interrupted: str = "nothing was written") -> int:
  """Calls `action`, prints the text that it returns, and prints its errors.

  Args:
    interrupted: what Ctrl-C leaves.

  Returns:
    The exit status: 0; the status of a UserError; 130 after Ctrl-C; 1 if
    standard output cannot be written, or memory is used up. `action` should
    raise no OSError.
  """
  if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # see above
    signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    print(action(), flush=True)
  except UserError as error:
    print(f"{prog}: {_with_flag(error)}", file=sys.stderr)
    return error.status
  except KeyboardInterrupt:
    # The newline ends the line on which the terminal echoed ^C.
    print(f"\n{prog}: interrupted; {interrupted}", file=sys.stderr)
    return 130
  except MemoryError:
    print(f"{prog}: out of memory; give less text at a time, or take "
          "data/index.py, which reads texts that do not fit in memory",
          file=sys.stderr)
    return 1
  except OSError as error:  # from print
    # Python would flush the text again at exit, and fail with a traceback.
    sys.stdout = open(os.devnull, "w")
    if not isinstance(error, BrokenPipeError):  # `prepare.py | head` is fine
      print(f"{prog}: standard output: {error.strerror}", file=sys.stderr)
    return 1
  return 0
