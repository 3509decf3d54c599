"""The language model of characters, from texts of each form."""

import bz2
import gzip
import json
import lzma
import math
import re
import shutil
import tracemalloc
from unittest import mock

import hypothesis
import pytest
from hypothesis import strategies

import configs
import generate
import ptb_word_lm
import reader
import score
from rnn import signals
from rnn.runs.training_run import TrainingRun
from rnn.text.vocabulary import EOS, UNK, Characters
from tasks import char_lm, hyperparameters, tables
from tests.helpers.calls import assert_one_line, assert_refused
from tests.helpers.run_folders import StopAfter, assert_same_run
from tests.helpers.texts import data_error

LINES = [f"we train net {i} on {i * 7 % 13} data, 'twas so." for i in range(60)]
SMALL = ("--config_override=hidden_size=12,batch_size=4,num_steps=10,"
         "epoch_size=40,max_max_epoch=2")
HEADER = "\tabstract\tacm_class\ttitle\n"


def decode(texts, vocabulary):
  """Returns a corpus as texts: a dict, split -> str."""
  return {split: vocabulary.join(vocabulary.decode(text.ids))
          for split, text in texts.items()}


EXPECTED = {
    split: "".join(f"{line}\n" for line in LINES[start:end])
    for split, start, end in (
        ("train", 0, 49), ("valid", 49, 54), ("test", 54, 60))}
FORMS = {
    "text": lambda text: text.encode(),
    "without the last newline": lambda text: text.encode()[:-1],
    "Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "table": lambda text: lzma.compress((HEADER + "".join(
        f'{i}\t"{line}"\tx\tA title\n'
        for i, line in enumerate(text.splitlines()))).encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_text_is_read(tmp_path, form):
  path = tmp_path / "text"
  path.write_bytes(FORMS[form]("".join(f"{line}\n" for line in LINES)))
  texts, vocabulary = char_lm.read_corpus(str(path))
  assert decode(texts, vocabulary) == EXPECTED
  assert isinstance(vocabulary, Characters)
  assert vocabulary.words[0] == " "  # the most frequent
  assert set(vocabulary.words) == {
      EOS, UNK, *EXPECTED["train"].replace("\n", "")}


def test_a_text_of_one_line_is_cut_between_words(tmp_path):
  words = [f"w{i}" for i in range(20_000)]
  (tmp_path / "text").write_text(" ".join(words))
  decoded = decode(*char_lm.read_corpus(str(tmp_path / "text")))
  assert "".join(decoded.values()) == " ".join(words) + "\n"
  assert [word for text in decoded.values() for word in text.split()] == words
  shares = [len(text) / 128_890 for text in decoded.values()]
  assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_a_run_split_by_the_older_rule_is_refused(
    text, tmp_path, call_script, capsys):
  run = f"{tmp_path}/run"
  arguments = (char_lm, f"--data_path={text}", f"--save_path={run}",
               SMALL.replace("epoch=2", "epoch=1"))
  assert call_script(*arguments) == 0
  path = tmp_path / "run" / "config.json"
  config = json.loads(path.read_text())
  assert config["data"].pop("split") == "in order, 80/10/10"
  path.write_text(json.dumps(config))
  capsys.readouterr()
  assert call_script(*arguments) == 1
  assert_refused(
      capsys.readouterr().err, "char_lm.py",
      "data.split .* lines 9 and 19 of every 20 there, "
      "in order, 80/10/10 here")


def test_a_folder_of_texts_is_read(tmp_path):
  for split in reader.SPLITS:
    (tmp_path / f"{split}.txt").write_text(f"  a_b {split[0]}\n")
  texts, vocabulary = char_lm.read_corpus(str(tmp_path))
  assert decode(texts, vocabulary)["train"] == "  a_b t\n"
  assert texts["valid"].unknown == 1  # the v


