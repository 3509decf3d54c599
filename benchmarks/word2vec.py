"""Word vectors compared with gensim: analogies, and pairs per second.

    python -m benchmarks.word2vec --data_path=enwiki-pages-articles.xml.bz2 \
        --questions=questions-words.txt

Both programs learn vectors of the same words from the same tokens, with the
same number of epochs and the same width of contexts, one after the other.
gensim uses two workers and its default learning rate. It runs twice: with as
many noise words per pair as this suite draws for a whole step, and with five,
its default.

A pair consists of a word and a word in its context. Both programs draw words
and widths with the same probabilities. So the number of pairs per epoch, which
is counted here in the first epoch, is taken for both. (gensim's differs by
chance, and because it cuts articles at 10,000 words.) Speed is the number of
pairs divided by the seconds of all epochs. They include the preparation of the
graph here, but not the reading of the text in either program.
"""

import contextlib
import io
import logging
import time
import types
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags

import configs
from benchmarks import machine
from rnn.cli import definitions, scripts
from rnn.errors import UserError
from rnn.options import Options
from rnn.text import word_vectors
from rnn.tf1 import tf
from tasks import hyperparameters, skip_grams, word2vec

FLAGS = flags.FLAGS
_WORKERS = 2
_DEFAULT_NOISE = 5
_MAX_SENTENCE = 10_000  # words; gensim drops the rest of a longer sentence

# The result of `word_vectors.answer_analogies`.
Answers = Mapping[str, Sequence[int]]


def train_ours(corpus: skip_grams.Corpus, config: configs.Word2Vec,
               seed: int) -> tuple[np.ndarray, int, float]:
  """Returns vectors [V, D], pairs per epoch, and seconds of all epochs."""
  pairs = skip_grams.Batches(
      corpus, config, FLAGS.max_context, FLAGS.subsample, seed)
  with contextlib.redirect_stdout(io.StringIO()):
    rows, vectors = word2vec.train_vectors(
        config, corpus, pairs, options=Options(seed=seed))
  number = sum(len(pairs(step)[0]) for step in range(pairs.size))
  return vectors, number, sum(row["seconds"] for row in rows)


def find_gensim() -> types.ModuleType:
  """Returns gensim.

  Raises:
    UserError: it is not installed.
  """
  try:
    import gensim.models
  except ImportError:
    raise UserError("the package gensim is not installed; run pip install -r "
                    "requirements-test.txt") from None
  return gensim


def train_gensim(corpus: skip_grams.Corpus, config: configs.Word2Vec,
                 seed: int, num_noise: int) -> tuple[np.ndarray, float]:
  """Returns vectors [V, D], and seconds of all epochs."""
  words = np.array(corpus.words.words, object)
  sentences = [list(words[part])
               for passage in np.split(corpus.ids, corpus.ends[:-1])
               for part in np.split(passage, range(
                   _MAX_SENTENCE, len(passage), _MAX_SENTENCE))]
  model = find_gensim().models.Word2Vec(
      sg=1, vector_size=config.embedding_size, window=FLAGS.max_context,
      negative=num_noise, sample=FLAGS.subsample, min_count=1,
      workers=_WORKERS, seed=seed)
  model.build_vocab(sentences)
  start = time.perf_counter()
  model.train(sentences, total_examples=len(sentences),
              epochs=config.max_max_epoch)
  seconds = time.perf_counter() - start
  return model.wv[list(words)], seconds


def show_accuracy(results: Mapping[str, Sequence[Answers]]) -> None:
  """Prints a table: right answers in percent, one row per section.

  Args:
    results: a dict, name -> the answers for each seed.
  """
  print(f"{'right answers, %':<28}{'known':>8}{'asked':>8}"
        + "".join(f"{name:>18}" for name in results))
  first = next(iter(results.values()))[0]
  for section in [*first, "total"]:
    columns = {
        name: [np.sum([answers[s] for s in first], axis=0)
               if section == "total" else answers[section] for answers in runs]
        for name, runs in results.items()}
    _, known, asked = next(iter(columns.values()))[0]
    print(f"{section:<28}{known:>8}{asked:>8}" + "".join(
        f"{100 * np.mean([right for right, *_ in runs]) / max(known, 1):>18.2f}"
        for runs in columns.values()))


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_string("data_path", None, "The text; see tasks.word2vec.")
  flags.DEFINE_string("questions", None,
                      "The file questions-words.txt of word2vec.")
  flags.DEFINE_integer("vocab_size", 10000, "The most words to learn.", 2)
  flags.DEFINE_integer("min_count", 5,
                       "Drop words that occur less often in the text.", 1)
  flags.DEFINE_integer("max_context", 5,
                       "The most words from a word to one in its context.", 1)
  flags.DEFINE_float("subsample", 0, "The same as in tasks.word2vec.", 0, 1)
  definitions.config_override("The same as in tasks.word2vec.")
  flags.DEFINE_integer("seeds", 3, "The number of runs of each program.", 1)
  flags.mark_flags_as_required(["data_path", "questions"])


def main(argv: Sequence[str]) -> None:
  """Trains, measures and prints."""
  with scripts.error_lines(argv[0]):
    find_gensim()  # fails now, not after the first run
    logging.getLogger("gensim").setLevel(logging.WARNING)
    config = configs.override(hyperparameters.WORD2VEC, configs.parse(
        FLAGS.config_override, configs.Word2Vec))
    questions = word_vectors.read_questions(FLAGS.questions)
    corpus = skip_grams.Corpus(
        FLAGS.data_path, FLAGS.vocab_size, FLAGS.min_count)
    print(machine.describe({
        "tensorflow": tf.__version__, "numpy": np.__version__,
        "gensim": find_gensim().__version__}))
    print(f"{len(corpus.ids):,} words, {len(corpus.words):,} different; "
          f"contexts of up to {FLAGS.max_context}, subsampling "
          f"{FLAGS.subsample:g}; {config}", flush=True)
    answers: dict[str, list[Answers]] = {}
    speeds: dict[str, list[float]] = {}
    for seed in range(1, FLAGS.seeds + 1):
      vectors, pairs, seconds = train_ours(corpus, config, seed)
      programs = {"here": (vectors, seconds)}
      for num_noise in dict.fromkeys([config.num_noise, _DEFAULT_NOISE]):
        programs[f"gensim, {num_noise} noise"] = train_gensim(
            corpus, config, seed, num_noise)
      for name, (vectors, seconds) in programs.items():
        answers.setdefault(name, []).append(word_vectors.answer_analogies(
            corpus.words.words, vectors, questions))
        speeds.setdefault(name, []).append(
            pairs * config.max_max_epoch / seconds)
    show_accuracy(answers)
    for name, speed in speeds.items():
      print(f"{name}: {np.median(speed):,.0f} pairs/s, {pairs:,} pairs per "
            f"epoch, {config.max_max_epoch} epochs; median of {len(speed)} "
            "seeds")


if __name__ == "__main__":
  scripts.run(main, define_flags)
