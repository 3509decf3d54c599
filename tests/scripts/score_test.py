"""The command line of score.py: columns, summary, errors."""

import itertools
import json
import math
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import score
from rnn import memory
from rnn.runs.directory import RunDirectory
from rnn.training import footprint
from tests.helpers import warm_python
from tests.helpers.calls import ROOT, assert_one_line
from tests.helpers.trained_models import oracle_probabilities
from trained import adaptation
from trained.model import load

TEXT = "the population of the xyz\n\nthe\n" + "a b the economy " * 9 + "\nthe\n"
LINES = [line.split() for line in TEXT.splitlines()]


@pytest.fixture(scope="module")
def model(trained_runs):
  return load(str(trained_runs / "a"))


def run(call_script, capsys, *flags):
  """Returns rows, summary: the columns of each line of output, and lines."""
  assert call_script(score, *flags) == 0
  out, err = capsys.readouterr()
  return [line.split("\t") for line in out.splitlines()], err.splitlines()


def test_the_perplexity_equals_the_test_of_training(
    trained_runs, call_script, capsys):
  """For the last checkpoint and the best."""
  flags = [f"--text={trained_runs}/text/test.txt", "--state=carry"]
  for name in "a", "b":
    run_directory = RunDirectory(str(trained_runs / name))
    tests = run_directory.tests()
    path = f"--save_path={run_directory.path}"
    rows, summary = run(call_script, capsys, path, *flags)
    words = (trained_runs / "text" / "test.txt").read_text().split()
    assert summary[0].startswith(
        f"{trained_runs}/text/test.txt: 60 lines, {len(words) + 59:,} tokens, ")
    assert summary[2].startswith(f"{run_directory.path} (epoch 3) ")
    assert summary[2].split()[-2] == f"{tests[3]:.3f}"
    nats = -sum(float(row[1]) for row in rows[1:])
    tokens = sum(int(row[2]) for row in rows[1:])
    assert math.exp(nats / tokens) == pytest.approx(tests[3], rel=1e-6)
    _, summary = run(call_script, capsys, path, *flags, "--checkpoint=best")
    best = run_directory.best().epoch
    assert summary[2].split()[-2] == f"{tests[best]:.3f}"


@pytest.mark.slow
def test_an_average_is_followed_by_its_models(
    trained_runs, call_script, capsys):
  flags = [f"--text={trained_runs}/text/test.txt", "--state=carry"]
  a, b = trained_runs / "a", trained_runs / "b"
  alone = [run(call_script, capsys, f"--save_path={path}", *flags)
           for path in (a, b)]
  rows, summary = run(call_script, capsys, f"--save_path={a},{b}", *flags)
  assert [line.split()[-2:] for line in summary[3:]] == [
      summary_[2].split()[-2:] for _, summary_ in alone]
  assert summary[2].startswith("average of 2 ")
  both, *each = (float(line.split()[-2]) for line in summary[2:])
  assert both < np.exp(np.mean(np.log(each)))  # by Jensen's inequality
  assert rows[0] == ["line", "log_prob", "tokens", "unk", "perplexity",
                     "log_prob_1", "log_prob_2"]
  for row, one, other in zip(rows[1:], *(r[1:] for r, _ in alone), strict=True):
    assert row[-2:] == [one[1], other[1]]
  twice, summary = run(call_script, capsys, f"--save_path={a},{a}", *flags)
  for row, one in zip(twice[1:], alone[0][0][1:], strict=True):
    np.testing.assert_allclose(float(row[1]), float(one[1]), atol=2e-6)


@pytest.mark.slow
def test_columns(trained_runs, model, call_script, capsys, tmp_path):
  (tmp_path / "text").write_text(TEXT)
  flags = [f"--save_path={trained_runs}/a", f"--text={tmp_path}/text"]
  rows, summary = run(call_script, capsys, *flags)
  assert rows[0] == ["line", "log_prob", "tokens", "unk", "perplexity"]
  unknown = [1, 0, 0, 9 * ("b" not in model.vocabulary), 0]
  total = 0
  for i, (row, words) in enumerate(zip(rows[1:], LINES, strict=True)):
    nats = -np.log(oracle_probabilities(
        model, [*words, "<eos>"], "<eos>")).sum()
    total += nats
    size = len(words) + 1
    assert row[0] == str(i + 1) and row[2:4] == [str(size), str(unknown[i])]
    np.testing.assert_allclose(
        [float(row[1]), float(row[4])], [-nats, np.exp(nats / size)], rtol=1e-5)
  assert f"5 lines, 48 tokens, {sum(unknown)} of them <unk> " \
      f"({sum(unknown)} not in the vocabulary); " in summary[0]
  np.testing.assert_allclose(
      float(summary[2].split()[-2]), np.exp(total / 48), rtol=1e-4)
  for base, factor in (2, math.log(2)), (10, math.log(10)):
    other, _ = run(call_script, capsys, *flags, f"--log_base={base}")
    for row, in_nats in zip(other[1:], rows[1:], strict=True):
      assert row[2:] == in_nats[2:]
      np.testing.assert_allclose(
          float(row[1]) * factor, float(in_nats[1]), rtol=1e-5)
  assert run(call_script, capsys, *flags, "--noheader")[0] == rows[1:]


