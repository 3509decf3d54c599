"""The flags that say how to read a text: its encoding and its vocabulary."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from rnn.errors import UserError
from rnn.text import corpora, sources, splitting
from rnn.text.numbering import Text
from rnn.text.vocabulary import Choice, Vocabulary

FLAGS = flags.FLAGS


def encoding(path: str) -> str | None:
  """Returns --encoding.

  Raises:
    UserError: the user gives it for an indexed text.
  """
  if FLAGS["encoding"].present and sources.is_indexed(path):
    raise UserError("--encoding: has no effect with an indexed text; leave it "
                    "out")
  return FLAGS.encoding


def describe_text(path: str) -> dict[str, str]:
  """Returns the entries of config.json's "data" that find the text again.

  They are the path from any working directory, and --encoding, if it is given.
  """
  return {"path": sources.absolute(path)} | (
      {"encoding": FLAGS.encoding} if FLAGS.encoding else {})


def describe_corpus(path: str, texts: Mapping[str, Text],
                    choice: Choice) -> dict[str, Any]:
  """Returns the entries of config.json about a corpus and its vocabulary.

  Args:
    path: the corpus.
    texts: what `reader.read_corpus` returned.
    choice: how the vocabulary was chosen.
  """
  return {"data": {
      **describe_text(path),
      **({"split": splitting.RULE} if corpora.is_single(path) else {}),
      **{split: text.fingerprint for split, text in texts.items()},
  }, "vocabulary_choice": choice.describe()}


def vocabulary_choice(kind: type[Vocabulary] = Vocabulary) -> Choice:
  """Returns the choice of the vocabulary that the flags describe.

  Args:
    kind: the class of the vocabulary.

  Raises:
    DataError: the list in --vocab_path cannot be used.
    UserError: there are flags that exclude each other.
  """
  if not FLAGS.vocab_path:
    return Choice(size=FLAGS.vocab_size, min_count=FLAGS.min_count)
  for name in "vocab_size", "min_count":
    if FLAGS[name].present:
      raise UserError(
          f"--{name}: has no effect with --vocab_path; leave it out")
  return Choice(kind.load_list(FLAGS.vocab_path))
