"""The memory that Linux says is available, and a need that exceeds it."""

import math
import os
import sys

import pytest

from rnn import memory
from rnn.errors import UserError

MEMINFO = ("MemTotal:        9000 kB\nMemFree:         100 kB\n"
           "MemAvailable:    5000 kB\nSwapFree:         200 kB\n")
STATUS = "Name:\tpython\nVmRSS:\t      30 kB\n"
V2 = "0::/a/b\n"
V1 = "9:name=systemd:/x\n4:cpu,memory:/a/b\n0::/\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
  """Writes files of the system: path, text. All others do not exist."""
  def write(path, text):
    path = tmp_path / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(text))

  monkeypatch.setattr(memory, "_ROOT", str(tmp_path))
  write("proc/meminfo", MEMINFO)
  write("proc/self/status", STATUS)
  return write


def write_group(write, folder, limit, usage, **stat):
  """Writes the files of a control group, of version 1 or 2."""
  names = (("memory.limit_in_bytes", "memory.usage_in_bytes")
           if "/memory" in folder else ("memory.max", "memory.current"))
  for name, value in zip(names, (limit, usage), strict=True):
    write(f"sys/fs/cgroup{folder}/{name}", f"{value}\n")
  write(f"sys/fs/cgroup{folder}/memory.stat",
        "".join(f"{name} {value}\n" for name, value in stat.items()))


def test_swap_and_what_the_process_holds_are_available(system):
  assert memory.available() == 1024 * (5000 + 200 + 30)


def test_the_cache_of_zfs_is_available(system):
  system("proc/spl/kstat/zfs/arcstats",
         "13 1 0x01 147\nname type data\nsize 4 70000\nc_min 4 20000\n")
  assert memory.available() == 1024 * 5230 + 50000


@pytest.mark.parametrize("groups, folder, names", [
    (V2, "", ("file", "shmem")),
    (V1, "/memory", ("total_cache", "total_shmem"))])
def test_each_control_group_limits_the_memory(system, groups, folder, names):
  """Cached files can be freed, but not those in shared memory."""
  system("proc/self/cgroup", groups)
  own = 1024 * 230
  write_group(system, f"{folder}/a/b", 10**6, 400_000,
              **dict(zip(names, (50_000, 10_000), strict=True)))
  assert memory.available() == 10**6 - 360_000 + own
  write_group(system, f"{folder}/a", 900_000, 500_000)
  assert memory.available() == 400_000 + own
  write_group(system, f"{folder}/a", "max" if groups == V2 else 2**63 - 4096, 5)
  assert memory.available() == 640_000 + own
  write_group(system, folder, 300_000, 400_000)  # the limit was lowered
  assert memory.available() == own


@pytest.mark.parametrize("groups, folder", [
    ("0::/elsewhere/x\n", ""), ("7:memory:/docker/0123\n", "/memory")])
def test_a_container_sees_its_group_as_the_topmost(system, groups, folder):
  system("proc/self/cgroup", groups)
  write_group(system, folder, 10**6, 1000)
  assert memory.available() == 999_000 + 1024 * 230


@pytest.mark.parametrize("text", [
    "", "\n", "memory", ":", "a:b", "0::", "4:memory:", "0::/\0", "\u00b2::/"])
def test_odd_files_do_not_matter(system, text):
  system("proc/self/cgroup", text)
  write_group(system, "", "\u00b2", "x")
  assert memory.available() == 1024 * 5230
  for name in "meminfo", "self/status", "self/cgroup":
    system(f"proc/{name}", text)
  assert memory.available() > 0


def test_elsewhere_the_size_of_the_memory_counts(system, monkeypatch):
  system("proc/meminfo", "")
  sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
  monkeypatch.setattr(os, "sysconf_names", sizes, raising=False)
  monkeypatch.setattr(os, "sysconf", sizes.get, raising=False)
  assert memory.available() == 4096 * 1000
  monkeypatch.delattr(os, "sysconf_names")
  assert memory.available() == math.inf


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_this_machine_has_memory():
  total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  assert 10**8 < memory.available() < 100 * total


def test_the_largest_part_is_named(monkeypatch):
  parts = [memory.Part(3e9, "3 things", "lower one"),
           memory.Part(4e9, "4 things", "lower the other")]
  for free in 7e9, math.inf:
    monkeypatch.setattr(memory, "available", lambda free=free: free)
    memory.check(parts)
  monkeypatch.setattr(memory, "available", lambda: 6.96e9)
  with pytest.raises(UserError) as error:
    memory.check(parts)
  assert str(error.value) == (
      "needs at least 7.00 GB of memory, but 6.96 GB is available: 4 things "
      "take 4.00 GB; lower the other")
