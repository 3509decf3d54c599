import re
import subprocess
import sys

from script_test import ROOT


def test_compares_two_layers():
  done = subprocess.run(
      [sys.executable, "-m", "benchmarks.speed", "--model=test", "--rounds=2",
       "--seconds=0.05", "--rnn_mode=fused", "--rnn_mode=basic"],
      cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert (done.returncode, done.stderr) == (0, "")
  assert re.search(r"fused +\d+ words/s \(\d+ to \d+\), \d\.\d\d times basic\n"
                   r" +basic +\d+ words/s .*, 1\.00 times basic\n", done.stdout)
