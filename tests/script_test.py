"""`ptb_word_lm.py` as a user runs it."""

import csv
import dataclasses
import fcntl
import math
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest

import cells
import checkpoints
import configs
import embeddings
import export
import generate
import lstm
import neighbors
import ptb_word_lm
import reader
import recurrent
import score
import training
from tensorflow_v1 import tf

ROOT = os.path.dirname(os.path.abspath(ptb_word_lm.__file__))
LINE = r"\d\.\d{3} perplexity: \d+\.\d{3} speed: (\d+|nan) wps"


def run_script(*args, **kwargs):
  return subprocess.run(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), *args],
      capture_output=True, text=True, timeout=120, **kwargs)


def assert_one_line(text, script, message):
  """That a script's complaint is one line, in which the message is found."""
  assert text.startswith(f"{script}: ") and text.count("\n") == 1, text
  assert re.search(message, text), text


def test_end_to_end(corpus_folder, tmp_path):
  """Log, summary, metrics, vocabulary and checkpoint of a whole run."""
  run = tmp_path / "runs" / "first"
  done = run_script(
      "--model=test", f"--data_path={corpus_folder}", f"--save_path={run}",
      "--config_override=max_max_epoch=3,hidden_size=16")
  assert (done.returncode, done.stderr) == (0, "")
  lines = done.stdout.splitlines()
  assert lines[0] == "train: 3,600 tokens, 0 of them unknown words, " \
      "read as <unk>"
  assert lines[3] == "Epoch: 1 Learning rate: 1.000"
  assert "Epoch: 3 Learning rate: 0.250" in lines
  assert len([x for x in lines if re.fullmatch(LINE, x)]) == 3 * 11
  with open(run / "metrics.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["epoch"] for row in rows] == ["1", "2", "3"]
  assert [float(row["learning_rate"]) for row in rows] == [1, 0.5, 0.25]
  last = {key: float(value) for key, value in rows[-1].items()}
  assert last["train_perplexity"] < float(rows[0]["train_perplexity"]) < 16
  assert last["words_per_second"] > 0 and last["seconds"] > 0
  assert f"Epoch: 3 Valid Perplexity: {last['valid_perplexity']:.3f}" in lines
  assert re.fullmatch(r"perplexity +train +valid +test", lines[-3])
  assert lines[-2].split()[:4] == [
      "this", "run", f"{last['train_perplexity']:.2f}",
      f"{last['valid_perplexity']:.2f}"]
  assert re.fullmatch(r"\d+ words/s in training \(median of 3 epochs\), "
                      r"\d+ min \d+ s in all 3 epochs", lines[-1])

  vocabulary = reader.Vocabulary.load(run / "vocab.txt")
  saved = dict(tf.train.list_variables(tf.train.latest_checkpoint(run)))
  cell = "Model/RNN/multi_rnn_cell/cell_0/basic_lstm_cell/"
  expected = {"Model/embedding": [len(vocabulary), 16],
              cell + "kernel": [32, 64], cell + "bias": [64],
              "Model/softmax_w": [16, len(vocabulary)],
              "Model/softmax_b": [len(vocabulary)], "global_step": []}
  assert {name: saved[name] for name in expected} == expected


@pytest.mark.slow
@pytest.mark.parametrize("split, num_streams", [("Valid", 20), ("Test", 1)])
def test_checkpoint_scores_as_the_log_says(
    corpus_folder, tmp_path, call_main, capsys, split, num_streams):
  """Restored by name, in a graph of its own, with another layer."""
  assert call_main("--model=test", f"--data_path={corpus_folder}",
                   f"--save_path={tmp_path}/run",
                   "--config_override=learning_rate=0.2") == 0
  run = (tmp_path / "run").rename(tmp_path / "moved")
  logged = re.search(rf"{split} Perplexity: ([\d.]+)", capsys.readouterr().out)
  _, valid, test, vocabulary = reader.ptb_raw_data(corpus_folder)
  config = dataclasses.replace(configs.TEST, batch_size=num_streams)
  with tf.Graph().as_default(), tf.Session() as session:
    epoch = ptb_word_lm.Epoch(
        split, config, len(vocabulary), valid if split == "Valid" else test,
        rnn_mode="basic")
    session.run(tf.local_variables_initializer())
    tf.train.Saver().restore(session, tf.train.latest_checkpoint(run))
    epoch.load(session)
    found = training.run_epoch(session, epoch).perplexity
  assert found == pytest.approx(float(logged[1]), abs=6e-4)


def test_summary_stands_beside_the_published_figures():
  row = {"train_perplexity": 40.0, "valid_perplexity": 119.0,
         "words_per_second": 5000.4, "seconds": 1862.7}
  better = row | {"valid_perplexity": 117.0, "words_per_second": math.nan}
  lines = training.summary(
      [better, row], {2: 113.0, 1: 114.0}, configs.PUBLISHED["small"]
  ).splitlines()
  assert [line.split()[-3:] for line in lines[1:5]] == [
      ["40.00", "119.00", "113.00"], ["40.00", "117.00", "114.00"],
      ["-", "120.70", "114.50"], ["37.99", "121.39", "115.91"]]
  assert lines[1].startswith("this run  ")
  assert lines[2].startswith("this run, epoch 1, best by valid")
  assert lines[5] == ("5000 words/s in training (median of 1 epochs), "
                      "62 min 5 s in all 2 epochs")


@pytest.mark.slow
def test_same_seed_same_log(corpus_folder, call_main, capsys):
  def log(*args):
    assert call_main(
        "--model=test", f"--data_path={corpus_folder}", *args,
        "--config_override=keep_prob=0.5,hidden_size=8,max_max_epoch=2") == 0
    return re.findall(r"perplexity: [\d.]+|Perplexity: [\d.]+",
                      capsys.readouterr().out)

  assert log("--seed=3") == log("--seed=3") != log("--seed=4")


@pytest.mark.slow
@pytest.mark.parametrize("tokens, epoch_size", [(60, 1), (100, 2), (140, 3)])
def test_shortest_epochs(tmp_path, call_main, capsys, tokens, epoch_size):
  for split in reader.SPLITS:
    (tmp_path / f"{split}.txt").write_text("a " * (tokens - 1))
  assert call_main("--model=test", f"--data_path={tmp_path}") == 0
  out = capsys.readouterr().out
  assert len(re.findall(LINE, out)) == epoch_size
  assert "median" in out


@pytest.mark.slow
def test_a_terminal_gets_a_bar():
  ours, theirs = pty.openpty()
  rows_and_columns = struct.pack("HHHH", 24, 100, 0, 0)
  fcntl.ioctl(theirs, termios.TIOCSWINSZ, rows_and_columns)
  process = subprocess.Popen(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), "--model=test"],
      stdout=theirs, stderr=theirs)
  os.close(theirs)
  text = b""
  try:
    while piece := os.read(ours, 1 << 16):
      text += piece
  except OSError:  # how a terminal ends
    pass
  assert process.wait(60) == 0
  assert re.search(rb"Epoch 1: +\d+%\|.*<.*perplexity \d+\.\d+, \d+ words/s",
                   text)
  assert b"Test:" in text and b"speed:" not in text


