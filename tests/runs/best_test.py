"""The best model by validation: it is kept, and the summary reports it."""

import os

import numpy as np
import pytest

from rnn.runs.directory import RunDirectory
from tests.helpers.run_folders import rows_of, truncate


@pytest.mark.slow
def test_the_summary_reports_the_best_model(
    tmp_path, overfitted, call_main, capsys):
  flags, out = overfitted
  run = RunDirectory(f"{tmp_path}/run")
  figures = [float(row["valid_perplexity"]) for row in rows_of(run.path)]
  best = run.best()
  assert best.epoch == 1 + int(np.argmin(figures)) < 8
  tests = run.tests()
  assert set(tests) == {8, best.epoch}
  assert f"Test Perplexity: {tests[8]:.3f}\n" in out
  assert (f"Test Perplexity: {tests[best.epoch]:.3f} (epoch {best.epoch}, "
          "best by validation)\n") in out
  last, better = out.splitlines()[-3:-1]
  assert last.split()[-2:] == [f"{figures[-1]:.2f}", f"{tests[8]:.2f}"]
  assert better.startswith(f"this run, epoch {best.epoch}, best by valid ")
  assert better.split()[-2:] == [f"{min(figures):.2f}",
                                 f"{tests[best.epoch]:.2f}"]
  # A restart reports the same model, unless it is damaged.
  assert call_main(*flags) == 0
  assert better in capsys.readouterr().out
  os.remove(f"{run.path}/tests.json")
  truncate(f"{best.path}/model.ckpt.data-00000-of-00001")
  assert call_main(*flags) == 0
  out, err = capsys.readouterr()
  assert "warning: the best model is skipped: damaged checkpoint: " in err
  assert last in out and "best by valid" not in out


@pytest.mark.slow
def test_after_damage_the_best_of_the_remaining_models_is_kept(
    run_flags, tmp_path, call_main):
  *flags, override = run_flags
  override = override.replace("max_max_epoch=2", "max_max_epoch=3")
  assert call_main(*flags, override) == 0
  run = RunDirectory(f"{tmp_path}/run")
  assert run.best().epoch == 3
  stale = run.tests()[3]
  for checkpoint in run.checkpoints():
    if checkpoint.epoch == 3:
      truncate(f"{checkpoint.path}/journal.json")
  # Epoch 3 is repeated at a rate that spoils the model.
  assert call_main(*flags, override + ",learning_rate=30,max_grad_norm=9") == 0
  figures = [float(row["valid_perplexity"]) for row in rows_of(run.path)]
  assert figures[1] < min(figures[0], figures[2])
  assert run.best().epoch == 2 and set(run.tests()) == {2, 3}
  assert run.tests()[3] > 1.1 * stale  # measured again
