"""The harness that measures speed: that all contenders do the same work."""

import csv
import dataclasses
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest
from script_test import ROOT, assert_one_line

import configs
import errors
import recurrent
from benchmarks import gemms, machine, speed

TINY = dataclasses.replace(
    configs.SMALL, hidden_size=6, num_steps=4, batch_size=3, max_grad_norm=0.5)
VOCAB_SIZE = 12


def parameters():
  """Initial values of the two layers of TINY, by name."""
  rng = np.random.default_rng(0)
  shapes = {"embedding": [VOCAB_SIZE, 6], "softmax_w": [6, VOCAB_SIZE],
            "softmax_b": [VOCAB_SIZE]}
  for i in range(2):
    cell = f"RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
    shapes |= {cell + "kernel": [12, 24], cell + "bias": [24]}
  return {f"Model/{name}": rng.uniform(-1, 1, shape).astype("f")
          for name, shape in shapes.items()}


def costs(folder, module, settings, python=sys.executable):
  """Of the three steps of an epoch, from the same parameters on."""
  # 14 words a stream: three windows, and a word that fills none.
  np.save(folder / "ids.npy", np.random.default_rng(1).integers(
      VOCAB_SIZE, size=44).astype(np.int32))
  np.savez(folder / "parameters.npz", **parameters())
  spec = speed.make_spec(TINY, str(folder / "ids.npy"), VOCAB_SIZE, settings)
  spec["parameters"] = str(folder / "parameters.npz")
  contender = speed.Contender(
      module, spec, os.sched_getaffinity(0), python)
  try:
    return contender.ask("costs", 3)
  finally:
    contender.close()


@pytest.fixture(scope="module")
def suite_costs(tmp_path_factory):
  return costs(tmp_path_factory.mktemp("suite"), "suite", {"rnn_mode": "fused"})


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    name for name in speed.PEERS if not name.startswith("torch")])
def test_peer_takes_the_same_steps(tmp_path, suite_costs, name):
  found = costs(tmp_path, *speed.PEERS[name])
  assert found == pytest.approx(suite_costs, rel=1e-5)
  assert len({round(cost, 3) for cost in found}) == 3


@pytest.mark.slow
def test_bfloat16_takes_almost_the_same_steps(tmp_path, suite_costs):
  found = costs(tmp_path, *speed.command_of("fused-bfloat16"))
  assert found == pytest.approx(suite_costs, rel=1e-2)
  assert found != pytest.approx(suite_costs, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name, error", [
    *((name, 1e-5) for name in speed.EAGER_TORCH), ("torch-bfloat16", 1e-2)])
def test_pytorch_takes_the_same_steps(tmp_path, suite_costs, name, error):
  python = os.path.join(ROOT, ".venv-peers", "bin", "python")
  if not os.path.exists(python):
    pytest.skip("PyTorch is not installed: make peers")
  assert costs(tmp_path, *speed.PEERS[name], python) == pytest.approx(
      suite_costs, rel=error)


def test_gemms_of_a_step_are_six_operations_a_weight_and_token():
  config = configs.LARGE
  work = sum(gemms.flops(shape) * number for shape, number
             in gemms.shapes(dataclasses.asdict(config), 10_000))
  weights = 2 * 8 * 1500 ** 2 + 1500 * 10_000
  assert work == 6 * weights * config.num_steps * config.batch_size


