"""Transcripts of commands."""

import pytest

from benchmarks import transcript


@pytest.mark.parametrize("text, expected", [
    ("--data_path=/x/ptb --save_path=/x/ptb/run", "--data_path=data/ptb "
     "--save_path=data/ptb/run"),
    ("/x/ptb_word_lm.py /y/x/ptb x/ptb", "/x/ptb_word_lm.py /y/x/ptb x/ptb"),
    (f"{transcript.ROOT}/score.py", "score.py"),
    ("/x/ptb: no, /x/ptb.", "data/ptb: no, /x/ptb.")])
def test_paths_of_this_machine_are_replaced(text, expected):
  assert transcript.plain(text, {"/x/ptb/": "data/ptb", "": "x"}) == expected
