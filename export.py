"""Exports a trained model as a TensorFlow SavedModel.

    python export.py --save_path=runs/small --output=exported

It needs nothing of this suite where it is used:

    model = tf.saved_model.load("exported")
    found = model.signatures["serving_default"](words=words, **state)

with words an int32 [batch, steps], and the state of each layer l two float32
[batch, H] (of cells other than the LSTM's, one: h_0, h_1), c_0, h_0, c_1 and so
on, zero at the start of a text.
"""

import os

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

from absl import app, flags

import checkpoints
import errors
import model_flags
import trained_model
from ptb_word_lm import PTBModel
from tensorflow_v1 import tf

FLAGS = flags.FLAGS


def export(trained, path):
  """Writes a SavedModel.

  Its signatures take "words" [batch, steps] and the state, and return
  "next_c_0", "next_h_0" and so on, and

    "serving_default": "log_probs" [batch, steps, V], natural logarithms of the
      probabilities of the words that follow;
    "top_k": "top_words" (ids) and "top_log_probs" [batch, steps, k] of the
      likeliest words; it takes "k" too, an int32 scalar.

  The asset vocab.txt holds the words, one a line, in order of id.

  Args:
    trained: a trained_model.TrainedModel.
    path: of a folder that does not exist, or is empty.

  Raises:
    errors.UserError: it is not empty, or cannot be written.
  """
  path = checkpoints.absolute(path, "--output")
  try:
    if os.path.isdir(path) and not os.listdir(path):
      os.rmdir(path)
    if os.path.lexists(path):
      raise errors.UserError(f"{path}: exists; name a new folder")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with checkpoints.complete(path) as partial:
      _write(trained, partial)
  except OSError as error:
    raise errors.UserError(
        f"{error.filename or path}: {error.strerror}") from None
  except tf.errors.OpError as error:
    raise errors.UserError(f"{path}: {checkpoints.cause(error)}") from None


def _write(trained, path):
  """Writes the SavedModel; `path` must not exist."""
  builder = tf.saved_model.Builder(path)
  vocabulary = os.path.join(path, "vocab.txt")
  trained.vocabulary.save(vocabulary)
  with tf.Graph().as_default(), tf.Session() as session:
    signatures, variables = _build(trained)
    asset = tf.constant(vocabulary)
    tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, asset)
    checkpoints.assign(session, variables, trained.values)
    builder.add_meta_graph_and_variables(
        session, [tf.saved_model.SERVING], signatures,
        assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS))
  builder.save()
  os.remove(vocabulary)


def _build(trained):
  """Adds the graph: the signatures by name, and the variables."""
  words = tf.placeholder(tf.int32, [None, None], "words")
  state = trained_model.state_placeholders(trained.config)
  model = PTBModel(
      trained.config, len(trained.vocabulary), tf.transpose(words),
      tf.transpose(words), state, rnn_mode="dynamic")
  log_probs = tf.transpose(tf.nn.log_softmax(model.logits), [1, 0, 2])
  k = tf.placeholder(tf.int32, [], "k")
  top_log_probs, top_words = tf.nn.top_k(log_probs, k)
  inputs = {"words": words} | _by_name("", state)
  next_state = _by_name("next_", model.final_state)
  top = {"top_words": top_words, "top_log_probs": top_log_probs}
  signature = tf.saved_model.predict_signature_def
  return {
      "serving_default": signature(
          inputs, {"log_probs": log_probs} | next_state),
      "top_k": signature(inputs | {"k": k}, top | next_state),
  }, model.variables


def _by_name(prefix, state):
  """The state as a dict: "c_0", "h_0", "c_1" and so on."""
  return {f"{prefix}{part}_{i}": value for i, layer in enumerate(state)
          for part, value in layer._asdict().items()}


def define_flags():
  """The flags of this script; `main` alone reads them."""
  model_flags.define()
  flags.adopt_module_key_flags(model_flags)  # for --help
  flags.DEFINE_string("output", None, "The folder to make.")


def main(argv):
  """Exports as the flags say."""
  with command_line.complaints(argv[0]):
    if not FLAGS.output:
      raise errors.UserError("--output: name the folder to make")
    trained = model_flags.load()
    export(trained, FLAGS.output)
    print(f"{FLAGS.output}: {trained.name}, {len(trained.vocabulary):,} words")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
