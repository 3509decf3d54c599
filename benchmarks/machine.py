"""The machine on which something is measured, and its load by others."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

# The instructions that decide how fast a GEMM can be.
_GEMM_FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")


def describe(versions: Mapping[str, str]) -> str:
  """Returns a line: processor, cores, Python and other versions."""
  cpu = _first_core()
  flags = cpu.get("flags", cpu.get("Features", "")).split()
  model = cpu.get("model name", platform.processor() or platform.machine())
  return ", ".join([
      " ".join([model, *(flag for flag in _GEMM_FLAGS if flag in flags)]),
      f"{os.cpu_count()} cores", f"python {platform.python_version()}",
      *(f"{name} {version}" for name, version in sorted(versions.items()))])


def _first_core() -> dict[str, str]:
  """Returns the first entry of /proc/cpuinfo; empty where it is missing."""
  if not os.path.exists("/proc/cpuinfo"):
    return {}
  with open("/proc/cpuinfo") as file:
    first = file.read().partition("\n\n")[0]
  pairs = (line.partition(":") for line in first.splitlines())
  return {name.strip(): value.strip() for name, _, value in pairs}


def has_memory() -> bool:
  """Returns whether 40 % of the memory is free; True where it is unknown."""
  try:
    with open("/proc/meminfo") as file:
      kilobytes = {line.partition(":")[0]: int(line.split()[1])
                   for line in file}
  except OSError:
    return True
  return kilobytes["MemAvailable"] > 0.4 * kilobytes["MemTotal"]


class OtherLoad:
  """The load by other processes, while a contender is measured."""

  def __init__(self) -> None:
    self._others = self._total = 0.0  # seconds of all cores

  def watch(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Calls a function, and observes the machine in the meantime.

    Args:
      measure: returns a dict with "cpu", the seconds of all cores that were
        used for it.

    Returns:
      The result of `measure`.
    """
    start, busy = time.perf_counter(), _busy_seconds()
    answer = measure()
    busy_after = _busy_seconds()
    if busy is not None and busy_after is not None:
      self._others += busy_after - busy - answer["cpu"]
      self._total += (os.cpu_count() or 1) * (time.perf_counter() - start)
    return answer

  @property
  def share(self) -> float | None:
    """The share of all cores' time; None where it is unknown."""
    return max(self._others, 0.0) / self._total if self._total else None


def _busy_seconds() -> float | None:
  """Returns the seconds that all cores have worked, or have been withheld."""
  try:
    with open("/proc/stat") as file:
      # The figures for guests, which come after these eight, are part of user.
      user, nice, system, _, _, irq, softirq, steal = map(
          int, file.readline().split()[1:9])
  except OSError:
    return None
  return (user + nice + system + irq + softirq + steal) / os.sysconf(
      "SC_CLK_TCK")
