"""Corpora for the tests, ways to call scripts, and a stand-in for a GPU."""

import collections
import functools
import itertools
import os

import hypothesis
import numpy as np
import oracle
import pytest
from absl import flags

import command_line
import ptb_word_lm
import recurrent
from tensorflow_v1 import tf

# The same cases in each run, however busy the machine.
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

# Standard output as users have it: buffered, when it is not a terminal.
os.environ.pop("PYTHONUNBUFFERED", None)

# A GPU adds up in any order but for this; a CPU does not.
if recurrent.has_gpu():
  os.environ["TF_DETERMINISTIC_OPS"] = "1"

_NO_SCRIPTS_FLAGS = set(flags.FLAGS)
SPLIT_LINES = {"train": 300, "valid": 60, "test": 40}


def pytest_addoption(parser):
  """Adds --slow."""
  parser.addoption("--slow", action="store_true",
                   help="run what takes longer, too, as before a change")


def pytest_collection_modifyitems(config, items):
  """Skips what is slow or, without one, for a GPU, as the layer "cudnn" is."""
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
  """A stand-in for a GPU: the one op, as its manual has it."""
  def op(input, input_h, input_c, params, sequence_lengths, rnn_mode):
    assert sequence_lengths.dtype == tf.int32
    # It has been seen to fail on 0.
    positive = tf.debugging.assert_positive(sequence_lengths)
    with tf.control_dependencies([positive]):
      live = recurrent.live_steps(input, sequence_lengths)
    outputs, h, c = oracle.cudnn(
        tf, rnn_mode, input, input_h[0], input_c[0], params,
        tf.cast(live, input.dtype))
    outputs += 7 * tf.cast(~live, input.dtype)  # nothing is to rely on padding
    return collections.namedtuple("Found", "output output_h output_c")(
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


def call(script, *args):
  """Runs a script within this process: its module, flags -> exit status."""
  for name in set(flags.FLAGS) - _NO_SCRIPTS_FLAGS:
    delattr(flags.FLAGS, name)  # of the script before
  script.define_flags()
  try:
    script.main(command_line.parse_flags([script.__file__, *args]))
  except SystemExit as stop:
    return stop.code
  return 0


@pytest.fixture
def call_script():
  """See `call`."""
  return call


@pytest.fixture
def call_main():
  """Runs `ptb_word_lm.py` within this process: flags -> exit status."""
  return functools.partial(call, ptb_word_lm)


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory):
  """Folders of two runs on a part of the bundled corpus: "a" and "b".

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
    assert call(ptb_word_lm, "--model=test", f"--data_path={text}",
                f"--save_path={folder}/{name}",
                "--config_override=max_max_epoch=3,max_epoch=9,"
                f"max_grad_norm=5,{sizes}") == 0
  return folder


@pytest.fixture(scope="session")
def ptb_folder():
  """The folder that PTB_DATA names; without it, the test is skipped."""
  folder = os.environ.get("PTB_DATA")
  if not folder:
    pytest.skip("PTB_DATA names no folder with the Penn Treebank")
  return folder
