"""Learns word vectors: skip-gram with noise-contrastive estimation.

    python -m tasks.word2vec --data_path=enwiki-pages-articles.xml.bz2 \
        --save_path=runs/vectors --questions=questions-words.txt

The text is a dump of Wikipedia, https://dumps.wikimedia.org/enwiki/latest/, or
the archive of film reviews that tasks.sentiment reads, or plain text in the
form of PTB: words between blanks, a line a sentence. The folder of the run
holds vectors.npy and vectors.txt, as embeddings.py says.
"""

import functools
import math
import os

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
from absl import app, flags

import configs
import embeddings
import neighbors
import optimizers
import stateless
import training
import training_flags
from tasks import batches, skip_grams, wikipedia
from tensorflow_v1 import tf

FLAGS = flags.FLAGS
LOSS = training.Metric(
    "nats", lambda sums: sums["nats"] / max(sums["targets"], 1), "pairs")

_SHOWN = 200  # how frequent the words are whose neighbours are shown


# Model


class SkipGramModel:
  """The graph of one batch of pairs.

  Attributes:
    counts: of nats (the loss of noise-contrastive estimation, that of
      tf.nn.nce_loss) and targets (pairs); see training.Epoch.
    variables: the embedding [V, D] first.
    lr, grad_norm, max_grad_norm, train_op: as of the PTBModel.
  """

  def __init__(self, config, counts, words, contexts, noise, is_training=False,
               step=None, learning_rate=None, seed=1):
    """Adds the model to the default graph.

    Args:
      config: a configs.Word2Vec.
      counts: [V], of the words in the text.
      words, contexts: [N] ids. noise: [S] ids, for all pairs of the batch.
      step, learning_rate, seed: as of the PTBModel.
    """
    del step  # all that is drawn is fed
    vocab_size, width = len(counts), config.embedding_size
    probs = skip_grams.noise_distribution(counts)
    parameters = stateless.Parameters(0.5 / width, seed)
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding = parameters.add("embedding", [vocab_size, width])
      nce_w = tf.get_variable("nce_w", [vocab_size, width], use_resource=True,
                              initializer=tf.zeros_initializer())
      # Words begin as likely as they are in noise, whatever their context.
      nce_b = tf.get_variable("nce_b", use_resource=True,
                              initializer=np.log(probs).astype(np.float32))
    self.variables = [embedding, nce_w, nce_b]
    log_expected = tf.constant(np.log(config.num_noise * probs), tf.float32)
    # All in GEMMs, for the pairs are of few different words (U) and contexts.
    rows, row_of, times = tf.unique_with_counts(words)
    columns, column_of = tf.unique(contexts)
    hidden = tf.gather(embedding, rows)  # (U, D)

    def log_odds(ids):
      """Those of words, each beside all rows, against noise: (U, n)."""
      bias = tf.gather(nce_b, ids) - tf.gather(log_expected, ids)
      return bias + tf.matmul(hidden, tf.gather(nce_w, ids), transpose_b=True)

    of_pairs = tf.gather_nd(
        log_odds(columns), tf.stack([row_of, column_of], axis=1))  # (N,)
    times = tf.cast(times, tf.float32)[:, None]
    self.counts = {
        "nats": tf.reduce_sum(tf.nn.softplus(-of_pairs)) + tf.reduce_sum(
            times * tf.nn.softplus(log_odds(noise))),
        "targets": tf.size(words, out_type=tf.int64)}
    if is_training:
      self.lr, self.max_grad_norm = learning_rate, config.max_grad_norm
      self.grad_norm, self.train_op = optimizers.step(
          self.counts["nats"], self.counts, self.variables, self.lr,
          config.max_grad_norm, config.optimizer)


# Loop


