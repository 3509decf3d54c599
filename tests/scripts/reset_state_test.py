"""The scripts with reset_state: all of them score a text of sentences alike."""

import re

import pytest

import export
import ptb_word_lm
import score
from tasks import char_lm

SETTINGS = ("hidden_size=8,num_steps=7,max_max_epoch=2,max_grad_norm=5,"
            "reset_state=true")


@pytest.fixture
def corpus(tmp_path):
  for split, number in ("train", 60), ("valid", 21), ("test", 22):
    (tmp_path / f"{split}.txt").write_text("".join(
        " ".join("abcdefgh"[i * j % 8] for j in range(i % 11)) + "\n"
        for i in range(number)))
  return tmp_path


@pytest.mark.parametrize("script, figure", [
    (ptb_word_lm, "perplexity"), (char_lm, "bits per character")])
def test_test_evaluation_and_score_agree(
    corpus, call_script, capsys, script, figure):
  flags = [f"--data_path={corpus}", f"--save_path={corpus}/run"]
  model = ["--model=test"] if script is ptb_word_lm else []
  batch = ",batch_size=4,epoch_size=0"
  assert call_script(
      script, *flags, *model, f"--config_override={SETTINGS}{batch}") == 0
  out, err = capsys.readouterr()
  assert not err
  tested = re.search(r"^Test [^:]*: (\S+)$", out, re.M)[1]
  # Every token of the text is a target, also the first.
  text = (corpus / "train.txt").read_text()
  tokens = len(text if script is char_lm else text.split()) + (
      0 if script is char_lm else text.count("\n"))
  assert f"train: {tokens:,} " in out
  assert call_script(
      script, "--mode=eval", f"--save_path={corpus}/run") == 0
  assert re.search(
      rf"^Test {figure}: {tested}$", capsys.readouterr().out, re.M | re.I)
  for state in "reset", "carry":
    assert call_script(
        score, f"--save_path={corpus}/run", f"--text={corpus}/test.txt",
        f"--state={state}") == 0
    assert capsys.readouterr().err.split()[-1] == tested
  assert call_script(export, f"--save_path={corpus}/run",
                     f"--output={corpus}/exported") == 0
  assert "reset_state: give each sentence by itself" in "".join(
      capsys.readouterr())
