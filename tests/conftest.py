"""Fixtures and options of all tests."""

import collections
import functools
import gc
import itertools
import os
import signal

import hypothesis
import numpy as np
import pytest

import ptb_word_lm
from rnn.layers import recurrent
from rnn.tf1 import tf
from tests.helpers import calls, oracle

# The same cases in every run, however busy the machine is.
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

# Users have a standard output that is buffered if it is no terminal.
os.environ.pop("PYTHONUNBUFFERED", None)

# Without this a GPU adds up in any order. A CPU does not.
if recurrent.has_gpu():
  os.environ["TF_DETERMINISTIC_OPS"] = "1"

SPLIT_LINES = {"train": 300, "valid": 60, "test": 40}


def pytest_addoption(parser):
  """Adds --slow."""
  parser.addoption("--slow", action="store_true",
                   help="also run the slow tests, as before a change lands")


def pytest_collection_modifyitems(config, items):
  """Skips slow tests without --slow, and tests of "cudnn" without a GPU."""
  for item in items:
    if item.get_closest_marker("slow") and not config.getoption("slow"):
      item.add_marker(pytest.mark.skip("slow; --slow runs it"))
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if "cudnn" in params.values():
      item.add_marker("gpu")
    if item.get_closest_marker("gpu") and not recurrent.has_gpu():
      item.add_marker(pytest.mark.skip("TensorFlow sees no GPU"))


@pytest.fixture
def cudnn_on_cpu(monkeypatch):
  """Replaces cuDNN's op by one in TensorFlow, after cuDNN's manual."""
  def op(input, input_h, input_c, params, sequence_lengths, rnn_mode):
    assert sequence_lengths.dtype == tf.int32
    # cuDNN has been seen to fail on lengths of 0.
    positive = tf.debugging.assert_positive(sequence_lengths)
    with tf.control_dependencies([positive]):
      live = recurrent.live_steps(input, sequence_lengths)
    outputs, h, c = oracle.cudnn(
        tf, rnn_mode, input, input_h[0], input_c[0], params,
        tf.cast(live, input.dtype))
    outputs += 7 * tf.cast(~live, input.dtype)  # nothing may rely on padding
    return collections.namedtuple("Result", "output output_h output_c")(
        outputs, h[None], c[None])

  monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", op)
  monkeypatch.setattr(recurrent, "has_gpu", lambda: True)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
  """A folder of three texts in which each word follows from the last two."""
  folder = tmp_path_factory.mktemp("corpus")
  rng = np.random.default_rng(0)
  for split, num_lines in SPLIT_LINES.items():
    lines = ("the {0} sees the {1} and the {1} sees the {0}".format(
        *rng.permutation(["cat", "dog", "owl", "fox"])[:2])
             for _ in range(num_lines))
    (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
  return str(folder)


@pytest.fixture(autouse=True, scope="module")
def short_garbage_collections():
  """Takes what is alive after a module from the garbage collector's list.

  TensorFlow keeps every graph with a `tf.custom_gradient`. Without this the
  collector looks at all of them again and again.
  """
  yield
  gc.collect()
  gc.freeze()


@pytest.fixture
def no_hang():
  """Fails a test that waits, as for a program that writes to a pipe."""
  def stop(*_):
    pytest.fail("hangs")  # an OSError would be taken for the file's

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(120)
  yield
  signal.alarm(0)
  signal.signal(signal.SIGALRM, before)


@pytest.fixture
def call_script():
  """The function `calls.call`."""
  return calls.call


@pytest.fixture
def call_main():
  """Runs `ptb_word_lm.py` in this process: flags -> exit status."""
  return functools.partial(calls.call, ptb_word_lm)


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory):
  """Folders of two runs on a part of the bundled corpus, "a" and "b".

  They differ in the sizes of their layers and windows. The text is "text".
  """
  folder = tmp_path_factory.mktemp("trained")
  text = folder / "text"
  text.mkdir()
  for split, num_lines in ("train", 1200), ("valid", 60), ("test", 60):
    with open(f"{ptb_word_lm.BUNDLED_CORPUS}/{split}.txt") as file:
      (text / f"{split}.txt").write_text(
          "".join(itertools.islice(file, num_lines)))
  for name, sizes in (("a", "hidden_size=24,num_layers=2,num_steps=5"),
                      ("b", "hidden_sizes=16,12,embedding_size=8,num_steps=7")):
    assert calls.call(
        ptb_word_lm, "--model=test", f"--data_path={text}",
        f"--save_path={folder}/{name}", "--config_override=max_max_epoch=3,"
        f"max_epoch=9,max_grad_norm=5,{sizes}") == 0
  return folder


@pytest.fixture(scope="session")
def ptb_folder():
  """The folder in PTB_DATA; skips the test if the variable is not set."""
  folder = os.environ.get("PTB_DATA")
  if not folder:
    pytest.skip("PTB_DATA names no folder with the Penn Treebank")
  return folder
