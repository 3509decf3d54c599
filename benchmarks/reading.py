"""Speed and memory of reading a large text, and of a restart without reading.

    python -m benchmarks.reading --megabytes=500

The text repeats the bundled one, with one percent of the words replaced by
400,000 synthetic ones. Each part runs in a process of its own. For each part,
the script prints the seconds, the peak memory in addition to the memory that
the process had before, and the memory of ids and vocabulary. Needs Linux.
"""

import concurrent.futures
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

import ptb_word_lm
import reader
from benchmarks.machine import memory
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text.vocabulary import Words

FLAGS = flags.FLAGS
_SHARE = 0.01  # of the words, replaced by synthetic ones
_NUM_SYNTHETIC = 400_000

Corpus = tuple[dict[str, reader.Text], Words]


def write_corpus(folder: str, size: float) -> None:
  """Writes a training text of `size` bytes, and two short other splits."""
  with open(f"{ptb_word_lm.BUNDLED_CORPUS}/train.txt", "rb") as file:
    words = np.array(file.read().replace(b"\n", b" \n ").split(b" "), object)
  rng = np.random.default_rng(0)
  for split, end in ("train", size), ("valid", 1), ("test", 1):
    with open(f"{folder}/{split}.txt", "wb") as file:
      while file.tell() < end:
        changed = (rng.random(len(words)) < _SHARE) & (words != b"\n")
        text = words.copy()
        text[changed] = [
            b"word%d" % i
            for i in rng.integers(_NUM_SYNTHETIC, size=changed.sum())]
        file.write(b" ".join(text))


def read(folder: str) -> Corpus:
  """Reads a corpus as training does."""
  return reader.read_corpus(folder)


def keep(folder: str) -> Corpus:
  """Reads a corpus, and saves its ids in a run."""
  texts, vocabulary = reader.read_corpus(folder)
  run = TrainingRun(f"{folder}/run", {}, vocabulary, texts=texts)
  with run.open():
    run.begin(0)
  return texts, vocabulary


def restart(folder: str) -> Corpus:
  """Takes the ids from the run.

  Raises:
    UserError: the run does not have them.
  """
  corpus = RunDirectory(f"{folder}/run").saved_texts(folder)
  if not corpus:
    raise UserError(f"{folder}/run: has no ids of this text")
  return corpus


def measure(function: Callable[[str], Corpus],
            folder: str) -> tuple[float, float, int, int, int, int]:
  """Calls a function of a folder.

  Returns:
    Seconds; seconds of the processor; bytes of the peak, of the ids and of the
    vocabulary; and the number of words in the vocabulary.
  """
  before = memory("VmRSS")
  with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # sets the recorded peak back to the current memory
  start = time.perf_counter(), time.process_time()
  texts, vocabulary = function(folder)
  seconds = time.perf_counter() - start[0], time.process_time() - start[1]
  peak = memory("VmHWM") - before
  ids = sum(text.ids[:].nbytes for text in texts.values())
  words = sum(map(sys.getsizeof, [
      *vocabulary.words, vocabulary.words, dict(vocabulary.ids)]))
  return *seconds, peak, ids, words, len(vocabulary)


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_integer("megabytes", 500, "The size of the text.", 1)


def main(argv: Sequence[str]) -> None:
  """Prints one line per part."""
  with scripts.error_lines(argv[0]):
    with tempfile.TemporaryDirectory() as folder:
      write_corpus(folder, FLAGS.megabytes * 1e6)
      size = sum(os.path.getsize(entry) for entry in os.scandir(folder)) / 1e6
      print(f"{size:.0f} MB of text")
      for function in read, keep, restart:
        with concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn")) as pool:
          seconds, processor, *held, words = pool.submit(
              measure, function, folder).result()
        peak, ids, vocabulary = (number / 1e6 for number in held)
        print(f"{function.__name__:>7} {seconds:5.1f} s, {size / seconds:.1f} "
              f"MB/s, {processor:.1f} s of the processor; peak {peak:.0f} MB, "
              f"ids {ids:.0f} MB, vocabulary {vocabulary:.0f} MB ({words:,} "
              "words)", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
