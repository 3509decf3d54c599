"""Exports a trained model as a TensorFlow SavedModel.

    python export.py --save_path=runs/small --output=exported

The SavedModel works without this suite. It is in exported/1, where 1 is the
version, as TensorFlow Serving expects it:

    model = tf.saved_model.load("exported/1")
    result = model.signatures["serving_default"](words=words)

`words` is an int32 [batch, steps]; a text begins with <eos>. See `export` for
the other signatures.
"""

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.trained_model()
  flags.DEFINE_string("output", None, "The folder to write to, a new one. "
                      "The model is in its folder 1, unless its name is a "
                      "number itself, a version.")


scripts.parse_first(__name__, define_flags)

import logging
import os
from collections.abc import Sequence
from typing import Any

from ptb_word_lm import PTBModel
from rnn import files
from rnn.errors import UserError
from rnn.layers import cells
from rnn.options import Options
from rnn.runs import checkpoints
from rnn.text.vocabulary import Characters
from rnn.tf1 import error_cause, tf
from trained import model_flags
from trained.model import TrainedModel, state_placeholders

_log = logging.getLogger(__name__)


def export(model: TrainedModel, path: str) -> None:
  """Writes a SavedModel, to version 1 in a folder.

  Its signatures take "words", an int32 [batch, steps], and return

    "serving_default": "log_probs" [batch, steps, V], natural logarithms of the
      probabilities of the next word at each step;
    "hidden": "hidden" [batch, steps, H] (P with a projection), the outputs of
      the last layer, before the softmax;
    "stateful": as "serving_default", from a given state;
    "top_k": "top_words" (ids) and "top_log_probs" [batch, steps, k] of the most
      probable next words, from a given state; it takes "k" too, an int32
      scalar;
    "step": as "stateful", for one word of one text. Its shapes are static, with
      batch and steps 1, and it has no loop, so TensorFlow Lite's built-in ops
      are enough. It computes in float32, whatever the model's precision.

  The first two start from the zero state of a text's beginning. The others take
  the state and return the next one. The state of layer l is two float32 arrays
  [batch, H], c_l and h_l; only h_l if the cell is not an LSTM. With a
  projection, h_l is [batch, P]. The next state is "next_c_0", "next_h_0" and so
  on. If the model was trained with reset_state, give zeros with each <eos>, and
  words of one sentence per call.

  The asset vocab.txt has one word per line, in order of id.

  Args:
    path: a folder that does not exist, or is empty. If its name is a number, it
      is the version itself.

  Raises:
    UserError: the folder is not empty, or cannot be written.
  """
  path = checkpoints.absolute(path, "output")
  try:
    version = os.path.join(path, _version(path)).rstrip(os.sep)
    _refuse_content(path, os.path.basename(version))
    _remove_leftovers(version)
    os.makedirs(os.path.dirname(version), exist_ok=True)
    with files.atomic_write(version) as partial:
      _write(model, partial)
  except OSError as error:
    raise UserError(f"{error.filename or path}: {error.strerror}") from None
  except tf.errors.OpError as error:
    raise UserError(f"{path}: {error_cause(error)}") from None


def _refuse_content(path: str, version: str) -> None:
  """Raises a UserError if there is anything but what a killed process left."""
  if not os.path.lexists(path):
    return
  names = os.listdir(path) if os.path.isdir(path) else [""]
  if not all(files.is_leftover(name, version) for name in names):
    raise UserError(f"{path}: exists; name a new folder")


def _remove_leftovers(version: str) -> None:
  """Removes what killed processes left where the version is written."""
  folder, own = os.path.split(version)
  if os.path.isdir(folder):
    for name in os.listdir(folder):
      # The first name is of older versions, and may be the user's, too.
      if name != own + files.PARTIAL and files.is_leftover(name, own):
        files.remove(os.path.join(folder, name))


def _version(path: str) -> str:
  """Returns the name of the version's folder in the output's; "" for itself."""
  name = os.path.basename(path)
  return "" if name.isascii() and name.isdecimal() else "1"