def test_perplexity_without_unknown_words(
    trained_runs, model, call_script, capsys, tmp_path):
  """A literal <unk> in the text counts as <unk>, too."""
  words = ["the", "xyz", "of", "<unk>", "the", "<eos>"]
  (tmp_path / "text").write_text(" ".join(words[:-1]))
  _, summary = run(call_script, capsys, f"--save_path={trained_runs}/a",
                   f"--text={tmp_path}/text")
  assert ("1 line, 6 tokens, 2 of them <unk> (1 not in the vocabulary)"
          in summary[0])
  nats = -np.log(oracle_probabilities(model, words, "<eos>"))
  np.testing.assert_allclose(
      [float(x) for x in summary[2].split()[-2:]],
      [np.exp(nats.mean()), np.exp(nats[[0, 2, 4, 5]].mean())], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["reset", "carry"])
def test_per_word(trained_runs, call_script, capsys, tmp_path, state):
  (tmp_path / "text").write_text(TEXT)
  flags = [f"--save_path={trained_runs}/a,{trained_runs}/b",
           f"--text={tmp_path}/text", f"--state={state}"]
  lines, summary = run(call_script, capsys, *flags)
  words, same = run(call_script, capsys, *flags, "--per_word")
  assert words[0] == ["line", "word", "unk", "log_prob", "log_prob_1",
                      "log_prob_2"]
  assert same[2:] == summary[2:]
  for line, group in itertools.groupby(words[1:], lambda row: row[0]):
    group = list(group)
    total = lines[int(line)]
    assert [row[1] for row in group] == [*LINES[int(line) - 1], "<eos>"]
    scored = [row for row in group if row[3] != "nan"]
    assert len(group) - len(scored) == (line == "1" and state == "carry")
    assert [len(scored), sum(int(row[2]) for row in scored)] == [
        int(total[2]), int(total[3])]
    np.testing.assert_allclose(
        np.array([row[3:] for row in scored], float).sum(axis=0),
        [float(total[1]), *map(float, total[5:])], atol=1e-5)


def test_normalize_prepares_lines(trained_runs, call_script, capsys, tmp_path):
  (tmp_path / "english").write_text("u1 The Population!\nu2 The 1,000\n")
  (tmp_path / "plain").write_text("u1 the population\nu2 the N\n")
  flags = [f"--save_path={trained_runs}/a", "--with_ids"]
  expected, _ = run(call_script, capsys, *flags, f"--text={tmp_path}/plain")
  text = f"--text={tmp_path}/english"
  rows, summary = run(call_script, capsys, *flags, text, "--normalize")
  assert rows == expected and len(summary) == 3
  _, summary = run(call_script, capsys, *flags, text)
  assert summary[0] == (
      "score.py: warning: not in the vocabulary, read as <unk>: The (the "
      "vocabulary has the), Population! (the vocabulary has population), 1,000 "
      "(the vocabulary has N); normalize prepares ordinary English")


def test_a_terminal_is_asked_for_text(
    trained_runs, call_script, capsys, monkeypatch):
  monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: True))
  monkeypatch.setattr(score.reader, "read_lines", lambda *_: iter([["the"]]))
  _, (asked, *_) = run(call_script, capsys, f"--save_path={trained_runs}/a")
  assert asked == ("reading standard input, one sentence per line; Ctrl-D ends "
                   "it (--text names a file)")


