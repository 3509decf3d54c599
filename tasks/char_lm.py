"""Trains a language model of characters, on abstracts or on any text.

    python -m tasks.char_lm --data_path=abstracts.txt --save_path=runs/chars
    python generate.py --save_path=runs/chars --temperature=0.7 --num_words=500

The model is the PTBModel with two GRU layers; only the reading of the text
differs. The text may be

    abstracts of arXiv papers: cs.NE.tsv.xz, a table, from
    https://github.com/staeiou/arxiv_archive (processed_data/DATE/per_category)
    any other text, such as one with an abstract per line: rnn/text/splitting.py
    has the rule by which a single text is split into train, valid and test
    the Penn Treebank as characters: a folder with ptb.char.train.txt,
    ptb.char.valid.txt and ptb.char.test.txt

An epoch is 200 windows of 100 streams x 50 characters. If the training text has
fewer characters than these 1,000,000, the epoch follows the text: it is one
pass, in as many streams as make 200 windows of the text, but at least 2. Then
training also ends after 3 epochs without improvement on validation. See
`settings_for`.
"""

if not __package__:
  import by_path  # type: ignore[import-not-found] # noqa: F401

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.training(
      "The text: a file, which may be compressed, and may be a table of arXiv "
      "papers; or a folder with train.txt, valid.txt and test.txt.", mode=True)
  definitions.encoding()
  definitions.vocabulary()
  definitions.origin()
  definitions.freeze()
  definitions.precision()
  definitions.parallel()


scripts.parse_first(__name__, define_flags)

import contextlib
import hashlib
import math
import os
from collections.abc import Container, Iterable, Iterator, Sequence

import configs
import ptb_word_lm
import reader
from rnn.cli import (
    initial_flags,
    parallel_flags,
    stored_flags,
    text_flags,
    training_flags,
)
from rnn.errors import DataError
from rnn.runs import config_file
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.text import corpora, sources, splitting
from rnn.text.vocabulary import EOS, Characters, Choice, Vocabulary
from rnn.training import progress
from rnn.training.known_words import KnownWords
from rnn.training.metrics import Metric
from tasks import hyperparameters, tables

BITS = Metric(
    "bits_per_character",
    lambda sums: sums["nats"] / sums["targets"] / math.log(2), "characters")

_MIN_STREAMS = 2
_PATIENCE = 3  # epochs
_PTB = "ptb.char.{}.txt"
_MAX_LINE = 10_000  # characters; a longer line is read as several


# Data


def read_corpus(data_path: str, encoding: str | None = None,
                choice: Choice = Choice()
                ) -> tuple[dict[str, reader.Text], Vocabulary]:
  """Reads a text as characters.

  Args:
    data_path: a text, see `sources.find`, which `splitting` splits; or a folder
      with train, valid and test.
    encoding: see `sources.find`.
    choice: how to choose the vocabulary.

  Returns:
    texts, vocabulary: a dict, split -> Text, and the Characters.

  Raises:
    DataError: a file does not exist, is empty, not UTF-8, or damaged; or the
      text is too short to be split.
  """
  numbered = {}
  for split, (source, lines) in _find_splits(data_path, encoding).items():
    numbered[split] = _number_characters(lines, source.stamp())
    if not numbered[split].words:
      raise DataError(f"{source.name}: the file is empty")
  return reader.encode_corpus(numbered, Characters, choice)


def _find_splits(
    data_path: str, encoding: str | None
) -> dict[str, tuple[sources.Source, Iterable[str]]]:
  """Returns a dict, split -> (source, lines of the split)."""
  paths = {split: corpora.with_ending(
      os.path.join(data_path, _PTB.format(split))) for split in reader.SPLITS}
  if all(paths.values()):
    found = {split: sources.of_file(path, encoding)
             for split, path in paths.items() if path}
    return {split: (source, _join_characters(read_lines(source)))
            for split, source in found.items()}
  if corpora.is_single(data_path):
    source = sources.find(data_path, encoding)
    cut = splitting.Split(lambda: read_lines(source), source.name)
    return {split: (source, cut.lines(split)) for split in reader.SPLITS}
  found = reader.find_corpus(data_path, encoding=encoding)
  return {split: (source, read_lines(source))
          for split, source in found.items()}


def _join_characters(lines: Iterable[str]) -> Iterator[str]:
  """Turns lines such as "n o _ i t" into "no it"; drops blank lines."""
  for line in lines:
    if line.strip():
      yield line.replace(" ", "").replace("_", " ")


def read_lines(text: str | sources.Source) -> Iterator[str]:
  """Generates the lines of a text, each with a newline.

  A table of arXiv papers (tab-separated, with a header) gives its abstracts; a
  row may have up to 1,000,000 characters. A very long line comes in parts, of
  which only the last has the newline.

  Args:
    text: see `sources.find`.

  Raises:
    DataError: the text does not exist, is not a file, in another encoding, or
      damaged; or a row of a table is too long.
  """
  source = sources.find(text)
  source.check_are_files()  # a pipe could not be read once per split
  with source.open_text() as file:
    line = file.readline(_MAX_LINE)
    columns = line.rstrip("\r\n").split("\t")
    if "abstract" in columns[1:]:
      for _, row in tables.rows(source.name, file, dialect="excel-tab"):
        abstract = dict(zip(columns, row, strict=False)).get("abstract", "")
        yield " ".join(abstract.split()) + "\n"
      return
    while line:
      following = file.readline(_MAX_LINE)
      if line.endswith("\r") and following == "\n":  # cut within a line end
        following = file.readline(_MAX_LINE)
      if line.endswith(("\r", "\n")) or not following:
        line = line.rstrip("\r\n") + "\n"
      yield line
      line = following


