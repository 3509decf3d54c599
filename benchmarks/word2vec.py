"""Word vectors beside those of gensim: analogies, and pairs a second.

    python -m benchmarks.word2vec --data_path=enwiki-pages-articles.xml.bz2 \
        --questions=questions-words.txt

Both learn the same words of the same tokens, for as many epochs, with contexts
as wide, one after the other; gensim with two workers, once with as many words
of noise a pair as are drawn here for a whole step, and once with the five that
it has by default. Its learning rate is its default, too.

A pair is a word and one in its context. Both draw words and widths with the
same probabilities, so that the pairs of an epoch are taken to be as many as
those counted here in the first one (gensim's differ by chance, and by those
across cuts of articles longer than 10,000 words). Speed is pairs over the
seconds of all epochs, which here include the preparation of the graph, but in
neither the reading of the text.
"""

import contextlib
import io
import logging
import time

import gensim
import gensim.models
import numpy as np
from absl import app, flags

import configs
import embeddings
from benchmarks import machine
from tasks import skip_grams, word2vec
from tensorflow_v1 import tf

_WORKERS = 2
_DEFAULT_NOISE = 5
_LONGEST = 10_000  # words of a sentence; gensim leaves out what comes after


def ours(corpus, config, seed):
  """Vectors, pairs an epoch, and seconds of all epochs."""
  pairs = skip_grams.Batches(
      corpus, config, FLAGS.max_context, FLAGS.subsample, seed)
  with contextlib.redirect_stdout(io.StringIO()):
    rows, vectors = word2vec.train(config, corpus, pairs, seed=seed)
  number = sum(len(pairs(step)[0]) for step in range(pairs.size))
  return vectors, number, sum(row["seconds"] for row in rows)


def gensims(corpus, config, seed, num_noise):
  """Vectors, and seconds of all epochs."""
  words = np.array(corpus.words.words, object)
  sentences = [list(words[part])
               for passage in np.split(corpus.ids, corpus.ends[:-1])
               for part in np.split(passage, range(
                   _LONGEST, len(passage), _LONGEST))]
  model = gensim.models.Word2Vec(
      sg=1, vector_size=config.embedding_size, window=FLAGS.max_context,
      negative=num_noise, sample=FLAGS.subsample, min_count=1,
      workers=_WORKERS, seed=seed)
  model.build_vocab(sentences)
  start = time.perf_counter()
  model.train(sentences, total_examples=len(sentences),
              epochs=config.max_max_epoch)
  seconds = time.perf_counter() - start
  return model.wv[list(words)], seconds


def show_accuracy(results):
  """Prints a table: right answers in percent, by section.

  Args:
    results: a dict, name -> a list, one a seed, of what answer_analogies
      returns.
  """
  print(f"{'right answers, %':<28}{'known':>8}{'asked':>8}"
        + "".join(f"{name:>18}" for name in results))
  first = next(iter(results.values()))[0]
  for section in [*first, "total"]:
    columns = {name: [sum(np.array(answers[s]) for s in first)
                      if section == "total" else answers[section]
                      for answers in runs] for name, runs in results.items()}
    _, known, asked = next(iter(columns.values()))[0]
    print(f"{section:<28}{known:>8}{asked:>8}" + "".join(
        f"{100 * np.mean([right for right, *_ in runs]) / max(known, 1):>18.2f}"
        for runs in columns.values()))


def main(_):
  """Trains, measures and prints."""
  logging.getLogger("gensim").setLevel(logging.WARNING)
  config = configs.override(configs.WORD2VEC, configs.parse(
      FLAGS.config_override, configs.Word2Vec))
  questions = embeddings.read_questions(FLAGS.questions)
  corpus = skip_grams.Corpus(FLAGS.data_path, FLAGS.vocab_size, FLAGS.min_count)
  print(machine.describe({"tensorflow": tf.__version__, "numpy": np.__version__,
                          "gensim": gensim.__version__}))
  print(f"{len(corpus.ids):,} words, {len(corpus.words):,} different; contexts "
        f"of up to {FLAGS.max_context}, subsampling {FLAGS.subsample:g}; "
        f"{config}", flush=True)
  results, speeds = {}, {}
  for seed in range(1, FLAGS.seeds + 1):
    vectors, pairs, seconds = ours(corpus, config, seed)
    found = {"here": (vectors, seconds)}
    for num_noise in dict.fromkeys([config.num_noise, _DEFAULT_NOISE]):
      found[f"gensim, {num_noise} noise"] = gensims(
          corpus, config, seed, num_noise)
    for name, (vectors, seconds) in found.items():
      results.setdefault(name, []).append(embeddings.answer_analogies(
          corpus.words.words, vectors, questions))
      speeds.setdefault(name, []).append(
          pairs * config.max_max_epoch / seconds)
  show_accuracy(results)
  for name, speed in speeds.items():
    print(f"{name}: {np.median(speed):,.0f} pairs/s, {pairs:,.0f} pairs an "
          f"epoch, {config.max_max_epoch} epochs; median of {len(speed)} seeds")


if __name__ == "__main__":
  FLAGS = flags.FLAGS
  flags.DEFINE_string("data_path", None, "The text.")
  flags.DEFINE_string("questions", None, "questions-words.txt of word2vec.")
  flags.DEFINE_integer("vocab_size", 10000, "How many words to learn.", 2)
  flags.DEFINE_integer("min_count", 5, "How often they occur at least.", 1)
  flags.DEFINE_integer("max_context", 5, "How far contexts reach.", 1)
  flags.DEFINE_float("subsample", 0, "As of tasks.word2vec.", 0, 1)
  flags.DEFINE_string("config_override", "", "As of tasks.word2vec.")
  flags.DEFINE_integer("seeds", 3, "How often to train each.", 1)
  flags.mark_flags_as_required(["data_path", "questions"])
  app.run(main)