def start_script(tmp_path):
  """A run of many epochs, once it has begun its first."""
  process = subprocess.Popen(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), "--model=test",
       f"--save_path={tmp_path}/run", "--config_override=max_max_epoch=99"],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      # What was started in the background ignores it, and its children too.
      preexec_fn=lambda: signal.signal(
          signal.SIGINT, signal.default_int_handler))
  while "speed" not in process.stdout.readline():
    assert process.poll() is None
  return process


@pytest.fixture
def started_script(tmp_path):
  with start_script(tmp_path) as process:
    yield process
    process.kill()


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(started_script):
  """As in `ptb_word_lm.py | head`."""
  started_script.stdout.close()
  assert started_script.wait(60) == 1
  assert started_script.stderr.read() == ""


@pytest.mark.slow
def test_output_that_cannot_be_written():
  with open("/dev/full", "w") as full:
    done = subprocess.run(
        [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), "--model=test"],
        stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
  assert (done.returncode, done.stderr) == (
      1, "ptb_word_lm.py: standard output: No space left on device\n")


@pytest.mark.slow
@pytest.mark.parametrize("rnn_mode", [None, *lstm.LAYERS])
def test_rnn_mode_picks_the_layer(
    corpus_folder, call_main, monkeypatch, rnn_mode):
  used = set()
  for name, layer in lstm.LAYERS.items():
    def spy(*args, name=name, layer=layer):
      used.add(name)
      return layer(*args)
    monkeypatch.setitem(lstm.LAYERS, name, spy)
  flag = [f"--rnn_mode={rnn_mode}"] if rnn_mode else []
  assert call_main(
      "--model=test", f"--data_path={corpus_folder}", *flag) == 0
  assert used == {rnn_mode or cells.CELLS["lstm"].default_layer()}


