"""Any bytes: the loaders of tasks/ read them, or say in one line what is wrong.

A case is a file of one of 20 forms that is damaged in up to eight places,
before it is compressed or after. There are 60 cases per form, 1,200 in all;
the environment variable FUZZ_CASES sets another number per form. No case may
end in a traceback, take 30 s, or take 4 GB of memory.
"""

import bz2
import functools
import gzip
import io
import lzma
import os
import pathlib
import random
import tarfile

import fetch_ptb
import numpy as np
import pytest

from rnn.errors import UserError
from rnn.text import vector_files, word_vectors
from rnn.text.vocabulary import Words
from tasks import (
  char_lm,
  classification,
  hyperparameters,
  imdb,
  letters,
  skip_grams,
  wikipedia,
)
from tests.helpers.limits import limits
from tests.helpers.odd_input import NOT_UTF_8, PIECES
from tests.helpers.ptb_server import FILES, make_archive
from tests.helpers.texts import DUMP, letter_lines

CASES = int(os.environ.get("FUZZ_CASES", "60"))
# What damage puts in: numbers at the limits of types, and marks of the forms.
MARKS = [b"0", b"-1", b"9" * 400, b"1e999", b"nan", b"65536", b"4294967296",
         b"9223372036854775808", b"0777", b"\xff\xff\xff\xff", b"\t", b"\r\n",
         b'"', b"<page>", b"</page>", b"<text>", b"<!DOCTYPE a [", b"<!--",
         b"&", b"{{", b"]]", b"<ref>", b": ", b"x", b"L", b"K", b"g", b"S",
         *PIECES, *NOT_UTF_8]


def reviews_archive():
  """Returns an archive of reviews with headers of all kinds."""
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT,
                    pax_headers={"comment": "all"}) as archive:
    for split in "train", "test":
      for kind in "pos", "neg", "unsup":
        for i in range(5):
          name = f"aclImdb/{split}/{kind}/{i}_9.txt"
          member = tarfile.TarInfo(f"{'long/' * 60 * (i == 1)}{name}")
          member.pax_headers = {"mtime": "1.5"} if i else {}
          text = f"{kind} {split} a film<br />it was".encode()
          member.size = len(text)
          archive.addfile(member, io.BytesIO(text))
  return file.getvalue()


def letter_file():
  words = [("cab", 0), ("a", 3), ("cat", 5)]
  images = [np.zeros([len(word), 128], np.uint8) for word, _ in words]
  return "".join(letter_lines(words, images)).encode()


def array_file():
  file = io.BytesIO()
  np.save(file, np.arange(12, dtype=np.float32).reshape(4, 3))
  return file.getvalue()


def unpack(path):
  """Reads an archive of the Penn Treebank."""
  fetch_ptb._unpack(path, list(FILES), os.path.dirname(path))


def load_vectors(path):
  """Reads vectors of four words, which are in another file."""
  with open(f"{path.removesuffix('.npy')}.words.txt", "w") as file:
    file.write("a\nb\nc\nd\n")
  vector_files.load(path, {"a", "d"})


TEXT = b"".join(b"we train net %d on data\r\n" % i for i in range(60))
TABLE = b"\tabstract\tacm_class\ttitle\n" + b"".join(
    b'%d\t"we train ""net"" %d"\tx\tA title\n' % (i, i) for i in range(60))
VECTORS = b"4 3\na 1 2 3\nb -1.5 0 1e-3\nc 0 0 0\nd 7 8 9\n"
QUESTIONS = b": family\nboy girl king queen\n: capital common\na b c d\n"
CORPUS = functools.partial(skip_grams.Corpus, vocab_size=9, min_count=1)
REVIEWS = functools.partial(classification.read, vocab_size=9, seed=1,
                            config=hyperparameters.SENTIMENT)
