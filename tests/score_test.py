"""Scores of text: against the oracle, the training, and each other."""

import itertools
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import oracle
import pytest
from script_test import ROOT, assert_one_line

import adaptation
import checkpoints
import reader
import score
import trained_model

TEXT = "the population of the xyz\n\nthe\n" + "a b the economy " * 9 + "\nthe\n"
LINES = [line.split() for line in TEXT.splitlines()]


@pytest.fixture(scope="module")
def models(trained_runs):
  return [trained_model.load(str(trained_runs / name)) for name in "ab"]


def oracle_probs(trained, words, first):
  """Of each of the words, after `first` and those before, from the zero state.

  In NumPy and float64.
  """
  ids = trained.vocabulary.encode([first, *words])[:, None]
  state = [(np.zeros([1, size]), np.zeros([1, size]))
           for size in trained.config.layer_sizes]
  nats, _ = oracle.Model(trained.values).forward(
      ids[:-1], ids[1:], state, [1] * (len(state) + 1))
  return np.exp(-nats[:, 0])


def sentence_scores(models, texts):
  lines = score.lines_of(texts, models[0].vocabulary)
  return [log_probs for _, log_probs in score.score_sentences(models, lines)]


def run(call_script, capsys, *flags):
  """The script's output (a list of lists of columns), and its summary."""
  assert call_script(score, *flags) == 0
  out, err = capsys.readouterr()
  return [line.split("\t") for line in out.splitlines()], err.splitlines()


def test_sentences_equal_the_oracle(models):
  """Unequal lengths, unknown words, a blank line; models of unequal sizes."""
  scores = sentence_scores(models, LINES)
  for log_probs, words in zip(scores, LINES, strict=True):
    expected = [oracle_probs(model, [*words, "<eos>"], "<eos>")
                for model in models]
    np.testing.assert_allclose(np.exp(log_probs), [
        np.mean(expected, axis=0), *expected], rtol=1e-4)


def test_a_stream_equals_the_oracle(models):
  vocabulary = models[0].vocabulary
  scores = list(score.score_stream(models, score.lines_of(LINES, vocabulary)))
  assert [line.words[:-1] for line, _ in scores] == LINES
  words = [word for line, _ in scores for word in line.words]
  found = np.exp(np.concatenate([p for _, p in scores], axis=1))
  assert np.isnan(found[:, 0]).all()
  expected = [oracle_probs(model, words[1:], words[0]) for model in models]
  np.testing.assert_allclose(
      found[:, 1:], [np.mean(expected, axis=0), *expected], rtol=1e-4)


def test_a_batch_scores_as_its_lines_alone(models):
  rng = np.random.default_rng(0)
  words = models[0].vocabulary.words
  texts = [list(rng.choice(words, rng.integers(0, 40))) for _ in range(150)]
  together = sentence_scores(models[:1], texts)
  for i in 0, 1, 77, 149:
    (alone,) = sentence_scores(models[:1], texts[i:i + 1])
    np.testing.assert_allclose(alone, together[i], rtol=1e-6, atol=1e-6)
    assert alone.shape == (1, len(texts[i]) + 1)


def test_lines_stream(models, monkeypatch):
  """Not many are read ahead, and all come out in their order."""
  monkeypatch.setattr(score, "_AT_ONCE", (10, 30))
  read = []

  def texts():
    for i in range(100):
      read.append(i)
      yield ["the"] * (i % 4)

  lines = score.lines_of(texts(), models[0].vocabulary)
  for number, (line, _) in enumerate(score.score_sentences(models, lines), 1):
    assert line.key == number and len(read) - number < 10
  assert number == 100
  read.clear()
  lines = score.lines_of(texts(), models[0].vocabulary)
  for number, (line, _) in enumerate(score.score_stream(models, lines), 1):
    assert line.key == number and len(read) - number < 10
  assert number == 100


def test_the_perplexity_that_training_printed(
    trained_runs, call_script, capsys):
  """Of the last epoch and the best, and without unknown words."""
  flags = [f"--text={trained_runs}/text/test.txt", "--state=carry"]
  for name in "a", "b":
    found = checkpoints.RunDirectory(str(trained_runs / name))
    tests = found.tests()
    path = f"--save_path={found.path}"
    rows, summary = run(call_script, capsys, path, *flags)
    words = (trained_runs / "text" / "test.txt").read_text().split()
    assert summary[0].startswith(
        f"{trained_runs}/text/test.txt: 60 lines, {len(words) + 59:,} tokens, ")
    assert summary[2].startswith(f"{found.path} (epoch 3) ")
    assert summary[2].split()[-2] == f"{tests[3]:.3f}"
    nats = -sum(float(row[1]) for row in rows[1:])
    tokens = sum(int(row[2]) for row in rows[1:])
    assert math.exp(nats / tokens) == pytest.approx(tests[3], rel=1e-6)
    _, summary = run(call_script, capsys, path, *flags, "--checkpoint=best")
    assert summary[2].split()[-2] == f"{tests[found.best().epoch]:.3f}"


