"""Tells the label of a text, such as positive or negative: a GRU reads it.

    python -m tasks.sentiment --data_path=aclImdb_v1.tar.gz --save_path=runs/s
    python -m tasks.sentiment --save_path=runs/s --predict < reviews.txt

The data are the film reviews of Maas et al. 2011, of which 22,500 are for
training, 2,500 for validation and 25,000 for testing:
https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz

Or any texts with any labels, see `labeled`: a folder with one folder per label,
or a table with a column of texts and a column of labels.
"""

if not __package__:
  import by_path  # type: ignore[import-not-found] # noqa: F401

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.training(
      "The texts and their labels: a folder with one folder per label, or with "
      "these in train, test and valid; a CSV or TSV table; or the archive of "
      "film reviews, aclImdb_v1.tar.gz.", mode=True)
  definitions.encoding()
  definitions.embeddings()
  flags.DEFINE_integer("vocab_size", 20000, "The size of the vocabulary: the "
                       "most frequent words of the training texts.",
                       lower_bound=2)
  flags.DEFINE_bool("characters", False, "Read characters, not words: for text "
                    "without blanks between words.")
  flags.DEFINE_string("text_column", None, "The column of a table with the "
                      "texts; by default one with a usual name, such as text.")
  flags.DEFINE_string("label_column", None, "The column of a table with the "
                      "labels; by default one with a usual name, such as "
                      "label.")
  flags.DEFINE_list("split", None, "The shares of training, validation and "
                    "test, if the data have no test part; 0.8,0.1,0.1 by "
                    "default.")
  flags.DEFINE_bool("predict", False, "Classify the lines of standard input "
                    "with the run at --save_path.")


scripts.parse_first(__name__, define_flags)

import contextlib
import dataclasses
import functools
import io
import itertools
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

import configs
from rnn.cli import initial_flags, stored_flags, text_flags, training_flags
from rnn.errors import escaped
from rnn.layers import cells, dropout, seeded
from rnn.options import Options
from rnn.runs import config_file
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.text.vocabulary import EOS, Vocabulary
from rnn.tf1 import repeatable_session, tf
from rnn.training import evaluation, footprint, loop, passes, progress
from rnn.training.metrics import error_percent
from rnn.training.trainable import Trainable
from tasks import (
  classification,
  confusion,
  held_out,
  hyperparameters,
  imdb,
  labeled,
  ragged,
  tokens,
)
from tasks.classification import Batches, Reading

ERROR = error_percent("reviews")
# The flags that say how to read and divide the texts.
_READING_FLAGS = (
    "vocab_size", "characters", "text_column", "label_column", "split")
TASK = config_file.SENTIMENT
_log = logging.getLogger(__name__)
_AT_ONCE = 100  # texts that are classified together
_MIN_STEPS = 100  # per epoch; a few texts are read several times

# Model


