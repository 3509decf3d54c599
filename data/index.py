"""Turns a text that does not fit in memory into word ids for training.

    python data/index.py --input 'news.en-*' --output index --vocab_size=800000
    python ptb_word_lm.py --data_path=index

`rnn.text.indexing` says how. The command may be stopped or killed at any time;
repeat it, and it goes on.
"""

import argparse
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

# So that `python -m data.NAME` finds the modules of this folder, too.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import command

from rnn.errors import DataError
from rnn.text import encodings, sources
from rnn.text.indexing import Task, index
from rnn.text.vocabulary import Choice, Vocabulary

_STAGES = {"count": "counting words", "write": "writing ids"}
_MB = 1e6
_HELD_OUT = 0.01


class _Progress:
  """Prints how far the work is, every few seconds, to standard error."""

  def __init__(self, seconds: float = 5) -> None:
    self._seconds, self._next = seconds, time.monotonic() + seconds

  def __call__(self, stage: str, done: int, total: int) -> None:
    """Prints a line if it is time.

    Args:
      stage: a key of _STAGES.
      done, total: bytes of this stage.
    """
    if (now := time.monotonic()) >= self._next:
      self._next = now + self._seconds
      print(f"{_STAGES[stage]}: {done / _MB:,.0f} of {total / _MB:,.0f} MB",
            file=sys.stderr, flush=True)


def summary(folder: str, content: dict) -> str:
  """Returns a table of the splits, and the command that trains on them."""
  rows = [f"{'':5} {'tokens':>15} {'<unk>':>14} {'':7} {'shards':>7}"]
  for name, split in content["splits"].items():
    share = f"({split['unk'] / split['tokens']:.1%})"
    rows.append(f"{name:5} {split['tokens']:15,} {split['unk']:14,} {share:7} "
                f"{len(split['shards']):7,}")
  return "\n".join([
      *rows, f"vocabulary: {content['size']:,} words, <unk> and <eos> included",
      "train on it: python ptb_word_lm.py "
      + shlex.quote(f"--data_path={folder}")])


def _task(args: argparse.Namespace) -> Task:
  """Returns what the flags describe.

  Raises:
    DataError: a text does not exist, or flags do not go together.
  """
  inputs = [sources.find(name, args.encoding) for name in args.input]
  output = os.path.join(os.path.realpath(args.output), "")
  texts = {"train": sources.Source(
      ",".join(args.input),
      tuple(dict.fromkeys(
          path for text in inputs for path in map(str, text.paths)
          # A pattern such as texts/** may fit what an earlier call has written.
          if not os.path.realpath(path).startswith(output))),
      inputs[0].encoding)}
  if (args.valid is None) != (args.test is None):
    raise DataError("--valid and --test: name both texts, or none, to hold out "
                    "the end of --input")
  if args.valid is not None:
    _refuse(args, ["held_out"], "--valid and --test")
    texts |= {name: sources.find(getattr(args, name), args.encoding)
              for name in ("valid", "test")}
  if args.vocab_path is not None:
    _refuse(args, ["vocab_size", "min_count"], "--vocab_path")
    choice = Choice(Vocabulary.load_list(args.vocab_path))
  else:
    choice = Choice(size=args.vocab_size, min_count=args.min_count or 1)
  return Task(args.output, texts, choice, args.held_out or _HELD_OUT,
              int(args.shard_megabytes * _MB), args.processes)


def _refuse(args: argparse.Namespace, names: Sequence[str], other: str) -> None:
  """Raises a DataError if there are flags that have no effect with another."""
  for name in names:
    if getattr(args, name) is not None:
      raise DataError(f"--{name}: has no effect with {other}; leave it out")


def _between(convert: Callable[[str], Any], least: float, most: float
             ) -> Callable[[str], Any]:
  """Returns an argument type: a number within bounds."""
  def number(text: str) -> Any:
    value = convert(text)
    if not least <= value <= most:
      raise argparse.ArgumentTypeError(
          f"{text} is not between {least:,} and {most:,}")
    return value
  return number


def _cores() -> int:
  """Returns the number of cores that this process may use."""
  return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
          else os.cpu_count() or 1)


def _parser() -> command.Parser:
  """Returns the parser of the flags."""
  parser = command.Parser(
      description="Turns a large text into word ids for training.")
  count = _between(int, 1, 10**9)
  parser.add_argument("--input", action="append", metavar="TEXT", help="the "
                      "text, with blanks between the words and a sentence per "
                      "line, compressed or not: a file, a folder, or a pattern "
                      "such as 'news.en-*'; repeat it to read several as one")
  parser.add_argument("--output", metavar="FOLDER", help="the folder to write")
  parser.add_argument("--valid", metavar="TEXT", help="a text to validate on")
  parser.add_argument("--test", metavar="TEXT", help="a text to test on")
  parser.add_argument("--held_out", type=_between(float, 1e-9, 0.4),
                      metavar="SHARE", help="without --valid and --test: the "
                      "share of --input that is held out to validate, and as "
                      "much to test. They are its end, in order, and are cut "
                      f"after a line (default: {_HELD_OUT})")
  parser.add_argument("--vocab_size", type=_between(int, 3, 2**31 - 1),
                      metavar="WORDS", help="the size of the vocabulary, <unk> "
                      "and <eos> included: the most frequent words (default: "
                      "all words)")
  parser.add_argument("--min_count", type=count, metavar="TIMES",
                      help="how often a word must occur (default: 1)")
  parser.add_argument("--vocab_path", metavar="LIST", help="the vocabulary: a "
                      "list with one word per line, such as a run's vocab.txt")
  parser.add_argument("--encoding", help=encodings.HELP)
  parser.add_argument("--processes", type=_between(int, 1, 1024),
                      default=_cores(), metavar="N", help="how many processes "
                      "share the work, with about 0.6 GB of memory each "
                      "(default: one per core)")
  parser.add_argument("--shard_megabytes", type=_between(float, 1e-6, 256),
                      default=32, metavar="MB", help="text per shard. Training "
                      "shuffles the shards, and keeps the order of the words "
                      "in each (default: 32)")
  return parser


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit status."""
  logging.basicConfig(format="%(message)s")  # warnings
  parser = _parser()
  args = parser.parse_args(argv)
  if not args.input:
    parser.print_help(sys.stderr)
    return 2
  if not args.output:
    parser.error("--output is missing: name a folder for the ids")
  return command.run(
      parser.prog,
      lambda: summary(args.output, index(_task(args), _Progress())),
      "repeat the command, and it goes on")


if __name__ == "__main__":
  sys.exit(main())
