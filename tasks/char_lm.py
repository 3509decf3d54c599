"""Trains a language model of characters: of abstracts, or of any text.

    python -m tasks.char_lm --data_path=abstracts.txt --save_path=runs/chars
    python generate.py --save_path=runs/chars --temperature=0.7 --num_words=500

The model is the PTBModel, of two GRU layers; what is its own is that a text is
read as characters. Abstracts of arXiv papers: the cs.NE.tsv.xz of
https://github.com/staeiou/arxiv_archive (processed_data/DATE/per_category), or
a text with one a line. The Penn Treebank: a folder with its texts as
characters, ptb.char.{train,valid,test}.txt.
"""

import csv
import hashlib
import math
import os
import sys

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

from absl import app, flags

import compressed
import configs
import ptb_word_lm
import reader
import training
import training_flags

FLAGS = flags.FLAGS
BITS = training.Metric(
    "bits_per_character",
    lambda sums: sums["nats"] / sums["targets"] / math.log(2), "characters")

# Of a single text, every twentieth line is held out for each of these.
HELD_OUT = {"valid": 9, "test": 19}
_PTB = "ptb.char.{}.txt"
_LONGEST_LINE = 10_000  # characters; a longer line is read as several


# Data


def read_corpus(data_path):
  """Reads a text as characters.

  Args:
    data_path: of a text, of which lines are held out to validate and test on;
      or of a folder with train, valid and test.

  Returns:
    texts, vocabulary: a dict, split -> reader.Text, and the reader.Characters
    of the training text.

  Raises:
    reader.DataError: it is missing, empty or not UTF-8, or too short to hold
      anything out.
  """
  found = {}
  for split, (path, lines) in _lines_of_splits(data_path).items():
    found[split] = (*_number_characters(lines), reader.stamp(path))
    if not found[split][0]:
      raise reader.DataError(f"{path}: no line is left for {split}; at least "
                             f"{HELD_OUT['test'] + 1} lines are needed (or as "
                             f"many parts of {_LONGEST_LINE:,} characters)")
  for split, (characters, *_) in found.items():
    found[split] = ([reader.EOS if c == "\n" else c for c in characters],
                    *found[split][1:])
  return reader.encode_corpus(found, reader.Characters)


def _lines_of_splits(data_path):
  """A dict, split -> (path, iterable of its lines)."""
  if not os.path.isdir(data_path):
    return {split: (data_path, _part(read_lines(data_path), split))
            for split in reader.SPLITS}
  paths = {split: os.path.join(data_path, _PTB.format(split))
           for split in reader.SPLITS}
  if all(map(os.path.exists, paths.values())):
    return {split: (path, _joined(read_lines(path)))
            for split, path in paths.items()}
  return {split: (path, read_lines(path))
          for split, path in reader.find_corpus(data_path).items()}


def _part(lines, split):
  """Those of a single text's lines that are in a split."""
  for number, line in enumerate(lines):
    place = number % (HELD_OUT["test"] + 1)
    if HELD_OUT.get(split) == place or (
        split == "train" and place not in HELD_OUT.values()):
      yield line


def _joined(lines):
  """The lines "n o _ i t" as "no it"; blanks behind the last are no line."""
  for line in lines:
    if line.strip():
      yield line.replace(" ", "").replace("_", " ")


def read_lines(path):
  """Generates the lines of a text, each with a newline.

  Of a table of arXiv papers (tab-separated, with a header), the abstracts. A
  line that is very long comes in parts, of which the last has the newline.

  Raises:
    reader.DataError: there is no such text, or it is not UTF-8.
  """
  reader.check_is_file(path)  # it is read more than once
  with compressed.open_text(path) as file:
    line = file.readline(_LONGEST_LINE)
    columns = line.rstrip("\r\n").split("\t")
    if "abstract" in columns[1:]:
      csv.field_size_limit(sys.maxsize)
      for row in csv.DictReader(file, columns, dialect="excel-tab"):
        yield " ".join((row["abstract"] or "").split()) + "\n"
      return
    while line:
      following = file.readline(_LONGEST_LINE)
      if line.endswith(("\r", "\n")) or not following:
        line = line.rstrip("\r\n") + "\n"
      yield line
      line = following


def _number_characters(lines):
  """The characters of lines, numbered, and what tells the text from others.

  Returns:
    characters, places, identity: as reader.read_text, and of a reader.Text.
  """
  digest, size = hashlib.sha256(), 0

  def blocks():
    nonlocal size
    for line in lines:
      digest.update(line.encode())
      size += len(line)
      yield line

  characters, places = reader.number_words(blocks())
  return characters, places, {"sha256": digest.hexdigest(), "tokens": size}


# The model is ptb_word_lm.PTBModel, and the loop that of ptb_word_lm.train.


def define_flags():
  """The flags of this script; `main` alone reads them."""
  training_flags.define(
      "The text to train on: a file, also .gz, .bz2 or .xz, or a table of "
      "arXiv papers; or a folder with train.txt, valid.txt and test.txt.")
  training_flags.define_precision()
  flags.adopt_module_key_flags(training_flags)  # for --help


def main(argv):
  """Trains and tests as the flags say."""
  with command_line.complaints(argv[0]):
    config, settings = training_flags.config(configs.CHAR_LM)
    data_path = training_flags.data_path(
        "a text, or cs.NE.tsv.xz from https://github.com/staeiou/arxiv_archive "
        "(processed_data/DATE/per_category)")
    rnn_mode = training_flags.rnn_mode(config)
    texts, vocabulary = read_corpus(data_path)
    run = training_flags.run("char_lm", config, settings, {
        "rnn_mode": rnn_mode, "precision": training_flags.precision(),
        "tokens": "characters", "data": {"path": os.path.abspath(data_path), **{
            split: text.identity for split, text in texts.items()}},
    }, vocabulary=vocabulary, metric=BITS.name)
    with training_flags.stopping(run) as check_stop:
      rows, tests = ptb_word_lm.train(
          config, (*(text.ids for text in texts.values()), vocabulary), run,
          rnn_mode, FLAGS.seed, FLAGS.save_secs, check_stop,
          training_flags.precision(), metric=BITS)
    print(training.summary(rows, tests, metric=BITS), flush=True)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
