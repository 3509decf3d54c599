"""Checks the flags of commands without running them.

    python -m tests.docs.flags_of_commands < commands.json

Reads a list of calls of python, each a list like ["score.py", "--seed=2"].
Prints a list of {"error", "flags"}: an error message, or "" if the script
accepts its flags; and the names of all flags that the script has.

Each call is a fork of one process, which imports TensorFlow once for all.
"""

import contextlib
import io
import json
import os
import re
import runpy
import sys
import traceback
from typing import Any


def check(words: list[str]) -> dict[str, Any]:
  """Parses the flags of one call, in this process."""
  as_module = words[0] == "-m"
  script, args = (words[1], words[2:]) if as_module else (words[0], words[1:])
  args = [arg for arg in args if arg != "--help"]  # which absl answers with 1
  uses_argparse = script.startswith("data/")
  sys.argv = [script, *(
      ["--help"] if uses_argparse else [*args, "--only_check_args"])]
  printed, error = io.StringIO(), ""
  with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    try:
      if as_module:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
      else:
        sys.path.insert(0, os.path.dirname(script))
        runpy.run_path(script, run_name="__main__")
      error = "the script does not use absl, or argparse under data/"
    except SystemExit as stop:
      if stop.code:
        error = printed.getvalue() or f"exit status {stop.code}"
    except BaseException:  # of the script, such as an import that fails
      error = traceback.format_exc()
  if uses_argparse:
    flags = re.findall(r"--(\w+)", printed.getvalue())
    unknown = {arg.split("=")[0][2:] for arg in args
               if arg.startswith("--")} - set(flags)
    if unknown:
      error = f"no such flags: {', '.join(unknown)}"
  else:
    from absl import flags as absl_flags
    flags = list(absl_flags.FLAGS)
    error = error or check_settings(args)
  return {"error": error, "flags": flags}


def check_settings(args: list[str]) -> str:
  """Returns an error message, or "" if --config_override names settings."""
  import configs
  for arg in args:
    name, _, settings = arg.partition("=")
    if name == "--config_override":
      try:
        configs.parse(settings, configs.Config)
      except configs.ConfigError as error:
        return str(error)
  return ""


def check_in_fork(words: list[str]) -> dict[str, Any]:
  """Parses the flags of one call, in a child process."""
  reading, writing = os.pipe()
  child = os.fork()
  if not child:
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
      json.dump(check(words), pipe)
    os._exit(0)
  os.close(writing)
  with open(reading, encoding="utf-8") as pipe:
    text = pipe.read()
  os.waitpid(child, 0)
  return json.loads(text or '{"error": "the process died", "flags": []}')


def main() -> None:
  """Checks all calls of standard input."""
  import rnn.tf1  # noqa: F401, once for all children
  print(json.dumps([check_in_fork(words) for words in json.load(sys.stdin)]))


if __name__ == "__main__":
  main()
