"""Any command line: the script does what it says, or gives one clear line.

Hypothesis draws the arguments. No input may end in a traceback, or hang.
"""

import contextlib
import io
import os
import pathlib
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies

import configs
import ptb_word_lm
import reader
from rnn.layers import lstm
from rnn.runs.checkpoints import Checkpoint
from tests.helpers.calls import ROOT
from tests.helpers.odd_input import ANY_NAME, NAME, ODD, SETTINGS, shown
from tests.helpers.texts import write_corpus

pytestmark = pytest.mark.usefixtures("no_hang")

# The fixture here is only a working folder: examples may share it.
SHARED = {"suppress_health_check": [
    hypothesis.HealthCheck.function_scoped_fixture]}


@pytest.fixture
def command(call_main, monkeypatch, tmp_path):
  """Runs the script in a folder of its own: arguments -> its error message.

  The message is empty, or one line. Nothing is trained: stand-ins only write to
  the folder of the run, and read there.
  """
  def train(config, corpus, run=None, *_, **__):
    if run:
      with run.open():
        run.begin(0)
        run.log(1, {"a": 1.0})
        run.keep_tests({1: 2.0})
    return [{"train_perplexity": 2.0, "valid_perplexity": 2.0,
             "words_per_second": 1.0, "seconds": 1.0}], {1: 2.0}

  def evaluate(run, texts, *_):
    run.settings()
    return {Checkpoint("a", 1, None, best=False): dict.fromkeys(texts, 2.0)}

  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(ptb_word_lm, "train", train)
  monkeypatch.setattr(ptb_word_lm, "evaluate", evaluate)
  monkeypatch.setattr(
      ptb_word_lm, "BUNDLED_CORPUS", write_corpus(tmp_path / "corpus"))

  def call(*args):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      status = call_main(*args)
    return message_of(status, err.getvalue())

  return call


def message_of(status, err):
  """Returns the error message on standard error; "" after a success."""
  if status == 0:
    assert err == ""
    return ""
  assert status == 1
  assert err.startswith("ptb_word_lm.py: ") and err.endswith("\n")
  # One line, without characters that control a terminal.
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
  """Draws command lines: mostly good flags, so that odd ones are reached."""
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
  """Returns whether the arguments name nothing outside the working folder."""
  return not any(
      arg.startswith("/") or "=/" in arg or "://" in arg or ".." in arg
      for arg in args)


@pytest.mark.slow
@hypothesis.settings(max_examples=400, **SHARED)
@hypothesis.given(command_lines().filter(stays_inside))
@hypothesis.example(["--model=test", "--save_path=run"])  # used further down
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
def test_any_command_line_works_or_gets_one_line(command, args):
  command(*args)


@hypothesis.settings(**SHARED)
@hypothesis.given(ANY_NAME)
@hypothesis.example("line\nbreak")
@hypothesis.example("nul\0")
@hypothesis.example("bytes\udcff")
@hypothesis.example("surrogate\ud800")
def test_any_save_path_is_written_or_refused(command, name):
  path = f"./{name}"
  message = command("--model=test", f"--save_path={path}")
  if message:
    assert message.startswith(shown(path))
  else:
    check_run(path)


def check_run(path):
  """Asserts that the stand-in for training has written to the folder."""
  assert len(reader.Vocabulary.load(f"{path}/vocab.txt")) == 5
  assert any(name.startswith("events") for name in os.listdir(path))


def test_a_save_path_is_a_folder_of_this_machine(command):
  """TensorFlow alone would take such a name for memory, or for a cloud."""
  for path in "ram://run", "file://run":
    assert command("--model=test", f"--save_path={path}") == ""
    check_run(path)


@pytest.mark.parametrize("flag, value", [
    ("logger_levels", "absl:LOUD"), ("logger_levels", "x"),
    ("stderrthreshold", "x"), ("verbosity", "x"), ("flagfile", "bytes"),
    ("flagfile", "lines"), ("flagfile", "."), ("flagfile", "nul\0"),
    ("flagfile", "\ud800"), ("flagfile", "none"), ("undefok", "x")])
def test_bad_values_of_absl_flags_get_one_line(
    command, tmp_path, flag, value):
  (tmp_path / "bytes").write_bytes(b"\xff\n")
  (tmp_path / "lines").write_bytes(b"--seed=1\n--model=\x1b\x85\n")
  assert command(f"--{flag}={value}", "--data_path=none")


def run_in_ascii(*args):
  """Runs the script as a process whose standard output is ASCII."""
  done = subprocess.run(
      [sys.executable, os.path.join(ROOT, "ptb_word_lm.py"), *args],
      capture_output=True, stdin=subprocess.DEVNULL,
      env=os.environ | {"PYTHONIOENCODING": "ascii"})
  return message_of(done.returncode, done.stderr.decode())


@pytest.mark.slow
def test_arguments_that_are_not_utf_8_get_one_line():
  message = run_in_ascii(b"--model=\xff\nsmall")
  assert message.startswith(r"flag --model=\udcff\nsmall: value should be")


@pytest.mark.slow
def test_names_that_cannot_be_printed_are_escaped(tmp_path):
  """Also a digit that the font of the learning curve lacks."""
  corpus = os.fsencode(tmp_path) + b"/corpus\n\xff"
  write_corpus(pathlib.Path(os.fsdecode(corpus)), train="a b\n" * 99)
  run = os.fsencode(tmp_path / "caf\u00e9\n")
  assert run_in_ascii(b"--model=test", b"--data_path=" + corpus,
                      b"--save_path=" + run,
                      "--config_override=hidden_size=\u09e9") == ""
  assert run_in_ascii(b"--mode=eval", b"--save_path=" + run) == ""
