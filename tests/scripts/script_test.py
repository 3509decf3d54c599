"""`ptb_word_lm.py` as a user runs it: results, logs and bad commands."""

import csv
import dataclasses
import re

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

import configs
import ptb_word_lm
import reader
from rnn.options import Options
from rnn.tf1 import tf
from rnn.training import passes
from tests.helpers.calls import run_script

LINE = r"\d\.\d{3} perplexity: \d+\.\d{3}( speed: \d+ wps)?"


def test_a_whole_run(corpus_folder, tmp_path):
  """Checks its log, summary, metrics, curves, vocabulary and checkpoint."""
  run = tmp_path / "runs" / "first"
  done = run_script(
      "--model=test", f"--data_path={corpus_folder}", f"--save_path={run}",
      "--config_override=max_max_epoch=3,hidden_size=16")
  assert (done.returncode, done.stderr) == (0, "")
  lines = done.stdout.splitlines()
  assert lines[0] == "train: 3,600 tokens, 0 of them unknown words, " \
      "read as <unk>"
  number, vocab_size = 32 * 64 + 64, 9
  number += vocab_size * 16 + 16 * vocab_size + vocab_size
  assert lines[3] == (f"{number:,} parameters; training needs at least 0.4 MB "
                      "of memory")
  assert lines[4] == "Epoch: 1 Learning rate: 1.000"
  (line,) = (line for line in lines if line.startswith("about "))
  assert re.fullmatch(
      r"about \d+ s per epoch, \d+ s to the end of epoch 3", line)
  assert lines.index("Epoch: 1 Learning rate: 1.000") < lines.index(line)
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
  assert re.fullmatch(r"[\d,]+ words/s in training \(median of 3 epochs\), "
                      r"(\d+ min )?\d+ s in all 3 epochs", lines[-1])

  curves = event_accumulator.EventAccumulator(
      str(run), {"scalars": 0}).Reload()
  points = curves.Scalars("steps/grad_norm")
  assert [point.step for point in points] == list(range(1, 3 * 89 + 1))
  assert np.mean([point.value for point in points[2 * 89:]]) == pytest.approx(
      last["grad_norm"])

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
def test_a_checkpoint_gives_the_logged_figures(
    corpus_folder, tmp_path, call_main, capsys, split, num_streams):
  """It is restored by name, in a new graph, with another layer."""
  assert call_main("--model=test", f"--data_path={corpus_folder}",
                   f"--save_path={tmp_path}/run",
                   "--config_override=learning_rate=0.2") == 0
  run = (tmp_path / "run").rename(tmp_path / "moved")
  logged = re.search(rf"{split} Perplexity: ([\d.]+)", capsys.readouterr().out)
  _, valid, test, vocabulary = reader.ptb_raw_data(corpus_folder)
  config = dataclasses.replace(configs.TEST, batch_size=num_streams)
  with tf.Graph().as_default(), tf.Session() as session:
    split_pass = ptb_word_lm.stream_pass(
        split, config, len(vocabulary), valid if split == "Valid" else test,
        options=Options("basic"))
    session.run(tf.local_variables_initializer())
    tf.train.Saver().restore(session, tf.train.latest_checkpoint(run))
    split_pass.load(session)
    perplexity = passes.run_pass(session, split_pass).perplexity
  assert perplexity == pytest.approx(float(logged[1]), abs=6e-4)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_log(corpus_folder, call_main, capsys):
  def log(*args):
    assert call_main(
        "--model=test", f"--data_path={corpus_folder}", *args,
        "--config_override=keep_prob=0.5,hidden_size=8,max_max_epoch=2") == 0
    return re.findall(r"perplexity: [\d.]+|Perplexity: [\d.]+",
                      capsys.readouterr().out)

  assert log("--seed=3") == log("--seed=3") != log("--seed=4")


@pytest.mark.slow
@pytest.mark.parametrize("tokens, epoch_size", [(60, 1), (100, 2), (140, 3)])
def test_the_shortest_texts_train(
    tmp_path, call_main, capsys, tokens, epoch_size):
  for split in reader.SPLITS:
    (tmp_path / f"{split}.txt").write_text("a " * (tokens - 1))
  assert call_main("--model=test", f"--data_path={tmp_path}") == 0
  out = capsys.readouterr().out
  assert len(re.findall(LINE, out)) == epoch_size
  assert re.search(r"\d+ s in 1 epoch\n$", out)


def bad_commands(folder, corpus):
  """Generates command lines, and a part of each one's error message."""
  data = f"--data_path={corpus}"
  yield ["--model=tiny"], "--model=tiny"
  yield ["--rnn_mode=lstm"], "--rnn_mode=lstm"
  yield ["--num_gpus=65"], "--num_gpus=65"
  yield ["--num_gpus=x"], "--num_gpus=x"
  yield ([data, "--model=test", "--use_fp16", "--use_bfloat16"],
         "At most one of (use_fp16, use_bfloat16)")
  yield ["--seed=-1"], "--seed=-1"
  yield ["--seed=x"], "--seed=x"
  yield ["--sead=1"], "sead"
  yield ["small"], "small: not a flag"
  yield ["--config_override=keep_prob=0"], "keep_prob=0.0: must be"
  yield [f"--data_path={folder}/none"], "none: No such file"
  yield ["--data_path="], "data_path: no such folder"
  yield ["--save_path="], "--save_path=: no name"
  yield ([f"--data_path={corpus}", f"--vocab_path={corpus}/train.txt"],
         "train.txt: line 1 is not one word; name a list with one word per")
  yield ([f"--vocab_path={folder}/list", "--min_count=2"],
         "--min_count: has no effect with --vocab_path; leave it out")
  yield ([data, "--model=test", "--config_override=batch_size=2000",
          f"--save_path={folder}/left_alone"],
         "train: 3600 tokens are too few for batch_size=2000 x num_steps=2: "
         "lower batch_size to at most 1200")
  yield ["--save_secs=-1"], "--save_secs=-1"
  for flag in "--save_secs=9", "--keep=9", "--fresh":
    yield [flag], f"{flag.split('=')[0]}: has no effect without --save_path"
  yield ["--mode=test"], "--mode=test"


def test_bad_commands_get_one_line(tmp_path, corpus_folder, call_main, capsys):
  for args, message in bad_commands(tmp_path, corpus_folder):
    assert call_main(*args) == 1, args
    err = capsys.readouterr().err
    assert err.startswith("ptb_word_lm.py: ") and err.count("\n") == 1, err
    assert message in err
  assert not (tmp_path / "left_alone").exists()


@pytest.mark.slow
def test_a_bad_command_in_a_shell(tmp_path):
  for args in (["--model=tiny"], [f"--data_path={tmp_path}"]):
    done = run_script(*args)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_lists_the_flags():
  done = run_script("--helpshort")
  for flag in ("mode", "model", "data_path", "save_path", "fresh", "save_secs",
               "rnn_mode", "seed", "config_override"):
    assert f"--{flag}" in done.stdout.replace("[no]", "")