def test_json_has_the_same_scores(trained_runs, call_script, capsys, tmp_path):
  (tmp_path / "text").write_text("the\n" + TEXT)
  flags = [f"--save_path={trained_runs}/a", f"--text={tmp_path}/text",
           "--state=carry"]
  header, *rows = run(call_script, capsys, *flags)[0]
  words = run(call_script, capsys, *flags, "--per_word")[0][1:]
  assert call_script(score, *flags, "--per_word", "--format=json") == 0

  def refuse(constant):
    raise AssertionError(constant)

  for line, row in zip(capsys.readouterr().out.splitlines(), rows, strict=True):
    record = json.loads(line, parse_constant=refuse)
    assert list(record) == [*header, "words"]
    for name, value in zip(header, row, strict=True):
      assert f"{record[name]:.6f}".rstrip("0") == f"{float(value):.6f}".rstrip(
          "0")
    for word in record["words"]:
      expected = words.pop(0)
      assert word["word"] == expected[1] and word["unk"] == int(expected[2])
      assert (expected[3] == "nan" if word["log_prob"] is None else
              f"{word['log_prob']:.6f}" == expected[3])
  assert not words


@pytest.mark.slow
def test_n_best_lists_from_a_pipe(trained_runs, model):
  """In its own process: standard output has nothing except the scores."""
  process = subprocess.run(
      [*warm_python.command(), os.path.join(ROOT, "score.py"),
       f"--save_path={trained_runs}/a", "--with_ids", "--noheader",
       "--log_base=10"],
      input="utt1-1 the population\nutt1-2 the\tthe\r\nutt-\u00e9\n",
      capture_output=True, text=True, encoding="utf-8", timeout=120)
  assert process.returncode == 0, process.stderr
  rows = [line.split("\t") for line in process.stdout.splitlines()]
  assert [row[0] for row in rows] == ["utt1-1", "utt1-2", "utt-\u00e9"]
  assert [row[2] for row in rows] == ["3", "3", "1"]
  for row, text in zip(rows, ("the population", "the the", ""), strict=True):
    p = oracle_probabilities(model, [*text.split(), "<eos>"], "<eos>")
    np.testing.assert_allclose(float(row[1]), np.log10(p).sum(), rtol=1e-5)
  assert process.stderr.startswith("standard input: 3 lines, 7 tokens, ")


@pytest.mark.slow
def test_adaptation_adds_columns_and_lines(
    trained_runs, call_script, capsys, monkeypatch):
  flags = [f"--save_path={trained_runs}/a,{trained_runs}/b", "--state=carry",
           f"--text={trained_runs}/text/test.txt"]
  # With the same windows, the static scores are equal to the last digit.
  monkeypatch.setattr(adaptation, "_LONG_WINDOW", 1)
  static, summary = run(call_script, capsys, *flags)
  rows, adapted = run(call_script, capsys, *flags, "--dynamic=0.3",
                      "--cache=50,0.5,0.2")
  methods = ["", "_cache", "_dynamic", "_dynamic_cache"]
  assert rows[0] == [
      "line", "log_prob", "tokens", "unk", "perplexity",
      *[f"log_prob{method}{number}" for method in methods
        for number in ("", "_1", "_2")][1:]]
  assert [row[:7] for row in rows] == static
  # The names are longer, so more blanks precede the figures.
  assert [x.split() for x in adapted[2:5]] == [x.split() for x in summary[2:]]
  assert [re.sub(r".*\(", "", re.sub(" {2}.*", "", line))
          for line in adapted[5:]] == [
              f"{name}, {method}" for method in (
                  "cache", "dynamic", "dynamic and cache")
              for name in ("average of 2", "epoch 3)", "epoch 3)")]
  tokens = sum(int(row[2]) for row in rows[1:])
  for column, line in zip([1, *range(5, 16)], adapted[2:], strict=True):
    nats = -sum(float(row[column]) for row in rows[1:])
    assert math.exp(nats / tokens) == pytest.approx(
        float(line.split()[-2]), abs=1e-3)
  defaults = run(call_script, capsys, *flags, "--dynamic=default",
                 "--cache=default")[0]
  assert defaults[0] == rows[0] and defaults[1:] != rows[1:]


def test_the_first_word_of_a_stream_does_not_count(
    trained_runs, model, call_script, capsys, tmp_path):
  words = ["xyz", "the", "<eos>"]
  (tmp_path / "text").write_text("xyz the\n")
  rows, summary = run(call_script, capsys, f"--save_path={trained_runs}/a",
                      f"--text={tmp_path}/text", "--state=carry")
  assert rows[1][2:4] == ["2", "0"]
  assert ("1 line, 2 tokens, 0 of them <unk> (0 not in the vocabulary)"
          in summary[0])
  p = oracle_probabilities(model, words[1:], words[0])
  np.testing.assert_allclose(
      [float(x) for x in summary[2].split()[-2:]],
      [np.exp(-np.log(p).mean())] * 2, rtol=1e-4)


