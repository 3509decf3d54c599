"""The machine's description, and the name of its processor."""

import pytest

from benchmarks import machine

EPYC = "model name : AMD EPYC\ncpu family : {}\nmodel : {}\nflags : sse avx2\n"
XEON = ("model name : Intel(R) Xeon(R) CPU @ 2.20GHz\ncpu family : 6\n"
        "model : 143\nflags : avx2 amx_tile\n")
ARM = "CPU implementer : 0x41\nCPU part : 0xd40\nFeatures : fp asimd sve\n"


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
  """A function of the content of /proc/cpuinfo, which it puts in place."""
  path = tmp_path / "cpuinfo"
  monkeypatch.setattr(machine, "CPUINFO", str(path))
  monkeypatch.setattr(machine.platform, "processor", lambda: "")
  monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
  return path.write_text


@pytest.mark.parametrize("content, name", [
    (EPYC.format(25, 17), "amd-epyc-family-25-model-17"),
    (EPYC.format(26, 2), "amd-epyc-family-26-model-2"),
    (XEON, "intel-xeon-family-6-model-143"),
    (ARM, "aarch64-implementer-0x41-part-0xd40")],
                         ids=["zen-4", "zen-5", "xeon", "arm"])
def test_processors_have_different_names(cpuinfo, content, name):
  cpuinfo(content + "\n\nmodel name : another core\n")
  assert machine.processor() == name


def test_description_has_family_and_model(cpuinfo):
  cpuinfo(EPYC.format(25, 17))
  assert machine.describe({"numpy": "2.4"}).startswith(
      "AMD EPYC, family 25, model 17, avx2, ")
  assert machine.describe({"numpy": "2.4"}).endswith(", numpy 2.4")


def test_processor_of_an_unknown_system(monkeypatch):
  monkeypatch.setattr(machine, "CPUINFO", "/absent")
  monkeypatch.setattr(machine.platform, "processor", lambda: "")
  monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
  assert machine.processor() == "arm64"
