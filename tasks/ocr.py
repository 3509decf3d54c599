r"""Reads handwriting: a recurrent network labels the letters of a word.

    python -m tasks.ocr --data_path=letter.data.gz --bidirectional \
        --save_path=runs/ocr
    python -m tasks.ocr --save_path=runs/ocr --predict --input=a.png,b.png

The data are the images of 6,877 words of up to 14 letters, by Kassel and
Taskar: https://ai.stanford.edu/~btaskar/ocr/letter.data.gz
A tenth of the training words is held out for validation.
"""

if not __package__:
  import by_path  # type: ignore[import-not-found] # noqa: F401

from absl import flags

from rnn.cli import definitions, scripts
from tasks import letters

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.training("The file of the words, letter.data.gz.", mode=True)
  flags.DEFINE_bool("bidirectional", False,
                    "Read words from both ends, with one layer each.")
  flags.DEFINE_enum("split", "random", list(letters.SPLITS),
                    "The words to train on: 66 % at random, fold 0, or folds "
                    "1 to 9. The others are tested on.")
  flags.DEFINE_bool("predict", False, "Read words with the run at --save_path, "
                    "and print each word with its probability, and the "
                    "probability of each letter.")
  flags.DEFINE_list("input", None, "The words for --predict: a file of lines "
                    "like those of letter.data; or one word, as a folder of "
                    "PNG images of its letters, or a list of such images. By "
                    "default, lines from standard input.")


scripts.parse_first(__name__, define_flags)

import functools
import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

import configs
from rnn import files
from rnn.cli import stored_flags, training_flags
from rnn.errors import DataError, UserError
from rnn.layers import cells, dropout, recurrent, seeded
from rnn.layers.softmax import softmax_cross_entropy
from rnn.options import Options
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.tf1 import repeatable_session, tf
from rnn.training import evaluation, footprint, passes
from rnn.training.metrics import error_percent
from rnn.training.trainable import Trainable
from tasks import hyperparameters, letter_images, ragged

LETTER_ERROR = error_percent("letters", "letter_error")
TASK = "handwriting"

_VALID = 10  # one training word in ten is held out
_PAGE_WORDS = 48
_AT_ONCE = 100  # words that are read together


# Data


