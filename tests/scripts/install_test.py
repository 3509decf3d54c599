"""The project as a package: its modules and its commands from any folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from tests.helpers.calls import ROOT

_COPIED = ("rnn", "trained", "tasks", "data", "setup.cfg", "pyproject.toml",
           "requirements.txt", "LICENSE")
_MODULES = ("ptb_word_lm", "reader", "configs", "classic", "trained", "rnn",
            "tasks.char_lm", "generate", "score", "export", "neighbors")


@pytest.mark.slow
def test_an_editable_install(trained_runs, tmp_path):
  """Without dependencies: they and pip are those of the Python that runs this.
  """
  clone, folder = tmp_path / "clone", tmp_path / "elsewhere"
  folder.mkdir()
  clone.mkdir()
  for name in (*_COPIED, *(n for n in os.listdir(ROOT) if n.endswith(".py"))):
    source = os.path.join(ROOT, name)
    if os.path.isdir(source):
      shutil.copytree(source, clone / name,
                      ignore=shutil.ignore_patterns("ptb", "__pycache__"))
    else:
      shutil.copy(source, clone)
  subprocess.run(
      [sys.executable, "-m", "venv", "--without-pip", folder / "venv"],
      check=True)
  python = folder / "venv" / "bin" / "python"

  def call(*command):
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    return done.stdout

  purelib = call(python, "-c",
                 "import sysconfig; print(sysconfig.get_path('purelib'))")
  with open(os.path.join(purelib.strip(), "others.pth"), "w") as file:
    file.write(sysconfig.get_path("purelib") + "\n")
  call(python, "-m", "pip", "install", "--no-deps", "--no-build-isolation",
       "--no-index", "-e", clone)

  required = call(python, "-c", "import importlib.metadata as m; "
                  "print(*m.requires('ptb-word-lm'), sep='\\n')")
  with open(os.path.join(ROOT, "requirements.txt")) as file:
    lines = [line for line in file if not line.startswith("#")]
  assert sorted(re.findall(r"^[\w-]+", required, re.MULTILINE)) == sorted(
      re.findall(r"^[\w-]+", "".join(lines), re.MULTILINE))
  paths = call(python, "-c", f"import {', '.join(_MODULES)}, sys\n"
               f"for name in {_MODULES}: print(sys.modules[name].__file__)")
  assert all(os.path.realpath(path).startswith(os.path.realpath(clone) + os.sep)
             for path in paths.split())
  run = f"--save_path={trained_runs}/a"
  commands = folder / "venv" / "bin"
  assert call(commands / "ptb-generate", run, "--prompt=the population",
              "--num_words=2").startswith("the population")
  assert call(commands / "ptb-score", run,
              f"--text={trained_runs}/text/test.txt").startswith("line\t")
  trained = call(commands / "ptb-train", "--model=test",
                 f"--data_path={trained_runs}/text")
  assert "Epoch: 1 Valid Perplexity" in trained
  done = subprocess.run([commands / "ptb-train", "--help"], cwd=folder,
                        capture_output=True, text=True, timeout=100)
  assert "--config_override" in done.stdout
