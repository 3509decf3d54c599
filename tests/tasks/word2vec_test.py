"""The script tasks/word2vec.py and its model, on made-up dumps."""

import bz2
import dataclasses
import re

import gensim.models
import numpy as np
import pytest

import generate
import neighbors
from rnn import signals
from rnn.options import Options
from rnn.runs import checkpoints
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text import vector_files
from rnn.tf1 import tf
from tasks import hyperparameters, skip_grams, word2vec
from tests.helpers import oracle
from tests.helpers.calls import assert_one_line, assert_refused
from tests.helpers.run_folders import StopAfter, variables_of
from tests.helpers.texts import dump, page

TINY = dataclasses.replace(
    hyperparameters.WORD2VEC, embedding_size=8, batch_size=50, num_noise=8,
    max_max_epoch=2)
OVERRIDE = ("--config_override=embedding_size=8,batch_size=50,num_noise=8,"
            "max_max_epoch=4")
TOPICS = [["cat", "dog", "owl", "fox"], ["oil", "gas", "coal", "wood"]]
COUNTS = np.array([9, 5, 4, 2, 1])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  """Articles on one topic each. All words of a topic have the same contexts."""
  rng = np.random.default_rng(0)
  path = tmp_path_factory.mktemp("w2v") / "dump.xml.bz2"
  path.write_bytes(bz2.compress(dump(*(
      page(str(i), " ".join(rng.choice(TOPICS[i % 2], 40)))
      for i in range(60)))))
  return str(path)


def make_batch():
  """Returns words, contexts and noise.

  Words and contexts repeat, and some noise words are the right contexts.
  """
  return (np.array([0, 3, 3, 1, 0, 0], np.int32),
          np.array([1, 3, 3, 0, 4, 1], np.int32),
          np.array([1, 0, 1, 2, 4, 0, 0, 1]))


def values_of_variables():
  """Returns values for the variables, by name."""
  rng = np.random.default_rng(1)
  return {"Model/embedding": rng.normal(size=[5, 8]),
          "Model/nce_w": rng.normal(size=[5, 8]),
          "Model/nce_b": rng.normal(size=5)}


def nce(values, words, contexts, noise):
  """Returns the loss of noise-contrastive estimation and its gradients.

  A context w competes with S noise words from a distribution q (Gutmann and
  Hyvarinen 2010; Mnih and Teh 2012). The loss of the context is
  -log(sigmoid(s(w) - log(S q(w)))). The loss of a noise word is
  -log(1 - sigmoid(...)).
  """
  embedding, nce_w, nce_b = values.values()
  q = COUNTS ** 0.75 / (COUNTS ** 0.75).sum()
  nats, grads = 0, [np.zeros_like(value) for value in values.values()]
  for word, context in zip(words, contexts, strict=True):
    for other, label in [(context, 1), *((other, 0) for other in noise)]:
      score = (embedding[word] @ nce_w[other] + nce_b[other]
               - np.log(len(noise) * q[other]))
      nats += np.log1p(np.exp(-score if label else score))
      slope = oracle.sigmoid(score) - label
      grads[0][word] += slope * nce_w[other]
      grads[1][other] += slope * embedding[word]
      grads[2][other] += slope
  return nats, grads


def test_the_loss_equals_the_oracle_and_tensorflow():
  words, contexts, noise = make_batch()
  expected = (8 * COUNTS ** 0.75 / (COUNTS ** 0.75).sum()).astype(np.float32)
  with tf.Graph().as_default(), tf.Session() as session:
    model = word2vec.SkipGramModel(
        TINY, COUNTS, *map(tf.constant, make_batch()))
    checkpoints.assign(session, model.variables, values_of_variables())
    embedding, nce_w, nce_b = model.variables
    losses = tf.nn.nce_loss(
        nce_w, nce_b, contexts[:, None], tf.gather(embedding, words), 8, 5,
        sampled_values=(noise, expected[contexts][:, None], expected[noise]))
    counts, losses = session.run([model.counts, losses])
  assert counts["targets"] == 6
  assert counts["nats"] == pytest.approx(losses.sum(), rel=1e-5)
  assert counts["nats"] == pytest.approx(
      nce(values_of_variables(), *make_batch())[0], rel=1e-5)


