"""What the scripts share of being called: flags, logging, complaints."""

import contextlib
import io
import logging
import os
import signal
import sys

from absl import flags

import errors

FLAGS = flags.FLAGS


def die_of_interrupts():
  """To call before slow imports: Ctrl-C ends without a traceback.

  For while there is nothing to lose.
  """
  if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def parse_flags(argv):
  """Reads the command line; what is wrong with it is said in one line."""
  try:
    rest = FLAGS(argv)
  except (flags.Error, ValueError) as error:  # the latter of absl's own flags
    _fail(argv[0], error)
  if len(rest) > 1:
    _fail(argv[0], f"{rest[1]}: not a flag; flags look like --save_path=DIR")
  return rest


@contextlib.contextmanager
def complaints(script, stdout_is_data=False,
               out_of_memory="out of memory; close other programs"):
  """A context for `main`: an error becomes a line, and the exit status 1.

  Args:
    script: argv[0].
    stdout_is_data: it is then UTF-8, and information goes to standard error.
    out_of_memory: what to say in that case.
  """
  from tensorflow_v1 import tf  # slow, so not for whoever only starts
  sys.stdout = sys.stdout or open(os.devnull, "w")  # it may have been closed
  sys.stderr = sys.stderr or open(os.devnull, "w")
  if isinstance(sys.stdout, io.TextIOWrapper):  # not so in a notebook
    sys.stdout.reconfigure(
        encoding="utf-8" if stdout_is_data else None,
        errors="backslashreplace")  # as stderr has it
  _set_up_logging(script, sys.stderr if stdout_is_data else sys.stdout)
  try:
    yield
    sys.stdout.flush()
  except errors.UserError as error:
    _fail(script, error, error.status)
  except (MemoryError, tf.errors.ResourceExhaustedError):
    _fail(script, out_of_memory)
  except OSError as error:  # of print
    sys.stdout = open(os.devnull, "w")  # what is left to print goes nowhere
    if not isinstance(error, BrokenPipeError):  # as in `ptb_word_lm.py | head`
      _fail(script, f"standard output: {error.strerror}")
    sys.exit(1)


def _set_up_logging(script, information):
  """Warnings go to standard error, information to the stream named."""
  below = logging.StreamHandler(information)
  below.addFilter(lambda record: record.levelno < logging.WARNING)
  above = logging.StreamHandler()
  above.setLevel(logging.WARNING)
  above.setFormatter(
      logging.Formatter(f"{os.path.basename(script)}: warning: %(message)s"))
  logging.basicConfig(level=logging.INFO, format="%(message)s",
                      handlers=[below, above], force=True)
  logging.raiseExceptions = False  # the next print will tell


def _fail(script, message, status=1):
  print(f"{os.path.basename(script)}: {errors.one_line(message)}",
        file=sys.stderr)
  sys.exit(status)