def run(*args):
  return subprocess.run(
      [sys.executable, "-m", "benchmarks.speed", "--model=test", *args],
      cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_compares_and_keeps_what_it_found(tmp_path):
  done = run("--rounds=2", "--seconds=0.05", "--rnn_mode=fused",
             "--peer=classic", "--peer=torch", "--peers_python=absent",
             f"--output={tmp_path}")
  assert (done.returncode, done.stderr) == (0, "")
  assert "torch: not installed; `make peers` sets them up" in done.stdout
  rows = re.findall(r"^(fused|classic) +(\d+) +(\d+) +(\d+) +(\d+\.\d\d)x",
                    done.stdout, re.MULTILINE)
  assert [row[0] for row in rows] == ["fused", "classic"]
  assert rows[0][-1] == "1.00"
  assert (tmp_path / "speed.txt").read_text() == done.stdout
  with open(tmp_path / "speed.csv") as file:
    kept = list(csv.DictReader(file))
  assert [(row["contender"], row["round"]) for row in kept] == [
      ("fused", "1"), ("fused", "2"), ("classic", "1"), ("classic", "2")]
  assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_profile_says_where_the_time_goes():
  done = run("--profile", "--seconds=0.05", "--rnn_mode=fused", "--threads=1")
  assert (done.returncode, done.stderr) == (0, "")
  assert re.search(r"fused: \d+\.\d ms a step, traced; \d+\.\d ms in ops on "
                   r"1 cores, -?\d+% idle", done.stdout)
  assert re.search(r"\d\.\d\d ms +\d+\.\d% +2  LSTMBlockCellGrad", done.stdout)


@pytest.mark.slow
def test_ops_of_small_models_leave_cores_to_each_other():
  """By the threads of a process: those of a pool are the ones that differ."""
  cores = len(os.sched_getaffinity(0))
  if cores < 2:
    pytest.skip("there is one core")
  environ = dict(os.environ)
  environ.pop("TF_NUM_INTRAOP_THREADS", None)  # of a test before

  def num_threads(hidden_size):
    return int(subprocess.run([sys.executable, "-c", (
        "import dataclasses, os, numpy as np, configs\n"
        "from benchmarks import suite\n"
        "config = dataclasses.replace(\n"
        f"    configs.TEST, hidden_size={hidden_size}, num_layers=1)\n"
        "suite.training(config, 9, np.arange(200) % 9)\n"
        "print(len(os.listdir('/proc/self/task')))")], cwd=ROOT, env=environ,
        stdout=subprocess.PIPE, text=True, check=True).stdout)

  assert num_threads(1000) - num_threads(8) == cores - cores // 2


@pytest.mark.slow
def test_peak_memory_is_not_the_parents():
  ballast = b"x" * 2**30
  found = subprocess.run(
      [sys.executable, "-c",
       "from benchmarks import contender; print(contender.peak_memory())"],
      cwd=ROOT, capture_output=True, text=True, check=True,
      preexec_fn=lambda: None)  # a fork, as of a contender
  assert 1_000 < int(found.stdout) < len(ballast) // 1024


@pytest.mark.parametrize("does, message", [
    ("echo 'no PyTorch in here' >&2; exit 3", "no PyTorch in here"),
    ("exit 3", "exit status 3"), ("echo ! >&2; kill -9 $$", "by SIGKILL")])
def test_contender_that_cannot_start(tmp_path, does, message):
  python = tmp_path / "python"
  python.write_text(f"#!/bin/sh\n{does}\n")
  python.chmod(0o755)
  spec = speed.make_spec(TINY, str(tmp_path / "ids.npy"), VOCAB_SIZE, {})
  with pytest.raises(errors.UserError, match=f"has ended: .*{message}"):
    speed.Contender("peer_torch", spec, os.sched_getaffinity(0), str(python))


@pytest.fixture
def compare(monkeypatch):
  """`speed.compare` of contenders that have these rates, and then end.

  It takes the rates by module, the warm-up's too, and for how many contenders
  there is memory; returns a speed.Comparison, and which modules were started.
  """
  def compared(rates, room=99):
    started = []

    class Contender:
      versions, first_step = {}, 1.0

      def __init__(self, module, *_):
        started.append(module)
        self._module, self._rates = module, iter(rates.get(module, ()))

      def ask(self, command, _):
        if command == "report":
          return [1.0]
        for rate in self._rates:
          return {"rate": rate, "peak": 1, "cpu": 0.0}
        raise errors.UserError(f"{self._module} has ended")

      def close(self):
        started.remove(self._module)
        started.append(f"not {self._module}")

    monkeypatch.setattr(speed, "FLAGS", types.SimpleNamespace(
        seconds=0, rounds=2, peers_python=sys.executable))
    monkeypatch.setattr(speed, "Contender", Contender)
    monkeypatch.setattr(machine, "has_memory", lambda: room > sum(
        not name.startswith("not") for name in started))
    return speed.compare(TINY, ["fused", "classic", "keras", "torch"], "ids",
                         VOCAB_SIZE, [0])
  return compared


ALL_RATES = {"suite": [9.0, 12.0, 12.0], "peer_classic": [9.0, 6.0, 3.0],
             "peer_keras": [9.0, 8.0, 8.0], "peer_torch": [9.0, 4.0, 4.0]}


@pytest.mark.parametrize("room, rounds", [(99, 2), (3, 4), (0, 6)])
def test_contenders_take_turns_as_memory_allows(compare, room, rounds):
  comparison = compare(ALL_RATES, room)
  assert {name: (result.rate, result.ratio) for name, result
          in comparison.results.items()} == {
              "fused": (12, 1), "classic": (4.5, 3), "keras": (8, 1.5),
              "torch": (4, 3)}
  assert len(comparison.results["fused"].rates) == rounds
  assert not comparison.failed


def test_who_fails_midway_is_left_out(compare):
  comparison = compare(ALL_RATES | {"peer_keras": [9.0, 8.0]})
  assert list(comparison.results) == ["fused", "classic", "torch"]
  assert ("keras is left out: peer_keras has ended"
          in list(speed.remarks(comparison)))


def test_complains_where_all_fail(compare):
  with pytest.raises(errors.UserError, match="suite has ended"):
    compare({})


def test_others_share_of_the_machine(monkeypatch):
  """Of two cores for ten seconds: 11 were busy, of which we took 8."""
  busy, now = iter([100.0, 111.0]), iter([50.0, 60.0])
  monkeypatch.setattr(machine, "_busy", lambda: next(busy))
  monkeypatch.setattr(machine.time, "perf_counter", lambda: next(now))
  monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
  others = machine.Others()
  others.during(lambda: {"cpu": 8.0})
  assert others.share == pytest.approx(3 / 20)


@pytest.mark.parametrize("args, message", [
    (["--threads=4096"], "--threads=4096: there are [0-9]+ cores"),
    (["--output=/dev/null/folder"], "--output=/dev/null/folder: Not a dir"),
    (["--data_path=/absent"], "/absent: no such folder"),
    *([] if recurrent.has_gpu()
      else [(["--rnn_mode=cudnn"], "=cudnn: needs")])])
def test_complains_in_one_line(call_script, capsys, args, message):
  assert call_script(speed, "--model=test", "--peer=none", *args) == 1
  assert_one_line(capsys.readouterr().err, "speed", message)