def train(config, corpus, pairs, run=None, save_secs=600,
          check_stop=lambda: None, seed=1):
  """Trains vectors, and shows nearest words after each epoch.

  Args:
    corpus, pairs: a skip_grams.Corpus, and the Batches of it.
    run, save_secs, check_stop: see `training.train`.

  Returns:
    rows, vectors: a dict for each epoch, and [V, D].
  """
  vectors = None

  def keep(session, model):
    nonlocal vectors
    vectors = session.run(model.variables[0])

  def after_epoch(session, model):
    keep(session, model)
    show_nearest(corpus.words.words, vectors)

  make_model = functools.partial(
      SkipGramModel, config, corpus.counts, seed=seed)
  rows, _ = training.train(
      lambda: (batches.Epoch("Train", config, pairs, make_model, True), None,
               None),
      config.max_max_epoch, LOSS, run, save_secs, check_stop, after_epoch,
      at_end=keep)
  return rows, vectors


def show_nearest(words, vectors):
  """Prints the nearest words of some that are frequent, but not the most."""
  start = min(_SHOWN, len(words) // 2)
  for i in range(start, min(start + 5, len(words))):
    found = neighbors.nearest(vectors, i, 5)
    print(f"{words[i]}: " + ", ".join(words[j] for j, _ in found), flush=True)


def report(words, vectors, questions):
  """Prints how many analogies of each section are answered right."""
  results = embeddings.answer_analogies(words, vectors, questions)
  results["total"] = tuple(map(sum, zip(*results.values(), strict=True)))
  for section, (right, answered, asked) in results.items():
    share = f"{right / answered:7.2%}" if answered else "      -"
    print(f"{section:<28}{share}  {right} of {answered} ({asked} asked)")


# Main


def define_flags():
  """The flags of this script; `main` alone reads them."""
  training_flags.define(
      "The text: a dump of Wikipedia, the archive of film reviews, or plain "
      "text, words between blanks; may be compressed.", layers=False)
  flags.adopt_module_key_flags(training_flags)  # for --help
  flags.DEFINE_integer("vocab_size", 10000, "How many of the most frequent "
                       "words to learn.", lower_bound=2)
  flags.DEFINE_integer("min_count", 5, "Leave out words that occur less often.",
                       lower_bound=1)
  flags.DEFINE_integer("max_context", 5, "The contexts of a word reach up to "
                       "this many words, or fewer at random.",
                       lower_bound=1, upper_bound=2**31 - 1)
  flags.DEFINE_float("subsample", 0, "Leave out words at random that are a "
                     "larger share of the text, such as 1e-4; 0 for none.",
                     lower_bound=0, upper_bound=1)
  flags.register_validator("subsample", lambda share: not math.isnan(share),
                           "must be a number")
  flags.DEFINE_string("questions", None, "Answer the analogies of this file, "
                      "word2vec's questions-words.txt.")


def main(argv):
  """Trains and evaluates as the flags say."""
  with command_line.complaints(argv[0]):
    config, settings = training_flags.config(configs.WORD2VEC)
    data_path = training_flags.data_path(
        f"a text, or pages-articles.xml.bz2 from {wikipedia.URL}")
    questions = FLAGS.questions and embeddings.read_questions(FLAGS.questions)
    corpus = skip_grams.Corpus(data_path, FLAGS.vocab_size, FLAGS.min_count)
    print(f"{data_path}: {len(corpus.ids):,} words in {len(corpus.ends):,} "
          f"passages, {len(corpus.words):,} different", flush=True)
    drawn = {"max_context": FLAGS.max_context, "subsample": FLAGS.subsample}
    pairs = skip_grams.Batches(corpus, config, **drawn, seed=FLAGS.seed)
    run = training_flags.run("word2vec", config, settings, {
        "task": "word vectors", **drawn, "tokens": "names", "data": {
            "path": os.path.abspath(data_path), "words": len(corpus.ids),
            "sha256": corpus.digest},
    }, vocabulary=corpus.words, metric=LOSS.name)
    with training_flags.stopping(run) as check_stop:
      rows, vectors = train(
          config, corpus, pairs, run, FLAGS.save_secs, check_stop, FLAGS.seed)
    print(training.summary(rows, {}, metric=LOSS), flush=True)
    if run:
      prefix = os.path.join(run.path, "vectors")
      with run.writing():
        embeddings.save(prefix, corpus.words.words, vectors)
      print(f"{prefix}.npy, {prefix}.txt: the vectors", flush=True)
    if questions:
      report(corpus.words.words, vectors, questions)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