def bad_commands(folder, corpus):
  """Command lines, and what must be said of each."""
  data = f"--data_path={corpus}"
  yield ["--model=tiny"], "--model=tiny"
  yield ["--rnn_mode=lstm"], "--rnn_mode=lstm"
  yield ([data, "--model=test", "--use_fp16", "--use_bfloat16"],
         "At most one of (use_fp16, use_bfloat16)")
  yield ["--seed=-1"], "--seed=-1"
  yield ["--seed=x"], "--seed=x"
  yield ["--sead=1"], "sead"
  yield ["small"], "small: not a flag"
  yield ["--config_override=keep_prob=0"], "keep_prob=0.0: must be"
  yield [f"--data_path={folder}/none"], "none: no such folder"
  yield ["--data_path="], "data_path: no such folder"
  yield ["--save_path="], "--save_path=: no name"
  yield [f"--data_path={corpus}/train.txt"], "train.txt: not a folder"
  yield ([data, "--model=test", "--config_override=batch_size=2000",
          f"--save_path={folder}/left_alone"],
         "train: 3600 tokens are too few for batch_size=2000 x num_steps=2: "
         "lower batch_size to at most 1200")
  yield ["--save_secs=-1"], "--save_secs=-1"
  yield ["--mode=test"], "--mode=test"


def test_bad_commands_get_one_line(tmp_path, corpus_folder, call_main, capsys):
  for args, complaint in bad_commands(tmp_path, corpus_folder):
    assert call_main(*args) == 1, args
    err = capsys.readouterr().err
    assert err.startswith("ptb_word_lm.py: ") and err.count("\n") == 1, err
    assert complaint in err
  assert not (tmp_path / "left_alone").exists()


@pytest.mark.slow
def test_cudnn_is_used_where_there_is_a_gpu(
    cudnn_on_cpu, corpus_folder, call_main, capsys, tmp_path):
  """And a run of it can be evaluated on another layer."""
  run = f"--save_path={tmp_path}/run"
  assert call_main("--model=test", f"--data_path={corpus_folder}", run) == 0
  trained = capsys.readouterr().out
  assert '"rnn_mode": "cudnn"' in (tmp_path / "run/config.json").read_text()
  for flags in [], ["--rnn_mode=basic"]:
    assert call_main("--mode=eval", run, *flags) == 0
    figures = re.findall("Perplexity: (.*)", capsys.readouterr().out)
    assert [float(x) for x in figures] == pytest.approx([
        float(x) for x in re.findall("Perplexity: (.*)", trained)[1:]],
        abs=0.002)


def test_cudnn_without_a_gpu_is_refused(call_main, capsys, monkeypatch):
  monkeypatch.setattr(recurrent, "has_gpu", lambda: False)
  assert call_main("--rnn_mode=cudnn") == 1
  assert capsys.readouterr().err == (
      "ptb_word_lm.py: flag --rnn_mode=cudnn: needs a GPU that TensorFlow "
      "sees; leave out the flag\n")


@pytest.mark.slow
def test_a_bad_command_in_a_shell(tmp_path):
  for args in (["--model=tiny"], [f"--data_path={tmp_path}"]):
    done = run_script(*args)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_names_every_flag():
  done = run_script("--helpshort")
  for flag in ("mode", "model", "data_path", "save_path", "fresh", "save_secs",
               "rnn_mode", "seed", "config_override"):
    assert f"--{flag}" in done.stdout.replace("[no]", "")


@pytest.mark.slow
def test_import_is_quiet_and_leaves_flags_alone():
  code = ("import ptb_word_lm, os; from absl import flags; "
          "assert 'model' not in flags.FLAGS; "
          "tf = ptb_word_lm.tf; tf.Session(graph=tf.Graph()); "
          "print(os.environ['TF_ENABLE_ONEDNN_OPTS'])")
  for setting in (None, "0"):
    environ = dict(os.environ)
    environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
    if setting:
      environ["TF_ENABLE_ONEDNN_OPTS"] = setting
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ,
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (
        0, (setting or "1") + "\n", "")


def test_what_tensorflow_warns_of_is_not_held_back(tmp_path):
  """With a stand-in for TensorFlow that speaks up while being imported."""
  stand_in = tmp_path / "tensorflow" / "compat"
  stand_in.mkdir(parents=True)
  (stand_in / "__init__.py").touch()
  (stand_in.parent / "__init__.py").touch()
  (stand_in / "v1.py").write_text(
      "import os\n"
      "from unittest import mock\n"
      "config = logging = mock.Mock()\n"
      "os.write(2, b'I0000 00:00 all is well\\nW0000 00:00 mind this\\n')\n"
      "if 'CRASH' in os.environ: os.abort()\n")
  for crash in ({}, {"CRASH": "1"}):
    done = subprocess.run(
        [sys.executable, "-c", "import tensorflow_v1"], cwd=ROOT, text=True,
        env=os.environ | crash | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, timeout=60)
    if crash:
      assert "Fatal Python error: Aborted" in done.stderr
    else:
      assert (done.returncode, done.stderr) == (0, "W0000 00:00 mind this\n")


