"""Command lines: flags, logging and error messages of all scripts.

A script imports this package first: while its slow imports are running, Ctrl-C
ends it without a traceback.
"""

import os
import signal
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SCRIPTS = [os.path.realpath(os.path.join(_ROOT, name)) for name in (
    "ptb_word_lm.py", "generate.py", "score.py", "export.py", "neighbors.py",
    "benchmarks/reproduce.py", "tasks/char_lm.py", "tasks/echo.py",
    "tasks/ocr.py", "tasks/sentiment.py", "tasks/word2vec.py")]
# The names of these that `pip install` puts on the path, see setup.cfg.
_COMMANDS = ("ptb-train", "ptb-generate", "ptb-score")


def _end_quietly_on_interrupt() -> None:
  """Lets Ctrl-C end the process at once, as long as it has nothing to lose.

  Applies only if the process runs a script of this suite, not in a notebook or
  another program that imports it.
  """
  script = getattr(sys.modules["__main__"], "__file__", None)
  if script and (os.path.realpath(script) in SCRIPTS
                 or os.path.basename(script) in _COMMANDS) and (
      signal.getsignal(signal.SIGINT) == signal.default_int_handler):
    signal.signal(signal.SIGINT, signal.SIG_DFL)


_end_quietly_on_interrupt()
