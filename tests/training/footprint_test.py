"""The memory that models need at least: its parts, and the errors."""

import dataclasses
import re
import subprocess
import sys
import time

import numpy as np
import pytest

import configs
import export
import generate
import neighbors
import ptb_word_lm
import score
from rnn import memory
from rnn.errors import UserError
from rnn.options import Options
from rnn.tf1 import tf
from rnn.training import footprint, optimizers
from tasks import char_lm, letters, ocr, sentiment, word2vec
from tests.helpers.calls import ROOT, assert_one_line
from tests.helpers.texts import letter_lines, write_archive
from tests.helpers.tiny_model import TINY, VOCAB_SIZE
from tests.helpers.trained_models import CLASSIC_FLAGS, write_classic
from trained.model import load

NEW = " in a new run"


@pytest.fixture
def needs(monkeypatch):
  """The bytes of each need that is compared, as a dict by its advice."""
  compared = []
  monkeypatch.setattr(memory, "check", lambda parts: compared.append(
      {part.advice: part.size for part in parts}))
  return compared


def little_memory(monkeypatch, size=1000):
  monkeypatch.setattr(memory, "available", lambda: size)


def check(config, vocab_size=VOCAB_SIZE, is_training=True, **options):
  footprint.check_language_model(
      config, vocab_size, [config.num_steps, config.batch_size], is_training,
      Options(**options))


@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("cell", ["lstm", "peephole", "lstmp", "gru", "rnn"])
def test_all_parameters_and_slots_are_counted(needs, cell, optimizer):
  """The gradients of all but the embedding are counted, too."""
  config = dataclasses.replace(
      TINY, cell=cell, optimizer=optimizer, hidden_sizes=(600, 300),
      projection_size=200 * (cell == "lstmp"), embedding_size=400,
      batch_size=1, num_steps=1)
  with tf.Graph().as_default():
    ids = tf.zeros([1, 1], tf.int32)
    ptb_word_lm.PTBModel(config, VOCAB_SIZE, ids, ids, is_training=True)
    shapes = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
  numbers = {name: int(np.prod(shape)) for name, shape in shapes.items()
             if shape}
  dense = sum(number for name, number in numbers.items()
              if re.fullmatch("Model/.*(kernel|bias|softmax_.)", name))
  (need,) = needs
  assert sum(need.values()) == 4 * (sum(numbers.values()) + dense)


@pytest.mark.parametrize("freeze", ["nothing", "embedding"])
@pytest.mark.parametrize("embedding_size", [300, 400])
def test_tied_weights_are_counted_once(needs, embedding_size, freeze):
  """With their projection, if there is one; all gradients are dense."""
  config = dataclasses.replace(
      TINY, hidden_sizes=(600, 300), embedding_size=embedding_size,
      tie_weights=True, freeze=freeze, optimizer="adam", batch_size=1,
      num_steps=1)
  with tf.Graph().as_default():
    ids = tf.zeros([1, 1], tf.int32)
    model = ptb_word_lm.PTBModel(
        config, VOCAB_SIZE, ids, ids, is_training=True)
    total = sum(v.shape.num_elements() for v in tf.global_variables()
                if v.shape.rank)
    trained = sum(
        v.shape.num_elements() for v in model.variables
        if freeze == "nothing" or v.op.name != "Model/embedding")
  (need,) = needs
  assert sum(need.values()) == 4 * (total + trained)


def test_a_window_is_counted_if_it_is_larger_than_the_gradients(needs):
  config = dataclasses.replace(TINY, num_steps=8, batch_size=100)
  check(config)
  check(config, precision="bfloat16")
  check(config, is_training=False)
  windows = [need["lower batch_size or num_steps" + after]
             for need, after in zip(needs, ["", "", NEW], strict=True)]
  logits = 2 * 4 * 400 * VOCAB_SIZE  # and probabilities, of half a window
  gates = 800 * (5 + 4 * 2 * 5)
  assert windows == [logits + 4 * gates + 4 * 400 * 5,
                     logits + 2 * gates + 2 * 400 * 5, logits + 4 * 400 * 5]