def _write(model: TrainedModel, path: str) -> None:
  """Writes the SavedModel; `path` must not exist."""
  builder = tf.saved_model.Builder(path)
  # The builder copies this file into its folder of assets.
  vocabulary = os.path.join(path, "vocab.txt")
  model.vocabulary.save(vocabulary)
  with tf.Graph().as_default(), tf.Session() as session:
    signatures, variables = _build(model)
    asset = tf.constant(vocabulary)
    tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, asset)
    checkpoints.assign(session, variables, model.values)
    builder.add_meta_graph_and_variables(
        session, [tf.saved_model.SERVING], signatures,
        assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS))
  builder.save()
  os.remove(vocabulary)


def _build(model: TrainedModel) -> tuple[dict[str, Any], list[tf.Variable]]:
  """Adds the graphs; returns the signatures by name, and the variables."""
  words = tf.placeholder(tf.int32, [None, None], "words")
  # "dynamic" allows any number of steps, on a machine with or without a GPU.
  options = Options("dynamic", precision=model.precision)
  stateless = _apply(model, words, cells.zero_state(
      model.config, tf.shape(words)[0]), options)
  state = state_placeholders(model.config)
  stateful = _apply(model, words, state, options)
  word = tf.placeholder(tf.int32, [1, 1], "word")
  static_state = state_placeholders(model.config, batch_size=1)
  step = _apply(model, word, static_state, Options("basic"))

  k = tf.placeholder(tf.int32, [], "k")
  top_log_probs, top_words = tf.nn.top_k(_log_probs(stateful), k)
  inputs = {"words": words} | _by_name("", state)
  next_state = _by_name("next_", stateful.final_state)
  signature = tf.saved_model.predict_signature_def
  return {
      "serving_default": signature(
          {"words": words}, {"log_probs": _log_probs(stateless)}),
      "hidden": signature(
          {"words": words}, {"hidden": tf.transpose(
              tf.cast(stateless.outputs, tf.float32), [1, 0, 2])}),
      "stateful": signature(
          inputs, {"log_probs": _log_probs(stateful)} | next_state),
      "top_k": signature(inputs | {"k": k}, {
          "top_words": top_words, "top_log_probs": top_log_probs} | next_state),
      "step": signature(
          {"words": word} | _by_name("", static_state),
          {"log_probs": _log_probs(step)}
          | _by_name("next_", step.final_state)),
  }, stateless.variables


def _apply(model: TrainedModel, words: tf.Tensor, state: Any,
           options: Options) -> PTBModel:
  """Adds the model of words [B, T] and an initial state to the graph."""
  words = tf.transpose(words)  # (T, B)
  return PTBModel(model.config, len(model.vocabulary), words, words, state,
                  options=options)


def _log_probs(graph: PTBModel) -> tf.Tensor:
  """Returns the logarithms of the probabilities, [B, T, V]."""
  return tf.transpose(tf.nn.log_softmax(graph.logits), [1, 0, 2])


def _by_name(prefix: str, state: Sequence[Any]) -> dict[str, tf.Tensor]:
  """Returns the state as a dict with the keys "c_0", "h_0", "c_1" and so on."""
  return {f"{prefix}{part}_{i}": value for i, layer in enumerate(state)
          for part, value in layer._asdict().items()}


def main(argv: Sequence[str]) -> None:
  """Exports the model that the flags name."""
  with scripts.error_lines(argv[0]):
    if not FLAGS.output:
      raise UserError("--output: name the folder to write to")
    model = model_flags.load()
    export(model, FLAGS.output)
    path = os.path.join(FLAGS.output, _version(os.path.abspath(FLAGS.output)))
    kind = ("characters" if isinstance(model.vocabulary, Characters)
            else "words")
    print(f"{os.path.normpath(path)}: {model.name}, "
          f"{len(model.vocabulary):,} {kind}")
    if model.config.reset_state:
      _log.warning("the model has reset_state: give each sentence by itself, "
                   "and zeros as the state with each <eos>")


if __name__ == "__main__":
  scripts.run(main, define_flags)
