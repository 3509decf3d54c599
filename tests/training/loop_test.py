"""The training loop, with a model of one number."""

import contextlib
import functools
import os
import socket
import types

import pytest
from tensorboard.backend.event_processing import event_accumulator

from rnn import signals
from rnn.errors import UserError
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.training import loop
from rnn.training.divergence import DivergedError
from tests.helpers.number_model import DISTANCE, make_passes
from tests.helpers.run_folders import StopAfter, variables_of


@pytest.mark.parametrize("resumes", [False, True])
def test_the_test_figures_are_those_of_the_last_and_the_best_epoch(
    tmp_path, capsys, resumes):
  """Also if another process tests them."""
  for _ in range(1 + resumes):
    run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
    rows, tests = loop.run_training(make_passes, 4, DISTANCE, run)
    assert tests == {4: 6, 2: 8} == run.tests()
    (tmp_path / "run" / "tests.json").unlink()
  assert [row["valid_distance"] for row in rows] == [1.25, 0.25, 0.75, 1.75]
  assert {row["learning_rate"] for row in rows} == {0.1}  # as it was given
  assert capsys.readouterr().out.endswith(
      "Test Distance: 6.000\n"
      "Test Distance: 8.000 (epoch 2, best by validation)\n")
  best = RunDirectory(run.path).best()
  assert (best.epoch, variables_of(best)["model/v"]) == (2, 2)


@pytest.mark.parametrize("early_stop, epochs, tests", [
    (1, 3, {3: 7, 2: 8}), (2, 4, {4: 6, 2: 8}), (0, 4, {4: 6, 2: 8})])
def test_epochs_without_improvement_end_a_run(
    tmp_path, capsys, early_stop, epochs, tests):
  """The distances are 1.25, 0.25, 0.75, 1.75; the last two do not improve."""
  run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
  rows, tested = loop.run_training(
      make_passes, 4, DISTANCE, run, early_stop=early_stop)
  assert (len(rows), tested) == (epochs, tests)
  assert ("Training ends at epoch 3, because validation has not improved since "
          "epoch 2 (early_stop=1)\n" in capsys.readouterr().out) == (
              early_stop == 1)


def test_a_resumed_run_stops_at_the_same_epoch_and_goes_on_if_told(
    tmp_path, capsys):
  def train(epochs, early_stop):
    run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
    rows, _ = loop.run_training(
        make_passes, epochs, DISTANCE, run, early_stop=early_stop)
    return len(rows), capsys.readouterr().out

  assert train(2, 1)[0] == 2
  assert train(9, 1)[0] == 3  # the epoch before it was of another process
  epochs, out = train(9, 1)
  assert epochs == 3 and "run is finished, with 3 epochs; early_stop=1 " in out
  assert "early_stop=2 or more, or 0, goes on" in out and "Epoch:" not in out
  assert train(9, 2)[0] == 4
  assert train(9, 0)[0] == 9
  assert "a larger max_max_epoch goes on" in train(9, 0)[1]


PLATEAU = {"lr_schedule": "plateau", "plateau_epochs": 1, "lr_decay": 0.5,
           "max_epoch": 0}


@pytest.mark.parametrize("before, changes, rates", [
    (0, {}, [0.1, 0.1, 0.1, 0.05, 0.025]),
    (3, {}, [0.1, 0.1, 0.1, 0.05, 0.025]),
    (3, {"plateau_epochs": 2}, [0.1, 0.1, 0.1, 0.1, 0.05]),
    (4, {"lr_decay": 0.1}, [0.1, 0.1, 0.1, 0.05, 0.001]),
    (3, {"lr_schedule": "epochs", "max_epoch": 2},
     [0.1, 0.1, 0.1, 0.025, 0.0125])])
def test_the_rate_follows_from_all_epochs_and_the_present_settings(
    tmp_path, capsys, before, changes, rates):
  """The distances are 1.25, 0.25, 0.75, and at least 1; the last 3 are worse.

  Args:
    before: the epochs of an earlier process, without the changes.
  """
  for epochs, settings in ((before, {}), (5, changes)):
    if epochs:
      run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
      rows, _ = loop.run_training(functools.partial(
          make_passes, **(PLATEAU | settings)), epochs, DISTANCE, run)
  assert [row["learning_rate"] for row in rows] == rates
  curves = event_accumulator.EventAccumulator(run.path).Reload()
  points = curves.Scalars("steps/learning_rate")
  # Of two writers of one process in the same second, the second one remains.
  assert points and [point.value for point in points] == pytest.approx(
      rates[-len(points):])
  assert f"Epoch: 5 Learning rate: {rates[-1]:.3g}\n" in capsys.readouterr().out


def test_a_run_stopped_early_within_a_later_epoch_is_named(tmp_path):
  def train(early_stop, **kwargs):
    run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
    return loop.run_training(functools.partial(make_passes, 2), 9, DISTANCE,
                             run, early_stop=early_stop, **kwargs)

  # The distances are 0.25, 1.75, ...
  assert len(train(1)[0]) == 2
  with pytest.raises(signals.Stopped):
    train(0, check_stop=StopAfter(1))
  with pytest.raises(UserError, match=(
      "stopped at epoch 3, step 1 of 2; give early_stop=2 or more, or 0")):
    train(1)


def test_without_a_run_only_the_last_epoch_is_tested():
  assert loop.run_training(make_passes, 4, DISTANCE)[1] == {4: 6}


def test_a_resumed_run_keeps_the_points_before_it(tmp_path, monkeypatch):
  for epochs in 2, 4:
    # As in another second, so that the two event files have different names.
    monkeypatch.setattr(socket, "gethostname", functools.partial(str, epochs))
    run = TrainingRun(str(tmp_path / "run"), {}, metric="distance")
    loop.run_training(make_passes, epochs, DISTANCE, run)
  curves = event_accumulator.EventAccumulator(run.path).Reload()
  for name in "epochs/train_distance", "steps/train_distance":
    assert [(point.step, point.value) for point in curves.Scalars(name)] == [
        (1, 0), (2, 1), (3, 2), (4, 3)]


def train(folder, **model):
  """Trains for an epoch of 8 steps, and saves every 10 seconds.

  A step takes 4 seconds. Returns the names of the checkpoints.
  """
  now = 0

  def pass_time():
    nonlocal now
    now += 4

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "time", types.SimpleNamespace(
        perf_counter=lambda: now))
    run = TrainingRun(str(folder), {}, metric="distance", keep=9)
    with contextlib.suppress(DivergedError):
      loop.run_training(functools.partial(make_passes, 8, **model), 1, DISTANCE,
                        run, save_secs=10, check_stop=pass_time)
  return sorted(os.listdir(folder / "checkpoints"))


def test_checkpoints_are_saved_at_intervals(tmp_path):
  assert train(tmp_path / "run") == [
      "best-step-000000008-epoch-1", "step-000000004", "step-000000007",
      "step-000000008-epoch-1"]


@pytest.mark.parametrize("limit, names", [
    (7, ["aside-step-000000007", "step-000000004"]),
    (6, ["step-000000004"]), (4, ["aside-step-000000004"])])
def test_a_checkpoint_whose_loss_is_infinite_is_set_aside(
    tmp_path, limit, names):
  """The loss of a step is that of the parameters before it."""
  assert train(tmp_path / "run", limit=limit) == names
