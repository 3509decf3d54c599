"""Tells whether a film review is positive: a GRU reads its words.

    python -m tasks.sentiment --data_path=aclImdb_v1.tar.gz --save_path=runs/s
    python -m tasks.sentiment --save_path=runs/s --predict < reviews.txt

The data are the film reviews of Maas et al. 2011:
https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz
The model is trained on 22,500 of the 25,000 training reviews, and validated on
the others.
"""

from rnn.cli import scripts  # first, so that Ctrl-C works in slow imports

# isort: split

import functools
import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from absl import flags

import configs
from rnn.cli import training_flags
from rnn.errors import DataError, UserError
from rnn.layers import cells, seeded
from rnn.options import Options
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.text.vocabulary import EOS, Vocabulary
from rnn.tf1 import repeatable_session, tf
from rnn.training import footprint, loop, passes, progress
from rnn.training.metrics import Metric
from rnn.training.trainable import Trainable
from tasks import imdb, ragged

FLAGS = flags.FLAGS
ERROR = Metric(
    "error_percent", lambda sums: 100 * sums["errors"] / sums["targets"],
    "reviews")
LABELS = ("negative", "positive")
TASK = "sentiment"

_VALID = 10  # one training review in ten is held out
_AT_ONCE = 100  # texts that are classified together


# Data


def read(path: str, vocab_size: int, config: configs.Config,
         seed: int) -> tuple[dict[str, imdb.Batches], Vocabulary]:
  """Reads the reviews, and holds some out for validation.

  Args:
    path, vocab_size: see `imdb.read_reviews`.
    config: its num_steps is the most words to read of a review.
    seed: determines which reviews are held out, and the order of the others.

  Returns:
    splits, vocabulary: a dict, "train", "valid" and "test" -> imdb.Batches, and
    the Vocabulary of all training reviews.

  Raises:
    DataError: as in `imdb.read_reviews`; or there are too few reviews.
  """
  train, test, vocabulary = imdb.read_reviews(path, vocab_size)
  order = np.random.default_rng([seed, 0]).permutation(len(train.labels))
  held_out = len(order) // _VALID
  if not held_out:
    raise DataError(f"{path}: has {len(order)} training reviews; at least "
                    f"{_VALID} are needed, to hold some out for validation")
  sizes = config.batch_size, config.num_steps
  return {
      "train": imdb.Batches(train, np.sort(order[held_out:]), *sizes, seed),
      "valid": imdb.Batches(train, np.sort(order[:held_out]), *sizes),
      "test": imdb.Batches(test, np.arange(len(test.labels)), *sizes),
  }, vocabulary


# Model


