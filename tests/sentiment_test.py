"""The reader of reviews as a user runs it, on reviews made up here."""

import dataclasses
import io
import re
import sys

import numpy as np
import oracle
import pytest
from imdb_test import write_archive
from runs_test import StopAfter, assert_same_run, variables_of
from script_test import assert_one_line

import checkpoints
import configs
import embeddings
import generate
import stops
from tasks import imdb, sentiment
from tensorflow_v1 import tf

TINY = dataclasses.replace(
    configs.SENTIMENT, hidden_size=6, embedding_size=4, batch_size=4,
    num_steps=12, max_max_epoch=2)
FLAGS = ("--config_override=hidden_size=16,embedding_size=8,batch_size=4,"
         "keep_prob=1,learning_rate=0.02,init_scale=0.3,max_epoch=6,"
         "max_max_epoch=8")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
  """Reviews of 3 to 20 words, of which "fine" or "poor" says all."""
  rng = np.random.default_rng(0)
  reviews = {}
  for split, number in ("train", 120), ("test", 10):
    for i in range(number):
      for label, word in ("neg", "poor"), ("pos", "Fine"):
        words = list(rng.choice(["a", "film", "it", "was,"], rng.integers(
            2, 20)))
        words.insert(rng.integers(len(words)), word)
        reviews[f"{split}/{label}/{i}_{1 if label == 'neg' else 9}.txt"] = (
            " ".join(words))
  return write_archive(tmp_path_factory.mktemp("imdb") / "a.tar.gz", reviews)


def test_the_loss_equals_the_oracle_on_a_batch_with_padding():
  words = np.random.default_rng(1).integers(0, 9, [7, 3]).astype("int32")
  lengths, labels = np.array([7, 1, 4]), np.array([1, 0, 1])
  with tf.Graph().as_default(), tf.Session() as session:
    model = sentiment.SentimentModel(
        TINY, 9, *(tf.constant(x, tf.int32) for x in (words, lengths, labels)))
    session.run(tf.global_variables_initializer())
    found = session.run({
        "losses": model.losses, "probs": model.probs,
        "values": {v.op.name: v for v in model.variables}, **model.counts})
  values = {k: v.astype(float) for k, v in found["values"].items()}
  _, (h,) = oracle.layer(
      "gru", values["Model/embedding"][words], (np.zeros([3, 6]),),
      values["Model/RNN/gru_cell/kernel"], values["Model/RNN/gru_cell/bias"],
      lengths)
  logits = h @ values["Model/softmax_w"] + values["Model/softmax_b"]
  losses, _ = oracle.cross_entropy(logits, labels)
  np.testing.assert_allclose(found["losses"], losses, atol=1e-6)
  assert found["nats"] == pytest.approx(losses.sum(), rel=1e-5)
  assert found["targets"] == 3
  assert found["errors"] == (logits.argmax(axis=1) != labels).sum()
  np.testing.assert_allclose(found["probs"][[0, 1, 2], labels],
                             np.exp(-losses), atol=1e-6)


def test_padding_changes_no_step():
  """Neither the counts nor the parameters after a step, dropout and all."""
  lengths, labels = np.array([5, 1, 3]), np.array([1, 0, 1])
  words = np.random.default_rng(1).integers(0, 9, [5, 3])
  results = []
  for fill in 0, 8:
    words[np.arange(5)[:, None] >= lengths] = fill
    with tf.Graph().as_default(), tf.Session() as session:
      model = sentiment.SentimentModel(
          TINY, 9, *(tf.constant(x, tf.int32)
                     for x in (words, lengths, labels)), True,
          step=tf.constant(np.int64(0)), learning_rate=0.1)
      session.run(tf.global_variables_initializer())
      counts = session.run([model.counts, model.train_op])[0]
      results.append([counts, *session.run(model.variables)])
  assert results[0][0] == results[1][0]
  for a, b in zip(results[0][1:], results[1][1:], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-7)


def test_splits_and_batches(archive):
  """A tenth held out, long reviews cut to their ends, each review once."""
  splits, vocabulary = sentiment.read(archive, 99, TINY, seed=1)
  assert [len(b.lengths) for b in splits.values()] == [216, 24, 20]
  assert max(splits["train"].lengths) == 12
  for split in splits.values():
    labels = []
    for step in range(split.size):
      words, lengths, batch_labels = split(step)
      assert words.shape == (lengths.max(), len(lengths))
      ends = words[lengths - 1, np.arange(len(lengths))]
      assert (ends == vocabulary.eos).all()
      labels += list(batch_labels)
    assert len(labels) == len(split.lengths)
  first, second = (
      [splits["train"](step)[0].tolist() for step in range(start, start + 54)]
      for start in (0, 54))
  assert first != second  # another order in the second pass


def test_end_to_end(archive, tmp_path, call_script, capsys, monkeypatch):
  """Train, see that it learned, and classify."""
  run = f"{tmp_path}/run"
  assert call_script(sentiment, f"--data_path={archive}",
                     f"--save_path={run}", FLAGS) == 0
  out = capsys.readouterr().out
  assert re.search(r"batches by length save \d+% of the steps", out)
  assert "accuracy on test after epoch 8: 100.00 %" in out
  lines = "A fine film.\nit was, it was poor\n\nFine <br /> fine \xff\n"
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(
      io.BytesIO(lines.encode("latin1"))))
  assert call_script(sentiment, f"--save_path={run}", "--predict") == 0
  found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
  assert [label for label, _ in found][:2] == ["positive", "negative"]
  assert len(found) == 4 and found[3][0] == "positive"
  assert all((label == "positive") == (float(p) > 0.5) for label, p in found)


