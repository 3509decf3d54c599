"""The machine that something is measured on, and who else is at work on it."""

import os
import platform
import time

# The instructions that decide how fast a GEMM can be.
_TELLING = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")


def describe(versions):
  """A line: processor, cores, Python and what else there are versions of."""
  cpu = _cpu()
  flags = cpu.get("flags", cpu.get("Features", "")).split()
  model = cpu.get("model name", platform.processor() or platform.machine())
  return ", ".join([
      " ".join([model, *(flag for flag in _TELLING if flag in flags)]),
      f"{os.cpu_count()} cores", f"python {platform.python_version()}",
      *(f"{name} {version}" for name, version in sorted(versions.items()))])


def _cpu():
  """What Linux tells of the first core."""
  if not os.path.exists("/proc/cpuinfo"):
    return {}
  with open("/proc/cpuinfo") as file:
    first = file.read().partition("\n\n")[0]
  pairs = (line.partition(":") for line in first.splitlines())
  return {name.strip(): value.strip() for name, _, value in pairs}


def has_memory():
  """Whether much of the memory is left; so too where Linux does not tell."""
  try:
    with open("/proc/meminfo") as file:
      kilobytes = {line.partition(":")[0]: int(line.split()[1])
                   for line in file}
  except OSError:
    return True
  return kilobytes["MemAvailable"] > 0.4 * kilobytes["MemTotal"]


class Others:
  """How much of the machine goes to others while somebody is measured."""

  def __init__(self):
    self._theirs = self._all = 0.0

  def during(self, measure):
    """Calls a function that returns a dict with the "cpu" seconds it took."""
    start, busy = time.perf_counter(), _busy()
    answer = measure()
    if busy is not None:
      self._theirs += _busy() - busy - answer["cpu"]
      self._all += os.cpu_count() * (time.perf_counter() - start)
    return answer

  @property
  def share(self):
    """Of all the cores' time; None where the system does not tell."""
    return max(self._theirs, 0.0) / self._all if self._all else None


def _busy():
  """Seconds that the cores have worked in all, or have been withheld."""
  try:
    with open("/proc/stat") as file:
      # Of guests is what comes after the eight: it is in user's already.
      user, nice, system, _, _, irq, softirq, steal = map(
          int, file.readline().split()[1:9])
  except OSError:
    return None
  return (user + nice + system + irq + softirq + steal) / os.sysconf(
      "SC_CLK_TCK")