@pytest.mark.slow
def test_the_notebook_of_the_readme(capsys):
  with open(os.path.join(ROOT, "README.md")) as file:
    blocks = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
  (code,) = (block for block in blocks if "PTBModel" in block)
  code = code.replace('"data/factbook"', repr(ptb_word_lm.BUNDLED_CORPUS))
  assert "in reader.ptb_iterator(\n      train," in code
  exec(code.replace("      train,", "      train[:6000],"), {})
  costs = [float(line) for line in capsys.readouterr().out.split()]
  assert len(costs) == 14
  assert costs[-1] < 7 < 8 < costs[0] < 9  # log 4,699 = 8.45 nats


def test_reading_needs_no_tensorflow():
  code = "import reader, configs, sys; assert 'tensorflow' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells.CELLS)
def test_every_cell_trains_and_is_used(
    cell, corpus_folder, tmp_path, call_main, call_script, capsys):
  """By all scripts, with layers of unequal size and another optimizer."""
  run = f"--save_path={tmp_path}/run"
  assert call_main(
      "--model=test", f"--data_path={corpus_folder}", run,
      f"--config_override=cell={cell},optimizer=adam,hidden_sizes=9,6,"
      "embedding_size=4,learning_rate=0.01,max_max_epoch=2") == 0
  (test,) = re.findall("Test Perplexity: ([0-9.]+)$", capsys.readouterr().out,
                       re.MULTILINE)
  assert call_main("--mode=eval", run) == 0
  assert f" {float(test):.2f}" in capsys.readouterr().out.splitlines()[-1]
  assert call_script(score, run, f"--text={corpus_folder}/test.txt",
                     "--state=carry") == 0
  scored = float(capsys.readouterr().err.splitlines()[-1].split()[-2])
  assert scored == pytest.approx(float(test), rel=0.01)
  assert call_script(generate, run, "--num_words=5", "--prompt=the cat") == 0
  assert re.match(r"the cat\s.*(the|owl|dog|fox|sees)", capsys.readouterr().out)
  assert call_script(neighbors, run, "--words=cat") == 0
  assert call_script(export, run, f"--output={tmp_path}/saved") == 0
  signature = tf.saved_model.load_v2(
      f"{tmp_path}/saved").signatures["serving_default"]
  parts = cells.CELLS[cell].state._fields
  assert {f"{part}_{layer}" for part in parts for layer in (0, 1)} == (
      set(signature.structured_input_signature[1]) - {"words"})


@pytest.mark.slow
def test_init_embeddings(corpus_folder, tmp_path, call_main, capsys):
  """Words are matched by name; the rest is uniform; all of it is counted."""
  vectors = np.random.default_rng(0).normal(size=[3, 6]).astype("f")
  embeddings.save(f"{tmp_path}/v", ["zebra", "owl", "the"], vectors)
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run"]
  override = "--config_override=learning_rate=1e-30,hidden_size=6"
  for form in ".txt", ".npy":
    assert call_main(*flags[:2], f"--save_path={tmp_path}/run{form}", override,
                     f"--init_embeddings={tmp_path}/v{form}") == 0
    assert re.search(rf"v{form}: has vectors of 2 of the \d+ words; the others",
                     capsys.readouterr().out)
    run = checkpoints.RunDirectory(f"{tmp_path}/run{form}")
    ids = run.vocabulary().ids
    found = tf.train.load_checkpoint(
        run.checkpoints()[0].variables).get_tensor("Model/embedding")
    np.testing.assert_allclose(found[[ids["owl"], ids["the"]]], vectors[1:],
                               rtol=1e-5)
    others = np.delete(found, [ids["owl"], ids["the"]], axis=0)
    assert 0 < np.abs(others).max() <= configs.TEST.init_scale
    assert len(np.unique(others)) == others.size
  # Another start is another run; vectors of another width are no start.
  assert call_main(*flags[:2], f"--save_path={tmp_path}/run.txt", override) == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  r"holds another run, which differs in init_embeddings")
  assert call_main(*flags, f"--init_embeddings={tmp_path}/v.txt") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "--config_override=embedding_size=6")
