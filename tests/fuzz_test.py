"""Any text and any command line: what was asked for, or one clear line.

Hypothesis draws the input. Nothing here may end in a traceback, or hang.
"""

import collections
import contextlib
import io
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
from unittest import mock

import hypothesis
import pytest
from hypothesis import strategies
from reader_test import write_corpus
from script_test import ROOT

import checkpoints
import configs
import lstm
import ptb_word_lm
import reader

BOM = b"\xef\xbb\xbf"
# A fixture here holds no more than a place: examples may share it.
SHARED = {"suppress_health_check": [
    hypothesis.HealthCheck.function_scoped_fixture]}


@pytest.fixture(autouse=True)
def no_hang():
  """Ends a test that waits, as for somebody to write to a pipe."""
  def stop(*_):
    pytest.fail("hangs")  # no OSError, which would be taken for the file's

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(120)
  yield
  signal.alarm(0)
  signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  return str(tmp_path_factory.mktemp("fuzz"))


# Texts.

WORDS = [
    "a", "b", "the", "<eos>", "<unk>", "\u00e9", "\U0001f989", "\0", "\x1c",
    "\x85", "\u00a0", "\u2028", "\u3000", "\ufeff", "\x1b[2J"]
BLANKS = ["\n", "\n", " ", " ", "\t", "\r", "\r\n", "\v", "\f"]
NO_TEXT = [  # lone surrogate, half a character, overlong, beyond Unicode
    "\ud800".encode("utf-8", "surrogatepass"), b"\xc3", b"\xc0\x80",
    b"\xf4\x90\x80\x80", b"\xff"]


def joined(pieces, **sizes):
  return strategies.lists(
      strategies.sampled_from(pieces), **sizes).map(b"".join)


PIECES = [piece.encode() for piece in WORDS + BLANKS]
GOOD_TEXT = joined(PIECES, min_size=1)
ANY_TEXT = (
    GOOD_TEXT | strategies.binary() | joined(PIECES + NO_TEXT)
    | strategies.text().map(str.encode) | joined([b"\n"])
    | strategies.sampled_from(PIECES + NO_TEXT)
    | GOOD_TEXT.map(BOM.__add__))
CORPUS = (strategies.tuples(*[GOOD_TEXT] * 3)
          | strategies.tuples(*[ANY_TEXT] * 3))


def words_of(text):
  """The words of a text in bytes, by the rules that reader.py states."""
  words = []
  *lines, rest = text.removeprefix(BOM).decode().split("\n")
  for line in lines:
    words += [*re.findall(r"[^ \t\r\v\f]+", line), "<eos>"]
  rest = re.findall(r"[^ \t\r\v\f]+", rest)
  return words + rest + ["<eos>"] * bool(rest)


def fault(text):
  """What must be said of a text; None where nothing is wrong with it."""
  try:
    return None if words_of(text) else "the file is empty"
  except UnicodeDecodeError as error:
    bom = len(BOM) * text.startswith(BOM)
    return f"not UTF-8 text, see byte {bom + error.start}; "


def known(words, vocabulary):
  return [word if word in vocabulary else "<unk>" for word in words]


def check_corpus(place, texts):
  """Reads three texts, each in all the ways there are."""
  folder = write_corpus(place, *texts)
  paths = [f"{folder}/{split}.txt" for split in reader.SPLITS]
  wrong = [f"{path}: {fault(text)}"
           for path, text in zip(paths, texts, strict=True) if fault(text)]
  if wrong:
    with pytest.raises(reader.DataError) as error:
      reader.ptb_raw_data(folder)
    assert str(error.value).startswith(wrong[0])
    assert str(error.value).isprintable()
    return
  *streams, vocabulary = reader.ptb_raw_data(folder)
  counts = collections.Counter(words_of(texts[0]))
  ranked = sorted(counts, key=lambda word: (-counts[word], word))
  assert list(vocabulary.words) == ranked + ["<unk>"] * ("<unk>" not in counts)
  for ids, path, text in zip(streams, paths, texts, strict=True):
    assert vocabulary.decode(ids) == known(words_of(text), vocabulary)
    assert reader.read_ids(path, vocabulary).tolist() == ids.tolist()
  vocabulary.save(f"{folder}/vocab.txt")
  assert reader.Vocabulary.load(f"{folder}/vocab.txt") == vocabulary


