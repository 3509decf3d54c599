"""The comparison of configs with an implementation in PyTorch."""

import dataclasses
import json
import os
import re
import subprocess

import numpy as np
import pytest

import configs
import ptb_word_lm
from benchmarks import awd, reproduce, training
from rnn.errors import UserError
from rnn.options import Options
from tests.helpers import warm_python
from tests.helpers.calls import ROOT, assert_one_line
from tests.helpers.texts import write_corpus

PEERS_PYTHON = os.path.join(ROOT, ".venv-peers", "bin", "python")
VOCAB_SIZE = 11
# Nothing random, so that both sides must take the same steps.
PLAIN = configs.override(configs.AWD, (
    "hidden_sizes=5,4,embedding_size=4,num_steps=6,batch_size=3,init_scale=0.5,"
    "keep_prob_input=1,keep_prob_hidden=1,keep_prob_output=1,"
    "keep_prob_word=1,keep_prob_recurrent=1,window_jitter=0,"
    "learning_rate=0.3,max_grad_norm=0.7,optimizer=sgd,tie_weights=false,"
    "activation_penalty=0,slowness_penalty=0,weight_decay=0"))

needs_torch = pytest.mark.skipif(
    not os.path.exists(PEERS_PYTHON),
    reason="PyTorch is not installed: make peers")


def parameters():
  """Returns initial values of the model of PLAIN, by name."""
  rng = np.random.default_rng(0)
  shapes = {"embedding": [VOCAB_SIZE, 4], "softmax_w": [4, VOCAB_SIZE],
            "softmax_b": [VOCAB_SIZE]}
  for i, (width, size) in enumerate([(4, 5), (5, 4)]):
    cell = f"RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
    shapes |= {cell + "kernel": [width + size, 4 * size],
               cell + "bias": [4 * size]}
  return {f"Model/{name}": rng.uniform(-.5, .5, shape).astype("f")
          for name, shape in shapes.items()}


def texts():
  rng = np.random.default_rng(1)
  return {name: rng.integers(VOCAB_SIZE, size=size).astype(np.int32)
          for name, size in (("train", 100), ("valid", 50))}


def train_peer(folder, config, epochs, **changes):
  """Trains PyTorch's side; returns its rows."""
  for name, ids in texts().items():
    np.save(folder / f"{name}.npy", ids)
  np.savez(folder / "parameters.npz", **parameters())
  spec = {"config": awd.as_dict(config), "vocab_size": VOCAB_SIZE,
          "train": str(folder / "train.npy"),
          "valid": str(folder / "valid.npy"), "epochs": epochs, "seed": 1,
          "digests": [],
          "parameters": str(folder / "parameters.npz"),
          "checkpoint": None} | changes
  done = subprocess.run(
      [PEERS_PYTHON, "-m", "benchmarks.peer_awd", json.dumps(spec)], cwd=ROOT,
      capture_output=True, text=True, check=True)
  version, *lines = done.stdout.splitlines()
  assert re.match(r"\d+\.\d+", version)
  return list(map(json.loads, lines))


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    "", "epoch_size=3", "tie_weights=true", "weight_decay=0.05",
    "activation_penalty=2,slowness_penalty=1",
    "optimizer=asgd,asgd_patience=1,learning_rate=3",
    "max_epoch=2,lr_decay=0.5", "two_biases=true"])
def test_both_sides_take_the_same_steps(tmp_path, settings):
  config = dataclasses.replace(
      configs.override(PLAIN, settings), max_max_epoch=6)
  ids = texts()
  ours, _ = ptb_word_lm.train(
      config, (ids["train"], ids["valid"], ids["valid"], range(VOCAB_SIZE)),
      options=Options(rnn_mode="basic"), initial_values=parameters())
  theirs = train_peer(tmp_path, config, 6)
  for split in "train", "valid":
    assert [row[f"{split}_perplexity"] for row in ours] == pytest.approx(
        [row[split] for row in theirs], rel=1e-4)
  # The setting matters: without it the figures are others.
  if settings:
    plain = train_peer(tmp_path, dataclasses.replace(
        PLAIN, learning_rate=config.learning_rate), 6)
    assert [row["valid"] for row in plain] != pytest.approx(
        [row["valid"] for row in theirs], rel=1e-3)
  assert any(row["averages"] for row in theirs) == ("asgd" in settings)


@needs_torch
@pytest.mark.slow
def test_the_peer_goes_on_from_its_checkpoint(tmp_path):
  config = configs.override(PLAIN, (
      "keep_prob=0.6,keep_prob_word=0.8,keep_prob_recurrent=0.5,"
      "keep_prob_input=0,window_jitter=2,optimizer=asgd,asgd_patience=1,"
      "learning_rate=3"))
  def figures(rows):
    return [(row["train"], row["valid"], row["averages"]) for row in rows]

  undisturbed = figures(train_peer(tmp_path, config, 5))
  assert len(set(undisturbed)) == 5 and any(
      averages for *_, averages in undisturbed)
  path = str(tmp_path / "checkpoint.pt")
  for epochs in 2, 4, 5:
    rows = train_peer(tmp_path, config, epochs, checkpoint=path)
    assert figures(rows) == undisturbed[:epochs]
  with pytest.raises(subprocess.CalledProcessError) as error:
    train_peer(tmp_path, config, 6, checkpoint=path, seed=2)
  assert "checkpoint.pt: is of other settings; remove it" in error.value.stderr


