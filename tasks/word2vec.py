"""Learns word vectors: skip-gram with noise-contrastive estimation.

    python -m tasks.word2vec --data_path=enwiki-pages-articles.xml.bz2 \
        --save_path=runs/vectors --questions=questions-words.txt

The text is a dump of Wikipedia (https://dumps.wikimedia.org/enwiki/latest/),
the archive of film reviews that tasks.sentiment reads (without its test
reviews), or plain text like PTB: blanks between the words, one sentence per
line. The folder of the run receives vectors.npy and vectors.txt, see
rnn/text/vector_files.py.
"""

if not __package__:
  import by_path  # type: ignore[import-not-found] # noqa: F401

import math

from absl import flags

import configs
from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.training(
      "The text: a dump of Wikipedia, the archive of film reviews, or plain "
      "text with blanks between the words. It may be compressed, and plain "
      "text may be several files, a folder or a pattern such as books/*.txt.",
      configs.Word2Vec, layers=False, mode=True)
  definitions.encoding()
  flags.DEFINE_integer("vocab_size", 10000, "The size of the vocabulary: the "
                       "most frequent words.", lower_bound=2)
  flags.DEFINE_integer("min_count", 5, "Drop words that occur less often.",
                       lower_bound=1)
  flags.DEFINE_integer("max_context", 5, "The largest distance between a word "
                       "and its context. For each word it is drawn, from 1 on.",
                       lower_bound=1, upper_bound=2**31 - 1)
  flags.DEFINE_float("subsample", 0, "Randomly drop words whose share of the "
                     "text exceeds this, such as 1e-4; 0 drops none.",
                     lower_bound=0, upper_bound=1)
  flags.register_validator("subsample", lambda share: not math.isnan(share),
                           "must be a number")
  flags.DEFINE_string("questions", None, "Answer the analogies in this file, "
                      "which has the format of word2vec's questions-words.txt.")


scripts.parse_first(__name__, define_flags)

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn import memory
from rnn.cli import stored_flags, text_flags, training_flags
from rnn.layers import seeded
from rnn.options import Options
from rnn.runs import config_file
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text import vector_files, word_vectors
from rnn.tf1 import tf
from rnn.training import footprint, loop, passes, progress
from rnn.training.metrics import Metric
from rnn.training.trainable import Trainable
from tasks import hyperparameters, skip_grams, wikipedia
from trained import embeddings

LOSS = Metric(
    "nats", lambda sums: sums["nats"] / max(sums["targets"], 1), "pairs")

# Neighbors are shown for five words from this id on.
_SHOWN = 200


# Model