@pytest.mark.slow
@hypothesis.settings(max_examples=400)
@hypothesis.given(CORPUS, strategies.sampled_from([1, 2, 3, 7, 1 << 20]))
@hypothesis.example([BOM + BOM + b"a " + BOM + b"a"] * 3, 1 << 20)
@hypothesis.example([BOM + b"a\nb\n\xc3\n"] * 3, 1)
def test_any_bytes_are_read_as_their_words_or_refused(
    tmp_path_factory, texts, block_bytes):
  place = tmp_path_factory.getbasetemp() / "texts"
  with mock.patch.object(reader, "_BLOCK_BYTES", block_bytes):
    check_corpus(place, texts)


@pytest.mark.slow
@hypothesis.settings(max_examples=6)
@hypothesis.given(
    filler=strategies.sampled_from(
        [b" ", b"\0", b"x", "\u00e9".encode(), "\U0001f989".encode(), BOM,
         b"x" * 999 + b" ", b"x" * 999 + b"\r\n"]),
    blocks=strategies.just(1), shift=strategies.integers(-4, 4),
    end=joined(PIECES + NO_TEXT, max_size=3))
@hypothesis.example("\U0001f989".encode(), 1, 1, b"")  # cut in a character
@hypothesis.example(b"\n", 1, 0, b"a")
@hypothesis.example(b"a b ", 2, 0, b"\xff")
@hypothesis.example(b"x", 5, 0, b"")
def test_huge_lines_and_huge_files_are_read_alike(
    tmp_path_factory, filler, blocks, shift, end):
  """A stretch of filler that ends about where a block of the reader does."""
  place = tmp_path_factory.getbasetemp() / "huge"
  fill, rest = divmod(blocks * reader._BLOCK_BYTES, len(filler))
  huge = b"a" * (rest + shift) + filler * fill + end
  check_corpus(place, [huge, b"a\n", b"b\n"])


def vocabulary_of(text):
  """The words of a file, one a line; None if it is no vocabulary."""
  try:
    lines = text.removeprefix(BOM).decode().split("\n")
  except UnicodeDecodeError:
    return None
  last = lines.pop()
  words = [line.removesuffix("\r") for line in lines] + [last] * (last != "")
  good = {"<eos>", "<unk>"} <= set(words) and "" not in words
  return words if good and len(set(words)) == len(words) else None


@hypothesis.settings(max_examples=300)
@hypothesis.given(
    ANY_TEXT | strategies.lists(
        strategies.sampled_from(WORDS) | strategies.text(), unique=True
    ).map(lambda words: "\n".join([*words, "<unk>", "<eos>"]).encode())
    | strategies.permutations(["<eos>", *WORDS[5:], "<unk>"]).map(
        lambda words: "\r\n".join(words).encode()))
def test_any_bytes_are_a_vocabulary_or_refused(tmp_path_factory, text):
  path = str(tmp_path_factory.getbasetemp() / "vocab.txt")
  with open(path, "wb") as file:
    file.write(text)
  words = vocabulary_of(text)
  if words is None:
    with pytest.raises(reader.DataError) as error:
      reader.Vocabulary.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).isprintable()
    return
  vocabulary = reader.Vocabulary.load(path)
  assert list(vocabulary.words) == words
  assert [vocabulary.ids[word] for word in vocabulary.words] == list(
      range(len(vocabulary)))


# Paths.

# No dot: ".." would lead out of the folder of the tests.
NAME = strategies.text(min_size=1, alphabet=(
    "ab /-=~*?[]{}%$'\"\\\0\n\r\t\x1b\x7f\x85\u00e9\u00a0\u202e\u2028\ufeff"
    "\ud800\udcff"))
LONG_NAME = strategies.integers(250, 260).map("n".__mul__)
ABSURD_NAME = strategies.sampled_from(["n" * 10**6, "d/" * 10**5])


def deep(place, length):
  """A path of so many bytes below a place, of names that are short enough."""
  path = place
  while len(path) < length - 200:
    path += "/" + "d" * 100
  return f"{path}/".ljust(length, "e")


def shown(path):
  """A path as a message has it, or the beginning of that."""
  return "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                 for c in path[:4200])


