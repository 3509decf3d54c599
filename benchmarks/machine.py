"""The machine on which something is measured, its memory, and its load."""

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from rnn.errors import UserError

CPUINFO = "/proc/cpuinfo"

# The instructions that decide how fast a GEMM can be.
_GEMM_FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")
# Processors of one brand differ in these: on x86, and on Arm.
_IDENTITY = {"cpu family": "family", "model": "model",
             "CPU implementer": "implementer", "CPU part": "part"}


def describe(versions: Mapping[str, str]) -> str:
  """Returns a line: processor, cores, Python and other versions."""
  core = _first_core()
  flags = core.get("flags", core.get("Features", "")).split()
  return ", ".join([
      _brand(core), *_identity(core),
      *filter(None, [" ".join(f for f in _GEMM_FLAGS if f in flags)]),
      f"{os.cpu_count()} cores", f"python {platform.python_version()}",
      *(f"{name} {version}" for name, version in sorted(versions.items()))])


def cores() -> list[int]:
  """Returns the cores that this process may use.

  Raises:
    UserError: the system cannot limit a process to some cores.
  """
  if not hasattr(os, "sched_getaffinity"):
    raise UserError("needs Linux, which limits a process to some cores")
  return sorted(os.sched_getaffinity(0))


def memory(name: str) -> int:
  """Returns a figure of /proc/self/status, in bytes."""
  with open("/proc/self/status") as file:
    match = re.search(rf"{name}:\s*(\d+) kB", file.read())
  assert match
  return int(match[1]) * 1024


def processor() -> str:
  """Returns a name for the processor that can be the name of a folder.

  The brand is not enough: a virtual machine may report just "AMD EPYC".
  """
  core = _first_core()
  brand = re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b|@.*", " ", _brand(core),
                 flags=re.IGNORECASE)
  return "-".join(re.findall(
      "[a-z0-9]+", " ".join([brand, *_identity(core)]).lower()))


def _brand(core: Mapping[str, str]) -> str:
  return core.get("model name") or platform.processor() or platform.machine()


def _identity(core: Mapping[str, str]) -> list[str]:
  """Returns what tells a processor from others of its brand."""
  return [f"{name} {core[key]}" for key, name in _IDENTITY.items()
          if key in core]


def _first_core() -> dict[str, str]:
  """Returns the first entry of /proc/cpuinfo; empty where it is missing."""
  if not os.path.exists(CPUINFO):
    return {}
  with open(CPUINFO) as file:
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
