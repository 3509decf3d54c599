"""Any damage to a run: each script gives the true result, or one clear line.

A case damages one file of a finished run at random, and calls one script. CASES
sets the number of cases.
"""

import contextlib
import io
import json
import os
import random
import shutil

import numpy as np
import pytest

import export
import generate
import neighbors
import ptb_word_lm
import score
from rnn import files
from tasks import char_lm, letters, ocr, sentiment, word2vec
from tests.helpers.calls import call
from tests.helpers.limits import limits
from tests.helpers.odd_input import JSON_VALUES
from tests.helpers.texts import letter_lines, write_archive

CASES = int(os.environ.get("CASES", "0"))


def flip_a_byte(path, rng):
  def flip(content):
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
  edit(path, flip)


def cut(path, rng):
  def remove(content):
    start = rng.randrange(len(content))
    del content[start:rng.choice([start + 1, start + 9, len(content)])]
  edit(path, remove)


def repeat_a_part(path, rng):
  def insert(content):
    start, at = (rng.randrange(len(content)) for _ in range(2))
    content[at:at] = content[start:start + rng.choice([1, 40, 4000])]
  edit(path, insert)


def edit(path, change):
  """Applies a function to the bytes of a file, a bytearray."""
  with open(path, "rb") as file:
    content = bytearray(file.read())
  if content:
    change(content)
  with open(path, "wb") as file:
    file.write(content)


def change_json(path, rng):
  """Replaces or removes a value, at any depth; a digest is renewed or not."""
  try:
    with open(path) as file:
      content = json.load(file)
  except ValueError:
    content = None
  if not content or not isinstance(content, (dict, list)):
    return flip_a_byte(path, rng)
  place = content
  while True:
    keys = list(place) if isinstance(place, dict) else range(len(place))
    key = rng.choice(list(keys))
    if not place[key] or not isinstance(place[key], (dict, list)) or (
        rng.random() < 0.2):
      break
    place = place[key]
  if rng.random() < 0.2:
    del place[key]
  else:
    place[key] = rng.choice(JSON_VALUES)
  if "sha256" in content and "content" in content and rng.random() < 0.5:
    return files.write_sealed(path, content["content"])
  with open(path, "w") as file:
    json.dump(content, file)


def replace(path, rng):
  """Puts another kind of entry into the place of a file or a folder."""
  if rng.random() < 0.3:
    path = os.path.dirname(path)
  files.remove(path)
  rng.choice([
      os.mkdir, os.mkfifo, lambda path: os.symlink("/nowhere", path),
      lambda path: os.symlink(path, path), lambda path: None])(path)


DAMAGE = [flip_a_byte, flip_a_byte, cut, repeat_a_part, change_json,
          change_json, replace]


def commands(run, text, output):
  """Returns the scripts that read a run: name -> (module, flags)."""
  flags = [f"--save_path={run}"]
  best = [*flags, "--checkpoint=best"]
  return {
      "score": (score, [*flags, f"--text={text}/test.txt"]),
      "score the best": (score, [*best, f"--text={text}/test.txt"]),
      "average": (score, [*flags, f"--text={text}/test.txt",
                          "--average_last=2"]),
      "generate": (generate, [*flags, "--num_words=9", "--seed=1"]),
      "neighbors": (neighbors, [*flags, "--words=the"]),
      "export": (export, [*flags, f"--output={output}"]),
      "eval": (ptb_word_lm, [*flags, "--mode=eval"]),
      "train": (ptb_word_lm, [
          *flags, "--model=test", f"--data_path={text}",
          "--config_override=max_max_epoch=3,max_epoch=9,max_grad_norm=5,"
          "hidden_size=24,num_layers=2,num_steps=5"])}


def figures(script, out):
  """Returns the part of a script's output that damage must not change."""
  return [] if script in ("train", "export") else [
      line for line in out.splitlines()
      if "/run" not in line and "tokens, " not in line]


