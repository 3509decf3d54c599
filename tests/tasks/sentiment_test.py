"""The script tasks/sentiment.py and its model, on made-up reviews."""

import dataclasses
import io
import json
import re
import sys

import numpy as np
import pytest

import generate
from rnn import files, signals
from rnn.options import Options
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text import vector_files
from rnn.tf1 import tf
from rnn.training import loop
from tasks import classification, hyperparameters, imdb, sentiment, tokens
from tests.helpers import oracle
from tests.helpers.calls import assert_one_line, assert_refused
from tests.helpers.run_folders import StopAfter, assert_same_run, variables_of
from tests.helpers.texts import write_archive, write_files
from tests.helpers.tiny_model import masks_of_shapes

TINY = dataclasses.replace(
    hyperparameters.SENTIMENT, hidden_size=6, embedding_size=4, batch_size=4,
    num_steps=12, max_max_epoch=2)
FLAGS = ("--config_override=hidden_size=16,embedding_size=8,batch_size=4,"
         "keep_prob=1,learning_rate=0.02,init_scale=0.3,max_epoch=6,"
         "max_max_epoch=8")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
  """Reviews of 3 to 20 words, whose label follows from "fine" or "poor"."""
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


def train(archive, folder, config=TINY, seed=1, check_stop=lambda: None):
  """Trains without the flags, as far as a run can tell."""
  corpus = classification.read(archive, 99, config, seed,
                               classification.usual_reading(archive))
  splits, vocabulary = corpus.splits, corpus.vocabulary
  run = TrainingRun(
      str(folder), {"task": sentiment.TASK,
                    "settings": dataclasses.asdict(config),
                    "data": {"path": archive}},
      vocabulary, metric=sentiment.ERROR.name)
  loop.run_training(
      lambda: sentiment.make_passes(config, splits, len(vocabulary),
                                    options=Options(seed=seed)),
      config.max_max_epoch, sentiment.ERROR, run, check_stop=check_stop)


@pytest.mark.parametrize("is_training, shares", [
    (False, {"keep_prob": 0.4}), (True, {"keep_prob": 0.4}),
    (True, {"keep_prob_input": 0.4, "keep_prob_output": 0.4})])
def test_the_loss_equals_the_oracle_on_a_batch_with_padding(
    is_training, shares):
  """In training with dropout: all steps of a review share a mask."""
  words = np.random.default_rng(1).integers(0, 9, [7, 3]).astype("int32")
  lengths, labels = np.array([7, 1, 4]), np.array([1, 0, 1])
  with tf.Graph().as_default(), tf.Session() as session:
    model = sentiment.SentimentModel(
        dataclasses.replace(TINY, **shares), 9,
        *(tf.constant(x, tf.int32) for x in (words, lengths, labels)),
        is_training, tf.constant(np.int64(5)), 0.1, Options(seed=3))
    session.run(tf.global_variables_initializer())
    masks = [np.ones([3, 4]), np.ones([3, 6])]
    if is_training:
      masks = masks_of_shapes(session, [(3, 4), (3, 6)], 0.4, seed=3, step=5)
      assert all(set(np.unique(m)) == {0, np.float32(2.5)} for m in masks)
    assert ("confusion" in model.counts) != is_training
    result = session.run({
        "losses": model.losses, "probs": model.probs,
        "values": {v.op.name: v for v in model.variables}, **model.counts})
  values = {k: v.astype(float) for k, v in result["values"].items()}
  _, (h,) = oracle.layer(
      "gru", values["Model/embedding"][words] * masks[0], (np.zeros([3, 6]),),
      values["Model/RNN/gru_cell/kernel"], values["Model/RNN/gru_cell/bias"],
      lengths=lengths)
  logits = h * masks[1] @ values["Model/softmax_w"] + values["Model/softmax_b"]
  losses, _ = oracle.cross_entropy(logits, labels)
  np.testing.assert_allclose(result["losses"], losses, atol=1e-6)
  assert result["nats"] == pytest.approx(losses.sum(), rel=1e-5)
  assert result["targets"] == 3
  assert result["errors"] == (logits.argmax(axis=1) != labels).sum()
  np.testing.assert_allclose(result["probs"][[0, 1, 2], labels],
                             np.exp(-losses), atol=1e-6)


