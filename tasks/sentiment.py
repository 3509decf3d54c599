"""Tells whether a film review is one of praise: a GRU over its words.

    python -m tasks.sentiment --data_path=aclImdb_v1.tar.gz --save_path=runs/s
    python -m tasks.sentiment --save_path=runs/s --predict < reviews.txt

The reviews are those of Maas et al. 2011, as their archive holds them:
https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz
Trained on 22,500 of its 25,000 training reviews, validated on the others.
"""

import functools
import io
import itertools
import os
import sys

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
from absl import app, flags

import cells
import checkpoints
import configs
import errors
import optimizers
import ptb_word_lm
import reader
import stateless
import training
import training_flags
from tasks import batches, imdb, ragged
from tensorflow_v1 import repeatable_session, tf

FLAGS = flags.FLAGS
ERROR = training.Metric(
    "error_percent", lambda sums: 100 * sums["errors"] / sums["targets"],
    "reviews")
LABELS = ("negative", "positive")
TASK = "sentiment"

_VALID = 10  # of so many training reviews, the share of one


# Data


def read(path, vocab_size, config, seed):
  """The splits of the archive.

  Returns:
    splits, vocabulary: a dict, "train", "valid", "test" -> imdb.Batches, and
    the reader.Vocabulary of all training reviews.

  Raises:
    errors.UserError: as `imdb.read_reviews`.
  """
  train, test, vocabulary = imdb.read_reviews(path, vocab_size)
  rows = np.random.default_rng([seed, 0]).permutation(len(train.labels))
  held_out = len(rows) // _VALID
  if not held_out:
    raise reader.DataError(f"{path}: has {len(rows)} training reviews; at "
                           f"least {_VALID} are needed, to hold some out")
  sizes = config.batch_size, config.num_steps
  return {
      "train": imdb.Batches(train, np.sort(rows[held_out:]), *sizes, seed),
      "valid": imdb.Batches(train, np.sort(rows[:held_out]), *sizes),
      "test": imdb.Batches(test, np.arange(len(test.labels)), *sizes),
  }, vocabulary


# Model


