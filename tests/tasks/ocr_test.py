"""The script tasks/ocr.py and its model, on made-up words."""

import dataclasses
import gzip
import io
import os
import re

import matplotlib.image
import numpy as np
import pytest
from PIL import Image

from rnn import signals
from rnn.options import Options
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.tf1 import tf
from rnn.training import loop
from tasks import hyperparameters, letters, ocr
from tests.helpers import oracle
from tests.helpers.calls import assert_one_line, assert_refused
from tests.helpers.run_folders import (
  StopAfter,
  assert_same_run,
  contents,
  variables_of,
)
from tests.helpers.texts import letter_lines
from tests.helpers.tiny_model import masks_of_shapes

TINY = dataclasses.replace(
    hyperparameters.OCR, hidden_size=6, batch_size=4, max_max_epoch=2)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  """Sixty words; each letter of the alphabet has one image, with noise."""
  rng = np.random.default_rng(0)
  images = rng.random([26, letters.PIXELS]) < 0.3
  words, pixels = [], []
  for number in range(60):
    word = rng.integers(0, 5, rng.integers(1, 6))
    words.append(("".join(letters.LETTERS[i] for i in word), number % 10))
    noise = rng.random([len(word), letters.PIXELS]) < 0.02
    pixels.append((images[word] ^ noise).astype(np.uint8))
  path = tmp_path_factory.mktemp("ocr") / "letter.data.gz"
  path.write_bytes(gzip.compress("".join(letter_lines(words, pixels)).encode()))
  return str(path)


def make_batch():
  """Returns pixels, letters and lengths; the padding is not blank."""
  rng = np.random.default_rng(1)
  return (rng.integers(0, 2, [5, 3, letters.PIXELS]).astype("uint8"),
          rng.integers(0, 26, [5, 3]).astype("uint8"),
          np.array([5, 1, 3], np.int32))


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_loss_equals_the_oracle_on_a_batch_with_padding(
    bidirectional, is_training):
  """In training, dropout applies to the outputs; each letter has its mask."""
  pixels, labels, lengths = make_batch()
  width = 6 * (1 + bidirectional)
  with tf.Graph().as_default(), tf.Session() as session:
    model = ocr.OCRModel(
        dataclasses.replace(TINY, keep_prob=0.4),
        *map(tf.constant, (pixels, labels, lengths)), bidirectional,
        is_training, tf.constant(np.int64(5)), 0.1, Options(seed=3))
    session.run(tf.global_variables_initializer())
    mask = np.ones([5, 3, width])
    if is_training:
      [mask] = masks_of_shapes(session, [(5, 3, width)], 0.4, seed=3, step=5)
      assert set(np.unique(mask)) == {0, np.float32(2.5)}
    result = session.run({
        "losses": model.losses, "predicted": model.predicted,
        "values": {v.op.name: v for v in model.variables}, **model.counts})
  values = {k: v.astype(float) for k, v in result["values"].items()}
  expected, errors = np.zeros([5, 3]), 0
  for row, length in enumerate(lengths):
    x = pixels[:length, row:row + 1].astype(float)
    outputs = []
    for name, step in (("fw", 1), ("bw", -1))[:1 + bidirectional]:
      kernel, bias = (values[f"Model/RNN/{name}/gru_cell/{part}"]
                      for part in ("kernel", "bias"))
      outputs.append(oracle.layer(
          "gru", x[::step], (np.zeros([1, 6]),), kernel, bias)[0][::step])
    outputs = np.concatenate(outputs, axis=2) * mask[:length, row:row + 1]
    logits = outputs @ values["Model/softmax_w"] + values["Model/softmax_b"]
    expected[:length, row] = oracle.cross_entropy(
        logits, labels[:length, row:row + 1])[0][:, 0]
    predicted = logits[:, 0].argmax(axis=1)
    np.testing.assert_array_equal(result["predicted"][:length, row], predicted)
    errors += (predicted != labels[:length, row]).sum()
  np.testing.assert_allclose(result["losses"], expected, atol=1e-5)
  assert result["nats"] == pytest.approx(expected.sum(), rel=1e-5)
  assert (result["targets"], result["errors"]) == (9, errors)