def test_predictions_are_of_the_words_that_a_test_reads(archive, tmp_path):
  """Those of the archive, of which some are cut, to the last digits."""
  splits, vocabulary = sentiment.read(archive, 99, TINY, seed=1)
  run = checkpoints.TrainingRun(
      f"{tmp_path}/run", {
          "task": sentiment.TASK, "settings": dataclasses.asdict(TINY),
          "data": {"path": archive}}, vocabulary, metric=sentiment.ERROR.name)
  sentiment.train(TINY, splits, len(vocabulary), run)
  run = checkpoints.RunDirectory(run.path)
  words, lengths, labels = splits["test"](splits["test"].size - 1)
  with tf.Graph().as_default(), tf.Session() as session:
    model = sentiment.SentimentModel(TINY, len(vocabulary), *(
        tf.constant(x, tf.int32) for x in (words, lengths, labels)))
    run.restore_best(session, model.variables)
    expected = session.run(model.probs)
  texts = sorted((text for split, _, text in imdb.reviews(archive)
                  if split == "test"), key=lambda text: len(text.split()))
  assert len(imdb.tokenize(texts[-1])) > TINY.num_steps
  found = np.array(list(sentiment.predict(run, texts)))
  assert np.ptp(expected) > 1e-3
  for probs in expected:
    assert np.abs(found - probs).max(axis=1).min() < 1e-6


@pytest.mark.slow
def test_word_vectors_to_start_with(archive, tmp_path, call_script, capsys):
  vectors = np.arange(24.0).reshape(3, 8)
  embeddings.save(f"{tmp_path}/v", ["fine", "poor", "zebra"], vectors)
  assert call_script(
      sentiment, f"--data_path={archive}", f"--save_path={tmp_path}/run",
      FLAGS.replace("learning_rate=0.02", "learning_rate=1e-30"),
      f"--init_embeddings={tmp_path}/v.txt") == 0
  assert re.search(r"v.txt: has vectors of 2 of the \d+ words; the others",
                   capsys.readouterr().out)
  run = checkpoints.RunDirectory(f"{tmp_path}/run")
  found = variables_of(run.checkpoints()[0])["Model/embedding"]
  ids = run.vocabulary().ids
  np.testing.assert_allclose(
      found[[ids["fine"], ids["poor"]]], vectors[:2], atol=1e-6)


def test_stopped_anywhere_it_ends_in_the_same_bits(archive, tmp_path):
  """With dropout and RMSProp, in training, validation and test."""
  def train(name, check_stop=lambda: None):
    splits, vocabulary = sentiment.read(archive, 99, TINY, seed=2)
    run = checkpoints.TrainingRun(f"{tmp_path}/{name}", {}, vocabulary,
                                  metric=sentiment.ERROR.name)
    sentiment.train(TINY, splits, len(vocabulary), run, seed=2,
                    check_stop=check_stop)

  train("undisturbed")
  stopped = 0
  for windows in (3, 52, 13, 43, 199):  # 54 a training epoch
    try:
      train("run", StopAfter(windows))
    except stops.Stopped:
      stopped += 1
  assert stopped == 4
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.parametrize("args, message", [
    ([], "--data_path: name the archive of https://ai.stanford.edu/"),
    (["--data_path=/absent"], "/absent: "),
    (["--data_path=x", "--config_override=num_layers=2"], "num_layers: "),
    (["--predict"], "--predict: needs --save_path"),
    (["--predict", "--save_path=x", "--seed=2"], "--seed: --predict takes it"),
    (["--predict", "--save_path=x", "--vocab_size=9"], "--vocab_size: --pred"),
    (["--predict", "--save_path=/absent"], "/absent: no such folder")])
def test_complains_in_one_line(call_script, capsys, args, message):
  assert call_script(sentiment, *args) == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py", message)


def test_a_run_of_words_is_none_of_reviews(
    trained_runs, call_script, capsys, monkeypatch):
  monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
  assert call_script(
      sentiment, "--predict", f"--save_path={trained_runs}/a") == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py",
                  "holds a run of another task, language model, not sentiment")


def test_other_labels_are_another_run(archive, tmp_path, call_script, capsys):
  """With as many reviews and words; and it is no language model."""
  swapped = write_archive(tmp_path / "b.tar.gz", {
      f"{split}/{'neg' if label else 'pos'}/{i}_1.txt": text
      for i, (split, label, text) in enumerate(imdb.reviews(archive))})
  flags = [f"--save_path={tmp_path}/run", "--config_override=hidden_size=4,"
           "embedding_size=4,num_steps=12,max_epoch=1,max_max_epoch=1"]
  assert call_script(sentiment, f"--data_path={archive}", *flags) == 0
  assert call_script(sentiment, f"--data_path={swapped}", *flags) == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py",
                  "differs in data.train.sha256 ")
  assert call_script(generate, f"--save_path={tmp_path}/run") == 1
  assert_one_line(capsys.readouterr().err, "generate.py",
                  "holds a run of another task, sentiment, not language model")
  assert call_script(sentiment, "--predict", "--rnn_mode=basic",
                     f"--save_path={tmp_path}/run") == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py",
                  "--rnn_mode=basic: gru_cell has none where the number of")