class SentimentModel(Trainable):
  """The graph of one batch: words in, the probabilities of the labels out.

  K is the number of labels.

  Attributes:
    logits, probs: [B, K].
    losses: [B], the cross entropy of each label in nats.
    counts: "nats", "targets" (reviews) and "errors", see `passes.Model`; except
      in training also "confusion", int64 [K, K], the reviews by label (rows)
      and predicted label.
    cost: nats / targets.
    variables, lr, grad_norm, max_grad_norm, train_op: see `Trainable`.
  """

  def __init__(self, config: configs.Config, vocab_size: int, words: tf.Tensor,
               lengths: tf.Tensor, labels: tf.Tensor, is_training: bool = False,
               step: tf.Tensor | None = None,
               learning_rate: tf.Tensor | float | None = None,
               options: Options = Options(), num_labels: int = 2) -> None:
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: it has one layer.
      words: [T, B] ids.
      lengths: [B], the number of words of each review.
      labels: [B], from 0 to K - 1.
      is_training, step, learning_rate: see `ptb_word_lm.PTBModel`.
      options: only the rnn_mode and the seed are used.
      num_labels: K.
    """
    (sizes,), cell = config.sizes, cells.CELLS[config.cell]
    parameters = seeded.Parameters(config.init_scale, options.seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding = parameters.add("embedding", [vocab_size, config.input_size])
      with tf.variable_scope("RNN"):
        weights = parameters.add_layer(config, config.input_size, *sizes)
      softmax_w = parameters.add("softmax_w", [sizes[1], num_labels])
      softmax_b = parameters.add("softmax_b", [num_labels])
    batch_size = tf.shape(words)[1]
    # [B, E] and [B, H]: all steps of a review share a mask.
    masks = dropout.site_masks(
        batch_size[None], (config.input_size, sizes[1]),
        dropout.site_keep_probs(config), options.seed, step
    ) if is_training else [None, None]
    layer = cell.layer(options.rnn_mode, static=False)
    _, state = layer(
        dropout.apply(masks[0], tf.gather(embedding, words)),  # (T, B, E)
        cell.zero_state(batch_size, *sizes), *weights, lengths=lengths)
    hidden = dropout.apply(masks[1], state.h)  # (B, H), after the last word
    self.logits = hidden @ softmax_w + softmax_b
    self.probs = tf.nn.softmax(self.logits)
    self.losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=self.logits)
    predicted = tf.argmax(self.logits, 1, output_type=labels.dtype)
    counts = {
        "nats": tf.reduce_sum(self.losses),
        "targets": tf.size(labels, out_type=tf.int64),
        "errors": tf.math.count_nonzero(tf.not_equal(predicted, labels))}
    if not is_training:  # checkpoints hold the counts of training
      counts["confusion"] = tf.cast(tf.matmul(
          tf.one_hot(labels, num_labels), tf.one_hot(predicted, num_labels),
          transpose_a=True), tf.int64)
    super().__init__(config, tf.reduce_mean(self.losses), counts,
                     parameters.variables, is_training, learning_rate)


def _parameters(config: configs.Config,
                vocab_size: int) -> list[footprint.Parameters]:
  """Returns the parameters of a SentimentModel, except for its softmax."""
  return [footprint.Parameters(
      vocab_size * config.input_size, 0, f"{vocab_size:,} words with vectors "
      f"of {config.input_size:,} numbers",
      "lower --vocab_size or embedding_size",
      footprint.fixed_embedding(config, vocab_size)), footprint.layers(
          cells.CELLS[config.cell], config.input_size, config.sizes)]


# Passes


def make_passes(config: configs.Config, splits: Mapping[str, Batches],
                vocab_size: int,
                initial_values: Mapping[str, np.ndarray] | None = None,
                options: Options = Options(),
                num_labels: int = 2) -> list[passes.BatchPass]:
  """Adds a pass over each split to the default graph.

  Args:
    splits: as `classification.read` returns them, or some of them.
    initial_values: see `passes.SplitPass`.
    options, num_labels: see `SentimentModel`.

  Raises:
    UserError: the model needs more memory than is available.
  """
  largest = max(split.largest for split in splits.values())
  footprint.check(
      _parameters(config, vocab_size),
      [footprint.batch(config, config.input_size, largest)],
      config.optimizer if "train" in splits else None)
  make_model = functools.partial(
      SentimentModel, config, vocab_size, options=options,
      num_labels=num_labels)
  return passes.batch_passes(config, splits, make_model, initial_values)


def labels_of(run: RunDirectory) -> list[str]:
  """Returns the names of the labels of a run, in the order of the classes.

  Raises:
    RunError: this is no run of sentiment, or its config.json is damaged.
  """
  labels = run.content(TASK)["labels"]
  if len(labels) < 2 or not all(isinstance(name, str) for name in labels):
    raise RunError(f"{run.path}: the labels in its config.json are no list of "
                   "names; restore the file from a copy")
  return labels


def reading_of(run: RunDirectory) -> Reading:
  """Returns how a run reads texts.

  Raises:
    RunError: as in `labels_of`.
  """
  config = run.content(TASK)
  reading = Reading(config["tokens"], config["letters"])
  if (reading.tokens, reading.letters) not in tokens.TOKENIZERS:
    raise RunError(f"{run.path}: its config.json has tokens="
                   f"{reading.tokens:.99} with letters={reading.letters:.99}, "
                   "which no version reads; restore the file from a copy")
  return reading


def predict(run: RunDirectory, lines: Iterable[str],
            rnn_mode: str | None = None,
            at_once: int = _AT_ONCE) -> Iterator[np.ndarray]:
  """Classifies texts with the best model of a run.

  Args:
    at_once: the number of lines to read before the first answer.

  Yields:
    For each line the probabilities [K] of `labels_of` the run.

  Raises:
    RunError: this is no run of sentiment, or no checkpoint is readable.
    UserError: the model needs more memory than is available.
  """
  config, tokenize = run.settings(TASK).config, reading_of(run).tokenize
  num_labels = len(labels_of(run))
  vocabulary = run.vocabulary()
  if not isinstance(vocabulary, Vocabulary):
    raise RunError(f"{run.path}: its vocabulary is not one of words")
  footprint.check(_parameters(config, len(vocabulary)), [])
  with tf.Graph().as_default(), repeatable_session() as session:
    words, lengths, labels = (
        tf.placeholder(*spec) for spec in Batches.inputs)
    model = SentimentModel(config, len(vocabulary), words, lengths, labels,
                           options=Options(rnn_mode), num_labels=num_labels)
    run.restore_best(session, model.variables)
    lines = iter(lines)
    while chunk := list(itertools.islice(lines, at_once)):
      batch = ragged.padded([
          vocabulary.encode([*tokenize(line), EOS])[-config.num_steps:]
          for line in chunk])
      yield from session.run(
          model.probs, dict(zip((words, lengths), batch, strict=True)))


# Main


def main(argv: Sequence[str]) -> None:
  """Trains and tests, evaluates, or classifies, as the flags say."""
  with scripts.error_lines(
      argv[0], stdout_is_data=FLAGS.predict,
      out_of_memory="out of memory; lower batch_size or num_steps"):
    if FLAGS.predict:
      _predict_as_flags_say()
    elif FLAGS.mode == "eval":
      _evaluate_as_flags_say()
    else:
      _train_as_flags_say()


def _reading(data_path: str) -> Reading:
  """Returns how to read the texts: as before, if a run is resumed."""
  if FLAGS.save_path and not FLAGS.characters:
    with contextlib.suppress(RunError):
      reading = reading_of(RunDirectory(FLAGS.save_path))
      if reading.tokens == "words":
        return reading
  return classification.usual_reading(data_path, FLAGS.characters)


def _with_epoch_size(config: configs.Config, batches: int) -> configs.Config:
  """Returns a config whose epochs are long enough for the classifier to learn.

  Args:
    batches: the number of batches of the training texts.
  """
  passes_per_epoch = -(-_MIN_STEPS // batches)
  if config.epoch_size or passes_per_epoch == 1:
    return config
  print(f"an epoch is {passes_per_epoch} passes over the training texts, "
        f"{passes_per_epoch * batches} batches", flush=True)
  return dataclasses.replace(config, epoch_size=passes_per_epoch * batches)


def _train_as_flags_say() -> None:
  stored = stored_flags.fill_in(TASK)
  config, settings = training_flags.config(
      stored_flags.base(stored, hyperparameters.SENTIMENT), one_layer=True,
      unused=("tie_weights", *configs.ONLY_PTB_MODEL))
  data_path = training_flags.data_path(
      "a folder with one folder per label, a table (CSV or TSV), or the archive"
      f" of {imdb.URL}")
  options = training_flags.options(config, static=False)
  reading = _reading(data_path)
  corpus = _read(config, reading)
  splits, vocabulary = corpus.splits, corpus.vocabulary
  if reading.letters == "any":  # others keep the epochs of published results
    config = _with_epoch_size(config, splits["train"].size)
  initial_values, start = initial_flags.initial_values(
      vocabulary, config, stored=stored)
  print(f"batches by length save {splits['train'].saving():.0%} of the steps "
        "that random ones would take", flush=True)
  run = training_flags.run(
      "sentiment", config, settings, {
          "task": TASK, "rnn_mode": options.rnn_mode,
          **dataclasses.asdict(reading), "labels": corpus.labels, "data": {
              **text_flags.describe_text(data_path),
              **{name: split.fingerprint for name, split in splits.items()}},
          **start, "flags": training_flags.values(*_READING_FLAGS)},
      vocabulary=vocabulary, metric=ERROR.name)
  matrices: dict[int, np.ndarray] = {}
  with training_flags.stopping() as check_stop:
    rows, tests = loop.run_training(
        functools.partial(make_passes, config, splits, len(vocabulary),
                          initial_values, options, len(corpus.labels)),
        config.max_max_epoch, ERROR, run, FLAGS.save_secs, check_stop,
        early_stop=config.early_stop,
        after_test=lambda epoch, sums: matrices.update(
            {epoch: sums["confusion"]}))
  print(progress.summary(rows, tests, metric=ERROR))
  for epoch, error in tests.items():
    print(f"accuracy on test after epoch {epoch}: {100 - error:.2f} %",
          flush=True)
    if epoch in matrices:
      print(*confusion.lines(matrices[epoch], corpus.labels), sep="\n",
            flush=True)


def _evaluate_as_flags_say() -> None:
  run = training_flags.run_to_read("--mode=eval", *_READING_FLAGS)
  config, reading, labels = (
      run.settings(TASK).config, reading_of(run), labels_of(run))
  stored_flags.fill_in(TASK)  # how to find and divide the texts
  corpus = _read(config, reading)
  splits = {name: split for name, split in corpus.splits.items()
            if name != "train"}
  run.check_data(FLAGS.data_path, {
      name: split.fingerprint for name, split in splits.items()})
  evaluation.evaluate(run, lambda: dict(zip(splits, make_passes(
      config, splits, len(corpus.vocabulary),
      options=Options(FLAGS.rnn_mode), num_labels=len(labels)),
                                            strict=True)), ERROR)


def _read(config: configs.Config, reading: Reading) -> classification.Corpus:
  """Reads and divides the texts as the flags say."""
  return classification.read(
      FLAGS.data_path, FLAGS.vocab_size, config, FLAGS.seed, reading,
      FLAGS.split and held_out.parse_shares(FLAGS.split),
      labeled.Columns(FLAGS.text_column, FLAGS.label_column, FLAGS.encoding))


def _predict_as_flags_say() -> None:
  run = training_flags.run_to_read(
      "--predict", "data_path", "mode", "encoding", *_READING_FLAGS)
  labels = labels_of(run)
  if len(labels) > 2:
    _log.info("columns: label, and the probability of %s",
              ", ".join(map(escaped, labels)))
  lines = sys.stdin or io.StringIO()  # it may have been closed
  if isinstance(lines, io.TextIOWrapper):
    lines.reconfigure(errors="replace")
  for probs in predict(run, lines, FLAGS.rnn_mode,
                       at_once=1 if lines.isatty() else _AT_ONCE):
    shown = probs[1:] if len(labels) == 2 else probs
    print(escaped(labels[probs.argmax()]), *(f"{p:.4f}" for p in shown),
          sep="\t", flush=True)


if __name__ == "__main__":
  scripts.run(main, define_flags)