def test_padding_does_not_change_a_step():
  """Neither the counts nor the parameters after it, with dropout."""
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
  """A tenth is held out. Long reviews lose their beginning."""
  corpus = classification.read(archive, 99, TINY, seed=1)
  splits, vocabulary = corpus.splits, corpus.vocabulary
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
  """Trains, classifies the test reviews right, and then lines of text."""
  run = f"{tmp_path}/run"
  assert call_script(sentiment, f"--data_path={archive}",
                     f"--save_path={run}", FLAGS) == 0
  out = capsys.readouterr().out
  assert re.search(r"batches by length save \d+% of the steps", out)
  assert ("accuracy on test after epoch 8: 100.00 %\nlabel     predicted as\n"
          in out)
  assert re.search(r"^negative +10 +0\npositive +0 +10$", out, re.MULTILINE)
  (figures,) = re.findall(r"^this run +\S+ +(.*)$", out, re.MULTILINE)
  assert call_script(sentiment, f"--save_path={run}", "--mode=eval") == 0
  assert capsys.readouterr().out.splitlines()[-1].split()[-2:] == (
      figures.split())
  lines = "A fine film.\nit was, it was poor\n\nFine <br /> fine \xff\n"
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(
      io.BytesIO(lines.encode("latin1"))))
  assert call_script(sentiment, f"--save_path={run}", "--predict") == 0
  rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
  assert [label for label, _ in rows][:2] == ["positive", "negative"]
  assert len(rows) == 4 and rows[3][0] == "positive"
  assert all((label == "positive") == (float(p) > 0.5) for label, p in rows)
  # A label of several lines is written on one.
  monkeypatch.setattr(sentiment, "labels_of", lambda _: ["a\nb", "c\td"])
  monkeypatch.setattr(sys, "stdin", io.StringIO("A fine film.\n"))
  assert call_script(sentiment, f"--save_path={run}", "--predict") == 0
  assert re.fullmatch(r"c\\td\t0\.\d+\n", capsys.readouterr().out)


def test_other_labels_and_characters(
    tmp_path, call_script, capsys, monkeypatch):
  """Three labels in a table. Characters are part of the run's identity."""
  rows = "".join(f"{text}{'啊' * (i % 7)}{i},{label}\n" for i in range(30)
                 for text, label in (
                     ("很好", "好"), ("很差", "差"), ("还行", "中")))
  write_files(tmp_path, {"a.csv": f"text,label\n{rows}"})
  flags = [f"--data_path={tmp_path}/a.csv", f"--save_path={tmp_path}/run",
           FLAGS.replace("max_epoch=6,max_max_epoch=8",
                         "max_epoch=2,max_max_epoch=2")]
  assert call_script(sentiment, *flags, "--characters") == 0
  out = capsys.readouterr().out
  assert "an epoch is 6 passes over the training texts, 108 batches" in out
  assert "accuracy on test after epoch 2: 100.00 %" in out
  monkeypatch.setattr(sys, "stdin", io.StringIO("很差\n很好\n还行\n"))
  assert call_script(sentiment, f"--save_path={tmp_path}/run", "--predict") == 0
  out, err = capsys.readouterr()
  assert "columns: label, and the probability of 中, 好, 差" in err
  rows = [line.split("\t") for line in out.splitlines()]
  assert [row[0] for row in rows] == ["差", "好", "中"]
  for label, *probs in rows:
    probs = dict(zip("中好差", map(float, probs), strict=True))
    assert max(probs, key=probs.get) == label
    assert sum(probs.values()) == pytest.approx(1, abs=2e-4)
  write_files(tmp_path, {"a.csv": "text,label\n" + "".join(
      f"好 差 {chr(0x4e00 + i)},{'好差中'[i % 3]}\n" for i in range(30))})
  assert call_script(sentiment, *flags, "--nocharacters") == 1
  assert_refused(capsys.readouterr().err, "sentiment.py",
                 r"tokens \(characters there, words here\)")