def _number_characters(lines: Iterable[str],
                       stamp: list | None) -> reader.NumberedText:
  """Numbers the characters of lines by their first appearance."""
  digest, size = hashlib.sha256(), 0

  def blocks() -> Iterator[str]:
    nonlocal size
    for line in lines:
      digest.update(line.encode())
      size += len(line)
      yield line

  characters, indices = reader.number_words(blocks())
  return reader.NumberedText(
      [EOS if c == "\n" else c for c in characters], indices,
      {"sha256": digest.hexdigest(), "tokens": size}, stamp)


# Main. The model and its training come from ptb_word_lm.


def settings_for(num_characters: int,
                 num_steps: int = hyperparameters.CHAR_LM.num_steps
                 ) -> dict[str, int]:
  """Returns the settings by which the default epoch follows the text.

  A window of 100 streams would hold all of a tiny text. So few and large steps
  per pass learn slowly, and an epoch of 200 windows is many passes: a text of
  6,000 characters overfits in the first epoch. Fewer streams give a short text
  as many steps per pass as a long one has.

      5,800 characters   -> 2 streams, 57 windows
      571,000 characters -> 57 streams, 200 windows

  Args:
    num_characters: of the training text.
    num_steps: T, characters per window and stream.

  Returns:
    A dict, name -> value; empty if the text is long enough for the config.
  """
  config = hyperparameters.CHAR_LM
  streams = num_characters // (config.epoch_size * num_steps)
  if streams >= config.batch_size:
    return {}
  return {"batch_size": max(streams, _MIN_STREAMS), "epoch_size": 0,
          "early_stop": _PATIENCE}


def _follow_text(config: configs.Config, named: Container[str],
                 num_characters: int) -> configs.Config:
  """Applies `settings_for` to the settings that --config_override leaves open.

  A run at --save_path that began before there was this rule keeps its settings.
  """
  settings = {name: value for name, value
              in settings_for(num_characters, config.num_steps).items()
              if name not in named}
  if FLAGS.save_path:
    with contextlib.suppress(RunError):  # there is no run yet
      there = RunDirectory(FLAGS.save_path).settings().config
      if all(getattr(there, name) == getattr(config, name)
             for name in settings):
        return config
  if settings:
    print(f"the epoch follows the text of {num_characters:,} characters: "
          + ", ".join(f"{name}={value}" for name, value in settings.items()),
          flush=True)
  return configs.override(config, settings)


def evaluate(run: RunDirectory, data_path: str | None = None,
             encoding: str | None = None, rnn_mode: str | None = None) -> None:
  """Evaluates a run on valid and test; prints bits per character.

  Args:
    data_path, encoding: see `read_corpus`. By default, the texts that the run
      was trained on are read, in their encoding; others may be named.

  Raises:
    DataError: as in `read_corpus`.
    RunError: this is no run of characters, no checkpoint is readable, or the
      texts at the stored path have changed since training.
  """
  settings, vocabulary = run.settings(), run.vocabulary()
  if not isinstance(vocabulary, Characters):
    raise RunError(f"{run.path}: does not hold a model of characters; use "
                   "ptb_word_lm.py", "save_path")
  path = data_path
  if path is None:
    path, encoding = settings.data_path, encoding or settings.encoding
  texts, _ = read_corpus(path, encoding, Choice(vocabulary))
  del texts["train"]
  if data_path is None:
    run.check_data(path, {
        split: text.fingerprint for split, text in texts.items()})
  ptb_word_lm.evaluate(
      run, {split: text.ids for split, text in texts.items()}, rnn_mode, BITS)


def main(argv: Sequence[str]) -> None:
  """Trains and tests, or evaluates, as the flags say."""
  with scripts.error_lines(argv[0]):
    parallel_flags.hide_gpus()
    if FLAGS.mode == "eval":
      evaluate(training_flags.run_to_read("--mode=eval"), FLAGS.data_path,
               FLAGS.encoding, FLAGS.rnn_mode)
      return
    stored = stored_flags.fill_in(config_file.LANGUAGE_MODEL, "characters")
    origin = initial_flags.origin("characters", ptb_word_lm.model_variables)
    config, settings = initial_flags.config(
        stored_flags.base(stored, hyperparameters.CHAR_LM), origin)
    data_path = training_flags.data_path(
        "a text, or cs.NE.tsv.xz from https://github.com/staeiou/arxiv_archive "
        "(processed_data/DATE/per_category)")
    choice = initial_flags.vocabulary_choice(origin, Characters)
    texts, vocabulary = read_corpus(data_path, FLAGS.encoding, choice)
    config, workers = parallel_flags.workers(
        _follow_text(config, settings, len(texts["train"].ids)), stored)
    options = training_flags.options(config, workers=workers)
    initial_values, start = initial_flags.initial_values(
        vocabulary, config, origin)
    known = KnownWords(texts, vocabulary, BITS)
    run = training_flags.run("char_lm", config, settings, {
        "rnn_mode": options.rnn_mode, "precision": options.precision,
        "tokens": "characters",
        **text_flags.describe_corpus(data_path, texts, choice), **start},
        vocabulary=vocabulary, metric=BITS.name, workers=workers)
    with (parallel_flags.only_the_chief_prints(workers),
          training_flags.stopping(workers) as check_stop):
      train, valid, test = (text.ids for text in texts.values())
      rows, tests = ptb_word_lm.train(
          config, (train, valid, test, vocabulary), run, options,
          initial_values, BITS, FLAGS.save_secs, check_stop, known=known)
      if workers.is_chief:
        print(progress.summary(rows, tests, known.rows(), BITS.with_limit(
            len(vocabulary), config.num_sampled)), flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