def check_path(path):
  """Reads a folder of that name, if there can be one."""
  try:
    write_corpus(pathlib.Path(path))
  except (OSError, ValueError):
    for read in (reader.ptb_raw_data, reader.find_corpus, reader.read_text,
                 reader.Vocabulary.load):
      with pytest.raises(reader.DataError) as error:
        read(path)
      assert str(error.value).startswith(shown(path))
      assert str(error.value).isprintable()
    return
  *streams, vocabulary = reader.ptb_raw_data(path)
  assert [len(ids) for ids in streams] == [8, 2, 2]
  vocabulary.save(f"{path}/vocab")
  assert reader.Vocabulary.load(f"{path}/vocab") == vocabulary


@hypothesis.settings(max_examples=200)
@hypothesis.given(NAME | LONG_NAME | ABSURD_NAME)
@hypothesis.example("line\nbreak")
@hypothesis.example("nul\0")
@hypothesis.example("bytes\udcff")
@hypothesis.example("surrogate\ud800")
def test_any_path_is_read_or_refused(place, path):
  check_path(f"{place}/{path}")


def test_deep_paths_are_read_or_refused(place):
  """The names of the files go beyond PATH_MAX before that of the folder."""
  for length in 3000, *range(4083, 4099):
    check_path(deep(place, length))


def test_what_is_no_file_is_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "folder").mkdir()
  (tmp_path / "loop").symlink_to("loop")
  (tmp_path / "dangling").symlink_to("nowhere")
  (tmp_path / "device").symlink_to("/dev/null")
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(tmp_path / "socket"))
  names = sorted(os.listdir(tmp_path))
  assert len(names) == 6
  vocabulary = reader.Vocabulary(["<eos>", "<unk>"])
  for path in ["", *(str(tmp_path / name) for name in names)]:
    for read in (reader.ptb_raw_data, reader.read_text, reader.Vocabulary.load,
                 lambda path: reader.read_ids(path, vocabulary)):
      with pytest.raises(reader.DataError) as error:
        read(path)
      assert str(error.value).startswith(path)
      assert str(error.value).isprintable()
  for name in names:  # in place of one of three
    folder = write_corpus(tmp_path / f"corpus of {name}")
    os.remove(f"{folder}/valid.txt")
    os.symlink(tmp_path / name, f"{folder}/valid.txt")
    with pytest.raises(reader.DataError, match=re.escape(
        f"{folder}/valid.txt: ")):
      reader.ptb_raw_data(folder)


# Settings.

ODD = strategies.sampled_from([
    "", " ", "nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "-0", "0", "1",
    "2", "0.5", "1_0", "0x10", "1e3", "\u0663", "\uff13", "\u00b2", "\u0bf0",
    "9" * 400, "9" * 5000, "1,2", "1,,2", ",", "=", "==", "1=2", "None", "True",
    "1\n", "a\nb", "\n", "\0", "1\0", "\r", "\x1b[2J", "\x85", "\u2028",
    "\u202e", "\ud800", "\udcff", "%s", "{}", "{0}", "\\n", "'", '"', "x" * 9999
]) | strategies.text(strategies.characters()) | strategies.floats().map(
    repr) | strategies.integers().map(str)
SETTING = strategies.tuples(
    strategies.sampled_from([*vars(configs.SMALL), "vocab_size", "init_scale "])
    | ODD, strategies.sampled_from(["=", "=", "=", "", "==", " = "]), ODD
).map("".join)
GOOD_SETTINGS = strategies.lists(unique=True, elements=strategies.sampled_from([
    "hidden_size=2", "keep_prob=.5", "num_steps= 1_0 ", "hidden_sizes=3,4",
    "learning_rate=1e-3", "max_epoch=\u0663", "", "embedding_size=\n7"])
).map(",".join)
SETTINGS = strategies.lists(
    SETTING | GOOD_SETTINGS, max_size=4).map(",".join) | GOOD_SETTINGS | ODD


@hypothesis.settings(max_examples=500)
@hypothesis.given(SETTINGS)
def test_any_settings_are_taken_or_refused(text):
  try:
    config = configs.override(configs.SMALL, text)
  except configs.ConfigError as error:
    assert str(error).isprintable() and str(error)
    return
  changed = {name for name, value in vars(config).items()
             if value != getattr(configs.SMALL, name)}
  assert changed <= set(re.findall(r"\w+", text))


