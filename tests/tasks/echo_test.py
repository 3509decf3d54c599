"""The script tasks/echo.py: its series, and training, resuming and evaluation.
"""

import contextlib
import re

import matplotlib.image
import numpy as np
import pytest

from reader import NO_TARGET
from rnn.cli import training_flags
from tasks import echo
from tests.helpers.calls import ROOT, assert_one_line
from tests.helpers.run_folders import StopAfter, assert_same_run


def test_each_item_has_a_bit_and_the_echo_that_was_due_before():
  series = echo.make_series(4, seed=3)
  assert {split: items.size for split, items in series.items()} == echo.BITS
  for items in series.values():
    bits, echoes = items.reshape(4, -1) % 2, items.reshape(4, -1) // 2
    assert 0.45 < bits.mean() < 0.55
    # The echo of step t is in the item of step t + 1.
    np.testing.assert_array_equal(echoes[:, 4:], bits[:, :-4])
    assert (echoes[:, :4] == NO_TARGET).all()


def test_the_series_follow_from_the_seed():
  one, same, other = (echo.make_series(5, seed) for seed in (1, 1, 2))
  for split in echo.BITS:
    np.testing.assert_array_equal(one[split], same[split])
    assert (one[split] != other[split]).any()
  assert (one["valid"] != one["test"]).any()


def test_the_script_is_short():
  with open(f"{ROOT}/tasks/echo.py") as file:
    assert len(file.readlines()) <= 120


@pytest.fixture
def short(monkeypatch):
  monkeypatch.setattr(echo, "BITS", {"train": 3000, "valid": 300, "test": 300})
  return ["--config_override=max_max_epoch=3,learning_rate=0.03,num_layers=1"]


def test_sampling_from_two_bits_is_refused(call_script, capsys):
  assert call_script(echo, "--config_override=num_sampled=1") == 1
  assert_one_line(capsys.readouterr().err, "echo.py",
                  "num_sampled: this model has no such setting")


@pytest.mark.parametrize("mode", ["fused", "dynamic"])
def test_a_run_resumes_with_its_layer(short, tmp_path, call_script, mode):
  run = f"--save_path={tmp_path}/run"
  assert call_script(echo, *short, f"--rnn_mode={mode}", run) == 0
  assert call_script(echo, "--epochs=4", run) == 0
  assert f'"rnn_mode": "{mode}"' in (tmp_path / "run/config.json").read_text()


@pytest.mark.slow
def test_it_learns_resumes_in_the_same_bits_and_is_evaluated(
    short, tmp_path, call_script, capsys, monkeypatch):
  assert call_script(echo, *short, f"--save_path={tmp_path}/whole") == 0
  trained = capsys.readouterr().out
  assert float(re.search(r"accuracy on test: ([\d.]+)", trained)[1]) > 99
  assert matplotlib.image.imread(tmp_path / "whole/echo.png").shape[2] == 4

  # A signal in the first epoch, which has 40 windows. Then the same command.
  with monkeypatch.context() as patch:
    patch.setattr(training_flags.signals, "on_signals",
                  lambda: contextlib.nullcontext(StopAfter(30)))
    assert call_script(echo, *short, f"--save_path={tmp_path}/run") == 143
  assert_one_line(capsys.readouterr().err, "echo.py", "resume with: ")
  assert call_script(echo, *short, f"--save_path={tmp_path}/run") == 0
  assert "resuming at epoch 1, step 30 of" in capsys.readouterr().out
  assert_same_run(tmp_path / "whole", tmp_path / "run")

  assert call_script(echo, "--mode=eval", f"--save_path={tmp_path}/run") == 0
  out = capsys.readouterr().out
  for split, pattern in ("valid", "Epoch: 3 Valid"), ("test", "Test"):
    figure = re.search(rf"{pattern} Error Percent: ([\d.]+)", trained)[1]
    assert f"{split.capitalize()} Error Percent: {figure}\n" in out
  assert call_script(
      echo, "--mode=eval", f"--save_path={tmp_path}/run", "--seed=2") == 1
  assert_one_line(capsys.readouterr().err, "echo.py", "--seed: has no effect")