class SentimentModel:
  """The graph of one batch: words in, the label's probabilities out.

  Attributes:
    logits, probs: [B, 2].
    losses: [B], the cross entropy of each label in nats.
    counts: of nats, targets (reviews) and errors; see training.Epoch.
    variables, lr, grad_norm, max_grad_norm, train_op: as of the PTBModel.
  """

  def __init__(self, config, vocab_size, words, lengths, labels,
               is_training=False, step=None, learning_rate=None, rnn_mode=None,
               seed=1):
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: a configs.Config of one layer.
      words: [T, B] ids; lengths: [B]; labels: [B] of 0 and 1.
      step, learning_rate, rnn_mode, seed: as of the PTBModel.
    """
    size, cell = config.layer_sizes[0], cells.CELLS[config.cell]
    parameters = stateless.Parameters(config.init_scale, seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding = parameters.add("embedding", [vocab_size, config.input_size])
      with tf.variable_scope("RNN"):
        weights = parameters.add_layer(cell, config.input_size, size)
      softmax_w = parameters.add("softmax_w", [size, len(LABELS)])
      softmax_b = parameters.add("softmax_b", [len(LABELS)])
    self.variables = parameters.variables
    batch_size = tf.shape(words)[1]
    masks = [1.0, 1.0]
    if is_training and config.keep_prob < 1:
      # The same for all steps of a review.
      masks = stateless.dropout_masks(
          batch_size[None], (config.input_size, size), config.keep_prob, seed,
          step)
    layer = cell.layer(rnn_mode or cell.default_layer(static=False),
                       static=False)
    _, state = layer(
        tf.gather(embedding, words) * masks[0],
        cell.zero_state(batch_size, size), *weights, lengths)
    hidden = state.h * masks[1]  # what the last word of each has left
    self.logits = hidden @ softmax_w + softmax_b
    self.probs = tf.nn.softmax(self.logits)
    self.losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=self.logits)
    found = tf.argmax(self.logits, 1, output_type=labels.dtype)
    self.counts = {
        "nats": tf.reduce_sum(self.losses),
        "targets": tf.size(labels, out_type=tf.int64),
        "errors": tf.math.count_nonzero(tf.not_equal(found, labels))}
    if is_training:
      self.lr, self.max_grad_norm = learning_rate, config.max_grad_norm
      self.grad_norm, self.train_op = optimizers.step(
          tf.reduce_mean(self.losses), self.counts, self.variables, self.lr,
          config.max_grad_norm, config.optimizer)


# Loop


def train(config, splits, vocab_size, run=None, initial_values=None,
          save_secs=600, check_stop=lambda: None, **settings):
  """Trains and tests; see `training.train`.

  Args:
    splits: as `read` returns them.
    settings: more arguments of the SentimentModel: rnn_mode, seed.
  """
  make_model = functools.partial(
      SentimentModel, config, vocab_size, **settings)
  return batches.train(config, splits, make_model, ERROR, run, save_secs,
                       check_stop, initial_values)


def predict(run, lines, rnn_mode=None, at_once=100):
  """Classifies texts with the best model of a run.

  Args:
    run: a checkpoints.RunDirectory.
    lines: iterable of str.
    at_once: how many are read before the first answer.

  Yields:
    [2], the probabilities of LABELS, for each line.

  Raises:
    checkpoints.RunError: it is no run of this script, or has no checkpoint.
  """
  config, *_ = ptb_word_lm.run_config(run, TASK)
  vocabulary = run.vocabulary()
  with tf.Graph().as_default(), repeatable_session() as session:
    inputs = [tf.placeholder(*spec) for spec in imdb.Batches.inputs]
    model = SentimentModel(
        config, len(vocabulary), *inputs, rnn_mode=rnn_mode)
    run.restore_best(session, model.variables)
    lines = iter(lines)
    while chunk := list(itertools.islice(lines, at_once)):
      words, lengths = ragged.padded([
          vocabulary.encode([*imdb.tokenize(line), reader.EOS])[
              -config.num_steps:] for line in chunk])
      yield from session.run(
          model.probs, dict(zip(inputs[:2], (words, lengths), strict=True)))


# Main


def define_flags():
  """The flags of this script; `main` alone reads them."""
  training_flags.define("The archive of reviews, aclImdb_v1.tar.gz, or the "
                        "folder that it unpacks to.")
  training_flags.define_embeddings()
  flags.adopt_module_key_flags(training_flags)  # for --help
  flags.DEFINE_integer("vocab_size", 20000, "Words to know: the most frequent "
                       "of the training reviews.", lower_bound=2)
  flags.DEFINE_bool("predict", False, "Classify the lines of standard input "
                    "with the run at --save_path.")


def main(argv):
  """Trains and tests, or classifies, as the flags say."""
  with command_line.complaints(argv[0], stdout_is_data=FLAGS.predict,
                               out_of_memory=(
      "out of memory; lower batch_size or num_steps")):
    if FLAGS.predict:
      _predict_as_flags_say()
    else:
      _train_as_flags_say()


def _train_as_flags_say():
  config, settings = training_flags.config(configs.SENTIMENT, one_layer=True)
  data_path = training_flags.data_path(f"the archive of {imdb.URL}")
  rnn_mode = training_flags.rnn_mode(config, static=False)
  splits, vocabulary = read(data_path, FLAGS.vocab_size, config, FLAGS.seed)
  identity = {"task": TASK, "rnn_mode": rnn_mode, "data": {
      "path": os.path.abspath(data_path),
      **{name: reviews.identity for name, reviews in splits.items()}}}
  initial_values, identity["init_embeddings"] = (
      training_flags.initial_embeddings(vocabulary, config))
  print(f"batches by length save {splits['train'].saving():.0%} of the steps "
        "that random ones would take", flush=True)
  run = training_flags.run("sentiment", config, settings, identity,
                           vocabulary=vocabulary, metric=ERROR.name)
  with training_flags.stopping(run) as check_stop:
    rows, tests = train(
        config, splits, len(vocabulary), run, initial_values,
        FLAGS.save_secs, check_stop, rnn_mode=rnn_mode, seed=FLAGS.seed)
  print(training.summary(rows, tests, metric=ERROR))
  for epoch, error in tests.items():
    print(f"accuracy on test after epoch {epoch}: {100 - error:.2f} %",
          flush=True)


def _predict_as_flags_say():
  if not FLAGS.save_path:
    raise errors.UserError("--predict: needs --save_path, the folder of a run")
  training_flags.refuse("--predict", "data_path", "vocab_size")
  run = checkpoints.RunDirectory(FLAGS.save_path)
  lines = sys.stdin or io.StringIO()  # it may have been closed
  if isinstance(lines, io.TextIOWrapper):
    lines.reconfigure(errors="replace")
  for probs in predict(run, lines, FLAGS.rnn_mode,
                       at_once=1 if lines.isatty() else 100):
    print(f"{LABELS[probs.argmax()]}\t{probs[1]:.4f}", flush=True)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