def test_padding_does_not_change_a_step():
  """Neither the counts nor the parameters after it."""
  pixels, labels, lengths = make_batch()
  padding = np.arange(5)[:, None] >= lengths
  results = []
  for fill in 0, 1:
    pixels[padding], labels[padding] = fill, fill
    with tf.Graph().as_default(), tf.Session() as session:
      model = ocr.OCRModel(
          TINY, *map(tf.constant, (pixels, labels, lengths)), True,
          is_training=True, step=tf.constant(np.int64(0)), learning_rate=0.1)
      session.run(tf.global_variables_initializer())
      counts = session.run([model.counts, model.train_op])[0]
      results.append([counts, *session.run(model.variables)])
  assert results[0][0] == results[1][0]
  for a, b in zip(results[0][1:], results[1][1:], strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("split, sizes", [
    ("random", (36, 3, 21)), ("fold0", (5, 1, 54)), ("folds1-9", (49, 5, 6))])
def test_splits_share_out_the_words(path, split, sizes):
  splits = ocr.read(path, split, 4, seed=1)
  assert tuple(map(len, splits.values())) == sizes
  images = {words.word(number)[0].tobytes() for words in splits.values()
            for number in range(len(words))}
  assert len(images) == 60
  batches = splits["train"]
  lengths = sum(batches(step)[2].sum() for step in range(batches.size))
  assert lengths == sum(
      len(batches.word(number)[1]) for number in range(len(batches)))


@pytest.mark.parametrize("flag", [
    pytest.param("--bidirectional", marks=pytest.mark.slow),
    "--split=folds1-9"])
def test_end_to_end(path, tmp_path, call_script, capsys, flag):
  """Trains, reads better than chance, and draws the page."""
  run = tmp_path / "run"
  assert call_script(
      ocr, f"--data_path={path}", f"--save_path={run}", flag,
      "--config_override=hidden_size=24,keep_prob=1,learning_rate=0.01,"
      "batch_size=4,max_epoch=9,max_max_epoch=12") == 0
  out = capsys.readouterr().out
  test = float(re.search(r"Test Letter Error: ([\d.]+)", out)[1])
  assert test < 15  # chance is 80, because there are 5 letters
  assert f"{run}/page.png" in out
  assert matplotlib.image.imread(run / "page.png").shape[2] == 4
  assert sorted(os.listdir(run / "checkpoints"))[0].startswith("best-")
  # A finished run trains no more.
  assert call_script(
      ocr, f"--data_path={path}", f"--save_path={run}", flag,
      "--config_override=hidden_size=24,keep_prob=1,learning_rate=0.01,"
      "batch_size=4,max_epoch=9,max_max_epoch=12") == 0
  assert "is finished" in capsys.readouterr().out
  assert call_script(ocr, f"--save_path={run}") == 0  # also by itself
  assert "is finished" in capsys.readouterr().out
  assert call_script(
      ocr, f"--save_path={run}", "--split=fold0", "--seed=2") == 1
  assert_refused(capsys.readouterr().err, "ocr.py", "split", "seed")
  check_evaluation(out, path, run, call_script, capsys)
  check_prediction(path, run, call_script, capsys, tmp_path)


def check_evaluation(trained, path, run, call_script, capsys):
  """The figures are those of training; other data are refused."""
  before = contents(run)
  assert call_script(ocr, f"--save_path={run}", "--mode=eval") == 0
  out = capsys.readouterr().out
  for split, pattern in ("Valid", "Epoch: 12 Valid"), ("Test", "Test"):
    figure = re.search(rf"{pattern} Letter Error: ([\d.]+)", trained)[1]
    assert f"{split} Letter Error: {figure}\n" in out
  assert re.search(r"^letter error +valid +test\nepoch 12, the last ", out,
                   re.MULTILINE)
  with gzip.open(path, "rt") as file:
    other = run.parent / "other"
    other.write_text(re.sub("[01]\t\n", "1\t\n", file.read()))
  for flags, message in (
      ([f"--data_path={other}"], "/other: differs in valid from the data"),
      (["--bidirectional"], "--bidirectional: has no effect with --mode=eval"),
      (["--data_path=/absent"], "/absent: no such file")):
    assert call_script(ocr, f"--save_path={run}", "--mode=eval", *flags) == 1
    assert_one_line(capsys.readouterr().err, "ocr.py", message)
  assert contents(run) == before


def check_prediction(path, run, call_script, capsys, tmp_path):
  """Lines and images of a word give the same line of output."""
  def predict(*args):
    assert call_script(ocr, f"--save_path={run}", "--predict", *args) == 0
    return capsys.readouterr().out.splitlines()

  pixels, labels, _ = letters.read_words(path)
  lines = predict(f"--input={path}")
  assert len(lines) == len(labels) == 60
  words = ["".join(letters.LETTERS[i] for i in row) for row in labels]
  right = sum(line.startswith(f"{word}\t")
              for line, word in zip(lines, words, strict=True))
  assert right > 40
  number = max(range(60), key=lambda i: len(words[i]))
  _, prob, probs = lines[number].split("\t")
  probs = [float(prob) for prob in probs.split(" ")]
  assert len(probs) == len(words[number])
  assert float(prob) == pytest.approx(np.prod(probs), abs=1e-3)
  folder = tmp_path / "images"
  folder.mkdir()
  images = [str(folder / f"{i}.png") for i in range(len(words[number]))]
  for image, name in zip(pixels[number], images, strict=True):
    Image.fromarray(255 - 255 * image.reshape(16, 8)).save(name)
  assert predict(f"--input={folder}") == [lines[number]]
  assert predict(f"--input={','.join(images)}") == [lines[number]]
  Image.fromarray(255 - 255 * image.reshape(16, 8)).save(folder / "a.gif")
  assert call_script(ocr, f"--save_path={run}", "--predict",
                     f"--input={folder}/a.gif") == 1
  assert "a.gif: not a PNG image, or damaged; give" in capsys.readouterr().err


def test_lines_of_standard_input_need_no_letters(
    path, tmp_path, call_script, capsys, monkeypatch):
  train(path, tmp_path / "run", dataclasses.replace(TINY, max_max_epoch=1), {
      "task": ocr.TASK, "bidirectional": False, "data": {"path": path},
      "settings": dataclasses.asdict(TINY)})
  word = letter_lines([("?-", "x")], [np.zeros([2, letters.PIXELS], int)])
  for lines, message in [
      (word * 3, None), (word[:1], "truncated in line 1, within a word; corr"),
      ([], "standard input: the file is empty; correct it"),
      (["a b\n"], "standard input: line 1: 1 fields instead of 134; correct")]:
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(lines)))
    status = call_script(ocr, "--predict", f"--save_path={tmp_path}/run")
    out, err = capsys.readouterr()
    assert status == (message is not None)
    if message:
      assert_one_line(err, "ocr.py", message)
    else:
      assert [len(line.split("\t")[0]) for line in out.splitlines()] == [2] * 3


