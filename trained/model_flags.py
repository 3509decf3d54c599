"""Loads the trained models that the flags of a script name."""

import os
from collections.abc import Sequence

from absl import flags

import configs
import reader
from rnn.errors import DataError, UserError
from rnn.runs import selection
from rnn.text import corpora, numbering, sources
from rnn.text.vocabulary import Vocabulary
from trained import classic_checkpoint, model
from trained.model import TrainedModel

FLAGS = flags.FLAGS
_CLASSIC = ("model", "config_override", "vocab_path", "data_path")


def load() -> TrainedModel:
  """Loads the model that the flags name.

  Raises:
    UserError: there is none, or it cannot be used.
  """
  return _load([FLAGS.save_path or ""])[0]


def load_several() -> list[TrainedModel]:
  """Loads the models that the flags name, which must have the same words.

  Raises:
    UserError: there is none, one cannot be used, or the vocabularies differ.
  """
  path = FLAGS.save_path or ""
  # A folder or a classic checkpoint may have commas in its name.
  is_one = os.path.exists(path) or classic_checkpoint.find(path)
  models = _load([path] if is_one else path.split(","))
  for other in models[1:]:
    _compare_words(models[0], other)
  return models


def _load(paths: Sequence[str]) -> list[TrainedModel]:
  """Loads the models in some folders."""
  if not all(paths):
    raise UserError("--save_path: name the folder of the run" + (
        "; it has a comma too many" if len(paths) > 1 else ""))
  classic = None
  if classic_path := next(filter(classic_checkpoint.find, paths), None):
    classic = _classic(classic_path)
  else:
    for path in paths:
      run, _ = selection.find(path)
      run.content()  # raises the best error if there is no run
    refuse_classic()
  return [model.load(path, FLAGS.checkpoint, FLAGS.average_last, classic)
          for path in paths]


def refuse_classic() -> None:
  """Raises a UserError if a flag describes a classic checkpoint."""
  for name in _CLASSIC:
    if FLAGS[name].present:
      raise UserError(f"--{name}: describes checkpoints of the classic script, "
                      "but a run describes itself; leave it out")


def _classic(path: str) -> tuple[configs.Config, Vocabulary]:
  """Returns the config and the vocabulary of a classic checkpoint."""
  if FLAGS.vocab_path and FLAGS.data_path:
    raise UserError("--vocab_path and --data_path: give one of them, not both")
  if not FLAGS.model or not (FLAGS.vocab_path or FLAGS.data_path):
    raise UserError(
        f"{path}: holds a checkpoint of the classic script; name its config by "
        "--model, and its words by --vocab_path or --data_path")
  config = configs.override(
      configs.CONFIGS[FLAGS.model], FLAGS.config_override)
  if FLAGS.vocab_path:
    return config, Vocabulary.load(FLAGS.vocab_path)
  return config, _vocabulary_of_text(path)


def _vocabulary_of_text(path: str) -> Vocabulary:
  """Returns the vocabulary of the text in --data_path.

  One text is the training text itself, or was split for training. The number of
  words in the checkpoint tells which.
  """
  if not corpora.is_single(FLAGS.data_path):
    train = reader.find_corpus(FLAGS.data_path, ("train",))["train"]
    return reader.build_vocabulary(reader.read_text(train))
  whole = reader.build_vocabulary(
      reader.read_text(sources.find(FLAGS.data_path)))
  try:
    split = reader.build_vocabulary(
        numbering.number_corpus(FLAGS.data_path)["train"])
  except DataError:  # too short
    return whole
  size = classic_checkpoint.num_words(path)
  if len(whole) == len(split) == size and whole.words != split.words:
    raise UserError(
        f"--data_path={FLAGS.data_path}: the whole text and its training part "
        f"have {size:,} words each, in another order; give --vocab_path "
        "instead")
  return split if len(split) == size else whole


def _compare_words(first: TrainedModel, other: TrainedModel) -> None:
  """Raises a UserError if two models have different vocabularies."""
  ours, theirs = first.vocabulary.words, other.vocabulary.words
  if ours == theirs:
    return
  difference = next(
      (f"word {i} is {a} in the first and {b} in the second"
       for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
      "one has more words than the other")
  raise UserError(
      f"{first.name} and {other.name} differ in their vocabularies of "
      f"{len(ours):,} and {len(theirs):,} words: {difference}; average only "
      "models with the same words, see --vocab_path of training")