def call_on_damage(run, whole, choices, rng, case):
  """Damages a file of a copy of a run, and calls a script.

  Args:
    run: the folder for the copy. whole: the run.
    choices: the scripts, as `commands` returns them.

  Returns:
    name, status, out: which script it was, its exit status and output.
  """
  files.remove(run)
  shutil.copytree(whole, run)
  path = rng.choice([os.path.join(folder, name)
                     for folder, _, names in sorted(os.walk(run))
                     for name in sorted(names)])
  damage, name = rng.choice(DAMAGE), rng.choice(list(choices))
  script, flags = choices[name]
  damage(path, rng)
  what = f"case {case}: {damage.__name__} {path}, {name}"
  out, err = io.StringIO(), io.StringIO()
  try:
    with limits(), contextlib.redirect_stdout(out), (
        contextlib.redirect_stderr(err)):
      status = call(script, *flags)
  except Exception as error:
    raise AssertionError(what) from error
  message = err.getvalue()
  if status:
    *warnings, last = [line for line in message.splitlines()
                       if not line.startswith("  ")]  # a list of differences
    assert all(": warning: " in warning for warning in warnings), (what, last)
    assert last.isprintable() and len(last) > 20, (what, last)
  return name, status, out.getvalue(), "damaged checkpoint" in message, what


@pytest.mark.parametrize("first, number", [
    (0, CASES or 12),
    pytest.param(12, 28, marks=pytest.mark.slow)])
def test_damage_to_a_run(trained_runs, tmp_path, capsys, first, number):
  text, run = str(trained_runs / "text"), str(tmp_path / "run")
  shutil.copytree(trained_runs / "a", run)
  expected, failed = {}, 0
  for name, (script, flags) in commands(run, text, tmp_path / "x").items():
    capsys.readouterr()
    assert call(script, *flags) == 0
    expected[name] = figures(name, capsys.readouterr().out)
  for case in range(first, first + number):
    name, status, out, falls_back, what = call_on_damage(
        run, trained_runs / "a", commands(run, text, tmp_path / f"out-{case}"),
        random.Random(case), case)
    failed += status != 0
    # After a fallback the figures are those of another epoch.
    if status == 0 and not falls_back:
      assert figures(name, out) == expected[name], what
  assert 0 < failed < number


def tasks_commands(folder, corpus):
  """Returns scripts that train and read runs of tasks: name -> (module, flags).
  """
  rng = np.random.default_rng(0)
  words = [("abc", number % 10) for number in range(30)]
  images = rng.integers(0, 2, [30, 3, letters.PIXELS])
  (folder / "letters").write_text("".join(letter_lines(words, images)))
  write_archive(folder / "reviews", {
      f"{split}/{label}/{i}_{stars}.txt": "a film, and a long one"
      for split in ("train", "test") for i in range(20)
      for label, stars in (("neg", 1), ("pos", 9))})
  flags = {
      ocr: [f"--data_path={folder}/letters",
            "--config_override=hidden_size=3,max_max_epoch=2"],
      sentiment: [f"--data_path={folder}/reviews", "--config_override="
                  "hidden_size=3,embedding_size=2,num_steps=5,batch_size=4,"
                  "max_max_epoch=2"],
      char_lm: [f"--data_path={corpus}/train.txt", "--config_override="
                "hidden_size=4,num_steps=5,batch_size=4,epoch_size=3,"
                "max_max_epoch=2"],
      word2vec: [f"--data_path={corpus}/train.txt", "--config_override="
                 "embedding_size=4,batch_size=100,max_max_epoch=2"]}
  return {script.__name__: (script, flags[script]) for script in flags}


@pytest.mark.slow
def test_damage_to_the_run_of_a_task(corpus_folder, tmp_path):
  """Training resumes; sentiment also classifies."""
  failed = 0
  choices = {}
  for name, (script, flags) in tasks_commands(tmp_path, corpus_folder).items():
    run = f"{tmp_path}/run"
    files.remove(run)
    assert call(script, *flags, f"--save_path={run}") == 0
    shutil.copytree(run, f"{tmp_path}/{name}")
    choices[name] = {name: (script, [*flags, f"--save_path={run}"])}
  for case in range(20, 40):
    rng = random.Random(case)
    name = rng.choice(list(choices))
    _, status, *_ = call_on_damage(
        run, f"{tmp_path}/{name}", choices[name], rng, case)
    failed += status != 0
  assert 0 < failed < 20