def test_a_window_of_sentences_may_have_few_targets(needs):
  config = dataclasses.replace(
      TINY, num_steps=8, batch_size=100, reset_state=True)
  check(config)
  (need,) = needs
  assert need["lower batch_size or num_steps"] == (
      2 * 4 * VOCAB_SIZE + 4 * (800 * (5 + 4 * 2 * 5) + 400 * 5))


@pytest.mark.parametrize("cell, kernels", [
    ("lstm", (2 + 6) * 24 + (6 + 3) * 12), ("lstmp", (2 + 4) * 24 + 8 * 12)])
def test_masks_of_recurrent_weights_count_in_training(needs, cell, kernels):
  config = dataclasses.replace(
      TINY, cell=cell, hidden_sizes=(6, 3), embedding_size=2, batch_size=100,
      projection_size=4 * (cell == "lstmp"), keep_prob_recurrent=0.5)
  check(config)
  check(config, precision="bfloat16")
  check(config, is_training=False)
  assert [need.get("set keep_prob_recurrent=1") for need in needs] == [
      (4 + 4) * kernels, (4 + 2) * kernels, None]


def test_a_sampled_softmax_has_the_logits_and_gradients_of_candidates(needs):
  """In training; evaluation has a block of logits, however many words."""
  config = dataclasses.replace(
      configs.LM1B, hidden_size=4, projection_size=3, num_sampled=1000)
  check(config, 10**6)
  check(config, 10**6, is_training=False)
  check(dataclasses.replace(config, num_sampled=0), 10**6)
  sampled, evaluated, full = (
      need["lower batch_size or num_steps" + after]
      for need, after in zip(needs, ["", NEW, ""], strict=True))
  half = 10 * 128
  kept = 4 * 20 * 128 * (3 + 4 * 4) + 4 * half * 3
  candidates = (sampled - kept) / (2 * 4 * half)
  assert 200 < candidates < 1000 / 2
  assert evaluated == 2 * 4 * (1 << 22) + 4 * half * 3
  assert full == kept + 2 * 4 * half * 10**6