class SentimentModel(Trainable):
  """The graph of one batch: words in, the probabilities of the labels out.

  Attributes:
    logits, probs: [B, 2].
    losses: [B], the cross entropy of each label in nats.
    counts: "nats", "targets" (reviews) and "errors", see `passes.Model`.
    cost: nats / targets.
    variables, lr, grad_norm, max_grad_norm, train_op: see `Trainable`.
  """

  def __init__(self, config: configs.Config, vocab_size: int, words: tf.Tensor,
               lengths: tf.Tensor, labels: tf.Tensor, is_training: bool = False,
               step: tf.Tensor | None = None,
               learning_rate: tf.Tensor | float | None = None,
               options: Options = Options()) -> None:
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: it has one layer.
      words: [T, B] ids.
      lengths: [B], the number of words of each review.
      labels: [B], 0 or 1.
      is_training, step, learning_rate: see `ptb_word_lm.PTBModel`.
      options: only the rnn_mode and the seed are used.
    """
    size, cell = config.layer_sizes[0], cells.CELLS[config.cell]
    parameters = seeded.Parameters(config.init_scale, options.seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding = parameters.add("embedding", [vocab_size, config.input_size])
      with tf.variable_scope("RNN"):
        weights = parameters.add_layer(cell, config.input_size, size)
      softmax_w = parameters.add("softmax_w", [size, len(LABELS)])
      softmax_b = parameters.add("softmax_b", [len(LABELS)])
    batch_size = tf.shape(words)[1]
    masks = [1.0, 1.0]
    if is_training and config.keep_prob < 1:
      # [B, E] and [B, H]: all steps of a review share a mask.
      masks = seeded.dropout_masks(
          batch_size[None], (config.input_size, size), config.keep_prob,
          options.seed, step)
    layer = cell.layer(options.rnn_mode, static=False)
    _, state = layer(
        tf.gather(embedding, words) * masks[0],  # (T, B, E)
        cell.zero_state(batch_size, size), *weights, lengths)
    hidden = state.h * masks[1]  # (B, H), after the last word of each review
    self.logits = hidden @ softmax_w + softmax_b
    self.probs = tf.nn.softmax(self.logits)
    self.losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=self.logits)
    predicted = tf.argmax(self.logits, 1, output_type=labels.dtype)
    counts = {
        "nats": tf.reduce_sum(self.losses),
        "targets": tf.size(labels, out_type=tf.int64),
        "errors": tf.math.count_nonzero(tf.not_equal(predicted, labels))}
    super().__init__(config, tf.reduce_mean(self.losses), counts,
                     parameters.variables, is_training, learning_rate)


def _parameters(config: configs.Config,
                vocab_size: int) -> list[footprint.Parameters]:
  """Returns the parameters of a SentimentModel, except for its softmax."""
  return [
      footprint.Parameters(
          vocab_size * config.input_size, 0, f"{vocab_size:,} words with "
          f"vectors of {config.input_size:,} numbers",
          "lower --vocab_size or embedding_size"),
      footprint.layers(cells.CELLS[config.cell], config.input_size,
                       config.layer_sizes)]


# Passes


def make_passes(config: configs.Config, splits: Mapping[str, imdb.Batches],
                vocab_size: int,
                initial_values: Mapping[str, np.ndarray] | None = None,
                options: Options = Options()) -> list[passes.BatchPass]:
  """Adds the passes over "train", "valid" and "test" to the default graph.

  Args:
    splits: as `read` returns them.
    initial_values: see `passes.SplitPass`.
    options: see `SentimentModel`.

  Raises:
    UserError: the model needs more memory than is available.
  """
  footprint.check(
      _parameters(config, vocab_size), [footprint.batch(
          config, config.input_size, splits["train"].largest)],
      config.optimizer)
  make_model = functools.partial(
      SentimentModel, config, vocab_size, options=options)
  return passes.batch_passes(config, splits, make_model, initial_values)


def predict(run: RunDirectory, lines: Iterable[str],
            rnn_mode: str | None = None,
            at_once: int = _AT_ONCE) -> Iterator[np.ndarray]:
  """Classifies texts with the best model of a run.

  Args:
    at_once: the number of lines to read before the first answer.

  Yields:
    For each line the probabilities [2] of LABELS.

  Raises:
    RunError: this is no run of sentiment, or no checkpoint is readable.
    UserError: the model needs more memory than is available.
  """
  config = run.settings(TASK).config
  vocabulary = run.vocabulary()
  if not isinstance(vocabulary, Vocabulary):
    raise RunError(f"{run.path}: its vocabulary is not one of words")
  footprint.check(_parameters(config, len(vocabulary)), [])
  with tf.Graph().as_default(), repeatable_session() as session:
    words, lengths, labels = (
        tf.placeholder(*spec) for spec in imdb.Batches.inputs)
    model = SentimentModel(config, len(vocabulary), words, lengths, labels,
                           options=Options(rnn_mode))
    run.restore_best(session, model.variables)
    lines = iter(lines)
    while chunk := list(itertools.islice(lines, at_once)):
      batch = ragged.padded([
          vocabulary.encode([*imdb.tokenize(line), EOS])[-config.num_steps:]
          for line in chunk])
      yield from session.run(
          model.probs, dict(zip((words, lengths), batch, strict=True)))


# Main


def define_flags() -> None:
  """Defines the flags of this script; only `main` reads them."""
  training_flags.define("The archive of reviews, aclImdb_v1.tar.gz, or the "
                        "folder that it unpacks to.")
  training_flags.define_embeddings()
  flags.adopt_module_key_flags(training_flags)  # for --help
  flags.DEFINE_integer("vocab_size", 20000, "The size of the vocabulary: the "
                       "most frequent words of the training reviews.",
                       lower_bound=2)
  flags.DEFINE_bool("predict", False, "Classify the lines of standard input "
                    "with the run at --save_path.")


def main(argv: Sequence[str]) -> None:
  """Trains and tests, or classifies, as the flags say."""
  with scripts.error_lines(
      argv[0], stdout_is_data=FLAGS.predict,
      out_of_memory="out of memory; lower batch_size or num_steps"):
    if FLAGS.predict:
      _predict_as_flags_say()
    else:
      _train_as_flags_say()


def _train_as_flags_say() -> None:
  config, settings = training_flags.config(configs.SENTIMENT, one_layer=True)
  data_path = training_flags.data_path(f"the archive of {imdb.URL}")
  options = training_flags.options(config, static=False)
  splits, vocabulary = read(data_path, FLAGS.vocab_size, config, FLAGS.seed)
  initial_values, embeddings = training_flags.initial_embeddings(
      vocabulary, config)
  print(f"batches by length save {splits['train'].saving():.0%} of the steps "
        "that random ones would take", flush=True)
  run = training_flags.run(
      "sentiment", config, settings, {
          "task": TASK, "rnn_mode": options.rnn_mode, "data": {
              "path": os.path.abspath(data_path),
              **{name: split.fingerprint for name, split in splits.items()}},
          "init_embeddings": embeddings},
      vocabulary=vocabulary, metric=ERROR.name)
  with training_flags.stopping(run) as check_stop:
    rows, tests = loop.run_training(
        functools.partial(make_passes, config, splits, len(vocabulary),
                          initial_values, options),
        config.max_max_epoch, ERROR, run, FLAGS.save_secs, check_stop,
        early_stop=config.early_stop)
  print(progress.summary(rows, tests, metric=ERROR))
  for epoch, error in tests.items():
    print(f"accuracy on test after epoch {epoch}: {100 - error:.2f} %",
          flush=True)


def _predict_as_flags_say() -> None:
  if not FLAGS.save_path:
    raise UserError("--predict: needs --save_path, the folder of a run")
  training_flags.refuse("--predict", "data_path", "vocab_size")
  run = RunDirectory(FLAGS.save_path)
  lines = sys.stdin or io.StringIO()  # it may have been closed
  if isinstance(lines, io.TextIOWrapper):
    lines.reconfigure(errors="replace")
  for probs in predict(run, lines, FLAGS.rnn_mode,
                       at_once=1 if lines.isatty() else _AT_ONCE):
    print(f"{LABELS[probs.argmax()]}\t{probs[1]:.4f}", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
