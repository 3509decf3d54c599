"""A copy of the code in which every documented command takes seconds.

The commands run unchanged. The copy differs from the project in these points:
models train for one epoch and have at most 200 units and 8 steps, all data are
short, and the files that a reader would bring are there.
"""

import bz2
import gzip
import io
import itertools
import os
import pathlib
import random
import shlex
import shutil
import sys
import tarfile

from tests.docs.documents import ROOT
from tests.helpers import warm_python

# The files that a user copies to try things out.
_CODE = ["rnn", "trained", "tasks", "data", "benchmarks", "Makefile",
         *(path.name for path in ROOT.glob("*.py")),
         *(path.name for path in ROOT.glob("requirements*.txt"))]

_TINY_CONFIGS = '''

# Appended by the tests of the documents.
from rnn.settings import Settings


def _tiny(record):
  changes = {"max_max_epoch": 1, "epoch_size": min(record.epoch_size, 2)}
  if isinstance(record, Config):
    changes["hidden_size"] = min(record.hidden_size, 200)
    changes["hidden_sizes"] = tuple(
        min(size, 30) for size in record.hidden_sizes)
    if record.hidden_sizes:
      changes["embedding_size"] = min(record.embedding_size, 30)
    changes["num_steps"] = min(record.num_steps, 8)
  return dataclasses.replace(record, **changes)


for _name, _record in list(globals().items()):
  if isinstance(_record, Settings):
    globals()[_name] = _tiny(_record)
'''
_TINY_NAMES = "CONFIGS = {name: _tiny(CONFIGS[name]) for name in CONFIGS}\n"

# A checkpoint with the names of the classic script, of the medium model.
_CLASSIC_CHECKPOINT = '''
import os, sys
sys.path.insert(0, os.getcwd())
import configs, reader
from ptb_word_lm import PTBModel
from rnn.tf1 import tf
*_, vocabulary = reader.ptb_raw_data("simple-examples/data")
with tf.Graph().as_default(), tf.Session() as session:
  ids = tf.zeros([2, 1], tf.int32)
  PTBModel(configs.MEDIUM, len(vocabulary), ids, ids)
  session.run(tf.global_variables_initializer())
  tf.train.Saver(tf.global_variables()).save(
      session, "old/checkpoints/model.ckpt", 7)
'''

_SENTENCES = [
    "the company said on monday that the government of france agreed",
    "on tuesday the bank and the company sold oil to the government",
    "the president of the bank said prices rose N N in monday trading"]
_DAYS = "monday tuesday wednesday thursday friday saturday".split()


def make(folder: pathlib.Path) -> None:
  """Makes the copy, with an environment of its own in `.venv`."""
  for name in _CODE:
    source, target = ROOT / name, folder / name
    if source.is_dir():
      shutil.copytree(source, target, ignore=shutil.ignore_patterns("ptb"))
    else:
      shutil.copy2(source, target)
  for path, text in (("configs.py", _TINY_CONFIGS + _TINY_NAMES),
                     ("tasks/hyperparameters.py", _TINY_CONFIGS)):
    with open(folder / path, "a", encoding="utf-8") as file:
      file.write(text)
  echo = folder / "tasks" / "echo.py"
  echo.write_text(echo.read_text().replace("_000", "00"))
  _make_environment(folder)
  _make_corpora(folder)
  _make_other_data(folder)


def make_classic_checkpoint(folder: pathlib.Path) -> list[str]:
  """Returns the command that makes `old/checkpoints`."""
  (folder / "old" / "checkpoints").mkdir(parents=True)
  return [sys.executable, "-c", _CLASSIC_CHECKPOINT]


def _make_environment(folder: pathlib.Path) -> None:
  """Makes a `.venv` that `make` accepts, around a warm interpreter."""
  binaries = folder / ".venv" / "bin"
  binaries.mkdir(parents=True)
  python = binaries / "python"
  command = shlex.join(warm_python.command())
  python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
  python.chmod(0o755)
  (binaries / "activate").touch()  # `environment` has the PATH
  for stamp in ("run.done", "test.done"):
    (folder / ".venv" / stamp).touch()