class SkipGramModel(Trainable):
  """The graph of one batch of pairs: the loss of noise-contrastive estimation.

  The loss is the sum over tf.nn.nce_loss. Sources: Gutmann and Hyvarinen 2010;
  for language models Mnih and Teh 2012 (arXiv 1206.6426).

  Attributes:
    counts: "nats" and "targets" (pairs), see `passes.Model`.
    cost: nats.
    variables: embedding [V, D], nce_w [V, D] and nce_b [V].
    lr, grad_norm, max_grad_norm, train_op: see `Trainable`.
  """

  def __init__(self, config: configs.Word2Vec, word_counts: np.ndarray,
               words: tf.Tensor, contexts: tf.Tensor, noise: tf.Tensor,
               is_training: bool = False, step: tf.Tensor | None = None,
               learning_rate: tf.Tensor | float | None = None,
               options: Options = Options()) -> None:
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      word_counts: [V], how often each word occurs in the text.
      words, contexts: [N] ids.
      noise: [S] ids, which all pairs of the batch share.
      is_training, learning_rate: see `ptb_word_lm.PTBModel`.
      step: unused; every model of a BatchPass takes it.
      options: only the seed is used.
    """
    del step
    vocab_size, width = len(word_counts), config.embedding_size
    probs = skip_grams.noise_distribution(word_counts)
    parameters = seeded.Parameters(0.5 / width, options.seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding = parameters.add("embedding", [vocab_size, width])
      nce_w = tf.get_variable("nce_w", [vocab_size, width], use_resource=True,
                              initializer=tf.zeros_initializer())
      # At first a word is as likely in any context as in the noise.
      nce_b = tf.get_variable("nce_b", use_resource=True,
                              initializer=np.log(probs).astype(np.float32))
    log_expected = tf.constant(np.log(config.num_noise * probs), tf.float32)
    # The pairs consist of few different words (U) and contexts (C), so GEMMs
    # over those are cheaper than dot products over the pairs.
    rows, row_of, times = tf.unique_with_counts(words)  # (U,), (N,), (U,)
    columns, column_of = tf.unique(contexts)  # (C,), (N,)
    hidden = tf.gather(embedding, rows)  # (U, D)

    def log_odds(ids: tf.Tensor) -> tf.Tensor:
      """Returns the log-odds, context against noise: ids (n,) -> (U, n)."""
      bias = tf.gather(nce_b, ids) - tf.gather(log_expected, ids)
      return bias + tf.matmul(hidden, tf.gather(nce_w, ids), transpose_b=True)

    pair_log_odds = tf.gather_nd(
        log_odds(columns), tf.stack([row_of, column_of], axis=1))  # (N,)
    times = tf.cast(times, tf.float32)[:, None]
    # softplus(-x) is -log(sigmoid(x)), and softplus(x) is -log(1 - sigmoid(x)).
    counts = {
        "nats": tf.reduce_sum(tf.nn.softplus(-pair_log_odds)) + tf.reduce_sum(
            times * tf.nn.softplus(log_odds(noise))),
        "targets": tf.size(words, out_type=tf.int64)}
    super().__init__(config, counts["nats"], counts, [embedding, nce_w, nce_b],
                     is_training, learning_rate)


# Vectors


def train_vectors(config: configs.Word2Vec, corpus: skip_grams.Corpus,
                  pairs: skip_grams.Batches, run: TrainingRun | None = None,
                  save_secs: float = 600,
                  check_stop: Callable[[], None] = lambda: None,
                  options: Options = Options()
                  ) -> tuple[list[loop.Row], np.ndarray]:
  """Trains vectors, and shows the neighbors of some words after each epoch.

  Args:
    pairs: the batches of the corpus.
    run, save_secs, check_stop: see `loop.run_training`.
    options: see `SkipGramModel`.

  Returns:
    rows, vectors: see `loop.run_training`, and [V, D].

  Raises:
    DivergedError, Stopped, RunError: see `loop.run_training`.
    UserError: the model needs more memory than is available.
  """
  _check_memory(config, len(corpus.words), pairs)
  vectors = np.zeros([len(corpus.words), config.embedding_size], np.float32)

  def fetch(session: tf.Session, model: Any) -> None:
    vectors[:] = session.run(model.variables[0])

  def after_epoch(session: tf.Session, model: Any) -> None:
    fetch(session, model)
    show_nearest(corpus.words.words, vectors)

  make_model = functools.partial(
      SkipGramModel, config, corpus.counts, options=options)
  rows, _ = loop.run_training(
      lambda: (passes.BatchPass("Train", config, pairs, make_model, True), None,
               None),
      config.max_max_epoch, LOSS, run, save_secs, check_stop, after_epoch,
      at_end=fetch)
  return rows, vectors


def _check_memory(config: configs.Word2Vec, vocab_size: int,
                  pairs: skip_grams.Batches) -> None:
  """Compares the memory of a SkipGramModel, see `footprint.check`."""
  words, contexts, noise = pairs(0)
  # The log-odds of each word of a batch with each context; later those with
  # each noise word, and their gradient.
  log_odds = len(np.unique(words)) * max(
      len(np.unique(contexts)), 2 * len(noise))
  footprint.check([footprint.Parameters(
      vocab_size * (2 * config.embedding_size + 1), 0, f"{vocab_size:,} words "
      f"with two vectors of {config.embedding_size:,} numbers",
      "lower --vocab_size or embedding_size")], [memory.Part(
          4 * log_odds, f"pairs of batch_size={config.batch_size:,} words and "
          f"num_noise={config.num_noise:,}", "lower batch_size or num_noise")],
          config.optimizer)


def show_nearest(words: Sequence[str], vectors: np.ndarray) -> None:
  """Prints the nearest neighbors of five frequent words.

  The most frequent words are not shown, because they say little.
  """
  start = min(_SHOWN, len(words) // 2)
  for i in range(start, min(start + 5, len(words))):
    nearest = word_vectors.nearest(vectors, i, 5)
    print(f"{words[i]}: " + ", ".join(words[j] for j, _ in nearest), flush=True)


def report(words: Sequence[str], vectors: np.ndarray,
           questions: Mapping[str, Sequence[Sequence[str]]]) -> None:
  """Prints the share of analogies of each section that are answered right."""
  results = word_vectors.answer_analogies(words, vectors, questions)
  right, answered, asked = (
      sum(column) for column in zip(*results.values(), strict=True))
  results["total"] = right, answered, asked
  for section, (right, answered, asked) in results.items():
    share = f"{right / answered:7.2%}" if answered else "      -"
    print(f"{section:<28}{share}  {right} of {answered} ({asked} asked)")


def load_vectors(run: RunDirectory) -> tuple[Sequence[str], np.ndarray]:
  """Returns the words of a run, and their vectors [V, D].

  Raises:
    RunError: this is no run of word vectors, or no checkpoint is readable.
  """
  name, words, vectors = embeddings.read_word_vectors(run)
  print(f"{name}:", flush=True)
  return words.words, vectors


# Main


def main(argv: Sequence[str]) -> None:
  """Trains and evaluates, or only evaluates, as the flags say."""
  with scripts.error_lines(argv[0]):
    questions = FLAGS.questions and word_vectors.read_questions(FLAGS.questions)
    if FLAGS.mode == "eval":
      words, vectors = load_vectors(training_flags.run_to_read(
          "--mode=eval", "data_path", "encoding", "vocab_size", "min_count",
          "max_context", "subsample"))
      show_nearest(words, vectors)
    else:
      words, vectors = _train_as_flags_say()
    if questions:
      report(words, vectors, questions)


def _train_as_flags_say() -> tuple[Sequence[str], np.ndarray]:
  """Trains vectors, and saves them in the run."""
  config, settings = training_flags.config(
      stored_flags.resume(config_file.WORD_VECTORS,
                          hyperparameters.WORD2VEC))
  data_path = training_flags.data_path(
      f"a text, or pages-articles.xml.bz2 from {wikipedia.URL}")
  corpus = skip_grams.Corpus(data_path, FLAGS.vocab_size, FLAGS.min_count,
                             FLAGS.encoding)
  print(f"{data_path}: {len(corpus.ids):,} words in {len(corpus.ends):,} "
        f"passages, {len(corpus.words):,} different", flush=True)
  pairs = skip_grams.Batches(
      corpus, config, FLAGS.max_context, FLAGS.subsample, FLAGS.seed)
  run = training_flags.run("word2vec", config, settings, {
      "task": config_file.WORD_VECTORS, "max_context": FLAGS.max_context,
      "subsample": FLAGS.subsample, "tokens": "names", "data": {
          **text_flags.describe_text(data_path),
          "words": len(corpus.ids), "sha256": corpus.digest},
      "flags": training_flags.values("vocab_size", "min_count"),
  }, vocabulary=corpus.words, metric=LOSS.name)
  with training_flags.stopping() as check_stop:
    rows, vectors = train_vectors(
        config, corpus, pairs, run, FLAGS.save_secs, check_stop,
        training_flags.options(config))
  print(progress.summary(rows, {}, metric=LOSS), flush=True)
  if run:
    prefix = os.path.join(run.path, "vectors")
    with run.adding():
      vector_files.save(prefix, corpus.words.words, vectors)
    print(f"{prefix}.npy, {prefix}.txt: the vectors", flush=True)
  return corpus.words.words, vectors


if __name__ == "__main__":
  scripts.run(main, define_flags)