def test_predictions_equal_the_test_of_the_same_reviews(archive, tmp_path):
  """To the last digits; some of the reviews are cut."""
  train(archive, tmp_path / "run")
  corpus = classification.read(archive, 99, TINY, seed=1)
  splits, vocabulary = corpus.splits, corpus.vocabulary
  run = RunDirectory(f"{tmp_path}/run")
  words, lengths, labels = splits["test"](splits["test"].size - 1)
  with tf.Graph().as_default(), tf.Session() as session:
    model = sentiment.SentimentModel(TINY, len(vocabulary), *(
        tf.constant(x, tf.int32) for x in (words, lengths, labels)))
    run.restore_best(session, model.variables)
    expected = session.run(model.probs)
  texts = sorted((text for split, _, text in imdb.reviews(archive)
                  if split == "test"), key=lambda text: len(text.split()))
  assert len(tokens.az_words(texts[-1])) > TINY.num_steps
  predicted = np.array(list(sentiment.predict(run, texts)))
  assert np.ptp(expected) > 1e-3
  for probs in expected:  # a batch has another order than the texts
    assert np.abs(predicted - probs).max(axis=1).min() < 1e-6


@pytest.mark.slow
def test_the_embedding_starts_with_word_vectors(
    archive, tmp_path, call_script, capsys):
  vectors = np.arange(24.0).reshape(3, 8)
  vector_files.save(f"{tmp_path}/v", ["fine", "poor", "zebra"], vectors)
  assert call_script(
      sentiment, f"--data_path={archive}", f"--save_path={tmp_path}/run",
      FLAGS.replace("learning_rate=0.02", "learning_rate=1e-30"),
      f"--init_embeddings={tmp_path}/v.txt") == 0
  assert re.search(r"v.txt: has vectors of 2 of the \d+ words; the others",
                   capsys.readouterr().out)
  run = RunDirectory(f"{tmp_path}/run")
  embedding = variables_of(run.checkpoints()[0])["Model/embedding"]
  ids = run.vocabulary().ids
  np.testing.assert_allclose(
      embedding[[ids["fine"], ids["poor"]]], vectors[:2], atol=1e-6)


def test_stopped_anywhere_it_ends_in_the_same_bits(archive, tmp_path):
  """With dropout and RMSProp, in training, validation and test."""
  train(archive, tmp_path / "undisturbed", seed=2)
  stopped = 0
  for windows in (3, 52, 13, 43, 199):  # a training epoch has 54
    try:
      train(archive, tmp_path / "run", seed=2, check_stop=StopAfter(windows))
    except signals.Stopped:
      stopped += 1
  assert stopped == 4
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.parametrize("args, message", [
    ([], "--data_path: name a folder with one folder per label, a table"),
    (["--data_path={csv}", "--split=0.5,0.5"], "--split=0.5,0.5: must be "),
    (["--data_path={csv}", "--split=a,b,c"], "--split=a,b,c: must be "),
    (["--data_path={csv}", "--label_column=x"],
     r"has no column 'x', but 'text', 'label'; name one .*\(--label_column\)"),
    (["--data_path={csv}"],
     r"without blanks between .*, or read .*\(--characters"),
    (["--predict", "--save_path=x", "--characters"], "--characters: has no "),
    (["--data_path=/absent"], "/absent: "),
    (["--data_path=x", "--config_override=num_layers=2"], "num_layers: "),
    (["--data_path=x", "--config_override=tie_weights=true"],
     "tie_weights: this model has no such setting; leave it out"),
    (["--data_path=x", "--config_override=keep_prob_word=0.5"],
     "keep_prob_word: this model has no such setting; leave it out"),
    (["--predict"], "--predict needs --save_path"),
    (["--predict", "--save_path=x", "--seed=2"], "--seed: has no effect"),
    (["--predict", "--save_path=x", "--vocab_size=9"], "--vocab_size: has no "),
    (["--predict", "--save_path=/absent"], "/absent: no such folder")])
