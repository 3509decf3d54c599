"""The documents: their size, links, flags and commands.

A block with `<!-- run -->` above it runs as a reader would run it, in a tiny
copy of the project; a block with `<!-- run: slow -->`, only with --slow. The
blocks of a page run in order, in one folder.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import configs
from tests.docs import documents, tiny_checkout
from tests.docs.documents import DOCUMENTS, PAGES, ROOT
from tests.helpers import several_workers

# The commands run as documented, with these exceptions.
REPLACED = {
    "python data/fetch_ptb.py ": "python data/fetch_ptb.py --help ",  # network
    "make test ": "make test ARGS=--version ",  # or it would run this test
    "--rounds=5 --seconds=2": "--rounds=1 --seconds=0.01 --rnn_mode=fused "
                              "--peer=none",
    "speed --profile": "speed --profile --seconds=0.01 --rnn_mode=fused",
    "localhost:2222,localhost:2223": "localhost:{},localhost:{}".format(
        *several_workers.free_ports(2)),
    "--megabytes=500": "--megabytes=1",
    "benchmarks.saving ": "benchmarks.saving --seconds=0.1 ",
    "large_text --vocab_size=800000": "large_text --megabytes=10 "
                                      "--vocab_size=1000",
    "hidden_size=512,epoch_size=300": "hidden_size=8,epoch_size=3",
    "benchmarks.adaptation ": "benchmarks.adaptation --rate=0.5,1 --size=100 "
                              "--theta=0.1 --lambda=0.1 ",
}
# In each folder of results/ptb/.
PARTS_OF_A_RUN = {"log.txt", "learning_curve.png"}
# Flags of other programs.
OTHER_FLAGS = {"slow", "logdir"}

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork") or not shutil.which("make"),
    reason="needs fork and make")


def test_readme_is_short():
  assert len(documents.read("README.md").encode()) < 9000


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_with_a_command_that_runs(name):
  text = documents.read(name)
  first = documents.blocks(text)[0]
  assert first.mark and documents.commands(first.text)
  if name != "README.md":
    before = text[:text.index("```")]
    assert "##" not in before and len(before.splitlines()) <= 4


@pytest.mark.parametrize("name", [*DOCUMENTS, "data/README.md"])
def test_links(name):
  for link in documents.links(documents.read(name)):
    if re.match("https?://", link):
      continue
    path, _, anchor = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    assert target.exists(), link
    if anchor:
      assert anchor in documents.anchors(
          target.read_text(encoding="utf-8")), link


def test_anchors_are_those_of_github():
  text = "# A `b_c`-d, e!\n## x\n```\n# no\n```\n## x\n"
  assert documents.anchors(text) == {"a-b_c-d-e", "x", "x-1"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_named_exist(name):
  for span in documents.code_spans(documents.read(name)):
    if re.fullmatch(r"[\w./-]+\.py", span):
      assert any(any(ROOT.glob(folder + span))
                 for folder in ("", "*/", "*/*/")), span
    elif re.fullmatch(r"(rnn|trained|tasks|data|tests|benchmarks|docs)/[\w/]*",
                      span):
      assert (ROOT / span).is_dir(), span


def test_results_named_exist():
  """Files and folders of results/, by their path there or their name alone."""
  folder = ROOT / "results"
  spans = [span for span in documents.code_spans(
      documents.read("results/README.md"))
           if re.fullmatch(r"[\w/.-]+(/|\.(txt|png))", span)]
  assert len(spans) > 30
  for span in spans:
    if span not in PARTS_OF_A_RUN and not span.startswith(("runs/", "tasks/")):
      assert (folder / span).exists() or any(folder.rglob(span)), span


# Flags


@functools.cache
def checked_calls():
  """Returns the documented calls of python: (document, words) -> result."""
  calls = []
  for name in [*DOCUMENTS, "data/README.md"]:
    text = documents.read(name)
    commands = [words for block in documents.blocks(text)
                for words in documents.commands(block.text)]
    commands += [words for span in documents.code_spans(text)
                 for words in documents.commands(span)
                 if any(word.startswith("--") for word in words)]
    for words in commands:
      calls += [(name, tuple(call)) for call in _python_calls(words)]
  # For the flags that no command shows.
  calls += [("", (script,)) for script in (
      "ptb_word_lm.py", "generate.py", "score.py", "export.py", "neighbors.py")]
  calls = [(name, call) for name, call in dict.fromkeys(calls)
           if call[0] != "-m" or call[1] != "pytest"]
  done = subprocess.run(
      [sys.executable, "-m", "tests.docs.flags_of_commands"],
      input=json.dumps([call for _, call in calls]), cwd=ROOT, text=True,
      stdout=subprocess.PIPE, check=True, timeout=300)
  return dict(zip(calls, json.loads(done.stdout), strict=True))


def _python_calls(words):
  """Returns the arguments of each python that a command starts."""
  if words[0] == "python":
    return [words[1:]]
  done = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, text=True,
                        capture_output=True,
                        env=tiny_checkout.inherited_environment())
  assert done.returncode == 0, (words, done.stderr)
  return [call[1:] for line in done.stdout.splitlines()
          for call in documents.commands(
              re.sub(r"^(\w+=\S* )*\.venv/bin/python ", "python ", line))
          if call[1] != "-m" or call[2] not in ("pip", "venv")]


@needs_fork
def test_scripts_and_flags_of_commands_exist():
  wrong = [(name, " ".join(call), result["error"])
           for (name, call), result in checked_calls().items()
           if result["error"]]
  assert not wrong
  assert len(checked_calls()) > 40


@needs_fork
@pytest.mark.parametrize("name", DOCUMENTS)
def test_flags_in_the_prose_exist(name):
  known = OTHER_FLAGS.union(
      *(result["flags"] for result in checked_calls().values()))
  for span in documents.code_spans(documents.read(name)):
    for flag in re.findall(r"(?<!\S)--(\w+)", span):
      assert flag in known or flag.removeprefix("no") in known, span


@pytest.mark.parametrize("name", DOCUMENTS)
def test_settings_in_the_prose_exist(name):
  for span in documents.code_spans(documents.read(name)):
    if re.fullmatch(r"[a-z_]+=[^\s`]+", span):
      configs.parse(span, configs.Config)


# Commands


def needs_slow(name):
  """Whether a page has no block that the fast tests run."""
  return not any(block.mark == "run"
                 for block in documents.blocks(documents.read(name)))


@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("make"),
                    reason="needs bash and make")
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if needs_slow(name) else ())
    for name in PAGES])
def test_commands(name, tmp_path, request):
  tiny_checkout.make(tmp_path)
  marks = ("run", "run: slow") if request.config.getoption("slow") else ("run",)
  for block in documents.blocks(documents.read(name)):
    if block.mark in marks:
      run(block, tmp_path, name)


def run(block: documents.Block, folder: pathlib.Path, name: str) -> None:
  """Runs a block in a folder; fails if any of its commands does."""
  code = block.text
  if block.language == "python":
    (folder / "snippet.py").write_text(code, encoding="utf-8")
    code = "python snippet.py"
  if "old/checkpoints" in code:
    subprocess.run(tiny_checkout.make_classic_checkpoint(folder), cwd=folder,
                   check=True, timeout=300)
  for documented, instead in REPLACED.items():
    code = code.replace(documented, instead)
  done = subprocess.run(
      ["bash", "-euo", "pipefail", "-c", code], cwd=folder,
      env=tiny_checkout.environment(folder), stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
  assert done.returncode == 0, (
      f"{name}, line {block.line}:\n{code}\n{done.stdout[-3000:]}")