@pytest.mark.parametrize("settings, message", [
    ("cell=peephole", "cell=peephole: PyTorch's side has no other value than "
     "lstm; leave it out"),
    ("forget_bias=1", "forget_bias=1.0: PyTorch.s side has no other value"),
    ("embedding_size=0", "embedding_size=1150: with tie_weights"),
    ("embedding_size=9", "embedding_size=9: with tie_weights, .* "
     "set embedding_size=400$")])
def test_settings_that_the_peer_lacks_are_refused(settings, message):
  for name in awd.MODELS:
    awd.check(configs.CONFIGS[name])
  awd.check(configs.override(
      configs.AWD, "tie_weights=false,keep_prob_input=0.3"))
  with pytest.raises(UserError, match=message):
    awd.check(configs.override(configs.AWD, settings))


def test_the_driver_trains_both_sides_and_writes_a_table(
    call_script, tmp_path, monkeypatch, capfd):
  """A script stands in for PyTorch, and checks what it is given."""
  write_corpus(tmp_path / "ptb", "a b c d e f\n" * 30, "a b c\n", "a b c\n")
  peer = tmp_path / "python"
  peer.write_text(
      "#!/bin/sh\ncase \"$3\" in *'\"epochs\": 2, \"seed\": 7'*) ;; "
      "*) exit 3;; esac\necho 2.99\n"
      "echo '{\"train\": 8.25, \"valid\": 5.5, \"averages\": false, "
      "\"words_per_second\": 10}'\n"
      "echo '{\"train\": 7.25, \"valid\": 4.5, \"averages\": true, "
      "\"words_per_second\": 30}'\n")
  peer.chmod(0o755)
  monkeypatch.chdir(tmp_path)
  run = training.run
  monkeypatch.setattr(training, "run", lambda command, *args, **kwargs: run(
      [*warm_python.command(), *command[1:]]
      if "ptb_word_lm.py" in command[1] else command, *args, **kwargs))
  settings = ("hidden_sizes=4,3,embedding_size=3,num_steps=3,epoch_size=2,"
              "batch_size=2")
  args = ["--data_path=ptb", "--epochs=3", "--peer_epochs=2", "--seed=7",
          "--use_bfloat16", f"--config_override={settings}",
          f"--peers_python={peer}", "--output=new/table.txt"]
  monkeypatch.setattr("sys.argv", ["awd.py", *args])
  assert call_script(awd, *args) == 0
  metrics, = (tmp_path / "runs").glob("awd-seed-7-bfloat16-*/metrics.csv")
  trained = metrics.stat().st_mtime_ns
  text = (tmp_path / "new" / "table.txt").read_text()
  assert re.match(r"\$ python -m benchmarks.awd --data_path=ptb .* "
                  r"--peers_python=.venv-peers/bin/python "
                  r"--output=new/table.txt\n"
                  r"# \d{4}-.* UTC, .*torch 2.99\n", text)
  assert re.search(r"^ +1 +[\d.]+ +8.25 +[\d.]+ +5.50 +[+-][\d.]+ %$", text,
                   re.MULTILINE)
  assert re.search(r"^ +2 .* %  averages in PyTorch\n +3 .* -\n"
                   r"words/s: [\d,]+ here, 20 in PyTorch$", text, re.MULTILINE)
  # The same command trains nothing again. Only the usual one, on the Penn
  # Treebank, writes the committed table.
  assert call_script(awd, *args[:-1]) == 0
  assert metrics.stat().st_mtime_ns == trained
  assert not (tmp_path / "results").exists()

  peer.write_text("#!/bin/sh\nexit 3\n")
  capfd.readouterr()
  assert call_script(awd, *args) == 1
  assert_one_line(capfd.readouterr().err, "awd.py",
                  "peer_awd has ended with status 3; see above")


def test_the_peer_cannot_have_more_epochs(call_script, capsys):
  assert call_script(awd, "--epochs=2", "--peer_epochs=3") == 1
  assert_one_line(capsys.readouterr().err, "awd.py",
                  "--peer_epochs=3: must be at most --epochs, which is 2")


def test_the_driver_needs_pytorch(call_script, capsys):
  assert call_script(awd, "--peers_python=absent") == 1
  assert_one_line(capsys.readouterr().err, "awd.py",
                  "--peers_python=absent: no such file; `make peers` sets up")


@pytest.mark.parametrize("flag", [
    "", "--data_path=ptb", "--use_bfloat16", "--epochs=2", "--seed=2",
    "--model=small", "--config_override=num_steps=9"])
def test_which_commands_write_the_committed_table(
    call_script, monkeypatch, flag):
  found = []

  def fail(path):
    found.append(training.usual_output("table"))
    raise UserError("stop")

  monkeypatch.setattr(reproduce, "find_ptb", fail)
  call_script(awd, f"--peers_python={__file__}", *[flag] * bool(flag))
  assert found == ["table" if flag in ("", "--data_path=ptb", "--use_bfloat16")
                   else None]
