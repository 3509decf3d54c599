"""One paragraph of each model."""

import subprocess

from benchmarks import paragraphs, transcript
from tests.helpers.calls import assert_one_line


def test_paragraphs(call_script, called, trained_runs, tmp_path):
  output = tmp_path / "paragraphs.txt"
  assert call_script(
      paragraphs, f"--save_path={trained_runs}/a,{trained_runs}/b",
      "--prompt=the bank", "--num_words=9", f"--output={output}") == 0
  assert [call[1:] for call in called] == [
      [f"--save_path={trained_runs}/{name}", "--prompt=the bank",
       "--num_words=9", "--top_p=0.9", "--no_unk", "--seed=1"]
      for name in "ab"]
  assert output.read_text().startswith(
      "$ python generate.py --save_path=runs/test-seed-1-float32-hidden_size=24"
  ) and str(trained_runs) not in output.read_text()


def test_script_that_fails_is_one_error(call_script, capsys, monkeypatch,
                                        trained_runs, tmp_path):
  monkeypatch.setattr(
      transcript.subprocess, "run", lambda command, **_:
      subprocess.CompletedProcess(command, 1, "", "generate.py: no memory\n"))
  output = tmp_path / "paragraphs.txt"
  assert call_script(paragraphs, f"--save_path={trained_runs}/a",
                     f"--output={output}") == 1
  assert_one_line(capsys.readouterr().err, "paragraphs.py",
                  "generate.py: no memory")
  assert not output.exists()
