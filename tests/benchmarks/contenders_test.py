"""The contenders: all of them do the same work."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

import configs
from benchmarks import contenders
from benchmarks.contenders import Command, Workload
from rnn.errors import UserError
from tests.helpers.calls import ROOT

CONFIG = dataclasses.replace(
    configs.SMALL, hidden_size=6, num_steps=4, batch_size=3, max_grad_norm=0.5)
VOCAB_SIZE = 12
PEERS_PYTHON = os.path.join(ROOT, ".venv-peers", "bin", "python")


def parameters():
  """Returns initial values of the two layers of CONFIG, by name."""
  rng = np.random.default_rng(0)
  shapes = {"embedding": [VOCAB_SIZE, 6], "softmax_w": [6, VOCAB_SIZE],
            "softmax_b": [VOCAB_SIZE]}
  for i in range(2):
    cell = f"RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
    shapes |= {cell + "kernel": [12, 24], cell + "bias": [24]}
  return {f"Model/{name}": rng.uniform(-1, 1, shape).astype("f")
          for name, shape in shapes.items()}


def costs(folder, name):
  """Returns the costs of the three steps of an epoch, from equal parameters."""
  # 14 words per stream: three windows, and a word that fills none.
  np.save(folder / "ids.npy", np.random.default_rng(1).integers(
      VOCAB_SIZE, size=44).astype(np.int32))
  np.savez(folder / "parameters.npz", **parameters())
  module, settings, python = contenders.find_command(name, PEERS_PYTHON)
  workload = Workload(CONFIG, str(folder / "ids.npy"), VOCAB_SIZE,
                      sorted(os.sched_getaffinity(0)))
  contender = contenders.Contender(
      module, workload.spec(settings, str(folder / "parameters.npz")),
      workload.cores, python)
  try:
    return contender.ask("costs", 3)
  finally:
    contender.close()


@pytest.fixture(scope="module")
def suite_costs(tmp_path_factory):
  return costs(tmp_path_factory.mktemp("suite"), "fused")


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    name for name in contenders.PEERS if not name.startswith("torch")])
def test_peer_takes_the_same_steps(tmp_path, suite_costs, name):
  result = costs(tmp_path, name)
  assert result == pytest.approx(suite_costs, rel=1e-5)
  assert len({round(cost, 3) for cost in result}) == 3


@pytest.mark.slow
def test_bfloat16_takes_almost_the_same_steps(tmp_path, suite_costs):
  result = costs(tmp_path, "fused-bfloat16")
  assert result == pytest.approx(suite_costs, rel=1e-2)
  assert result != pytest.approx(suite_costs, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name, error", [
    *((name, 1e-5) for name in contenders.EAGER_TORCH),
    ("torch-bfloat16", 1e-2)])
def test_pytorch_takes_the_same_steps(tmp_path, suite_costs, name, error):
  if not contenders.find_command(name, PEERS_PYTHON):
    pytest.skip("PyTorch is not installed: make peers")
  assert costs(tmp_path, name) == pytest.approx(suite_costs, rel=error)


def test_pytorch_is_missing_without_its_interpreter():
  assert contenders.find_command("torch", "absent") is None
  assert contenders.find_command("torch", sys.executable).python == (
      sys.executable)
  assert contenders.find_command("keras", "absent").module == "peer_keras"


@pytest.mark.parametrize("script, message", [
    ("echo 'no PyTorch in here' >&2; exit 3", "no PyTorch in here"),
    ("exit 3", "exit status 3"), ("echo ! >&2; kill -9 $$", "by SIGKILL")])
def test_contender_that_cannot_start(tmp_path, script, message):
  python = tmp_path / "python"
  python.write_text(f"#!/bin/sh\n{script}\n")
  python.chmod(0o755)
  workload = Workload(CONFIG, str(tmp_path / "ids.npy"), VOCAB_SIZE,
                      sorted(os.sched_getaffinity(0)))
  with pytest.raises(UserError, match=f"has ended: .*{message}"):
    workload.start(Command("peer_torch", {}, str(python)))


def run_python(code, **kwargs):
  """Runs code in a process of its own, and returns what it printed."""
  return subprocess.run(
      [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True,
      check=True, **kwargs).stdout


@pytest.mark.slow
def test_ops_of_small_models_leave_cores_to_each_other():
  """Counts all threads of a process; only the pool differs in size."""
  cores = len(os.sched_getaffinity(0))
  if cores < 2:
    pytest.skip("there is one core")
  environ = dict(os.environ)
  environ.pop("TF_NUM_INTRAOP_THREADS", None)  # an earlier test may set it

  def num_threads(hidden_size):
    return int(run_python(
        "import dataclasses, os, numpy as np, configs\n"
        "from benchmarks import suite\n"
        "config = dataclasses.replace(\n"
        f"    configs.TEST, hidden_size={hidden_size}, num_layers=1)\n"
        "suite.start_training(config, 9, np.arange(200) % 9)\n"
        "print(len(os.listdir('/proc/self/task')))", env=environ))

  assert num_threads(1000) - num_threads(8) == cores - cores // 2


@pytest.mark.slow
def test_peak_memory_excludes_the_parent_process():
  ballast = b"x" * 2**30
  peak = run_python(
      "from benchmarks import contender; print(contender.peak_memory())",
      preexec_fn=lambda: None)  # makes Python fork, as for a contender
  assert 1_000 < int(peak) < len(ballast) // 1024


def test_contender_is_imported_without_posix_modules():
  code = ("import sys\n"
          "sys.modules['resource'] = sys.modules['fcntl'] = None\n"
          "from benchmarks import contender; print(contender.peak_memory())")
  assert int(run_python(code)) > 1_000