@pytest.mark.slow
def test_averages_report_each_model_alone(trained_runs, call_script, capsys):
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
def test_columns(trained_runs, models, call_script, capsys, tmp_path):
  (tmp_path / "text").write_text(TEXT)
  flags = [f"--save_path={trained_runs}/a", f"--text={tmp_path}/text"]
  rows, summary = run(call_script, capsys, *flags)
  assert rows[0] == ["line", "log_prob", "tokens", "unk", "perplexity"]
  unknown = [1, 0, 0, 9 * ("b" not in models[0].vocabulary), 0]
  total = 0
  for i, (row, words) in enumerate(zip(rows[1:], LINES, strict=True)):
    nats = -np.log(
        oracle_probs(models[0], [*words, "<eos>"], "<eos>")).sum()
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
    trained_runs, models, call_script, capsys, tmp_path):
  """A literal <unk> is one, too."""
  words = ["the", "xyz", "of", "<unk>", "the", "<eos>"]
  (tmp_path / "text").write_text(" ".join(words[:-1]))
  _, summary = run(call_script, capsys, f"--save_path={trained_runs}/a",
                   f"--text={tmp_path}/text")
  assert ("1 lines, 6 tokens, 2 of them <unk> (1 not in the vocabulary)"
          in summary[0])
  nats = -np.log(oracle_probs(models[0], words, "<eos>"))
  np.testing.assert_allclose(
      [float(x) for x in summary[2].split()[-2:]],
      [np.exp(nats.mean()), np.exp(nats[[0, 2, 4, 5]].mean())], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["reset", "carry"])
def test_words(trained_runs, call_script, capsys, tmp_path, state):
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


def test_json_holds_the_same(trained_runs, call_script, capsys, tmp_path):
  (tmp_path / "text").write_text("the\n" + TEXT)
  flags = [f"--save_path={trained_runs}/a", f"--text={tmp_path}/text",
           "--state=carry"]
  header, *rows = run(call_script, capsys, *flags)[0]
  words = run(call_script, capsys, *flags, "--per_word")[0][1:]
  assert call_script(score, *flags, "--per_word", "--output=json") == 0

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
def test_n_best_lists_from_a_pipe(trained_runs, models):
  """As a user runs it: standard output has the scores alone."""
  done = subprocess.run(
      [sys.executable, os.path.join(ROOT, "score.py"),
       f"--save_path={trained_runs}/a", "--with_ids", "--noheader",
       "--log_base=10"],
      input="utt1-1 the population\nutt1-2 the\tthe\r\nutt-\u00e9\n",
      capture_output=True, text=True, encoding="utf-8", timeout=120)
  assert done.returncode == 0, done.stderr
  rows = [line.split("\t") for line in done.stdout.splitlines()]
  assert [row[0] for row in rows] == ["utt1-1", "utt1-2", "utt-\u00e9"]
  assert [row[2] for row in rows] == ["3", "3", "1"]
  for row, text in zip(rows, ("the population", "the the", ""), strict=True):
    p = oracle_probs(models[0], [*text.split(), "<eos>"], "<eos>")
    np.testing.assert_allclose(float(row[1]), np.log10(p).sum(), rtol=1e-5)
  assert done.stderr.startswith("standard input: 3 lines, 7 tokens, ")


