"""Flags whose values are lists of numbers, and the scripts that have them."""

import pytest
from absl import flags

from benchmarks import adaptation, scaling, vocabulary
from tests.helpers import calls


def test_whole_numbers_are_of_type_int():
  paths = "--save_path=run", "--text=text"
  calls.parse(adaptation, *paths, "--size=1,1e3,2000", "--theta=0,0.5")
  assert repr(flags.FLAGS.size) == "[1, 1000, 2000]"
  assert repr(flags.FLAGS.theta) == "[0, 0.5]"
  calls.parse(adaptation, *paths)
  assert repr(flags.FLAGS.size) == "[300, 500, 700, 1000]"


@pytest.mark.parametrize("script, flag, message", [
    (scaling, "--sizes=1,x", "must be whole numbers from 1 to 20, separated"),
    (scaling, "--sizes=3", "must divide the 20 streams of small without"),
    (scaling, "--sizes=21", "must be whole numbers from 1 to 20"),
    (scaling, "--sizes=", "must be whole numbers from 1 to 20"),
    (scaling, "--gigabits=0", "must be from 0.001 to 1,000"),
    (scaling, "--gigabits=nan", "must be from 0.001 to 1,000"),
    (scaling, "--precisions=half", "value should be one of"),
    (vocabulary, "--words=1.5", "must be whole numbers from 2 to 1,000,000"),
    (vocabulary, "--num_sampled=inf", "must be whole numbers from 0 to"),
    (vocabulary, "--num_sampled=-1", "must be whole numbers from 0 to")])
def test_other_values_are_refused(capsys, script, flag, message):
  assert calls.call(script, flag) == 1
  name = script.__name__.removeprefix("benchmarks.")
  calls.assert_one_line(
      capsys.readouterr().err, f"{name}.py", f"{flag}: {message}")
