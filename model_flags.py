"""The flags by which scripts are told which trained models to use."""

import os

from absl import flags

import checkpoints
import configs
import errors
import reader
import trained_model

FLAGS = flags.FLAGS
_CLASSIC = ("model", "config_override", "vocab_path", "data_path")


def define(several=False):
  """Defines them; `several` where more than one model can be used."""
  flags.DEFINE_string(
      "save_path", None, "The folder of the run" + (
          "; several, with commas between, average their probabilities"
          if several else "") + ". Also a folder of checkpoints of the classic "
      "script, along with --model, and --vocab_path or --data_path.")
  flags.DEFINE_enum("checkpoint", "last", ["last", "best"],
                    "The checkpoint: the last, or the best by validation.")
  flags.DEFINE_integer("average_last", 1,
                       "Average the parameters of this many of the run's last "
                       "checkpoints.", lower_bound=1)
  flags.DEFINE_enum("model", None, list(configs.CONFIGS),
                    "The config of a classic checkpoint.")
  flags.DEFINE_string("config_override", None,
                      "Settings in place of that config's.")
  flags.DEFINE_string("vocab_path", None,
                      "The words of a classic checkpoint, one a line, in order "
                      "of id.")
  flags.DEFINE_string("data_path", None,
                      "In place of --vocab_path, the text that a classic "
                      "checkpoint was trained on, or its folder.")


def load():
  """The TrainedModel that the flags name.

  Raises:
    errors.UserError: there is none, or it cannot be used.
  """
  return _load([FLAGS.save_path or ""])[0]


def load_several():
  """As `load`, a list; the models must have the same words."""
  path = FLAGS.save_path or ""
  # A folder may have commas in its name.
  models = _load([path] if os.path.exists(path) else path.split(","))
  for other in models[1:]:
    _compare_words(models[0], other)
  return models


def _load(paths):
  if not all(paths):
    raise errors.UserError("--save_path: name the folder of the run")
  classic = None
  if any(trained_model.classic_checkpoint(path) for path in paths):
    classic = _classic()
  else:
    for path in paths:
      checkpoints.RunDirectory(path).config()  # says what it is, if no run
    for name in _CLASSIC:
      if FLAGS[name].present:
        raise errors.UserError(
            f"--{name}: is for checkpoints of the classic script; of a run it "
            "is known: leave it out")
  return [trained_model.load(path, FLAGS.checkpoint, FLAGS.average_last,
                             classic) for path in paths]


def _classic():
  """What the flags say of a classic checkpoint: config and vocabulary."""
  if FLAGS.vocab_path and FLAGS.data_path:
    raise errors.UserError(
        "--vocab_path and --data_path: give one of them, not both")
  if not FLAGS.model or not (FLAGS.vocab_path or FLAGS.data_path):
    return None  # which trained_model.load will complain about
  config = configs.override(
      configs.CONFIGS[FLAGS.model], FLAGS.config_override or "")
  if FLAGS.vocab_path:
    return config, reader.Vocabulary.load(FLAGS.vocab_path)
  path = FLAGS.data_path
  if not os.path.isfile(path):
    path = reader.find_corpus(path, ("train",))["train"]
  return config, reader.build_vocabulary(*reader.read_text(path))


def _compare_words(first, other):
  ours, theirs = first.vocabulary.words, other.vocabulary.words
  if ours == theirs:
    return
  at = next((f"word {i} is {a} in the one and {b} in the other"
             for i, (a, b) in enumerate(zip(ours, theirs, strict=False))
             if a != b), "the one goes on where the other ends")
  raise errors.UserError(
      f"{first.name} and {other.name} differ in their vocabularies of "
      f"{len(ours):,} and {len(theirs):,} words: {at}; average only models "
      "that were trained on the same text")
