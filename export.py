"""Exports a trained model as a TensorFlow SavedModel.

    python export.py --save_path=runs/small --output=exported

The SavedModel works without this suite:

    model = tf.saved_model.load("exported")
    result = model.signatures["serving_default"](words=words, **state)

`words` is an int32 [batch, steps]. The state of layer l is two float32 arrays
[batch, H], c_l and h_l; only h_l if the cell is not an LSTM. All are zero at
the start of a text.
"""

from rnn.cli import scripts  # first, so that Ctrl-C works in slow imports

# isort: split

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from ptb_word_lm import PTBModel
from rnn import files
from rnn.errors import UserError
from rnn.options import Options
from rnn.runs import checkpoints
from rnn.tf1 import error_cause, tf
from trained import model_flags
from trained.model import TrainedModel, state_placeholders

FLAGS = flags.FLAGS


def export(model: TrainedModel, path: str) -> None:
  """Writes a SavedModel.

  Its signatures take "words" [batch, steps] and the state, and return
  "next_c_0", "next_h_0" and so on, and

    "serving_default": "log_probs" [batch, steps, V], natural logarithms of the
      probabilities of the next word at each step;
    "top_k": "top_words" (ids) and "top_log_probs" [batch, steps, k] of the most
      probable next words; it takes "k" too, an int32 scalar.

  The asset vocab.txt has one word per line, in order of id.

  Args:
    path: a folder that does not exist, or is empty.

  Raises:
    UserError: the folder is not empty, or cannot be written.
  """
  path = checkpoints.absolute(path, "output")
  try:
    if os.path.isdir(path) and not os.listdir(path):
      os.rmdir(path)
    if os.path.lexists(path):
      raise UserError(f"{path}: exists; name a new folder")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with files.atomic_write(path) as partial:
      _write(model, partial)
  except OSError as error:
    raise UserError(f"{error.filename or path}: {error.strerror}") from None
  except tf.errors.OpError as error:
    raise UserError(f"{path}: {error_cause(error)}") from None


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
  """Adds the graph; returns the signatures by name, and the variables."""
  words = tf.placeholder(tf.int32, [None, None], "words")
  state = state_placeholders(model.config)
  # "dynamic" allows any number of steps, on a machine with or without a GPU.
  graph = PTBModel(
      model.config, len(model.vocabulary), tf.transpose(words),
      tf.transpose(words), state,
      options=Options("dynamic", precision=model.precision))
  log_probs = tf.transpose(
      tf.nn.log_softmax(graph.logits), [1, 0, 2])  # (B, T, V)
  k = tf.placeholder(tf.int32, [], "k")
  top_log_probs, top_words = tf.nn.top_k(log_probs, k)
  inputs = {"words": words} | _by_name("", state)
  next_state = _by_name("next_", graph.final_state)
  top = {"top_words": top_words, "top_log_probs": top_log_probs}
  signature = tf.saved_model.predict_signature_def
  return {
      "serving_default": signature(
          inputs, {"log_probs": log_probs} | next_state),
      "top_k": signature(inputs | {"k": k}, top | next_state),
  }, graph.variables


def _by_name(prefix: str, state: Sequence[Any]) -> dict[str, tf.Tensor]:
  """Returns the state as a dict with the keys "c_0", "h_0", "c_1" and so on."""
  return {f"{prefix}{part}_{i}": value for i, layer in enumerate(state)
          for part, value in layer._asdict().items()}


def define_flags() -> None:
  """Defines the flags of this script; only `main` reads them."""
  model_flags.define()
  flags.adopt_module_key_flags(model_flags)  # for --help
  flags.DEFINE_string("output", None, "The folder to write to; a new one.")


def main(argv: Sequence[str]) -> None:
  """Exports the model that the flags name."""
  with scripts.error_lines(argv[0]):
    if not FLAGS.output:
      raise UserError("--output: name the folder to write to")
    model = model_flags.load()
    export(model, FLAGS.output)
    print(f"{FLAGS.output}: {model.name}, {len(model.vocabulary):,} words")


if __name__ == "__main__":
  scripts.run(main, define_flags)
