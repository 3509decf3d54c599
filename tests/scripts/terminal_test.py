"""Words that control a terminal: the scripts show them escaped there."""

import io
import json
import re
import sys

import pytest

import generate
import neighbors
import ptb_word_lm
import score
from tasks import char_lm
from tests.helpers import calls
from tests.helpers.screens import Screen, on_terminal
from tests.helpers.texts import write_corpus

ESCAPES = "\x1b[2J \x9b1m \u202eb \u00a0 \\x"
SMALL = "--config_override=hidden_size=4,max_max_epoch=1,epoch_size=2"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on a text with words that are control characters."""
  folder = tmp_path_factory.mktemp("control")
  text = write_corpus(folder / "text", train=f"{ESCAPES} a b\n" * 40,
                      valid=f"{ESCAPES}\n" * 3, test=f"{ESCAPES}\n" * 3)
  assert calls.call(ptb_word_lm, "--model=test", f"--data_path={text}",
                    f"--save_path={folder}/run", SMALL) == 0
  return folder


def assert_safe(text):
  """Asserts that a terminal showed no control characters, but their escapes."""
  assert not re.search("[\x1b\x9b\u202e\r]", text) and "\\x1b[2J" in text


def test_generated_words_and_prompts(run, call_script, capsys):
  flags = [f"--save_path={run}/run", "--num_words=60",
           "--prompt=\x1b[2J \x1b]0;unknown\x07"]
  assert call_script(generate, *flags) == 0
  out, err = capsys.readouterr()
  assert out.startswith(flags[2].removeprefix("--prompt="))
  assert set(out.split(" ")) >= {"\x1b[2J", "\x9b1m", "\u202eb"}
  assert "read as <unk>: \x1b]0;unknown\x07" in err
  with Screen() as screen:
    assert call_script(generate, *flags) == 0
  assert_safe(screen.text)
  assert "read as <unk>: \\x1b]0;unknown\\x07" in screen.text
  assert screen.text.endswith(
      out.replace("\x1b", "\\x1b").replace("\x9b", "\\x9b").replace(
          "\x07", "\\x07").replace("\u202e", "\\u202e"))


def test_probable_words(run, call_script, monkeypatch):
  monkeypatch.setattr(sys, "stdin", io.StringIO("\x1b[2J a\n"))
  with Screen() as screen:
    assert call_script(generate, f"--save_path={run}/run", "--interactive",
                       "--num_words=9") == 0
  assert_safe(screen.text)
  assert re.search("next: .*\\\\x9b1m \\d", screen.text)


def test_neighbors(run, call_script, capsys):
  flags = [f"--save_path={run}/run", "--words=\x1b[2J"]
  assert call_script(neighbors, *flags) == 0
  out = capsys.readouterr().out
  assert out.startswith("\x1b[2J\n") and " \x9b1m\n" in out
  with Screen() as screen:
    assert call_script(neighbors, *flags) == 0
  assert_safe(screen.text)
  assert " \\x9b1m\n" in screen.text


def test_scores(run, call_script, capsys):
  flags = [f"--save_path={run}/run", f"--text={run}/text/test.txt",
           "--per_word"]
  for output in "tsv", "json":
    assert call_script(score, *flags, f"--format={output}") == 0
    out = capsys.readouterr().out
    assert "\x9b1m" in out and (output == "json") == ('"\\u001b[2J"' in out)
    assert (output == "tsv") == ("\t\x1b[2J\t" in out)
    with Screen() as screen:
      assert call_script(score, *flags, f"--format={output}") == 0
    assert not re.search("[\x1b\x9b\u202e\r]", screen.text)
    assert "\\x9b1m" in screen.text


def test_characters_are_columns_of_their_own(
    tmp_path, call_script, capsys):
  """Also a tab, and line ends of all kinds; they can be read back."""
  odd = "a\tb\v\f\x1c\x85\u2028\u00a0\\\\t\u00e9\u0416\U0001f989\x1b\0\"' "
  path = tmp_path / "text"
  path.write_bytes(f"{odd}\n".encode() * 60)
  assert call_script(char_lm, f"--data_path={path}",
                     f"--save_path={tmp_path}/run", SMALL +
                     ",num_layers=1,batch_size=2,num_steps=3") == 0
  capsys.readouterr()
  flags = [f"--save_path={tmp_path}/run", f"--text={path}", "--per_word"]
  assert call_script(score, *flags) == 0
  rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
  assert {len(row) for row in rows} == {4}
  assert all(row[1].isprintable() for row in rows)
  assert "".join(
      row[1].encode("latin-1", "backslashreplace").decode("unicode_escape")
      for row in rows[1:]) == f"{odd}<eos>" * 60
  assert call_script(score, *flags, "--format=json") == 0
  for line in capsys.readouterr().out.split("\n")[:-1]:
    assert [word["word"] for word in json.loads(line)["words"]] == [
        *odd, "<eos>"]


@pytest.mark.slow
def test_a_prompt_that_is_typed(run):
  """In a process of its own: the terminal edits the line."""
  status, text = on_terminal(
      sys.executable, generate.__file__, f"--save_path={run}/run",
      "--interactive", "--num_words=9", typed="a b\n\x04")
  assert status == 0
  text = text.partition("next: ")[2]
  assert text and not re.search("[\x1b\x9b\u202e]", text)
