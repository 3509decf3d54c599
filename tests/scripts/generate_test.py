"""The command line of generate.py."""

import io
import os
import sys

import pytest

import generate
from rnn.text.vocabulary import Vocabulary
from tests.helpers.calls import assert_one_line
from tests.helpers.trained_models import next_word_probabilities
from trained.model import load


@pytest.mark.parametrize("words, text", [
    ("the cat <eos> it sat", "the cat\nit sat"), ("a <eos>", "a\n"),
    ("<eos> <eos> a", "\n\na"), ("", "")])
def test_words_are_joined_to_lines(words, text):
  assert Vocabulary.join(words.split()) == text


def test_texts_follow_from_the_flags(trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a", "--prompt=the Xyz population xyz",
           "--num_words=12", "--num_samples=2", "--temperature=0.8", "--seed=3"]
  assert call_script(generate, *flags) == 0
  out, err = capsys.readouterr()
  assert err == ("generate.py: warning: not in the vocabulary, read as <unk>: "
                 "Xyz, xyz\n")
  title, _, other = out.partition("\n--- 2 of 2 ---\n")
  texts = [title.removeprefix("--- 1 of 2 ---\n"), other]
  for text in texts:
    assert text.startswith("the Xyz population xyz")
    assert len(text.replace("\n", " <eos> ").split()) in (16, 17)
  assert texts[0] != texts[1].strip()
  assert call_script(generate, *flags) == 0
  assert capsys.readouterr().out == out
  assert call_script(generate, *flags, "--num_samples=1") == 0
  assert capsys.readouterr().out.strip() == texts[0].strip()
  assert call_script(generate, *flags, "--seed=4") == 0
  assert capsys.readouterr().out != out


def test_no_unk_and_stop_at_eos(trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a", "--num_samples=40",
           "--num_words=30"]
  assert call_script(generate, *flags) == 0
  assert "<unk>" in capsys.readouterr().out
  assert call_script(generate, *flags, "--no_unk", "--stop_at_eos") == 0
  out = capsys.readouterr().out
  assert "<unk>" not in out
  for text in out.split(" of 40 ---\n")[1:]:
    assert "\n" not in text.partition("\n---")[0].strip()


def test_interactive_prompts(trained_runs, call_script, capsys, monkeypatch):
  model = load(str(trained_runs / "a"))
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(
      io.BytesIO(b"the population\n\nqqq \xff\n"), "utf-8"))
  assert call_script(generate, f"--save_path={trained_runs}/a",
                     "--interactive", "--num_words=3", "--stop_at_eos") == 0
  out, err = capsys.readouterr()
  assert "read as <unk>: qqq, " in err
  shown = [line for line in out.splitlines() if line.startswith("next: ")]
  assert len(shown) == 3
  for line, prompt in zip(shown[:2], (["the", "population"], []), strict=True):
    p = next_word_probabilities(model, prompt)[-1]
    top = p.argsort()[::-1][:5]
    assert line == "next: " + ", ".join(
        f"{model.vocabulary.words[i]} {p[i]:.1%}" for i in top)
  assert "\nthe population" in out


def test_prompts_may_hold_newlines(
    trained_runs, call_script, capsys, monkeypatch, tmp_path):
  flags = [f"--save_path={trained_runs}/a", "--num_words=3"]
  (tmp_path / "p.txt").write_text("the population\nof the\n")
  assert call_script(generate, *flags, "--prompt=the population\nof the") == 0
  text = capsys.readouterr().out
  assert text.startswith("the population\nof the ")
  assert call_script(generate, *flags, f"--prompt_file={tmp_path}/p.txt") == 0
  assert capsys.readouterr().out == text
  monkeypatch.setattr(sys, "stdin", io.StringIO(
      r"the population\nof the" "\n" r"the\\n" "\n"))
  assert call_script(generate, *flags, "--interactive") == 0
  out, err = capsys.readouterr()
  assert text in out
  assert r"read as <unk>: the\n" in err
  assert generate._unescaped(r"a\\n\n\x") == "a\\n\n\\x"


def test_normalize_prepares_the_prompt(trained_runs, call_script, capsys):
  flags = [f"--save_path={trained_runs}/a", "--num_words=3"]
  assert call_script(generate, *flags, "--prompt=the population 's N %") == 0
  plain = capsys.readouterr()
  assert call_script(generate, *flags, "--prompt=The Population's 1,000%!",
                     "--normalize") == 0
  assert capsys.readouterr() == plain


def test_a_closed_standard_input_ends_the_script(
    trained_runs, call_script, capsys, monkeypatch):
  monkeypatch.setattr(sys, "stdin", None)
  assert call_script(
      generate, f"--save_path={trained_runs}/a", "--interactive") == 0
  assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("flag, message", [
    ("--temperature=-0.1", "temperature=-0.1"),
    ("--temperature=nan", "temperature.* must be a number"),
    ("--temperature=inf", "temperature.* must be a number"),
    ("--top_p=0", r"top_p.*must be above 0 and at most 1"),
    ("--top_p=1.01", r"top_p.*must be above 0 and at most 1"),
    ("--top_p=nan", r"top_p.*must be above 0 and at most 1"),
    ("--top_k=-1", "top_k=-1"), ("--num_words=0", "num_words=0"),
    ("--num_samples=0", "num_samples=0"), ("--seed=-1", "seed=-1"),
    ("--num_samples=9999999999", "num_samples=9999999999"),
    ("--num_words=99999999999999999999999", "num_words=99999999999999999999"),
    ("--prompt=a --interactive",
     "--prompt: --interactive asks for prompts; leave out one"),
    ("--prompt_file=a --interactive",
     "--prompt_file: --interactive asks for prompts; leave out one"),
    ("--prompt_file=a --prompt=b", "--prompt: --prompt_file has the prompt"),
    ("--prompt_file=missing.txt", "missing.txt: "),
])
def test_bad_flags_get_one_line(trained_runs, call_script, capsys, flag,
                                message):
  assert call_script(
      generate, f"--save_path={trained_runs}/a", *flag.split()) == 1
  assert_one_line(
      capsys.readouterr().err, os.path.basename(generate.__file__), message)