def read(path: str, split: str, batch_size: int,
         seed: int) -> dict[str, letters.Batches]:
  """Reads the words, and splits them.

  Args:
    path: letter.data, which may be compressed.
    split: one of `letters.SPLITS`.
    seed: determines the random split, the words that are held out for
      validation, and the order of the training words.

  Returns:
    A dict, "train", "valid" and "test" -> letters.Batches.

  Raises:
    DataError: as in `letters.read_words`; or there are too few words.
  """
  pixels, labels, folds = letters.read_words(path)
  train, test = letters.SPLITS[split](folds, seed)
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
    logits, probs: [T, B, 26].
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
    sizes, cell = config.sizes[0], cells.CELLS[config.cell]
    directions = ("fw", "bw") if bidirectional else ("fw",)
    parameters = seeded.Parameters(config.init_scale, options.seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      weights = []
      for direction in directions:
        with tf.variable_scope(f"RNN/{direction}"):
          weights.append(
              parameters.add_layer(config, letters.PIXELS, *sizes))
      width = sizes[1] * len(directions)
      softmax_w = parameters.add("softmax_w", [width, len(letters.LETTERS)])
      softmax_b = parameters.add("softmax_b", [len(letters.LETTERS)])
    shape = tf.shape(labels)  # T, B
    images, labels = tf.cast(pixels, tf.float32), tf.cast(labels, tf.int32)
    layer = cell.layer(options.rnn_mode, static=False)
    states = [cell.zero_state(shape[1], *sizes)] * len(directions)
    if bidirectional:
      outputs, _ = recurrent.bidirectional(
          layer, images, states, weights, lengths)
    else:
      outputs, _ = layer(images, states[0], *weights[0], lengths=lengths)
    if is_training:
      (mask,) = dropout.site_masks(
          shape, [width], [config.keep_prob], options.seed, step)
      outputs = dropout.apply(mask, outputs)

    live = recurrent.live_steps(labels, lengths)[..., 0]  # (T, B)
    rows = tf.reshape(outputs, [-1, width])  # (T*B, width)
    self.logits = tf.reshape(
        rows @ softmax_w + softmax_b, [*tf.unstack(shape), -1])  # (T, B, 26)
    self.probs = tf.nn.softmax(self.logits)
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
  """Adds a pass over each split to the default graph.

  Args:
    splits: as `read` returns them, or some of them.
    bidirectional, options: see `OCRModel`.

  Raises:
    UserError: the model needs more memory than is available.
  """
  largest = max(split.largest for split in splits.values())
  footprint.check(
      [_parameters(config, bidirectional)],
      [footprint.batch(config, letters.PIXELS, largest,
                       times=1 + bidirectional)],
      config.optimizer if "train" in splits else None)
  make_model = functools.partial(
      OCRModel, config, bidirectional=bidirectional, options=options)
  return passes.batch_passes(config, splits, make_model)


def _parameters(config: configs.Config,
                bidirectional: bool) -> footprint.Parameters:
  """Returns the parameters of an OCRModel, except for its softmax."""
  return footprint.layers(cells.CELLS[config.cell], letters.PIXELS,
                          config.sizes, times=1 + bidirectional)


def evaluate(run: RunDirectory, data_path: str | None = None,
             rnn_mode: str | None = None) -> None:
  """Evaluates a run on its words to validate and test on; prints figures.

  Args:
    data_path: the file of the words; by default the path in the run.

  Raises:
    DataError: as in `read`.
    RunError: this is no run of handwriting, no checkpoint is readable, or the
      words have changed since training.
  """
  settings, split = run.settings(TASK), run.stored("split")
  if split not in letters.SPLITS:
    raise RunError(f"{run.path}: config.json has split={split:.99}, which is "
                   "none of " + ", ".join(letters.SPLITS)
                   + "; restore it from a copy")
  path = settings.data_path if data_path is None else data_path
  splits = read(path, split, settings.config.batch_size, run.stored("seed"))
  del splits["train"]
  run.check_data(path, {
      name: words.fingerprint for name, words in splits.items()})
  bidirectional = run.stored("bidirectional")
  evaluation.evaluate(run, lambda: dict(zip(splits, make_passes(
      settings.config, splits, bidirectional, Options(rnn_mode)),
                                            strict=True)), LETTER_ERROR)


def predict(run: RunDirectory, words: Iterable[np.ndarray],
            rnn_mode: str | None = None,
            at_once: int = _AT_ONCE) -> Iterator[np.ndarray]:
  """Reads words with the best model of a run.

  Args:
    words: the images, uint8 [n, 128] of 0 and 1 per word.
    at_once: the number of words to take before the first answer.

  Yields:
    For each word the probabilities [n, 26] of the letters.

  Raises:
    RunError: this is no run of handwriting, or no checkpoint is readable.
    UserError: the model needs more memory than is available.
  """
  config = run.settings(TASK).config
  bidirectional = run.stored("bidirectional")
  footprint.check([_parameters(config, bidirectional)], [])
  with tf.Graph().as_default(), repeatable_session() as session:
    pixels, labels, lengths = (
        tf.placeholder(*spec) for spec in letters.Batches.inputs)
    model = OCRModel(config, pixels, labels, lengths, bidirectional,
                     options=Options(rnn_mode))
    run.restore_best(session, model.variables)
    words = iter(words)
    while chunk := list(itertools.islice(words, at_once)):
      images, sizes = ragged.padded(chunk)
      probs = session.run(model.probs, {
          pixels: images, labels: np.zeros(images.shape[:2]), lengths: sizes})
      yield from (probs[:size, i] for i, size in enumerate(sizes))


def draw_page(run: RunDirectory, words: letters.Batches, path: str,
              rnn_mode: str | None = None) -> None:
  """Draws words from all over a split, as the best model of a run reads them.

  Raises:
    RunError: as in `predict`.
  """
  page = [words.word(number) for number in np.unique(np.linspace(
      0, len(words) - 1, _PAGE_WORDS, dtype=int))]
  predicted = [probs.argmax(1) for probs in predict(
      run, (image for image, _ in page), rnn_mode)]
  letters.draw_page([(*word, read) for word, read in zip(
      page, predicted, strict=True)], path, "test words")


# Main


def main(argv: Sequence[str]) -> None:
  """Trains and tests, evaluates, or reads words, as the flags say."""
  with scripts.error_lines(argv[0], stdout_is_data=FLAGS.predict):
    if FLAGS.predict:
      _predict_as_flags_say()
    elif FLAGS.input is not None:
      raise UserError("--input: has no effect without --predict; add that")
    elif FLAGS.mode == "eval":
      run = training_flags.run_to_read("--mode=eval", "bidirectional", "split")
      evaluate(run, FLAGS.data_path, FLAGS.rnn_mode)
    else:
      _train_as_flags_say()


def _train_as_flags_say() -> None:
  config, settings = training_flags.config(
      stored_flags.resume(TASK, hyperparameters.OCR), one_layer=True,
      unused=("num_steps", "embedding_size", "freeze", "tie_weights",
              "keep_prob_input", "keep_prob_output", *configs.ONLY_PTB_MODEL))
  data_path = training_flags.data_path(f"the words, {letters.URL}")
  options = training_flags.options(config, static=False)
  splits = read(data_path, FLAGS.split, config.batch_size, FLAGS.seed)
  run, _ = training_flags.train(
      "ocr", config, settings, {
          "task": TASK, "bidirectional": FLAGS.bidirectional,
          "rnn_mode": options.rnn_mode, "split": FLAGS.split, "data": {
              "path": os.path.abspath(data_path),
              **{name: words.fingerprint for name, words in splits.items()}}},
      functools.partial(make_passes, config, splits, FLAGS.bidirectional,
                        options), LETTER_ERROR)
  if run:
    path = os.path.join(run.path, "page.png")
    with run.adding(), files.atomic_write(path) as partial:
      draw_page(RunDirectory(run.path), splits["test"], partial,
                options.rnn_mode)
    print(f"{path}: test words as they were read", flush=True)


def _predict_as_flags_say() -> None:
  run = training_flags.run_to_read(
      "--predict", "data_path", "mode", "bidirectional", "split")
  words, at_once = _input_as_flags_say(), _AT_ONCE
  if FLAGS.input is None and sys.stdin and sys.stdin.isatty():
    at_once = 1
  for probs in predict(run, words, FLAGS.rnn_mode, at_once):
    best = probs.max(1)
    word = "".join(letters.LETTERS[i] for i in probs.argmax(1))
    print(f"{word}\t{best.prod():.4f}\t" + " ".join(
        f"{prob:.4f}" for prob in best), flush=True)


def _input_as_flags_say() -> Iterator[np.ndarray]:
  """Generates the images of the words to read, see `predict`."""
  paths = FLAGS.input
  if paths is None:
    stdin = sys.stdin or io.StringIO()  # it may have been closed
    if isinstance(stdin, io.TextIOWrapper):
      stdin.reconfigure(errors="replace")
    yield from letters.read_images(stdin, "standard input")
  elif not paths:
    raise UserError("--input: names no file")
  elif len(paths) > 1:
    yield letter_images.read_word(paths)
  elif os.path.isdir(paths[0]):
    yield letter_images.read_word(letter_images.find(paths[0]))
  elif letter_images.is_image(paths[0]):
    yield letter_images.read_word(paths)
  else:
    yield from letters.read_images(letters.lines_of(paths[0]), paths[0])


if __name__ == "__main__":
  scripts.run(main, define_flags)