def _make_corpora(folder: pathlib.Path) -> None:
  """Shortens the bundled corpus, and makes texts in the form of PTB."""
  for split, num_lines in ("train", 60), ("valid", 15), ("test", 15):
    path = folder / "data" / "factbook" / f"{split}.txt"
    with open(path, encoding="utf-8") as file:
      lines = list(itertools.islice(file, num_lines))
    lines += [f" {sentence} \n" for sentence in _SENTENCES]
    path.write_text("".join(lines), encoding="utf-8")
    for corpus in ("data/ptb", "simple-examples/data"):
      (folder / corpus).mkdir(parents=True, exist_ok=True)
      (folder / corpus / f"ptb.{split}.txt").write_text(
          "".join(lines), encoding="utf-8")


def _make_other_data(folder: pathlib.Path) -> None:
  """Makes the files that the documents take as given."""
  rng = random.Random(0)
  text = [sentence.replace("monday", rng.choice(_DAYS))
          for sentence in _SENTENCES * 100]
  # No two sentences are the same, or prepare.py would drop one.
  (folder / "my.txt").write_text("".join(
      " ".join(rng.sample(sentence.split(), k=8)).capitalize() + ".\n"
      for sentence in text))
  for number in range(2):
    (folder / f"news.en-{number}").write_text("\n".join(text * 3) + "\n")
  (folder / "other.txt").write_text("\n".join(text) + "\n")
  (folder / "abstracts.txt").write_text("\n".join(text[:60]) + "\n")
  (folder / "glove.6B.100d.txt").write_text("".join(
      f"{word}{' 0.1' * 100}\n" for word in ("the", "monday", "company")))
  (folder / "chinese.txt").write_text("".join(
      "".join(rng.sample("的一是了我不人在他有这个上们来到时", k=12)) + "。\n"
      for _ in range(100)), encoding="gbk")
  (folder / "labeled.csv").write_text("text,label\n" + "".join(
      f"{sentence},{rng.choice(['news', 'sport', 'art'])}\n"
      for sentence in text))
  (folder / "reviews.txt").write_text("a good film\na bad film\n")
  (folder / "questions-words.txt").write_text(
      ": days\nmonday tuesday the company\n")
  pages = "".join(
      "<page><ns>0</ns><revision><text>" + " ".join(text[i::20])
      + "</text></revision></page>" for i in range(20))
  (folder / "enwiki-pages-articles.xml.bz2").write_bytes(
      bz2.compress(f"<mediawiki>{pages}</mediawiki>".encode()))
  (folder / "letter.data.gz").write_bytes(
      gzip.compress(_letters(rng).encode()))
  with tarfile.open(folder / "aclImdb_v1.tar.gz", "w:gz") as archive:
    for split, label, number in itertools.product(
        ("train", "test"), ("pos", "neg"), range(20)):
      data = f"a {'good' if label == 'pos' else 'bad'} film".encode()
      member = tarfile.TarInfo(f"aclImdb/{split}/{label}/{number}_5.txt")
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))


def _letters(rng: random.Random) -> str:
  """Returns 100 handwritten words in the form of letter.data.gz."""
  lines: list[str] = []
  for word_id in range(100):
    word = rng.choice(_DAYS)
    for position, letter in enumerate(word, 1):
      number = len(lines) + 1
      following = number + 1 if position < len(word) else -1
      pixels = rng.choices("01", k=128)
      lines.append("\t".join(map(str, [
          number, letter, following, word_id, position, word_id % 10,
          *pixels])) + "\t\n")
  return "".join(lines)


def inherited_environment() -> dict[str, str]:
  """Returns this process's environment without the variables of `make`.

  By these, the `make` that runs the tests would hand its own arguments down.
  """
  return {name: value for name, value in os.environ.items()
          if name not in ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")}


def environment(folder: pathlib.Path) -> dict[str, str]:
  """Returns the environment variables in which `python` is this one."""
  return inherited_environment() | {
      "PATH": f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
