"""Reads handwriting: a recurrent network labels the letters of a word.

    python -m tasks.ocr --data_path=letter.data.gz --bidirectional

The words are those of Kassel and Taskar, 6,877 of up to 14 letters, as images:
https://ai.stanford.edu/~btaskar/ocr/letter.data.gz
A tenth of the words to train on is left for validation.
"""

import functools
import os

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
from absl import app, flags

import cells
import checkpoints
import configs
import optimizers
import reader
import recurrent
import softmax
import stateless
import training
import training_flags
from tasks import batches, letters, ragged
from tensorflow_v1 import repeatable_session, tf

FLAGS = flags.FLAGS
LETTER_ERROR = training.Metric(
    "letter_error", lambda sums: 100 * sums["errors"] / sums["targets"],
    "letters")

# Words to train on and to test on, by --split: those of the folds of Taskar et
# al. 2003 ("Max-Margin Markov Networks"), or 66 % at random.
SPLITS = {
    "random": lambda folds, seed: letters.random_split(len(folds), seed=seed),
    "fold0": lambda folds, _: letters.fold_split(folds, [0]),
    "folds1-9": lambda folds, _: letters.fold_split(folds, range(1, 10)),
}
_VALID = 10  # of so many training words, the share of one
_PAGE_WORDS = 48


# Data


