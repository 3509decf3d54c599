"""Reads handwriting: a recurrent network labels the letters of a word.

    python -m tasks.ocr --data_path=letter.data.gz --bidirectional

The data are the images of 6,877 words of up to 14 letters, by Kassel and
Taskar: https://ai.stanford.edu/~btaskar/ocr/letter.data.gz
A tenth of the training words is held out for validation.
"""

from rnn.cli import scripts  # first, so that Ctrl-C works in slow imports

# isort: split

import functools
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from absl import flags

import configs
from rnn import files
from rnn.cli import training_flags
from rnn.errors import DataError
from rnn.layers import cells, recurrent, seeded
from rnn.layers.softmax import softmax_cross_entropy
from rnn.options import Options
from rnn.runs.directory import RunDirectory
from rnn.tf1 import repeatable_session, tf
from rnn.training import footprint, loop, passes, progress
from rnn.training.metrics import Metric
from rnn.training.trainable import Trainable
from tasks import letters, ragged

FLAGS = flags.FLAGS
LETTER_ERROR = Metric(
    "letter_error", lambda sums: 100 * sums["errors"] / sums["targets"],
    "letters")

# A function of the folds and the seed for each --split. It returns the indices
# of the words to train on and to test on: 66 % at random, or the folds of
# Taskar et al. 2003, "Max-Margin Markov Networks".
SPLITS: dict[str, Callable[[np.ndarray, int],
                           tuple[np.ndarray, np.ndarray]]] = {
    "random": lambda folds, seed: letters.random_split(len(folds), seed=seed),
    "fold0": lambda folds, _: letters.fold_split(folds, [0]),
    "folds1-9": lambda folds, _: letters.fold_split(folds, range(1, 10)),
}
_VALID = 10  # one training word in ten is held out
_PAGE_WORDS = 48


# Data


