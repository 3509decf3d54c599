"""Speed and memory of a text that is not held in memory: index, then train.

    python -m benchmarks.large_text --megabytes=1000

The text is synthetic: words are drawn by Zipf's law from a million, the
frequent ones short, 6 bytes per word with its blank. `data/index.py` indexes
it, and `ptb_word_lm.py` trains on it for some steps, as the flags in
`--training` say. Needs Linux.
"""

import concurrent.futures
import contextlib
import glob
import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

import ptb_word_lm
from benchmarks import transcript
from benchmarks.machine import memory
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.text.streams import TrainingStreams
from rnn.training.passes import StreamPass

FLAGS = flags.FLAGS
_FILE_MB = 100
_LINE = 25  # words, with the line end
_LETTERS = b"etaoinshrdlucmwfgypbvkjxqz"  # the first ones are frequent
_MB = 1e6
# Prints the seconds of the processor and the kilobytes of a command's
# processes. It is small itself: Linux counts the memory of the process that
# starts another as the memory of that one.
_MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(status)
"""


def make_words(number: int, rng: np.random.Generator) -> list[bytes]:
  """Returns different words, in the order of their frequency."""
  letters = np.frombuffer(_LETTERS, np.uint8)
  found: dict[bytes, None] = {}
  while len(found) < number:
    rank = np.arange(len(found), number)
    lengths = 1 + (np.log2(rank + 2) / 2.9).astype(int) + rng.integers(
        3, size=len(rank))
    text = letters[(rng.random(lengths.sum()) ** 1.6 * 26).astype(int)]
    ends = np.cumsum(lengths)
    data = text.tobytes()
    new = [data[end - length:end] for end, length in zip(
        ends.tolist(), lengths.tolist(), strict=True)]
    found.update(dict.fromkeys(new))
  return list(found)[:number]


def write_text(folder: str, megabytes: float, types: int) -> list[str]:
  """Writes a synthetic text in several files; returns their paths."""
  rng = np.random.default_rng(0)
  words = np.array(make_words(types, rng), object)
  limits = np.cumsum(1 / np.arange(1, types + 1))
  limits /= limits[-1]
  paths: list[str] = []
  left = megabytes * _MB
  while left > 0:
    paths.append(os.path.join(folder, f"news.en-{len(paths):05}"))
    with open(paths[-1], "wb") as file:
      while file.tell() < min(left, _FILE_MB * _MB):
        drawn = words[np.searchsorted(
            limits, rng.random(min(10**6, int(left / 5) + _LINE)))]
        drawn[_LINE - 1::_LINE] = b"\n"
        file.write(b" ".join(drawn))
    left -= os.path.getsize(paths[-1])
  return paths


def index(pattern: str, output: str) -> str:
  """Indexes a text; returns a line about speed and memory."""
  size = sum(map(os.path.getsize, glob.glob(pattern))) / _MB
  start = time.perf_counter()
  done = subprocess.run(
      [sys.executable, "-c", _MEASURE, sys.executable, "data/index.py",
       "--input", pattern, "--output", output, "--held_out=0.0001",
       f"--vocab_size={FLAGS.vocab_size}", f"--processes={FLAGS.processes}"],
      check=False, stdout=subprocess.PIPE, text=True, cwd=transcript.ROOT)
  if done.returncode:
    raise UserError("data/index.py has failed; see above")
  seconds = time.perf_counter() - start
  of_cores, peak = map(float, done.stdout.split())
  return (
      f"index: {seconds:.1f} s by {FLAGS.processes} processes, "
      f"{size / seconds / FLAGS.processes:.1f} MB/s per process; "
      f"{of_cores:.1f} s of the processor, {size / of_cores:.1f} MB/s per "
      f"core; at most {peak / 1e3:,.0f} MB of memory per process")


def train(arguments: Sequence[str]) -> dict[str, Any]:
  """Runs `ptb_word_lm.py` in this process, which must do nothing else.

  It replaces methods, to time them.

  Returns:
    A dict: "steps"; "seconds" of all but the first; "waiting", the seconds of
    these in which no step runs, because words are loaded; "reading", the
    seconds of the processor that the thread takes which reads ahead;
    "parts", how many it read; "first", the seconds until the first part is
    loaded; "parameters" and "peak" in bytes.
  """
  loads: list[tuple[float, float]] = []  # begin and end, before each step
  reads: list[float] = []
  parameters = [0]
  prepare, load = StreamPass.prepare, StreamPass.load
  read = TrainingStreams.read

  def timed_read(self: TrainingStreams, *args: Any) -> np.ndarray:
    start = time.thread_time()
    rows = read(self, *args)
    reads.append(time.thread_time() - start)
    return rows

  def timed(self: StreamPass, session: Any, step: int) -> None:
    start = time.perf_counter()
    prepare(self, session, step)
    if hasattr(self.model, "train_op"):
      loads.append((start, time.perf_counter()))

  def sized(self: StreamPass, session: Any) -> None:
    parameters[0] = sum(4 * v.shape.num_elements()
                        for v in self.model.variables)
    load(self, session)

  StreamPass.prepare, StreamPass.load = timed, sized  # type: ignore
  TrainingStreams.read = timed_read  # type: ignore
  ptb_word_lm.define_flags()
  argv = scripts.parse_flags(["ptb_word_lm.py", *arguments])
  with contextlib.redirect_stdout(sys.stderr):
    ptb_word_lm.main(argv)
  # The call in `load` comes first, then one before each step.
  steps = loads[1:]
  return {"steps": len(steps), "seconds": steps[-1][0] - steps[0][1],
          "waiting": sum(end - start for start, end in steps[1:-1]),
          "reading": sum(reads[1:]), "parts": len(reads) - 1,
          "first": loads[0][1] - loads[0][0],
          "parameters": parameters[0], "peak": memory("VmHWM")}


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_float("megabytes", 1000, "The size of the text.", 0.1)
  flags.DEFINE_integer("types", 10**6, "The number of different words.", 100)
  flags.DEFINE_integer("vocab_size", 20_000, "The size of the vocabulary.", 3)
  flags.DEFINE_integer("processes", os.cpu_count(), "Of data/index.py.", 1)
  flags.DEFINE_string("folder", None, "Where to put the temporary files.")
  flags.DEFINE_string(
      "training", "--model=small --config_override=hidden_size=64,batch_size="
      "128,num_steps=20,epoch_size=1000,max_max_epoch=1",
      "The flags of ptb_word_lm.py; without any, it does not run.")


def main(argv: Sequence[str]) -> None:
  """Prints lines about each part; the scripts print to standard error."""
  with scripts.error_lines(argv[0]):
    with tempfile.TemporaryDirectory(dir=FLAGS.folder) as folder:
      paths = write_text(folder, FLAGS.megabytes, FLAGS.types)
      print(f"text: {sum(map(os.path.getsize, paths)) / _MB:,.0f} MB in "
            f"{len(paths)} files, words drawn from {FLAGS.types:,}",
            flush=True)
      print(index(os.path.join(folder, "news.en-*"), f"{folder}/index"),
            flush=True)
      if not FLAGS.training:
        return
      with concurrent.futures.ProcessPoolExecutor(
          1, multiprocessing.get_context("spawn")) as pool:
        result = pool.submit(
            train, [f"--data_path={folder}/index",
                    *shlex.split(FLAGS.training)]).result()
    seconds = result["seconds"]
    print(
        f"training: {result['steps']} steps, {seconds:.1f} s after the first\n"
        f"input: {result['first']:.3f} s for the first part; then "
        f"{result['waiting']:.3f} s in which steps waited, and "
        f"{result['reading']:.3f} s of the thread that read "
        f"{result['parts']} parts ahead, together "
        f"{(result['waiting'] + result['reading']) / seconds:.2%} of the time\n"
        f"memory: {result['peak'] / _MB:,.0f} MB, of which parameters "
        f"{result['parameters'] / _MB:,.0f} MB", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