BAD_TEXTS = {
    "empty": (b"", "text: the file is empty"),
    "blank": (b"  ", "text: the file is empty"),
    "not UTF-8": (b"the\n\xe4\n", "text: not UTF-8 text, see byte 4; .* its "
                  r"encoding, which may be cp1252 \(--encoding=cp1252\)"),
}


@pytest.mark.parametrize("state", ["reset", "carry"])
@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_texts_get_one_line(
    trained_runs, call_script, capsys, tmp_path, case, state):
  content, message = BAD_TEXTS[case]
  (tmp_path / "text").write_bytes(content)
  assert call_script(score, f"--save_path={trained_runs}/a",
                     f"--text={tmp_path}/text", f"--state={state}") == 1
  assert_one_line(capsys.readouterr().err, "score.py", message)


@pytest.mark.parametrize("flags, message", [
    ("--text=nowhere", "nowhere: No such file or directory"),
    ("--text=folder", "folder: no files in this folder; name a folder of"),
    ("--text=one --state=carry", "one: has no word to score"),
    ("--text=blanks --with_ids", "--with_ids: line 2 is blank, but each"),
    ("--dynamic=0.1", "--dynamic: adapts .* needs --state=carry"),
    ("--cache=1,1,0.1", "--cache: adapts .* needs --state=carry"),
    ("--state=carry --dynamic=0", "--dynamic=0: must be a learning rate above"),
    ("--state=carry --dynamic=x", "--dynamic=x: must be a learning rate above"),
    ("--state=carry --dynamic=", "--dynamic=: must be a learning rate above"),
    ("--state=carry --dynamic=nan", "--dynamic=nan: must be a learning rate"),
    ("--state=carry --cache=9", "--cache=9: must be SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=", "--cache=: must be SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=0,1,0.1", "must be SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=1,-1,0.1", "must be SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=1,1,1", "must be SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=1,1,nan", "must be SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=10000000000,1,0.1",
     r"10,000,000,000 words in the cache take [\d,.]+ GB; lower SIZE of"),
    ("--state=carry --cache=1" + 400 * "0" + ",1,0.1", "SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=1,1e300,0.1", "must be SIZE,THETA,LAMBDA"),
    ("--state=carry --dynamic=1e300", "must be a learning rate above 0 and at"),
    ("--text=", "no name; - is standard input"),
    ("--save_path=,", "--save_path: name the folder"),
])
def test_bad_flags_get_one_line(
    trained_runs, call_script, capsys, tmp_path, monkeypatch, flags, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "folder").mkdir()
  (tmp_path / "one").write_text("\n")
  (tmp_path / "blanks").write_text("a\n\nb\n")
  assert call_script(score, f"--save_path={trained_runs}/a",
                     f"--text={trained_runs}/text/test.txt",
                     *flags.split()) == 1
  out, err = capsys.readouterr()
  assert_one_line(err, "score.py", message)
  assert out == "" or "one" in flags or "line 2" in message


def test_dynamic_evaluation_needs_memory_for_a_second_cache(
    trained_runs, model, call_script, capsys, monkeypatch):
  monkeypatch.setattr(adaptation, "_LONG_WINDOW", 1)  # the same in both calls
  one = adaptation.cache_bytes(adaptation.CACHE, model)
  monkeypatch.setattr(footprint, "check", lambda *_: None)
  monkeypatch.setattr(memory, "available", lambda: one)
  flags = [f"--save_path={trained_runs}/a", "--state=carry", "--cache=default",
           f"--text={trained_runs}/text/test.txt"]
  assert call_script(score, *flags) == 0
  capsys.readouterr()
  assert call_script(score, *flags, "--dynamic=default") == 1
  assert_one_line(capsys.readouterr().err, "score.py",
                  "700 words in the cache take .*; lower SIZE of --cache")


@pytest.mark.slow
def test_a_warning_if_dynamic_evaluation_diverges(
    trained_runs, call_script, capsys):
  assert call_script(
      score, f"--save_path={trained_runs}/a", "--state=carry",
      f"--text={trained_runs}/text/test.txt", "--dynamic=1e6") == 0
  err = capsys.readouterr().err
  assert ("score.py: warning: dynamic evaluation diverged; lower --dynamic"
          in err)
  assert all(len(line) < 200 for line in err.splitlines())


def test_scores_on_ptb(ptb_folder, trained_runs, call_script, capsys):
  """Real text with real <unk>s, through a model with another vocabulary."""
  _, summary = run(call_script, capsys, f"--save_path={trained_runs}/b",
                   f"--text={ptb_folder}/ptb.test.txt")
  assert "3,761 lines, 82,430 tokens, " in summary[-3]