@pytest.mark.slow
def test_adaptation_stands_beside_the_static_figure(
    trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a,{trained_runs}/b", "--state=carry",
           f"--text={trained_runs}/text/test.txt"]
  static, summary = run(call_script, capsys, *flags)
  rows, adapted = run(call_script, capsys, *flags, "--dynamic=0.3",
                      "--cache=50,0.5,0.2")
  kinds = ["", "_cache", "_dynamic", "_dynamic_cache"]
  assert rows[0] == [
      "line", "log_prob", "tokens", "unk", "perplexity",
      *[f"log_prob{kind}{model}" for kind in kinds
        for model in ("", "_1", "_2")][1:]]
  assert [row[:7] for row in rows] == static
  # More space before the figures, for the longer names.
  assert [x.split() for x in adapted[2:5]] == [x.split() for x in summary[2:]]
  assert [re.sub(r".*\(", "", re.sub(" {2}.*", "", line))
          for line in adapted[5:]] == [
              f"{name}, {kind}" for kind in (
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


def test_the_first_word_of_a_stream_counts_nowhere(
    trained_runs, models, call_script, capsys, tmp_path):
  words = ["xyz", "the", "<eos>"]
  (tmp_path / "text").write_text("xyz the\n")
  rows, summary = run(call_script, capsys, f"--save_path={trained_runs}/a",
                      f"--text={tmp_path}/text", "--state=carry")
  assert rows[1][2:4] == ["2", "0"]
  assert ("1 lines, 2 tokens, 0 of them <unk> (0 not in the vocabulary)"
          in summary[0])
  p = oracle_probs(models[0], words[1:], words[0])
  np.testing.assert_allclose(
      [float(x) for x in summary[2].split()[-2:]],
      [np.exp(-np.log(p).mean())] * 2, rtol=1e-4)


BAD_TEXTS = {
    "empty": (b"", "text: the file is empty"),
    "blank": (b"  ", "text: the file is empty"),
    "not UTF-8": (b"the\n\xe4\n", "text: line 2 is not UTF-8 text; convert it"),
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
    ("--text=.", "Is a directory"),
    ("--text=one --state=carry", "one: has no word to score"),
    ("--text=blanks --with_ids", "line 2 is blank: with --with_ids"),
    ("--dynamic=0.1", "--dynamic: adapts .* give --state=carry"),
    ("--cache=1,1,0.1", "--cache: adapts .* give --state=carry"),
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
     r"--cache: 10,000,000,000 words take [\d,.]+ GB, and there are .*lower"),
    ("--state=carry --cache=1" + 400 * "0" + ",1,0.1", "SIZE,THETA,LAMBDA"),
    ("--state=carry --cache=1,1e300,0.1", "must be SIZE,THETA,LAMBDA"),
    ("--state=carry --dynamic=1e300", "must be a learning rate above 0 and at"),
    ("--text=", "no name; - is standard input"),
    ("--save_path=,", "--save_path: name the folder"),
])
def test_bad_flags_get_one_line(
    trained_runs, call_script, capsys, tmp_path, monkeypatch, flags, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "one").write_text("\n")
  (tmp_path / "blanks").write_text("a\n\nb\n")
  assert call_script(score, f"--save_path={trained_runs}/a",
                     f"--text={trained_runs}/text/test.txt",
                     *flags.split()) == 1
  out, err = capsys.readouterr()
  assert_one_line(err, "score.py", message)
  assert out == "" or "one" in flags or "line 2" in message


def test_dynamic_evaluation_takes_a_second_cache(
    trained_runs, models, call_script, capsys, monkeypatch):
  one = adaptation.cache_bytes(adaptation.CACHE, models[0].config)
  memory = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": one}
  sysconf = os.sysconf
  monkeypatch.setattr(
      os, "sysconf", lambda name: memory.get(name) or sysconf(name))
  flags = [f"--save_path={trained_runs}/a", "--state=carry", "--cache=default",
           f"--text={trained_runs}/text/test.txt"]
  assert call_script(score, *flags) == 0
  capsys.readouterr()
  assert call_script(score, *flags, "--dynamic=default") == 1
  assert_one_line(capsys.readouterr().err, "score.py", "--cache: 700 words")


@pytest.mark.slow
def test_dynamic_evaluation_that_diverges_is_told_of(
    trained_runs, call_script, capsys):
  assert call_script(
      score, f"--save_path={trained_runs}/a", "--state=carry",
      f"--text={trained_runs}/text/test.txt", "--dynamic=1e6") == 0
  err = capsys.readouterr().err
  assert ("score.py: warning: dynamic evaluation has diverged; lower --dynamic"
          in err)
  assert all(len(line) < 200 for line in err.splitlines())


def test_models_of_other_words_are_refused(
    trained_runs, corpus_folder, call_script, call_main, capsys, tmp_path):
  assert call_main("--model=test", f"--data_path={corpus_folder}",
                   f"--save_path={tmp_path}/other") == 0
  capsys.readouterr()
  assert call_script(
      score, f"--save_path={trained_runs}/a,{tmp_path}/other") == 1
  assert_one_line(
      capsys.readouterr().err, "score.py",
      r"a \(epoch 3\) and .*other \(epoch 1\) differ in their vocabularies of "
      r"[\d,]+ and 9 words: word 1 is \S+ in the one and \S+ in the other; "
      "average only models")


@pytest.mark.parametrize("text, expected", [
    (b"\xef\xbb\xbfa  b\tc\r\n\n d", [["a", "b", "c"], [], ["d"]]),
    ("a\u00a0b \u2028\n".encode(), [["a\u00a0b", "\u2028"]]),
    (b"a\n  ", [["a"]]), (b"\n", [[]])])
def test_lines_are_parted_as_training_texts_are(
    tmp_path, monkeypatch, text, expected):
  (tmp_path / "text").write_bytes(text)
  path = str(tmp_path / "text")
  assert list(reader.read_lines(path)) == expected
  words, places = reader.read_text(path)
  assert [words[i] for i in places] == [
      word for line in expected for word in [*line, "<eos>"]]


def test_scores_on_ptb(ptb_folder, trained_runs, call_script, capsys):
  """Real text with real <unk>s, through a model of other words."""
  _, summary = run(call_script, capsys, f"--save_path={trained_runs}/b",
                   f"--text={ptb_folder}/ptb.test.txt")
  assert "3,761 lines, 82,430 tokens, " in summary[0]