NUMBERS = {
    "num_layers": strategies.integers(1, 10**6),
    "max_epoch": strategies.integers(0, 10**6),
    "learning_rate": strategies.floats(1e-30, 1e30),
    "keep_prob": strategies.floats(1e-6, 1),
    "batch_size": strategies.integers(1, 10**6)}
SIZES = {"hidden_sizes": strategies.lists(
    strategies.integers(1, 10**6), min_size=1, max_size=5).map(tuple)}


@hypothesis.given(
    strategies.fixed_dictionaries({}, optional=NUMBERS)
    | strategies.fixed_dictionaries({}, optional={
        name: NUMBERS[name] for name in ("max_epoch", "keep_prob")} | SIZES),
    strategies.sampled_from([",", " ,\n ", ",,"]), strategies.randoms())
def test_settings_that_are_in_range_are_taken_as_they_are(
    values, comma, random):
  names = list(values)
  random.shuffle(names)
  text = comma.join(
      f"{name}={','.join(map(str, value))}" if isinstance(value, tuple)
      else f"{name}={value!r}" for name in names for value in [values[name]])
  assert configs.parse(text) == values
  config = configs.override(configs.SMALL, text)
  assert {name: getattr(config, name) for name in values} == values


# Command lines.


@pytest.fixture
def command(call_main, monkeypatch, tmp_path):
  """Runs the script in a folder of its own: arguments -> what it complains of.

  That is nothing, or one line. Nothing is trained: stand-ins only write to the
  folder of the run, and read there.
  """
  def train(config, corpus, run=None, *_):
    if run:
      with run.open():
        run.begin(0)
        run.log(1, {"a": 1.0})
        run.keep_tests({1: 2.0})
    return [{"train_perplexity": 2.0, "valid_perplexity": 2.0,
             "words_per_second": 1.0, "seconds": 1.0}], {1: 2.0}

  def evaluate(run, texts, *_):
    ptb_word_lm.run_config(run)
    return {checkpoints.Checkpoint("a", 1, None, best=False): dict.fromkeys(
        texts, 2.0)}

  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(ptb_word_lm, "train", train)
  monkeypatch.setattr(ptb_word_lm, "evaluate", evaluate)
  monkeypatch.setattr(
      ptb_word_lm, "BUNDLED_CORPUS", write_corpus(tmp_path / "corpus"))

  def call(*args):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      status = call_main(*args)
    return complaint(status, err.getvalue())

  return call


def complaint(status, err):
  if status == 0:
    assert err == ""
    return ""
  assert status == 1
  assert err.startswith("ptb_word_lm.py: ") and err.endswith("\n")
  # One line, and nothing in it that a terminal would act on.
  assert err[:-1].isprintable()
  return err.removeprefix("ptb_word_lm.py: ")


CHOICES = {
    "mode": ["train", "train", "eval"], "model": list(configs.CONFIGS),
    "rnn_mode": list(lstm.LAYERS), "seed": ["0", "7", "2147483647"],
    "save_secs": ["0", "1e3", "inf"], "fresh": ["true", "false"],
    "config_override": ["", "hidden_size=2,keep_prob=.5", "max_epoch=\u0663"],
    "data_path": ["corpus", "corpus/train.txt"],
    "save_path": ["run", "run/deeper", "corpus"]}


@strategies.composite
def command_lines(draw):
  """Good flags for the most part, or the odd ones would not be come to."""
  args = []
  for name in draw(strategies.lists(
      strategies.sampled_from(list(CHOICES)), max_size=5)):
    odd = ODD | NAME | SETTINGS
    kind = draw(strategies.sampled_from(
        ["good"] * 9 + ["odd value"] * 3 + ["odd flag", "odd form", "word"]))
    value = draw(
        odd if kind == "odd value" else strategies.sampled_from(CHOICES[name]))
    if kind == "odd flag":
      args.append(f"--{draw(odd)}={value}")
    elif kind == "odd form":
      args += [draw(strategies.sampled_from(["--", "--no", "-", ""])) + name,
               *draw(strategies.sampled_from([[], [value], ["=", value]]))]
    elif kind == "word":
      args.append(draw(odd))
    else:
      args.append(f"--{name}={value}")
  return args


