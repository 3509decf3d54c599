"""The comparison of fine-tuning with training from scratch."""

import re

import pytest

from benchmarks import fine_tuning


def test_the_file_is_opened_before_training(call_script, capsys):
  assert call_script(fine_tuning, "--origin=x", "--output=/dev/null/x/y") == 1
  assert capsys.readouterr().err == (
      "fine_tuning.py: /dev/null/x: Not a directory\n")


@pytest.mark.slow
def test_all_variants_are_trained_and_written(
    trained_runs, call_script, tmp_path):
  text = tmp_path / "text"
  text.mkdir()
  for split in "train", "valid", "test":
    (text / f"{split}.txt").write_text("the zyx of the bank xyz\n" * 20)
  output = tmp_path / "fine_tuning.txt"
  assert call_script(
      fine_tuning, f"--origin={trained_runs}/a", f"--text={text}",
      "--model=test", "--config_override=max_max_epoch=2,batch_size=2",
      "--use_fp16", f"--output={output}") == 0
  words = [line for line in output.read_text().splitlines() if line]
  assert words[0] == (
      "text from a; max_max_epoch=2,batch_size=2; seed 1")
  assert re.match(r"the origin's words: [\d,]+, of which 0 are new; "
                  r"unknown: 28.57% in train, 28.57% in valid", words[1])
  assert re.match(r"the text's own words: 7, of which 2 are new; "
                  r"unknown: 0.00% in train", words[5])
  for rows, number in (words[3:5], 2), (words[7:], 4):
    names = [re.split(r" {2,}", row)[0] for row in rows]
    assert len(set(names)) == len(names) == number
    figures = [tuple(map(float, row.split()[-3:])) for row in rows]
    assert len(set(figures)) == number  # each variant is another training