def test_errors_are_one_line(tmp_path, call_script, capsys, args, message):
  write_files(tmp_path, {"a.csv": "text,label\n" + "这部电影非常好看,好\n" * 9})
  assert call_script(sentiment, *(
      arg.format(csv=tmp_path / "a.csv") for arg in args)) == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py", message)


def test_a_language_model_cannot_classify_reviews(
    trained_runs, call_script, capsys, monkeypatch):
  monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
  assert call_script(
      sentiment, "--predict", f"--save_path={trained_runs}/a") == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py",
                  "holds a run of another task, language model, not sentiment")


def test_an_older_run_goes_on_reading_a_to_z(
    tmp_path, call_script, capsys, monkeypatch):
  """It has no labels in config.json; words of its folder were a-z."""
  data = write_files(tmp_path / "data", {
      f"{split}/{label}/{i}_1.txt": f"caf\u00e9 {word} {'a ' * i}"
      for split in ("train", "test") for i in range(10)
      for label, word in (("neg", "poor"), ("pos", "fine"))})
  monkeypatch.setattr(classification, "usual_reading",
                      lambda *_: classification.Reading(letters="a-z"))
  flags = [f"--data_path={data}", f"--save_path={tmp_path}/run"]
  settings = "--config_override=hidden_size=4,embedding_size=4,max_max_epoch="
  assert call_script(sentiment, *flags, f"{settings}1") == 0
  monkeypatch.undo()
  run = RunDirectory(f"{tmp_path}/run")
  for path in [tmp_path / "run/config.json", *(
      f"{c.path}/journal.json" for c in run.checkpoints())]:
    sealed = str(path).endswith("journal.json")
    content = files.read_sealed(path) if sealed else json.loads(
        path.read_text())
    config = content["config"] if sealed else content
    del config["labels"], config["letters"], config["tokens"]
    (files.write_sealed if sealed else files.write_json)(str(path), content)
  assert "caf" in run.vocabulary()
  assert sentiment.labels_of(run) == ["negative", "positive"]
  capsys.readouterr()
  assert call_script(sentiment, *flags, f"{settings}2") == 0
  assert "resuming at epoch 2" in capsys.readouterr().out


def test_other_labels_are_another_run(archive, tmp_path, call_script, capsys):
  """Even with equally many reviews and words. Nor is it a language model."""
  swapped = write_archive(tmp_path / "b.tar.gz", {
      f"{split}/{'pos' if label == 'negative' else 'neg'}/{i}_1.txt": text
      for i, (split, label, text) in enumerate(imdb.reviews(archive))})
  flags = [f"--save_path={tmp_path}/run", "--config_override=hidden_size=4,"
           "embedding_size=4,num_steps=12,max_epoch=1,max_max_epoch=1"]
  assert call_script(sentiment, f"--data_path={archive}", *flags) == 0
  assert call_script(sentiment, f"--data_path={swapped}", *flags) == 1
  assert_refused(
      capsys.readouterr().err, "sentiment.py", "data.train.sha256 ")
  assert call_script(generate, f"--save_path={tmp_path}/run") == 1
  assert_one_line(capsys.readouterr().err, "generate.py",
                  "holds a run of another task, sentiment, not language model")
  assert call_script(sentiment, "--predict", "--rnn_mode=basic",
                     f"--save_path={tmp_path}/run") == 1
  assert_one_line(capsys.readouterr().err, "sentiment.py",
                  "--rnn_mode=basic: gru_cell has no such implementation if")