def stays_inside(args):
  """Whether the arguments name nothing outside of the working folder."""
  return not any(
      arg.startswith("/") or "=/" in arg or "://" in arg or ".." in arg
      for arg in args)


@pytest.mark.slow
@hypothesis.settings(max_examples=400, **SHARED)
@hypothesis.given(command_lines().filter(stays_inside))
@hypothesis.example(["--model=test", "--save_path=run"])  # for the others
@hypothesis.example(["--line\nbreak"])
@hypothesis.example(["line\nbreak"])
@hypothesis.example(["--model=line\nbreak"])
@hypothesis.example(["--seed=" + "9" * 5000])
@hypothesis.example(["--config_override=line\nbreak"])
@hypothesis.example(["--data_path=nul\0", "--data_path=line\nbreak"])
@hypothesis.example(["--mode=eval", "--save_path=run"])
@hypothesis.example(["--mode=eval", "--save_path=run", "--data_path=nul\0"])
@hypothesis.example(["--mode=eval", "--save_path=line\nbreak"])
@hypothesis.example(["--mode=eval", "--save_path=nul\0"])
def test_any_command_line_gets_one_line(command, args):
  command(*args)


@hypothesis.settings(**SHARED)
@hypothesis.given(NAME | LONG_NAME | ABSURD_NAME)
@hypothesis.example("line\nbreak")
@hypothesis.example("nul\0")
@hypothesis.example("bytes\udcff")
@hypothesis.example("surrogate\ud800")
def test_any_save_path_is_written_to_or_refused(command, name):
  path = f"./{name}"
  said = command("--model=test", f"--save_path={path}")
  if said:
    assert said.startswith(shown(path))
  else:
    check_run(path)


def check_run(path):
  assert len(reader.Vocabulary.load(f"{path}/vocab.txt")) == 5
  assert any(name.startswith("events") for name in os.listdir(path))


def test_a_save_path_is_a_folder_of_this_machine(command):
  """TensorFlow by itself takes it for a place in memory, or in a cloud."""
  for path in "ram://run", "file://run":
    assert command("--model=test", f"--save_path={path}") == ""
    check_run(path)


@pytest.mark.parametrize("flag, value", [
    ("logger_levels", "absl:LOUD"), ("logger_levels", "x"),
    ("stderrthreshold", "x"), ("verbosity", "x"), ("flagfile", "bytes"),
    ("flagfile", "lines"), ("flagfile", "."), ("flagfile", "nul\0"),
    ("flagfile", "\ud800"), ("flagfile", "none"), ("undefok", "x")])
def test_bad_values_of_the_flags_of_absl_get_one_line(
    command, tmp_path, flag, value):
  (tmp_path / "bytes").write_bytes(b"\xff\n")
  (tmp_path / "lines").write_bytes(b"--seed=1\n--model=\x1b\x85\n")
  assert command(f"--{flag}={value}", "--data_path=none")


def script(*args):
  """Runs it as a process, whose standard output knows ASCII alone."""
  done = subprocess.run(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), *args],
      capture_output=True, stdin=subprocess.DEVNULL,
      env=os.environ | {"PYTHONIOENCODING": "ascii"})
  return complaint(done.returncode, done.stderr.decode())


@pytest.mark.slow
def test_bytes_that_are_no_text_in_a_shell():
  said = script(b"--model=\xff\nsmall")
  assert said.startswith(r"flag --model=\udcff\nsmall: value should be")


@pytest.mark.slow
def test_names_that_no_terminal_shows_in_a_shell(tmp_path):
  """Nor do its letters, and a digit that the font of the curve lacks."""
  corpus = os.fsencode(tmp_path) + b"/corpus\n\xff"
  write_corpus(pathlib.Path(os.fsdecode(corpus)), train="a b\n" * 99)
  run = os.fsencode(tmp_path / "caf\u00e9\n")
  assert script(b"--model=test", b"--data_path=" + corpus,
                b"--save_path=" + run,
                "--config_override=hidden_size=\u09e9") == ""
  assert script(b"--mode=eval", b"--save_path=" + run) == ""
