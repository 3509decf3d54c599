"""The common part of all scripts: flags, logging and error messages.

A script imports this module, defines its flags, and then

    scripts.parse_first(__name__, define_flags)

parses them before the slow imports, TensorFlow's above all. So --help and the
errors in flags need not wait. At its end, a script calls `run`. While the slow
imports of a script are running, Ctrl-C ends it without a traceback.
"""

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from absl import flags

import configs
from rnn import terminal
from rnn.errors import SettingError, UserError, one_line

FLAGS = flags.FLAGS


def parse_first(name: str, define_flags: Callable[[], None]) -> None:
  """Defines and parses the flags of a script, if it is the one that runs.

  Has to be called before the slow imports.

  Args:
    name: the script's __name__.
  """
  if name == "__main__":
    from absl import app  # slow, so that Ctrl-C works before it
    define_flags()
    # --help shows the flags of argv[0], which is not their module if a command
    # has imported it.
    for flag in FLAGS.get_key_flags_for_module(define_flags.__module__):
      FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.define_help_flags()
    parse_flags(sys.argv)
    if "workers" in FLAGS and (FLAGS.workers or "TF_CONFIG" in os.environ):
      # TensorFlow's server logs many lines about each lost connection. Its
      # errors also reach us as exceptions, which become one line.
      os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def run(main: Callable[[Sequence[str]], None],
        define_flags: Callable[[], None]) -> None:
  """Runs a script: parses its flags, if that was not done, and calls `main`."""
  if not FLAGS.is_parsed():
    parse_first("__main__", define_flags)
  from absl import app  # as in `parse_first`
  app.run(main, flags_parser=list)


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses the command line; an error becomes one line, and exit status 1."""
  try:
    try:
      rest = FLAGS(argv)
    except SystemExit:  # --help was printed; absl's status is 1
      sys.stdout.flush()
      sys.exit(0)
  except OSError as error:  # standard output cannot take the help
    sys.stdout = open(os.devnull, "w")
    if isinstance(error, BrokenPipeError):  # --help | head
      sys.exit(0)
    _fail(argv[0], f"standard output: {error.strerror}")
  except flags.UnrecognizedFlagError as error:
    _fail(argv[0], _flag_of_setting(error.flagname, argv) or error)
  except (flags.Error, ValueError) as error:  # absl's own flags: ValueError
    _fail(argv[0], error)
  if len(rest) > 1:
    _fail(argv[0], f"{rest[1]}: not a flag; flags look like --save_path=DIR")
  return rest


def _flag_of_setting(name: str, argv: Sequence[str]) -> str | None:
  """Returns how to set what an unknown flag names; None if it is no setting."""
  settings = {field.name: field.metadata["flag"] for record in configs.RECORDS
              for field in dataclasses.fields(record)}
  if name not in settings or "config_override" not in FLAGS:
    return None
  value = next((arg.partition("=")[2] for arg in argv
                if arg.partition("=")[0].lstrip("-") == name), "") or "VALUE"
  flag = settings[name] if settings[name] in FLAGS else None
  return f"--{name}: is a setting; write " + (
      f"--{flag}={value}" if flag else f"--config_override={name}={value}")


@contextlib.contextmanager
def error_lines(
    script: str, stdout_is_data: bool = False,
    out_of_memory: str = "out of memory; close other programs",
) -> Iterator[None]:
  """A context for `main`: an error becomes one line, and the exit status 1.

  TensorFlow gets the --threads, if the script has this flag. Anything may be
  printed in it, see `terminal.safe_output`.

  Args:
    script: argv[0].
    stdout_is_data: whether standard output is for other programs: then it is
      UTF-8, and log messages go to standard error.
    out_of_memory: the message in that case.
  """
  from rnn.tf1 import tf, use_threads  # slow, so not at the top
  # benchmarks.speed has a flag of this name for several numbers.
  if "threads" in FLAGS and isinstance(FLAGS.threads, int):
    use_threads(FLAGS.threads)
  with terminal.safe_output("utf-8" if stdout_is_data else None):
    _set_up_logging(script, sys.stderr if stdout_is_data else sys.stdout)
    try:
      yield
      sys.stdout.flush()
    except UserError as error:
      _fail(script, _with_flag(error), error.status, error.details)
    except (MemoryError, tf.errors.ResourceExhaustedError):
      _fail(script, out_of_memory)
    except OSError as error:
      if error.filename is not None:
        _fail(script, f"{error.filename}: {error.strerror}")
      if isinstance(error, FileNotFoundError):  # raised by os.getcwd
        _fail(script, "the current folder does not exist any more")
      # All others are raised by print.
      sys.stdout = open(os.devnull, "w")  # later output goes nowhere
      # BrokenPipeError: as in `ptb_word_lm.py | head`
      if not isinstance(error, BrokenPipeError):
        _fail(script, f"standard output: {error.strerror}")
      sys.exit(1)


def _with_flag(error: UserError) -> str:
  """Returns an error's text with the flag of its setting, if it has one."""
  if error.setting is None or error.setting.partition("=")[0] not in FLAGS:
    return error.summary
  if isinstance(error, SettingError):  # the text begins with the setting
    return f"--{error.summary}"
  return f"{error.summary} (--{error.setting})"


def _set_up_logging(script: str, information: TextIO) -> None:
  """Sends warnings to standard error, and information to the given stream."""
  below = logging.StreamHandler(information)
  below.addFilter(lambda record: record.levelno < logging.WARNING)
  above = logging.StreamHandler()
  above.setLevel(logging.WARNING)
  above.setFormatter(
      logging.Formatter(f"{os.path.basename(script)}: warning: %(message)s"))
  logging.basicConfig(level=logging.INFO, format="%(message)s",
                      handlers=[below, above], force=True)
  logging.raiseExceptions = False  # the next print will report the failure


def _fail(script: str, message: object, status: int = 1,
          details: Sequence[str] = ()) -> None:
  print(f"{os.path.basename(script)}: {one_line(message)}",
        *(f"  {one_line(detail)}" for detail in details), sep="\n",
        file=sys.stderr)
  sys.exit(status)
