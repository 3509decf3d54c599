"""The suite as a library: its imports, and the notebook in the README."""

import os
import re
import subprocess
import sys

import pytest

import ptb_word_lm
from tests.helpers.calls import ROOT


@pytest.mark.slow
def test_an_import_prints_nothing_and_defines_no_flags():
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


def test_warnings_of_tensorflow_are_shown(tmp_path):
  """A stand-in for TensorFlow writes messages while it is imported."""
  stand_in = tmp_path / "tensorflow" / "compat"
  stand_in.mkdir(parents=True)
  (stand_in / "__init__.py").touch()
  (stand_in.parent / "__init__.py").touch()
  (stand_in / "v1.py").write_text(
      "import os\n"
      "from unittest import mock\n"
      "config = logging = mock.Mock()\n"
      "class Session: pass\n"
      "class ConfigProto: pass\n"
      "os.write(2, b'I0000 00:00 all is well\\nW0000 00:00 mind this\\n'"
      "b'E0000 00:00 Unable to register cuDNN factory: Attempting\\n'"
      "b'W0000 00:00 computation placer already registered.\\n')\n"
      "if 'CRASH' in os.environ: os.abort()\n")
  for crash in ({}, {"CRASH": "1"}):
    done = subprocess.run(
        [sys.executable, "-c", "import rnn.tf1"], cwd=ROOT, text=True,
        env=os.environ | crash | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, timeout=60)
    if crash:
      assert "Fatal Python error: Aborted" in done.stderr
    else:
      assert (done.returncode, done.stderr) == (0, "W0000 00:00 mind this\n")


@pytest.mark.slow
def test_the_notebook_in_the_readme_trains(capsys):
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