def read(path, split, batch_size, seed):
  """Reads the words of a split.

  Returns:
    A dict, "train", "valid", "test" -> letters.Batches.

  Raises:
    errors.UserError: as `letters.read_words`; or there are too few.
  """
  pixels, labels, folds = letters.read_words(path)
  places, test = SPLITS[split](folds, seed)
  places = np.random.default_rng([seed, 1]).permutation(places)
  held_out = max(len(places) // _VALID, 1)
  if held_out == len(places):
    raise reader.DataError(f"{path}: has too few words to hold some out for "
                           f"validation; use the whole of {letters.URL}")
  return {
      "train": letters.Batches(
          pixels, labels, places[held_out:], batch_size, seed),
      "valid": letters.Batches(pixels, labels, places[:held_out], batch_size),
      "test": letters.Batches(pixels, labels, test, batch_size)}


# Model


class OCRModel:
  """The graph of one batch: images of letters in, the letters out.

  Attributes:
    logits: [T, B, 26]; predicted: [T, B], the likeliest letter.
    losses: [T, B], the cross entropy of each letter in nats; 0 past the end.
    counts: of nats, targets (letters) and errors; see training.Epoch.
    variables, lr, grad_norm, max_grad_norm, train_op: as of the PTBModel.
  """

  def __init__(self, config, pixels, labels, lengths, bidirectional=False,
               is_training=False, step=None, learning_rate=None, rnn_mode=None,
               seed=1):
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: a configs.Config of one layer.
      pixels: [T, B, 128] of 0 and 1; labels: [T, B], 0 to 25; lengths: [B].
      bidirectional: whether to read words from both ends.
      step, learning_rate, rnn_mode, seed: as of the PTBModel.
    """
    size, cell = config.layer_sizes[0], cells.CELLS[config.cell]
    directions = ("fw", "bw") if bidirectional else ("fw",)
    parameters = stateless.Parameters(config.init_scale, seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      weights = []
      for direction in directions:
        with tf.variable_scope(f"RNN/{direction}"):
          weights.append(parameters.add_layer(cell, letters.PIXELS, size))
      width = size * len(directions)
      softmax_w = parameters.add("softmax_w", [width, len(letters.LETTERS)])
      softmax_b = parameters.add("softmax_b", [len(letters.LETTERS)])
    self.variables = parameters.variables
    shape = tf.shape(labels)  # T, B
    images, labels = tf.cast(pixels, tf.float32), tf.cast(labels, tf.int32)
    layer = cell.layer(rnn_mode or cell.default_layer(static=False),
                       static=False)
    states = [cell.zero_state(shape[1], size)] * len(directions)
    if bidirectional:
      outputs, _ = recurrent.bidirectional(
          layer, images, states, weights, lengths)
    else:
      outputs, _ = layer(images, states[0], *weights[0], lengths)
    if is_training and config.keep_prob < 1:
      outputs *= stateless.dropout_masks(
          shape, [width], config.keep_prob, seed, step)[0]

    live = recurrent.live_steps(labels, lengths)[..., 0]  # (T, B)
    rows = tf.reshape(outputs, [-1, width])
    self.logits = tf.reshape(
        rows @ softmax_w + softmax_b, [*tf.unstack(shape), -1])
    self.losses = tf.where_v2(live, tf.reshape(softmax.softmax_cross_entropy(
        rows, softmax_w.read_value(), softmax_b.read_value(),
        tf.reshape(labels, [-1])), shape), 0.0)
    self.predicted = tf.argmax(self.logits, 2, output_type=tf.int32)
    self.counts = {
        "nats": tf.reduce_sum(self.losses),
        "targets": tf.reduce_sum(tf.cast(lengths, tf.int64)),
        "errors": tf.math.count_nonzero(
            live & tf.not_equal(self.predicted, labels))}
    if is_training:
      self.lr, self.max_grad_norm = learning_rate, config.max_grad_norm
      cost = self.counts["nats"] / tf.cast(self.counts["targets"], tf.float32)
      self.grad_norm, self.train_op = optimizers.step(
          cost, self.counts, self.variables, self.lr, config.max_grad_norm,
          config.optimizer)


# Loop


def train(config, splits, run=None, save_secs=600, check_stop=lambda: None,
          **settings):
  """Trains and tests; see `training.train`.

  Args:
    splits: as `read` returns them.
    settings: more arguments of the OCRModel: bidirectional, rnn_mode, seed.
  """
  make_model = functools.partial(OCRModel, config, **settings)
  return batches.train(config, splits, make_model, LETTER_ERROR, run, save_secs,
                       check_stop)


def draw_page(run, config, words, path, **settings):
  """Draws some words of a split, as the best model of a run reads them.

  Args:
    run: a checkpoints.RunDirectory.
    words: a letters.Batches.
    settings: more arguments of the OCRModel: bidirectional, rnn_mode.
  """
  page = [words.word(number) for number in np.unique(np.linspace(
      0, len(words) - 1, _PAGE_WORDS, dtype=int))]
  pixels, lengths = ragged.padded([image for image, _ in page])
  with tf.Graph().as_default(), repeatable_session() as session:
    inputs = [tf.placeholder(*spec) for spec in words.inputs]
    model = OCRModel(config, *inputs, **settings)
    run.restore_best(session, model.variables)
    predicted = session.run(model.predicted, {
        inputs[0]: pixels, inputs[1]: np.zeros(pixels.shape[:2]),
        inputs[2]: lengths})
  letters.draw_page(
      [(image, label, predicted[:len(label), column])
       for column, (image, label) in enumerate(page)], path, "test words")


# Main


def define_flags():
  """The flags of this script; `main` alone reads them."""
  training_flags.define("The words, letter.data.gz.")
  flags.adopt_module_key_flags(training_flags)  # for --help
  flags.DEFINE_bool("bidirectional", False,
                    "Read words from both ends, with a layer each.")
  flags.DEFINE_enum("split", "random", list(SPLITS),
                    "The words to train on: 66 % at random, those of fold 0, "
                    "or of folds 1 to 9; the others are to test on.")


def main(argv):
  """Trains and tests as the flags say."""
  with command_line.complaints(argv[0]):
    config, settings = training_flags.config(
        configs.OCR, one_layer=True, unused=("num_steps", "embedding_size"))
    data_path = training_flags.data_path(f"the words, {letters.URL}")
    rnn_mode = training_flags.rnn_mode(config, static=False)
    splits = read(data_path, FLAGS.split, config.batch_size, FLAGS.seed)
    model = {"bidirectional": FLAGS.bidirectional, "rnn_mode": rnn_mode}
    run = training_flags.run("ocr", config, settings, {
        "task": "handwriting", **model, "split": FLAGS.split, "data": {
            "path": os.path.abspath(data_path),
            **{name: words.identity for name, words in splits.items()}},
    }, metric=LETTER_ERROR.name)
    with training_flags.stopping(run) as check_stop:
      rows, tests = train(config, splits, run, FLAGS.save_secs, check_stop,
                          seed=FLAGS.seed, **model)
    print(training.summary(rows, tests, metric=LETTER_ERROR), flush=True)
    if run:
      path = os.path.join(run.path, "page.png")
      with run.writing(), checkpoints.complete(path) as partial:
        draw_page(checkpoints.RunDirectory(run.path), config, splits["test"],
                  partial, **model)
      print(f"{path}: test words as they were read", flush=True)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