# Trains for three steps in a process of its own. Prints the need, and by how
# much the memory of the process grew after the comparison.
PROGRAM = """
import sys
import numpy as np
import configs, ptb_word_lm
from rnn import memory

def read(name):
  with open("/proc/self/status") as file:
    return next(1024 * int(line.split()[1]) for line in file
                if line.startswith(name))

def check(parts):
  needs.append(sum(part.size for part in parts))
  before.append(read("VmRSS"))

needs, before = [], []
memory.check = check
config = configs.override(configs.SMALL, sys.argv[1] + ",max_max_epoch=1")
size = config.num_steps * config.batch_size * 3 + config.batch_size
ids = np.random.default_rng(0).integers(0, int(sys.argv[2]), size)
ptb_word_lm.train(config, (ids, ids[:40], ids[:40], range(int(sys.argv[2]))))
print(max(needs), read("VmHWM") - before[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
@pytest.mark.parametrize("settings, vocab_size", [
    ("optimizer=adam,learning_rate=0.002", 40_000),
    ("batch_size=2,num_steps=100,num_layers=1,hidden_size=9,cell=rnn", 9)])
def test_training_takes_more_than_the_least(settings, vocab_size):
  done = subprocess.run(
      [sys.executable, "-c", PROGRAM, settings, str(vocab_size)], cwd=ROOT,
      capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  need, growth = map(int, done.stdout.splitlines()[-1].split())
  assert growth / 20 < need < growth


def test_a_gpu_has_its_own_memory(cudnn_on_cpu, monkeypatch):
  little_memory(monkeypatch, 0)
  check(configs.LARGE, 10**9)


def test_a_million_words(monkeypatch):
  """The small model works with the memory of a laptop."""
  little_memory(monkeypatch, 3.3e9)
  check(configs.SMALL, 10**6)
  little_memory(monkeypatch, 2e9)
  with pytest.raises(UserError) as error:
    check(configs.SMALL, 10**6)
  assert str(error.value) == (
      "needs at least 3.22 GB of memory, but 2.00 GB is available: 1,000,000 "
      "words with vectors of 200 and 200 numbers take 1.60 GB; limit the "
      "vocabulary, or lower hidden_size or embedding_size")
  with pytest.raises(UserError, match="words with vectors of 200 numbers take"):
    check(dataclasses.replace(configs.SMALL, tie_weights=True, batch_size=1,
                              num_steps=1), 3 * 10**6)


@pytest.mark.parametrize("settings, message", [
    ("hidden_size=1000000", "layers of hidden_size=1,000,000 take .*; lower "
     "hidden_size$"),
    ("hidden_sizes=9,1000000,1000000", "layers of hidden_size=1,000,000 take"),
    ("embedding_size=1000000,hidden_size=1000000,cell=rnn", "layers of"),
    ("batch_size=1000000,num_steps=1000000", "windows of batch_size=1,000,000 "
     "x num_steps=1,000,000 take .*; lower batch_size or num_steps"),
    ("batch_size=1,num_steps=1000000", "the ops of num_steps=1,000,000 take "
     ".*; lower num_steps$"),
    ("batch_size=1,window_jitter=500000", "the ops of num_steps=1,000,002 take "
     ".*; lower num_steps or window_jitter$"),
    ("num_layers=1000000", "num_layers=1000000: must be from 1 to 100")])
def test_absurd_sizes_are_refused_at_once(
    corpus_folder, tmp_path, call_main, capsys, monkeypatch, settings, message):
  """On a machine with 200 GB; nothing is written."""
  little_memory(monkeypatch, 200e9)
  with open(f"{corpus_folder}/train.txt") as file:
    text = file.read() * (300 if "num_steps" in settings else 1)
  for split in "train", "valid", "test":
    (tmp_path / f"{split}.txt").write_text(text)
  start = time.monotonic()
  assert call_main(
      "--model=test", f"--data_path={tmp_path}", f"--save_path={tmp_path}/run",
      f"--config_override={settings}") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", message)
  assert time.monotonic() - start < 20
  assert not (tmp_path / "run").exists()


def test_the_window_of_an_evaluation_is_full(monkeypatch):
  """However short the text is."""
  little_memory(monkeypatch, 20e9)
  config = dataclasses.replace(TINY, batch_size=10**6)
  with tf.Graph().as_default(), pytest.raises(
      UserError, match="windows of batch_size=1,000,000 x num_steps=4 take"):
    ptb_word_lm.stream_pass("Valid", config, 3000, np.zeros(99, np.int32))


@pytest.mark.parametrize("script, flags", [
    (ptb_word_lm, ["--mode=eval", "--data_path={runs}/one"]),
    (neighbors, ["--words=the"]),
    (generate, []), (export, ["--output={tmp}/x"]),
    (score, ["--text={runs}/text/test.txt"]),
    (score, ["--text={runs}/text/test.txt", "--state=carry", "--dynamic=1"])])
def test_every_script_compares_the_memory(
    trained_runs, tmp_path, call_script, capsys, monkeypatch, script, flags):
  little_memory(monkeypatch)
  (trained_runs / "one").write_text("the\n")
  assert call_script(script, f"--save_path={trained_runs}/a", *(
      flag.format(runs=trained_runs, tmp=tmp_path) for flag in flags)) == 1
  assert_one_line(
      capsys.readouterr().err, f"{script.__name__}.py",
      r"needs at least .*: ([\d,]+ words with vectors of 24 and 24 numbers|"
      r"windows of batch_size=1 x num_steps=5) take .*; (lower|use a ma)")


def test_many_samples(trained_runs, call_script, capsys, monkeypatch):
  little_memory(monkeypatch, 10**9)
  assert call_script(generate, f"--save_path={trained_runs}/a",
                     "--num_samples=1000000") == 1
  assert_one_line(capsys.readouterr().err, "generate.py",
                  "1,000,000 samples from .* words take .*; lower num_s")


def test_every_task_compares_the_memory(
    corpus_folder, tmp_path, call_script, capsys, monkeypatch):
  rng = np.random.default_rng(0)
  words = [("abc", number % 10) for number in range(30)]
  images = rng.integers(0, 2, [30, 3, letters.PIXELS])
  (tmp_path / "letters").write_text("".join(letter_lines(words, images)))
  write_archive(tmp_path / "reviews", {
      f"{split}/{label}/{i}_{stars}.txt": "a film, and a long one"
      for split in ("train", "test") for i in range(10)
      for label, stars in (("neg", 1), ("pos", 9))})
  text = f"{corpus_folder}/train.txt"
  for script, path, size, settings, message in [
      (ocr, f"{tmp_path}/letters", 10**5, "", "layers of hidden_size=300 take "
       ".*; lower hidden_size$"),
      (ocr, f"{tmp_path}/letters", 25_000, "hidden_size=2,batch_size=1000",
       r"batches of batch_size=18 x 3 steps take .*; lower batch_size"),
      (sentiment, f"{tmp_path}/reviews", 10**4, "hidden_size=2",
       "batches of batch_size=20 x 8 steps take .*; lower batch_size"),
      (sentiment, f"{tmp_path}/reviews", 10**4, "hidden_size=2,num_steps=1,"
       "embedding_size=1000", "words with vectors of 1,000 numbers take .*; "
       "lower --vocab_size or embedding_size"),
      (char_lm, corpus_folder, 10**6, "batch_size=1,num_steps=1", "layers of "
       "hidden_size=200 take .*; lower hidden_size or num_layers"),
      (word2vec, text, 10**4, "embedding_size=1000", " words with two vectors "
       "of 1,000 numbers take .*; lower --vocab_size or embedding_size"),
      (word2vec, text, 10**5, "num_noise=100000", "pairs of batch_size=1,000 "
       "words and num_noise=100,000 take .*; lower batch_size or num_noise")]:
    little_memory(monkeypatch, size)
    assert call_script(script, f"--data_path={path}",
                       f"--config_override={settings}") == 1, script
    name = script.__name__.removeprefix("tasks.")
    assert_one_line(capsys.readouterr().err, f"{name}.py", message)


def test_a_classic_checkpoint_that_claims_many_words(
    trained_runs, tmp_path, call_script, capsys, monkeypatch):
  """Its vocabulary would be padded with a word for each row."""
  model = load(str(trained_runs / "a"))
  flags = [f"--save_path={tmp_path}", *CLASSIC_FLAGS, "--words=the",
           f"--vocab_path={trained_runs}/a/vocab.txt"]

  def error(embedding):
    write_classic(tmp_path / "model.ckpt",
                  {**model.values, "Model/embedding": embedding})
    assert call_script(neighbors, *flags) == 1
    return capsys.readouterr().err

  assert_one_line(
      error(np.zeros([5 * 10**8, 0], np.float32)), "neighbors.py",
      r"/model.ckpt: holds another model, which differs in Model/embedding "
      r"\(\[500000000, 0\] there, \[\d+, 24\] here\)$")
  little_memory(monkeypatch, 10**6)
  assert_one_line(
      error(np.zeros([10**5, 24], np.float32)), "neighbors.py",
      "100,000 words, as many as Model/embedding in .*/model.ckpt has rows, "
      "take .*; restore the checkpoint from a copy")


def test_a_classic_checkpoint_whose_files_are_too_short(
    trained_runs, tmp_path, call_script, capsys):
  model = load(str(trained_runs / "a"))
  write_classic(tmp_path / "model.ckpt", model.values
                | {"Model/embedding": np.zeros([10**5, 24], np.float32)})
  (data,) = tmp_path.glob("*.data-*")
  with open(data, "r+b") as file:
    file.truncate(10**5)
  assert call_script(
      neighbors, f"--save_path={tmp_path}", *CLASSIC_FLAGS, "--words=the",
      f"--vocab_path={trained_runs}/a/vocab.txt") == 1
  assert_one_line(capsys.readouterr().err, "neighbors.py", r"has the shape "
                  r"\[100000, 24\], for which the files .* 100,000 bytes")