def test_a_step_follows_the_gradient_of_the_oracle():
  """The rows of a word that comes twice are added up."""
  config = dataclasses.replace(TINY, optimizer="sgd", max_grad_norm=1e9)
  with tf.Graph().as_default(), tf.Session() as session:
    model = word2vec.SkipGramModel(
        config, COUNTS, *map(tf.constant, make_batch()), is_training=True,
        step=tf.constant(np.int64(0)), learning_rate=0.1)
    session.run(tf.global_variables_initializer())
    checkpoints.assign(session, model.variables, values_of_variables())
    norm, _ = session.run([model.grad_norm, model.train_op])
    after = session.run(model.variables)
  values = values_of_variables()
  _, grads = nce(values, *make_batch())
  assert norm == pytest.approx(
      np.sqrt(sum((grad ** 2).sum() for grad in grads)), rel=1e-5)
  for value, grad, new in zip(values.values(), grads, after, strict=True):
    np.testing.assert_allclose(new, value - 0.1 * grad, atol=1e-5)


def test_at_first_all_words_are_as_likely_as_in_the_noise():
  """So the loss of a pair is at first that of a guess among S + 1 words."""
  with tf.Graph().as_default(), tf.Session() as session:
    model = word2vec.SkipGramModel(
        TINY, COUNTS, *map(tf.constant, make_batch()))
    session.run(tf.global_variables_initializer())
    nats = session.run(model.counts["nats"])
  assert nats / 6 == pytest.approx(np.log1p(8) + 8 * np.log1p(1 / 8), rel=1e-5)


def test_a_step_without_pairs_changes_nothing():
  empty = np.zeros(0, np.int32)
  with tf.Graph().as_default(), tf.Session() as session:
    model = word2vec.SkipGramModel(
        TINY, COUNTS, *map(tf.constant, (empty, empty, make_batch()[2])),
        is_training=True, step=tf.constant(np.int64(0)), learning_rate=0.1)
    session.run(tf.global_variables_initializer())
    before = session.run(model.variables)
    assert session.run([*model.counts.values(), model.train_op])[:2] == [0, 0]
    for a, b in zip(before, session.run(model.variables), strict=True):
      np.testing.assert_array_equal(a, b)


def test_end_to_end(path, tmp_path, call_script, capsys):
  """Trains, shows neighbors, answers questions, and saves the vectors."""
  run, questions = tmp_path / "run", tmp_path / "questions.txt"
  questions.write_text(": made\ncat dog fox owl\ncat dog oil gas\n"
                       ": unknown\ncat dog king queen\n")
  args = [f"--data_path={path}", f"--save_path={run}", OVERRIDE,
          f"--questions={questions}", "--subsample=0.5"]
  assert call_script(word2vec, *args) == 0
  out = capsys.readouterr().out
  assert f"{path}: 2,400 words in 60 passages, 8 different" in out
  nearest = re.findall(r"^(\w+): (\w+), (\w+), (\w+), ", out, re.MULTILINE)
  assert len(nearest) == 4 * 4  # four words in each of four epochs
  for words in nearest[-4:]:
    assert sorted(words) in map(sorted, TOPICS)
  assert re.search(r"^made +[\d.]+%  [012] of 2 \(2 asked\)$", out,
                   re.MULTILINE)
  assert "unknown                           -  0 of 0 (1 asked)\n" in out
  assert re.search(r"^total .* of 2 \(3 asked\)$", out, re.MULTILINE)
  values = variables_of(
      RunDirectory(str(run)).checkpoints()[0])["Model/embedding"]
  words, vectors = vector_files.load(f"{run}/vectors.npy")
  np.testing.assert_array_equal(vectors, values)
  assert sorted(words) == sorted(sum(TOPICS, []))
  peer = gensim.models.KeyedVectors.load_word2vec_format(f"{run}/vectors.txt")
  assert peer.index_to_key == words
  np.testing.assert_allclose(peer.vectors, vectors, rtol=5e-6)
  # A finished run trains no more, but writes the vectors again.
  (run / "vectors.npy").unlink()
  assert call_script(word2vec, *args) == 0
  assert "is finished" in capsys.readouterr().out
  np.testing.assert_array_equal(
      vector_files.load(f"{run}/vectors.npy")[1], values)
  assert call_script(word2vec, *args[:-1], "--subsample=0.4") == 1
  assert_refused(capsys.readouterr().err, "word2vec.py")
  # Evaluation needs no text, and prints the same neighbors and analogies.
  assert call_script(word2vec, "--mode=eval", *args[1:2], args[3]) == 0
  newest, *lines = capsys.readouterr().out.splitlines()
  assert newest == f"{run} (epoch 4):"
  assert lines[:4] == [line for line in out.splitlines() if re.match(
      r"\w+: \w+, ", line)][-4:]
  assert lines[4:] == out.splitlines()[-3:]
  for flag in args[0], "--encoding=gbk":
    assert call_script(word2vec, "--mode=eval", args[1], flag) == 1
    assert_one_line(capsys.readouterr().err, "word2vec.py",
                    f"{flag.split('=')[0]}: has no effect with --mode=eval")
  # neighbors.py shows the same, of a checkpoint, too.
  first = lines[0].split(": ")[0]
  for folder in str(run), RunDirectory(str(run)).checkpoints()[0].path:
    assert call_script(neighbors, f"--save_path={folder}", f"--words={first}",
                       "--number=3") == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[-1] for words in shown] == re.findall(r"\w+", lines[0])[:4]
  # The run is not one of a language model.
  assert call_script(generate, f"--save_path={run}") == 1
  assert_one_line(capsys.readouterr().err, "generate.py", str(run))


