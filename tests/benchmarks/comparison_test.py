"""Contenders take turns, and are compared with the machine's limit."""

import dataclasses

import pytest

import configs
from benchmarks import comparison, contenders, gemms, machine, report
from benchmarks.contenders import Command, Workload
from rnn.errors import UserError

RATES = {"suite": [9.0, 12.0, 12.0], "peer_classic": [9.0, 6.0, 3.0],
         "peer_keras": [9.0, 8.0, 8.0], "peer_torch": [9.0, 4.0, 4.0]}


@pytest.fixture
def compare(monkeypatch):
  """Calls `comparison.compare` with contenders that have given rates.

  A function of the rates by module, the first one for the warm-up, and of the
  number of contenders that fit into memory. A contender ends after its last
  rate.
  """
  def run(rates, room=99):
    running = []

    class Contender:
      versions, first_step = {}, 1.0

      def __init__(self, module, *_):
        running.append(module)
        self._module, self._rates = module, iter(rates.get(module, ()))

      def ask(self, command, _):
        if command == "report":
          return [1.0] * len(gemms.shapes(dataclasses.asdict(configs.TEST), 9))
        for rate in self._rates:
          return {"rate": rate, "peak": 1, "cpu": 0.0}
        raise UserError(f"{self._module} has ended")

      def close(self):
        running.remove(self._module)

    monkeypatch.setattr(contenders, "Contender", Contender)
    monkeypatch.setattr(machine, "has_memory", lambda: room > len(running))
    result = comparison.compare(
        Workload(configs.TEST, "ids", 9, [0]),
        {"fused": Command("suite", {}), "classic": Command("peer_classic", {}),
         "keras": Command("peer_keras", {}),
         "torch": Command("peer_torch", {})}, rounds=2, seconds=0)
    assert not running
    return result
  return run


@pytest.mark.parametrize("room, rounds", [(99, 2), (3, 4), (0, 6)])
def test_contenders_take_turns_as_memory_allows(compare, room, rounds):
  compared = compare(RATES, room)
  assert {name: (result.rate, result.ratio) for name, result
          in compared.results.items()} == {
              "fused": (12, 1), "classic": (4.5, 3), "keras": (8, 1.5),
              "torch": (4, 3)}
  assert len(compared.results["fused"].rates) == rounds
  assert not compared.failed


def test_contender_that_fails_is_left_out(compare):
  compared = compare(RATES | {"peer_keras": [9.0, 8.0]})
  assert list(compared.results) == ["fused", "classic", "torch"]
  assert ("keras is left out: peer_keras has ended"
          in list(report.remarks(compared)))


def test_the_first_contender_must_not_fail_later(compare):
  """The ratios of other rounds would have another meaning."""
  with pytest.raises(UserError, match="fused, with which the others are .* has "
                     "failed: suite has ended"):
    compare(RATES | {"suite": [9.0, 12.0]})


def test_the_first_contender_must_start_again_for_each_group(compare):
  """So must another one that was the first to start."""
  with pytest.raises(UserError, match="fused, with which the others are"):
    compare(RATES | {"suite": iter([9.0, 12.0, 12.0])}, room=3)
  with pytest.raises(UserError, match="classic, with which the others are"):
    compare(RATES | {"suite": [], "peer_classic": iter([9.0, 6.0, 3.0])},
            room=3)


def test_fails_if_all_contenders_fail(compare):
  with pytest.raises(UserError, match="suite has ended"):
    compare({})


def test_gemms_take_six_operations_per_weight_and_word():
  config = configs.LARGE
  work = sum(gemms.flops(shape) * number for shape, number
             in gemms.shapes(dataclasses.asdict(config), 10_000))
  weights = 2 * 8 * 1500 ** 2 + 1500 * 10_000
  assert work == 6 * weights * config.num_steps * config.batch_size


def test_limit_takes_the_best_rates():
  """The work per word is 6 x the weights, at the rate of the best GEMM."""
  config = dataclasses.asdict(configs.SMALL)
  number = len(gemms.shapes(config, 10_000))
  per_word = 6 * (2 * 8 * 200 ** 2 + 200 * 10_000)
  limits = gemms.limits(config, 10_000, [[1e9] * number, [2e9] * number])
  assert limits["rate"] == 2e9
  assert limits["limit"] == pytest.approx(2e9 / per_word)
  assert limits["by shape"] == pytest.approx(limits["limit"])
  slow = gemms.limits(config, 10_000, [[1e9] * (number - 1) + [2e9]])
  assert slow["limit"] == limits["limit"] > slow["by shape"]


def test_share_of_the_machine_that_others_take(monkeypatch):
  """Two cores for ten seconds: they were busy for 11 s, with 8 s for us."""
  busy, now = iter([100.0, 111.0]), iter([50.0, 60.0])
  monkeypatch.setattr(machine, "_busy_seconds", lambda: next(busy))
  monkeypatch.setattr(machine.time, "perf_counter", lambda: next(now))
  monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
  other_load = machine.OtherLoad()
  other_load.watch(lambda: {"cpu": 8.0})
  assert other_load.share == pytest.approx(3 / 20)