LABELED = b"text,label\n" + b"".join(
    b'"we train ""net"" %c%c",%s\n' % (
        97 + i // 26, 97 + i % 26, b"bad" if i % 3 else b"good")
    for i in range(60))


def exhaust(generate):
  """Returns a loader that reads all that a generator yields."""
  return lambda path: sum(1 for _ in generate(path))


# Name -> how it is read, the content of a good file, and its compression.
FORMS = {
    "letters": (letters.read_words, letter_file(), bytes),
    "letters.gz": (letters.read_words, letter_file(), gzip.compress),
    "reviews.tar": (REVIEWS, reviews_archive(), bytes),
    "reviews.tgz": (REVIEWS, reviews_archive(), gzip.compress),
    "all reviews.tar": (
        exhaust(functools.partial(imdb.reviews, unsup=True)),
        reviews_archive(), bytes),
    "labeled.csv": (REVIEWS, LABELED, bytes),
    "ptb.tgz": (unpack, gzip.decompress(make_archive()), gzip.compress),
    "dump.xml": (exhaust(wikipedia.pages), DUMP, bytes),
    "dump.bz2": (exhaust(wikipedia.pages), DUMP, bz2.compress),
    "characters.txt": (char_lm.read_corpus, TEXT, bytes),
    "characters.gz": (char_lm.read_corpus, TEXT, gzip.compress),
    "table.tsv": (char_lm.read_corpus, TABLE, bytes),
    "table.xz": (char_lm.read_corpus, TABLE, lzma.compress),
    "words.txt": (CORPUS, TEXT, bytes),
    "words of reviews.tar": (CORPUS, reviews_archive(), bytes),
    "words of a dump.bz2": (CORPUS, DUMP, bz2.compress),
    "vectors.txt": (vector_files.load, VECTORS, bytes),
    "vectors.npy": (load_vectors, array_file(), bytes),
    "questions.txt": (word_vectors.read_questions, QUESTIONS, bytes),
    "names.txt": (Words.load, b"a\r\nb\nc\n", bytes),
}


def damage(content, rng):
  """Returns a content with up to eight random changes."""
  content = bytearray(content)
  for _ in range(rng.randint(1, 8)):
    start = rng.randrange(len(content) + 1)
    end = min(start + rng.choice([0, 1, 1, 2, 8, 100, 512]), len(content))
    part = bytes(content[start:end])
    content[start:end] = rng.choice([
        rng.choice(MARKS), rng.choice(MARKS), rng.randbytes(len(part)),
        bytes(byte ^ 1 << rng.randrange(8) for byte in part),
        part * rng.choice([0, 2, 3, 100]), bytes(content[:end]),
        bytes(len(part))])
    if rng.random() < 0.05:
      del content[start:]
  return bytes(content)


def fix_checksums(archive):
  """Returns a tar archive whose headers have the right checksums.

  Without them, damage to a header would be found at once.
  """
  archive = bytearray(archive)
  for start in range(0, len(archive) - 511, 512):
    block = archive[start:start + 512]
    if block[257:262] == b"ustar":
      block[148:156] = b" " * 8
      archive[start + 148:start + 156] = b"%06o\0 " % sum(block)
  return bytes(archive)


@pytest.mark.parametrize("form", FORMS)
def test_any_file_is_read_or_refused_in_one_line(tmp_path, form):
  load, content, compress = FORMS[form]
  path = str(tmp_path / form)
  pathlib.Path(path).write_bytes(compress(content))
  load(path)  # the file is good before it is damaged
  refused = 0
  for case in range(CASES):
    rng = random.Random(f"{form} {case}")
    damaged = damage(content, rng)
    if "tar" in form or "tgz" in form:
      damaged = fix_checksums(damaged)
    damaged = compress(damaged)
    if compress is not bytes and rng.random() < 0.3:
      damaged = damage(damaged, rng)
    pathlib.Path(path).write_bytes(damaged)
    try:
      with limits():
        load(path)
    except UserError as error:
      assert str(error).isprintable() and len(str(error)) > 20, case
      refused += 1
    except Exception as error:
      raise AssertionError(f"case {case} of {form}") from error
  assert refused > CASES / 20