def test_other_labels_are_another_run(path, tmp_path, call_script, capsys):
  with gzip.open(path, "rt") as file:
    lines = [line.split("\t", 2) for line in file]
  lines[0][1] = "b" if lines[0][1] == "a" else "a"
  other = tmp_path / "letter.data"
  other.write_text("".join("\t".join(line) for line in lines))
  flags = [f"--save_path={tmp_path}/run",
           "--config_override=hidden_size=4,max_max_epoch=1"]
  assert call_script(ocr, f"--data_path={path}", *flags) == 0
  assert call_script(ocr, f"--data_path={other}", *flags) == 1
  assert_refused(capsys.readouterr().err, "ocr.py", "data.train.sha256")


def train(path, folder, config=TINY, content=None, check_stop=lambda: None):
  """Trains without the flags; returns the rows of the metrics."""
  run = TrainingRun(str(folder), content or {}, metric=ocr.LETTER_ERROR.name)
  splits = ocr.read(path, "random", 4, seed=2)
  return loop.run_training(
      lambda: ocr.make_passes(config, splits, options=Options(seed=2)),
      config.max_max_epoch, ocr.LETTER_ERROR, run, check_stop=check_stop)[0]


def test_stopped_anywhere_it_ends_in_the_same_bits(path, tmp_path):
  """With dropout and shuffled batches, in training and in validation."""
  train(path, tmp_path / "undisturbed")
  stopped = 0
  for windows in (3, 4, 3, 5, 99):  # a training epoch has 9
    try:
      train(path, tmp_path / "run", check_stop=StopAfter(windows))
    except signals.Stopped:
      stopped += 1
  assert stopped == 4
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


def test_epoch_size_sets_the_epochs_and_their_learning_rates(path, tmp_path):
  config = dataclasses.replace(
      TINY, epoch_size=2, max_epoch=1, max_max_epoch=3, learning_rate=0.5)
  rows = train(path, tmp_path / "run", config)
  assert [row["learning_rate"] for row in rows] == [0.5, 0.25, 0.125]
  newest = RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  assert variables_of(newest)["global_step"] == 6


@pytest.mark.parametrize("args, message", [
    ([], "--data_path: name the words, https://ai.stanford.edu/"),
    (["--data_path=/absent"], "/absent: no such file; download https://"),
    (["--predict"], "--predict needs --save_path, the folder of the run"),
    (["--mode=eval"], "--mode=eval needs --save_path, the folder of the run"),
    (["--input=x"], "--input: has no effect without --predict"),
    (["--predict", "--save_path=/absent"], "/absent: no such folder"),
    (["--data_path=x", "--config_override=num_layers=2"], "num_layers: "),
    (["--data_path=x", "--config_override=num_steps=9"], "num_steps: this "),
    (["--data_path=x", "--config_override=tie_weights=true"],
     "tie_weights: this model has no such setting; leave it out"),
    (["--data_path=x", "--config_override=keep_prob_output=0.5"],
     "keep_prob_output: this model has no such setting; leave it out"),
    (["--data_path=x", "--config_override=dropout_mask=window"],
     "dropout_mask: this model has no such setting"),
    (["--data_path=x", "--rnn_mode=block"], "--rnn_mode=block: gru_cell has "),
    (["--data_path=x", "--config_override=cell=lstm", "--rnn_mode=fused"],
     "--rnn_mode=fused: .* if the number of steps varies; choose one of dyn")])
def test_errors_are_one_line(call_script, capsys, args, message):
  assert call_script(ocr, *args) == 1
  assert_one_line(capsys.readouterr().err, "ocr.py", message)
