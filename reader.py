"""Text files -> vocabulary -> streams of word ids -> batches.

    train, valid, test, vocabulary = reader.ptb_raw_data("data/factbook")
    for x, y in reader.ptb_iterator(train, batch_size=20, num_steps=35):
      ...

A corpus is three text files, one sentence per line, with blanks (ASCII spaces
or tabs) between the words. Each line ends with the word `<eos>`. The vocabulary
comes from the training file only, the most frequent word first.

The code of most names is in `rnn/text/`. Only `ptb_producer` uses TensorFlow.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rnn.errors import DataError
from rnn.text import sources
from rnn.text.corpora import find_corpus  # noqa: F401
from rnn.text.numbering import (  # noqa: F401
  NumberedText,
  Text,
  build_vocabulary,
  encode_corpus,
  log_size,
  number_words,
  read_corpus,
  read_held_out,
  read_ids,
  read_index,
  read_text,
  unlearned,
  warn_of_unlearned,
)
from rnn.text.producer import ptb_producer  # noqa: F401 (for notebooks)
from rnn.text.splitting import SPLITS  # noqa: F401
from rnn.text.streams import NO_TARGET, EvaluationStreams, Ids, TrainingStreams  # noqa: F401
from rnn.text.vocabulary import (  # noqa: F401
  EOS,
  UNK,
  VOCABULARIES,
  Characters,
  Choice,
  Vocabulary,
  Words,
)

# The ids of train, valid and test, and the vocabulary.
RawData = tuple[Ids, Ids, Ids, Words]


# A corpus


def ptb_raw_data(data_path: str, encoding: str | None = None) -> RawData:
  """Reads a corpus.

  Args:
    data_path: a folder with `ptb.{train,valid,test}.txt`,
      `{train,valid,test}.txt` or `wiki.{train,valid,test}.tokens`, which may
      be compressed, as train.txt.gz; or the folder that `simple-examples.tgz`
      unpacks to. Or one text, which is split in order, 80/10/10; or a folder
      that `data/index.py` has written.
    encoding: of the files, see `sources.find`.

  Returns:
    train, valid, test, vocabulary: three 1-D sequences of word ids, and the
    `Vocabulary` of the training text. The sequences are int32 arrays; those of
    an indexed text are `ShardIds`, whose slices are. One log line per split
    says how many of its words are unknown and become `<unk>`.

  Raises:
    DataError: the folder or a file is missing, empty, or in another encoding.
    SettingError: there is no such encoding.
  """
  texts, vocabulary = read_corpus(data_path, encoding)
  train, valid, test = (text.ids for text in texts.values())
  return train, valid, test, vocabulary


# One text


def read_lines(text: str | sources.Source,
               split: Callable[[str], list[str]] = Vocabulary.split,
               encoding: str | None = None) -> Iterator[list[str]]:
  """Generates the words of each line of a text.

  Lines are split as in `read_text`, but get no `<eos>`. Memory grows with the
  longest line, not with the text.

  Args:
    text: see `sources.find`; also a pipe, or "-", standard input.
    split: splits a line into words, for instance `Characters.split`.
    encoding: see `sources.find`.

  Raises:
    DataError: the text does not exist, is not a file, is empty, or is in
      another encoding.
  """
  source = (sources.standard_input(encoding) if text == "-" else
            sources.find(text, encoding))
  empty = True
  with source.open_text("\n") as lines:
    for line in lines:
      words = split(line.removesuffix("\n").removesuffix("\r"))
      if words or line.endswith("\n"):
        empty = False
        yield words
  if empty:
    raise DataError(f"{source.name}: the file is empty")


# Batches


def ptb_iterator(
    raw_data: Sequence[int] | np.ndarray, batch_size: int, num_steps: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Generates the training windows of one epoch, batch-major.

  The stream is cut into `batch_size` rows of equal length; the rest is dropped.
  Windows of `num_steps` columns follow each other, so the state of row b at the
  end of a window is its state at the start of the next one. With batch_size 2
  and num_steps 2, the stream a b c d e f g h i j k gives

      a b c d e      x = a b   y = b c     then   x = c d   y = d e
      f g h i j          f g       g h                h i       i j

  (k does not fill a column.)

  Args:
    raw_data: 1-D sequence of word ids.

  Yields:
    (x, y): int32 arrays [batch_size, num_steps]; y is x shifted by one word.

  Raises:
    DataError: the stream is too short for a single window.
  """
  streams = TrainingStreams(raw_data, batch_size, num_steps, seed=None)
  for start in range(0, streams.windows * num_steps, num_steps):
    window = streams.rows(start, start + num_steps + 1).T
    yield window[:, :-1], window[:, 1:]
