"""The flags that say how to read a text: its encoding and its vocabulary."""

from collections.abc import Mapping

from absl import flags

from rnn.errors import UserError
from rnn.text import corpora, encodings, sources, splitting
from rnn.text.numbering import Text
from rnn.text.vocabulary import Choice, Vocabulary

FLAGS = flags.FLAGS


def define_encoding() -> None:
  """Defines the flag of the encoding of the text, for `describe_text`."""
  flags.DEFINE_string("encoding", None, encodings.HELP)


def describe_text(path: str) -> dict[str, str]:
  """Returns the entries of config.json's "data" that find the text again.

  They are the path from any working directory, and --encoding, if it is given.
  """
  return {"path": sources.absolute(path)} | (
      {"encoding": FLAGS.encoding} if FLAGS.encoding else {})


def describe_corpus(path: str, texts: Mapping[str, Text],
                    choice: Choice) -> dict[str, object]:
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


def define_vocabulary() -> None:
  """Defines the flags that `vocabulary_choice` reads."""
  flags.DEFINE_string("vocab_path", None,
                      "The vocabulary: a list with one word (or character) per "
                      "line, such as another run's vocab.txt. By default it is "
                      "that of the training text.")
  flags.DEFINE_integer("vocab_size", None,
                       "The size of the vocabulary, <unk> and <eos> included. "
                       "Rarer words of the training text become <unk>.",
                       lower_bound=3)
  flags.DEFINE_integer("min_count", 1,
                       "How often a word must occur in the training text. "
                       "Rarer ones become <unk>.", lower_bound=1)


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