def test_steps_without_pairs_are_no_divergence(tmp_path, call_script, capsys):
  """They occur if subsampling drops nearly all words."""
  (tmp_path / "text").write_text("a b a b a b a b a b\n" * 40)
  assert call_script(word2vec, f"--data_path={tmp_path}/text",
                     "--subsample=1e-4", OVERRIDE) == 0
  assert "Epoch: 4" in capsys.readouterr().out


def test_another_text_of_the_same_words_is_another_run(
    path, tmp_path, call_script, capsys):
  text = tmp_path / "text"
  for lines in ["a b c d e f", "b a c d e f"], ["a b c d f e", "b a c d e f"]:
    text.write_text("\n".join(lines))
    status = call_script(word2vec, f"--data_path={text}", "--min_count=2",
                         f"--save_path={tmp_path}/run", OVERRIDE)
  assert status == 1
  assert_refused(capsys.readouterr().err, "word2vec.py")


def test_stopped_anywhere_it_ends_in_the_same_bits(path, tmp_path):
  corpus = skip_grams.Corpus(path, 100, 1)

  def train(name, check_stop=lambda: None):
    run = TrainingRun(
        f"{tmp_path}/{name}", {"tokens": "names"}, corpus.words,
        metric=word2vec.LOSS.name)
    pairs = skip_grams.Batches(corpus, TINY, 5, 0.2, seed=3)
    return word2vec.train_vectors(
        TINY, corpus, pairs, run, check_stop=check_stop,
        options=Options(seed=3))[1]

  expected = train("undisturbed")
  for windows in (7, 40, 1, 3):  # an epoch has 48
    with pytest.raises(signals.Stopped):
      train("run", StopAfter(windows))
  np.testing.assert_array_equal(train("run"), expected)
  one, other = (variables_of(RunDirectory(
      f"{tmp_path}/{name}").checkpoints()[0])
                for name in ("undisturbed", "run"))
  for name, value in one.items():
    assert value.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("args, message", [
    ([], "--data_path: name a text, or pages-articles"),
    (["--data_path=/absent"], "/absent: No such file"),
    (["--data_path=x", "--questions=/absent"], "/absent: No such file"),
    (["--data_path=x", "--config_override=num_layers=2"], "num_layers"),
    (["--data_path=x", "--config_override=num_noise=0"], "num_noise"),
    (["--data_path=x", "--config_override=embedding_size=0"],
     "embedding_size=0: must be from 1"),
    (["--data_path=/dev/null"], "/dev/null: not a file"),
    (["--subsample=nan"], "subsample.* must be a number"),
    (["--subsample=2"], "subsample"), (["--vocab_size=1"], "vocab_size"),
    (["--max_context=0"], "max_context")])
def test_errors_are_one_line(call_script, capsys, args, message):
  assert call_script(word2vec, *args) == 1
  assert_one_line(capsys.readouterr().err, "word2vec.py", message)


@pytest.mark.parametrize("data, message", [
    (b"", "dump: only 0 words"), (b"a b c", "dump: only 0 words occur"),
    (dump(page("A", "a b " * 9))[:-20], "dump: .* truncated or damaged"),
    (bz2.compress(dump(page("A", "a b " * 9)))[:-9],
     "dump: truncated or damaged"),
    ("a b\n".encode("utf-16-le") * 9,
     r"dump: not UTF-8 .* may be utf-16-le \(--encoding=utf-16-le\)"),
    (b"a\nb\n" * 9, "dump: no line has two")])
def test_bad_texts_get_one_line(tmp_path, call_script, capsys, data, message):
  (tmp_path / "dump").write_bytes(data)
  assert call_script(word2vec, f"--data_path={tmp_path}/dump", OVERRIDE) == 1
  assert_one_line(capsys.readouterr().err, "word2vec.py", message)