def test_the_penn_treebank_as_characters_is_read(tmp_path):
  for split in reader.SPLITS:
    (tmp_path / f"ptb.char.{split}.txt").write_text(
        "n o _ i t \n < u n k > \n ")
  texts, vocabulary = char_lm.read_corpus(str(tmp_path))
  assert set(decode(texts, vocabulary).values()) == {"no it\n<unk>\n"}


@hypothesis.settings(max_examples=300)
@hypothesis.given(
    strategies.text(strategies.sampled_from("ab \r\n\n\r\u00e9\u2028\x85")),
    strategies.integers(1, 6))
@hypothesis.example("a\r\nb", 2)
@hypothesis.example("ab\r\n\r\n", 3)
def test_lines_of_any_length_join_to_the_text(tmp_path_factory, text, most):
  """Line ends of all kinds, cut anywhere; a line end is never cut in two."""
  path = str(tmp_path_factory.getbasetemp() / "lines.txt")
  with open(path, "wb") as file:
    file.write(text.encode())
  with mock.patch.object(char_lm, "_MAX_LINE", most):
    lines = list(char_lm.read_lines(path))
  assert [c for line in lines for c in Characters.split(line)] == (
      Characters.split(text) + [EOS] * (not text.endswith(("\r", "\n")))
      if text else [])
  assert all(0 < len(line) <= most + 1 and "\n" not in line[:-1]
             for line in lines)


@pytest.mark.parametrize("number", [9_997, 9_998, 9_999, 10_000, 10_001])
def test_a_line_end_at_the_limit_of_a_line_adds_no_line(tmp_path, number):
  path = tmp_path / "text"
  path.write_bytes(b"a" * number + b"\r\nb\r\n")
  assert "".join(char_lm.read_lines(str(path))) == "a" * number + "\nb\n"