def read(path: str, split: str, batch_size: int,
         seed: int) -> dict[str, letters.Batches]:
  """Reads the words, and splits them.

  Args:
    path: letter.data, which may be compressed.
    split: one of SPLITS.
    seed: determines the random split, the words that are held out for
      validation, and the order of the training words.

  Returns:
    A dict, "train", "valid" and "test" -> letters.Batches.

  Raises:
    DataError: as in `letters.read_words`; or there are too few words.
  """
  pixels, labels, folds = letters.read_words(path)
  train, test = SPLITS[split](folds, seed)
  train = np.random.default_rng([seed, 1]).permutation(train)
  held_out = max(len(train) // _VALID, 1)
  if held_out == len(train):
    raise DataError(f"{path}: has too few words to hold some out for "
                    f"validation; use the complete file from {letters.URL}")
  return {
      "train": letters.Batches(
          pixels, labels, train[held_out:], batch_size, seed),
      "valid": letters.Batches(pixels, labels, train[:held_out], batch_size),
      "test": letters.Batches(pixels, labels, test, batch_size)}


# Model


class OCRModel(Trainable):
  """The graph of one batch: images of letters in, their labels out.

  Attributes:
    logits: [T, B, 26].
    predicted: [T, B], the most probable letter at each position.
    losses: [T, B], the cross entropy of each letter in nats; 0 past the end of
      a word.
    counts: "nats", "targets" (letters) and "errors", see `passes.Model`.
    cost: nats / targets.
    variables, lr, grad_norm, max_grad_norm, train_op: see `Trainable`.
  """

  def __init__(self, config: configs.Config, pixels: tf.Tensor,
               labels: tf.Tensor, lengths: tf.Tensor,
               bidirectional: bool = False, is_training: bool = False,
               step: tf.Tensor | None = None,
               learning_rate: tf.Tensor | float | None = None,
               options: Options = Options()) -> None:
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: it has one layer.
      pixels: [T, B, 128] of 0 and 1.
      labels: [T, B], 0 to 25.
      lengths: [B], the number of letters of each word.
      bidirectional: whether to read words from both ends.
      is_training, step, learning_rate: see `ptb_word_lm.PTBModel`.
      options: only the rnn_mode and the seed are used.
    """
    size, cell = config.layer_sizes[0], cells.CELLS[config.cell]
    directions = ("fw", "bw") if bidirectional else ("fw",)
    parameters = seeded.Parameters(config.init_scale, options.seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      weights = []
      for direction in directions:
        with tf.variable_scope(f"RNN/{direction}"):
          weights.append(parameters.add_layer(cell, letters.PIXELS, size))
      width = size * len(directions)
      softmax_w = parameters.add("softmax_w", [width, len(letters.LETTERS)])
      softmax_b = parameters.add("softmax_b", [len(letters.LETTERS)])
    shape = tf.shape(labels)  # T, B
    images, labels = tf.cast(pixels, tf.float32), tf.cast(labels, tf.int32)
    layer = cell.layer(options.rnn_mode, static=False)
    states = [cell.zero_state(shape[1], size)] * len(directions)
    if bidirectional:
      outputs, _ = recurrent.bidirectional(
          layer, images, states, weights, lengths)
    else:
      outputs, _ = layer(images, states[0], *weights[0], lengths)
    if is_training and config.keep_prob < 1:
      outputs *= seeded.dropout_masks(
          shape, [width], config.keep_prob, options.seed, step)[0]

    live = recurrent.live_steps(labels, lengths)[..., 0]  # (T, B)
    rows = tf.reshape(outputs, [-1, width])  # (T*B, width)
    self.logits = tf.reshape(
        rows @ softmax_w + softmax_b, [*tf.unstack(shape), -1])  # (T, B, 26)
    self.losses = tf.where_v2(live, tf.reshape(softmax_cross_entropy(
        rows, softmax_w.read_value(), softmax_b.read_value(),
        tf.reshape(labels, [-1])), shape), 0.0)
    self.predicted = tf.argmax(self.logits, 2, output_type=tf.int32)
    counts = {
        "nats": tf.reduce_sum(self.losses),
        "targets": tf.reduce_sum(tf.cast(lengths, tf.int64)),
        "errors": tf.math.count_nonzero(
            live & tf.not_equal(self.predicted, labels))}
    cost = counts["nats"] / tf.cast(counts["targets"], tf.float32)
    super().__init__(config, cost, counts, parameters.variables, is_training,
                     learning_rate)


# Passes


def make_passes(config: configs.Config, splits: Mapping[str, letters.Batches],
                bidirectional: bool = False, options: Options = Options()
                ) -> list[passes.BatchPass]:
  """Adds the passes over "train", "valid" and "test" to the default graph.

  Args:
    splits: as `read` returns them.
    bidirectional, options: see `OCRModel`.

  Raises:
    UserError: the model needs more memory than is available.
  """
  cell = cells.CELLS[config.cell]
  footprint.check(
      [footprint.layers(cell, letters.PIXELS, config.layer_sizes,
                        times=1 + bidirectional)],
      [footprint.batch(config, letters.PIXELS, splits["train"].largest,
                       times=1 + bidirectional)], config.optimizer)
  make_model = functools.partial(
      OCRModel, config, bidirectional=bidirectional, options=options)
  return passes.batch_passes(config, splits, make_model)


def draw_page(run: RunDirectory, config: configs.Config,
              words: letters.Batches, path: str, bidirectional: bool = False,
              options: Options = Options()) -> None:
  """Draws words from all over a split, as the best model of a run reads them.

  Args:
    bidirectional, options: see `OCRModel`.

  Raises:
    RunError: no checkpoint is readable.
  """
  page = [words.word(number) for number in np.unique(np.linspace(
      0, len(words) - 1, _PAGE_WORDS, dtype=int))]
  pixels, lengths = ragged.padded([image for image, _ in page])
  with tf.Graph().as_default(), repeatable_session() as session:
    inputs = pixels_in, labels_in, lengths_in = [
        tf.placeholder(*spec) for spec in words.inputs]
    model = OCRModel(config, pixels_in, labels_in, lengths_in, bidirectional,
                     options=options)
    run.restore_best(session, model.variables)
    predicted = session.run(model.predicted, dict(zip(
        inputs, (pixels, np.zeros(pixels.shape[:2]), lengths), strict=True)))
  letters.draw_page(
      [(image, label, predicted[:len(label), column])
       for column, (image, label) in enumerate(page)], path, "test words")


# Main


def define_flags() -> None:
  """Defines the flags of this script; only `main` reads them."""
  training_flags.define("The file of the words, letter.data.gz.")
  flags.adopt_module_key_flags(training_flags)  # for --help
  flags.DEFINE_bool("bidirectional", False,
                    "Read words from both ends, with one layer each.")
  flags.DEFINE_enum("split", "random", list(SPLITS),
                    "The words to train on: 66 % at random, fold 0, or folds "
                    "1 to 9. The others are tested on.")


def main(argv: Sequence[str]) -> None:
  """Trains and tests as the flags say."""
  with scripts.error_lines(argv[0]):
    config, settings = training_flags.config(
        configs.OCR, one_layer=True, unused=("num_steps", "embedding_size"))
    data_path = training_flags.data_path(f"the words, {letters.URL}")
    options = training_flags.options(config, static=False)
    splits = read(data_path, FLAGS.split, config.batch_size, FLAGS.seed)
    run = training_flags.run("ocr", config, settings, {
        "task": "handwriting", "bidirectional": FLAGS.bidirectional,
        "rnn_mode": options.rnn_mode, "split": FLAGS.split, "data": {
            "path": os.path.abspath(data_path),
            **{name: words.fingerprint for name, words in splits.items()}},
    }, metric=LETTER_ERROR.name)
    with training_flags.stopping(run) as check_stop:
      rows, tests = loop.run_training(
          functools.partial(make_passes, config, splits, FLAGS.bidirectional,
                            options),
          config.max_max_epoch, LETTER_ERROR, run, FLAGS.save_secs, check_stop,
          early_stop=config.early_stop)
    print(progress.summary(rows, tests, metric=LETTER_ERROR), flush=True)
    if run:
      path = os.path.join(run.path, "page.png")
      with run.adding(), files.atomic_write(path) as partial:
        draw_page(RunDirectory(run.path), config, splits["test"], partial,
                  FLAGS.bidirectional, options)
      print(f"{path}: test words as they were read", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
