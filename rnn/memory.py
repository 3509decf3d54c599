"""The memory of the machine, compared with what is needed.

A program that needs more memory than there is ends without a message: the
system kills it. So the largest needs are compared before they arise. They are
lower bounds, and all memory that may become free counts as available: what
would work is never refused.
"""

import math
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnn.errors import UserError

_ROOT = "/"  # of the files in which Linux tells its memory


class Part(NamedTuple):
  """A part of the memory that is needed.

  Attributes:
    size: in bytes.
    what: what it is for, in words.
    advice: how to need less, as an imperative.
  """

  size: float
  what: str
  advice: str


def check(parts: Sequence[Part]) -> None:
  """Compares the memory that is needed with what is available.

  Raises:
    UserError: less is available. The message names the largest part, and says
      what to do about it.
  """
  needed, free = sum(part.size for part in parts), available()
  if needed > free:
    most = max(parts)
    raise UserError(
        f"needs at least {as_text(needed)} of memory, but "
        f"{as_text(free)} is available: {most.what} take "
        f"{as_text(most.size)}; {most.advice}")


def as_text(size: float) -> str:
  """Returns a number of bytes as text."""
  return (f"{size / 1e9:,.2f} GB" if size >= 1e9
          else f"{size / 1e6:,.1f} MB")


def available() -> float:
  """Returns the bytes that new tensors of this process may take at most.

  It counts swap, memory that the system can free, such as cached files, and
  what the process holds: TensorFlow keeps the memory of deleted tensors for new
  ones. If the system does not tell, it is the size of the memory, or infinite.
  """
  machine = _numbers("proc/meminfo")
  own = 1024 * (machine.get("SwapFree", 0)
                + _numbers("proc/self/status").get("VmRSS", 0))
  limits = [space + own for space in _control_groups()]
  if "MemAvailable" in machine:
    # The cache of ZFS shrinks on demand, but counts as used.
    zfs = _numbers("proc/spl/kstat/zfs/arcstats", column=2)
    cache = max(zfs.get("size", 0) - zfs.get("c_min", 0), 0)
    limits.append(1024 * machine["MemAvailable"] + cache + own)
  elif "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
    limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
  return min(limits, default=math.inf)


class _GroupFiles(NamedTuple):
  """Where a version of Linux's control groups tells their memory.

  Attributes:
    folder: of the topmost group.
    limit, usage: files with a number of bytes.
    freed, kept: the numbers in memory.stat that can be freed, and of these the
      one that cannot: files that only memory has.
  """

  folder: str
  limit: str
  usage: str
  freed: tuple[str, ...]
  kept: str


_V1 = _GroupFiles("sys/fs/cgroup/memory", "memory.limit_in_bytes",
                  "memory.usage_in_bytes", ("total_cache",), "total_shmem")
_V2 = _GroupFiles("sys/fs/cgroup", "memory.max", "memory.current",
                  ("file", "slab_reclaimable"), "shmem")


def _control_groups() -> Iterator[int]:
  """Generates the memory that is left in each control group of the process.

  Containers are limited by such groups. A group's limit holds for all groups
  below it. In a container the path of its group may not exist, because the
  container sees its own group as the topmost.
  """
  for line in _lines("proc/self/cgroup"):  # such as 4:memory:/path, or 0::/path
    controllers, _, path = line.partition(":")[2].partition(":")
    if controllers and "memory" not in controllers.split(","):
      continue
    files = _V1 if controllers else _V2
    names = [name for name in path.split("/") if name]
    for depth in range(len(names) + 1):
      group = os.path.join(files.folder, *names[:depth])
      limit, usage = (_lines(f"{group}/{name}")
                      for name in (files.limit, files.usage))
      if limit and usage and limit[0].isdecimal():  # not "max"
        stat = _numbers(f"{group}/memory.stat")
        freed = sum(stat.get(name, 0) for name in files.freed)
        used = int(usage[0]) - freed + stat.get(files.kept, 0)
        yield max(int(limit[0]) - max(used, 0), 0)


def _numbers(path: str, column: int = 1) -> dict[str, int]:
  """Reads lines such as "MemFree:  123 kB": a dict, name -> number."""
  rows = [line.replace(":", " ").split() for line in _lines(path)]
  return {row[0]: int(row[column]) for row in rows
          if len(row) > column and row[column].isdecimal()}


def _lines(path: str) -> list[str]:
  """Returns the lines of a file of the system; none if it cannot be read."""
  try:
    with open(os.path.join(_ROOT, path)) as file:
      return file.read().splitlines()
  except (OSError, ValueError):
    return []
