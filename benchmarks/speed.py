"""Words per second of training, compared with peers and the machine's limit.

    python -m benchmarks.speed --model=small --model=medium --output=DIR

Each contender is a process of its own (see `benchmarks.contender`). In a round,
every contender trains for some seconds while the others wait. So changes in the
machine's speed affect all of them alike. For each config, the script prints:

- words per second: median, lowest and highest of the rounds;
- the speed of the first contender relative to this one: the median of the
  rounds;
- peak memory, and the time from the start of the process to the end of its
  first step;
- the share of the machine's limit. The limit is the speed of the GEMMs, 6
  floating-point operations per weight and word, at the best rate of any GEMM in
  the run. The limit by shape takes each GEMM at the best rate of its own shape.
  It is lower, because memory bounds the recurrent GEMMs, not arithmetic;
- the load by other processes, and the contenders that were left out, with the
  reason.

`OURS` and `PEERS` in `benchmarks/contenders.py` list the contenders.
"""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags

import configs
import reader
from benchmarks import comparison, machine, report, texts, transcript
from benchmarks.contenders import OURS, PEERS, Command, Workload, find_command
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.layers import cells, recurrent

FLAGS = flags.FLAGS
_MODELS = ("small", "medium", "large", "test")  # that all peers can train
_TRACED_STEPS = 10


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_multi_enum("model", ["small"], _MODELS, "The configs.")
  fastest = cells.CELLS["lstm"].resolve(None)
  flags.DEFINE_multi_enum(
      "rnn_mode",
      list(dict.fromkeys([fastest, "fused", "block", "basic",
                          f"{fastest}-bfloat16"])), list(OURS),
      "The layers, with `-bfloat16` or `-float16` for another precision than "
      "float32. All contenders are compared with the first one.")
  flags.DEFINE_multi_enum("peer", list(PEERS), ["none", *PEERS],
                          "The peers; `none` for no peers.")
  flags.DEFINE_multi_integer("threads", None,
                             "The number of cores; by default all.", 1)
  flags.DEFINE_integer("rounds", 9, "The turns of each contender.", 1)
  flags.DEFINE_float("seconds", 4, "The length of a turn.", 0.01)
  flags.DEFINE_string("data_path", None, "The folder of a text; by default a "
                      "synthetic text with the word frequencies of real text.")
  flags.DEFINE_string("output", None,
                      "The folder for the table, the figures and the chart; "
                      "{processor} in it stands for this machine's.")
  flags.DEFINE_bool("profile", False,
                    "Print where the time of a step goes, instead.")
  flags.DEFINE_string("peers_python", ".venv-peers/bin/python",
                      "The interpreter that has PyTorch.")


def main(_: Sequence[str]) -> None:
  """Measures and prints."""
  with scripts.error_lines("speed", out_of_memory="out of memory"):
    _measure_as_flags_say()


def _measure_as_flags_say() -> None:
  commands, missing = _find_commands()
  by_title: dict[str, list[comparison.Result]] = {}
  lines: list[str] = []
  output = (FLAGS.output or "").replace("{processor}", machine.processor())
  if output:
    _make_folder(output)  # fails now, not after the measurement

  def say(*new: str) -> None:
    print(*new, sep="\n", flush=True)
    lines.extend(new)

  say(transcript.this_command("speed"))
  if missing and not FLAGS.profile:
    say(f"{', '.join(missing)}: not installed; `make peers` sets them up")
  with tempfile.TemporaryDirectory() as folder:
    text = _save_text(folder)
    for (title, cores), model in itertools.product(_cores(), FLAGS.model):
      workload = Workload(configs.CONFIGS[model], *text, cores)
      title = f"{model}, {title}"
      if FLAGS.profile:
        for name in FLAGS.rnn_mode:
          say("", title, *_profile(name, commands[name], workload))
        continue
      compared = comparison.compare(
          workload, commands, FLAGS.rounds, FLAGS.seconds)
      results = list(compared.results.values())
      say("", f"{title}: {FLAGS.rounds} rounds of {FLAGS.seconds:g} s",
          machine.describe(compared.versions),
          *report.table(results, compared.limits()),
          *report.remarks(compared))
      by_title[title] = results
      if output:  # so that what is measured is not lost
        report.save(output, lines, by_title)
  if output and FLAGS.profile:
    report.save(output, lines, by_title)


def _find_commands() -> tuple[dict[str, Command], list[str]]:
  """Returns the commands of the contenders, and the peers that are missing.

  Raises:
    UserError: a layer does not run on this machine.
  """
  for mode in FLAGS.rnn_mode:
    if not recurrent.runs_here(OURS[mode]["rnn_mode"]):
      raise UserError(f"--rnn_mode={mode}: {recurrent.NEEDS_GPU}")
  peers = [name for name in FLAGS.peer if name != "none"]
  commands, missing = {}, []
  for name in [*FLAGS.rnn_mode, *peers]:
    command = find_command(name, FLAGS.peers_python)
    if command:
      commands[name] = command
    else:
      missing.append(name)
  return commands, missing


def _save_text(folder: str) -> tuple[str, int]:
  """Writes the word ids to a file; returns its path and the vocabulary size."""
  path = os.path.join(folder, "ids.npy")
  if FLAGS.data_path:
    train, _, _, vocabulary = reader.ptb_raw_data(FLAGS.data_path)
    np.save(path, train[:])  # also reads shards
    return path, len(vocabulary)
  ids, vocab_size = texts.zipf_ids()
  np.save(path, ids)
  return path, vocab_size


def _cores() -> Iterator[tuple[str, list[int]]]:
  """Generates a title and a list of cores for each of --threads.

  Raises:
    UserError: there are fewer cores, or the system cannot choose them.
  """
  cores = machine.cores()
  for number in FLAGS.threads or [len(cores)]:
    if number > len(cores):
      raise UserError(
          f"--threads={number}: there are {len(cores)} cores; lower it")
    yield f"{number} core" + "s" * (number > 1), cores[:number]


def _profile(name: str, command: Command, workload: Workload) -> Iterator[str]:
  """Generates lines that say where the time of a step goes."""
  contender = workload.start(command)
  with contextlib.closing(contender):
    contender.ask("rate", FLAGS.seconds)  # warms up
    trace = contender.ask("report", _TRACED_STEPS)
  yield from report.profile(name, trace, len(workload.cores))


def _make_folder(path: str) -> None:
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as error:
    raise UserError(f"--output={path}: {error.strerror}; choose another "
                    "folder") from None


if __name__ == "__main__":
  scripts.run(main, define_flags)