TABLES = {
    "a quote that is not closed": (
        'x\t"' + "a b\n" * 50_000, "line 25,001 belongs to a row"),
    "a row without end": (
        '"\n"\t' * 50_000, "line 25,002 belongs to a row"),
    "a line without end": (
        "a" * 300_000, "line 2 belongs to a row of more than 100,000 "),
    "a field of newlines": (
        'x\t"' + "\n" * 100_000, "line 99,999 belongs to a row"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_take_all_memory_get_one_line(tmp_path, monkeypatch, name):
  monkeypatch.setattr(tables, "_MAX_ROW", 100_000)
  rows, message = TABLES[name]
  path = tmp_path / "table"
  path.write_bytes(lzma.compress((HEADER + rows).encode(), preset=0))
  tracemalloc.start()
  try:
    assert message in data_error(
        lambda path: list(char_lm.read_lines(path)), path)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 6e6


def test_blank_rows_are_skipped_and_short_ones_are_blank(tmp_path):
  path = tmp_path / "table"
  path.write_text(HEADER + "\n" * 9 + "1\ta b\n\n2\n3\t c\n")
  assert list(char_lm.read_lines(str(path))) == ["a b\n", "\n", "c\n"]


BAD = {
    "empty": (b"", "the text is too short to be split in train, valid"),
    "short": (b"a\n" * 2, "the text is too short to be split in train, valid"),
    "latin 1": (b"\xff\n" * 40, "not UTF-8 text"),
    "gzip": (gzip.compress(b"abc\n" * 99)[:-9], "truncated or damaged"),
    "xz": (lzma.compress(b"abc\n" * 99)[:-9], "truncated or damaged"),
    "bzip2": (bz2.compress(b"abc\n" * 99)[:-9], "truncated or damaged"),
    "no bzip2": (b"BZh9 no bzip2", "truncated or damaged"),
    "missing": (None, "No such file or directory"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_texts_get_one_line(tmp_path, call_script, capsys, name):
  content, message = BAD[name]
  path = tmp_path / "text"
  if content is not None:
    path.write_bytes(content)
  assert call_script(char_lm, f"--data_path={path}") == 1
  assert_one_line(capsys.readouterr().err, "char_lm.py", f"{path}: {message}")


def test_a_missing_data_path_is_one_line(call_script, capsys):
  assert call_script(char_lm) == 1
  assert_one_line(capsys.readouterr().err, "char_lm.py",
                  "--data_path: name a text, or cs.NE.tsv.xz from https://")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
  path = tmp_path_factory.mktemp("text") / "text.txt"
  path.write_text("".join(f"{line}\n" for line in LINES))
  return str(path)


def test_end_to_end(text, tmp_path, call_script, capsys):
  """Trains, learns something, scores and generates."""
  run = f"{tmp_path}/run"
  assert call_script(
      char_lm, f"--data_path={text}", f"--save_path={run}", SMALL) == 0
  out = capsys.readouterr().out
  train, valid, test = map(float, re.search(
      r"this run +([\d.]+) +([\d.]+) +([\d.]+)\n", out).groups())
  assert train < valid + 0.5 and valid < 4.3 and test < 4.3  # log2(32) is 5
  logged = float(re.search(r"Test Bits Per Character: ([\d.]+)", out)[1])

  assert call_script(char_lm, f"--save_path={run}", "--mode=eval") == 0
  table = capsys.readouterr().out.splitlines()
  assert table[-1].split()[-2:] == [f"{valid:.2f}", f"{test:.2f}"]

  # score.py computes the same in another way: its perplexity is 2 ** bits.
  held_out = tmp_path / "test.txt"
  held_out.write_text(EXPECTED["test"])
  assert call_script(score, f"--save_path={run}", f"--text={held_out}",
                     "--state=carry") == 0
  summary = capsys.readouterr().err.splitlines()
  assert summary[-5].endswith(" characters/s") and summary[-2].startswith(
      "bits per character ")
  perplexity, bits = (
      float(summary[i].split()[-2]) for i in (-3, -1))
  assert bits == pytest.approx(logged, abs=2e-3)
  assert math.log2(perplexity) == pytest.approx(bits, abs=1e-3)

  assert call_script(generate, f"--save_path={run}", "--prompt=we train",
                     "--num_words=30", "--temperature=0.5") == 0
  written = capsys.readouterr().out
  assert written.startswith("we train") and len(written) == 8 + 30 + 1
  # A prompt leaves the state in which generation had been: it continues alike.
  assert call_script(generate, f"--save_path={run}", "--temperature=0",
                     "--prompt=we train net", "--num_words=20") == 0
  whole = capsys.readouterr().out[:-1]
  assert call_script(generate, f"--save_path={run}", "--temperature=0",
                     f"--prompt={whole[:22]}", "--num_words=10") == 0
  assert capsys.readouterr().out[:-1] == whole


@pytest.mark.parametrize("characters, settings", [
    (5_796, {"batch_size": 2, "epoch_size": 0, "early_stop": 3}),
    (60_000, {"batch_size": 6, "epoch_size": 0, "early_stop": 3}),
    (999_999, {"batch_size": 99, "epoch_size": 0, "early_stop": 3}),
    (1_000_000, {}), (5_000_000, {})])
def test_the_default_epoch_follows_the_text(characters, settings):
  """It is 200 windows of 100 x 50 characters of a text that has as many."""
  assert char_lm.settings_for(characters) == settings


@pytest.mark.slow
def test_settings_that_follow_the_text_are_plain_settings(
    text, tmp_path, call_script, capsys):
  """They are in config.json, and named ones win. An older run keeps its own."""
  run = tmp_path / "run"
  flags = [f"--data_path={text}", f"--save_path={run}"]
  named = "hidden_size=4,num_steps=10,max_max_epoch={},early_stop=1"

  def train(settings):
    status = call_script(char_lm, *flags, f"--config_override={settings}")
    config = json.loads((run / "config.json").read_text())["settings"]
    return status, capsys.readouterr(), [
        config[name] for name in ("batch_size", "epoch_size", "early_stop")]

  status, output, settings = train(named.format(1))
  assert (status, settings) == (0, [2, 0, 1])
  assert ("the epoch follows the text of 1,814 characters: batch_size=2, "
          "epoch_size=0\n") in output.out
  assert train(named.format(2))[::2] == (0, [2, 0, 1])  # it resumes

  # As before the epoch followed the text.
  shutil.rmtree(run)
  older = "hidden_size=4,num_steps=5,batch_size=100,epoch_size=200,early_stop=0"
  assert train(f"{older},max_max_epoch=1")[::2] == (0, [100, 200, 0])
  status, output, settings = train("hidden_size=4,num_steps=5,max_max_epoch=1")
  assert (status, settings) == (0, [100, 200, 0])
  assert "is finished" in output.out and "follows" not in output.out


def test_another_text_is_read_in_its_own_encoding(
    tmp_path, call_script, capsys):
  """The encoding of the run's text would turn it into other characters."""
  lines = "".join(f"{line}\n" for line in LINES).translate(
      {ord("a") + i: ord("а") + i for i in range(26)})
  for encoding in "cp1251", "utf-8":
    (tmp_path / encoding).write_text(lines, encoding=encoding)
  run = f"--save_path={tmp_path}/run"
  assert call_script(
      char_lm, run, f"--data_path={tmp_path}/cp1251", "--encoding=cp1251",
      SMALL.replace("epoch=2", "epoch=1")) == 0
  results = []
  for flag in [], [f"--data_path={tmp_path}/utf-8"]:
    capsys.readouterr()
    assert call_script(char_lm, run, "--mode=eval", *flag) == 0
    results.append(capsys.readouterr().out.splitlines()[-1])
  assert results[0] == results[1]


def test_a_run_of_characters_is_not_one_of_words(
    text, tmp_path, call_script, call_main, capsys):
  run = f"{tmp_path}/run"
  assert call_script(char_lm, f"--data_path={text}", f"--save_path={run}",
                     SMALL.replace("epoch=2", "epoch=1")) == 0
  capsys.readouterr()
  assert call_main("--mode=eval", f"--save_path={run}") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "does not hold a word model")
  assert call_script(score, f"--save_path={run}", f"--text={text}",
                     "--with_ids") == 1
  assert_one_line(capsys.readouterr().err, "score.py", "--with_ids")


@pytest.mark.slow
def test_stopped_anywhere_it_ends_in_the_same_bits(text, tmp_path):
  """With Adam's moments, and an epoch that ends within the text."""
  texts, vocabulary = char_lm.read_corpus(text)
  corpus = (*(t.ids for t in texts.values()), vocabulary)
  config = configs.override(hyperparameters.CHAR_LM, SMALL.partition("=")[2])

  def run_at(name):
    return TrainingRun(
        f"{tmp_path}/{name}", {}, vocabulary, metric=char_lm.BITS.name)

  ptb_word_lm.train(config, corpus, run_at("undisturbed"), metric=char_lm.BITS)
  stopped = 0
  for windows in (3, 33, 7, 9, 200):
    try:
      ptb_word_lm.train(config, corpus, run_at("run"), metric=char_lm.BITS,
                        check_stop=StopAfter(windows))
    except signals.Stopped:
      stopped += 1
  assert stopped == 4
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.parametrize("text_, characters", [
    ("ab c", ["a", "b", " ", "c"]), ("a\nb", ["a", EOS, "b"]),
    ("a\r\nb\rc", ["a", EOS, "b", EOS, "c"]),
    ("<eos>", list("<eos>")), ("", []), ("\u2028\t", ["\u2028", "\t"])])
def test_characters_split_and_join(text_, characters):
  assert Characters.split(text_) == characters
  assert Characters.join(characters) == "\n".join(
      text_.replace("\r\n", "\n").split("\r"))


def test_a_vocabulary_of_characters_is_saved_and_loaded(tmp_path):
  words = (EOS, UNK, " ", "\t", "\u00a0", "\u2028", "<", "\ufeff")
  path = tmp_path / "vocab.txt"
  Characters(words).save(path)
  assert Characters.load(path).words == words
