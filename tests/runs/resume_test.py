"""Training that was stopped and resumed ends in the same bits."""

import dataclasses
import glob
import os
import shutil

import pytest

import configs
import ptb_word_lm
import reader
from rnn import signals
from rnn.layers import lstm
from rnn.options import Options
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tests.helpers.run_folders import (
  StopAfter,
  assert_same_run,
  contents,
  training_run,
)

# Configs with their layers. Windows are short, so that graphs and steps are
# small; `make torture` has the whole models.
SIZES = {
    "test": (dataclasses.replace(configs.TEST, keep_prob=0.5, num_steps=5),
             lstm.LAYERS),
    "small": (dataclasses.replace(configs.SMALL, num_steps=5),
              ["fused", "block"]),
    "small with dropout": (
        dataclasses.replace(configs.SMALL, keep_prob=0.5, num_steps=5),
        ["basic"]),
    "masks and penalties": (
        dataclasses.replace(
            configs.TEST, num_steps=5, dropout_mask="window", keep_prob=0.7,
            keep_prob_word=0.8, keep_prob_recurrent=0.5,
            activation_penalty=2.0, slowness_penalty=1.0), ["fused"]),
    "medium": (dataclasses.replace(configs.MEDIUM, num_steps=5),
               ["fused"]),
    "lm1b": (dataclasses.replace(
        configs.LM1B, num_steps=5, batch_size=20, hidden_size=8,
        projection_size=4, num_sampled=6), ["fused"]),
    "tied, random windows": (dataclasses.replace(
        configs.TEST, tie_weights=True, forget_bias=1.0, hidden_size=8,
        embedding_size=4, keep_prob=0.5, num_steps=5, window_jitter=1.5),
        ["fused"]),
    "sentences": (dataclasses.replace(
        configs.TEST, keep_prob=0.5, num_steps=5, reset_state=True),
        ["fused"]),
}


@pytest.mark.parametrize("size, rnn_mode", [
    pytest.param(size, rnn_mode, marks=[] if (size, rnn_mode) == (
        "test", "fused") else pytest.mark.slow)
    for size, (_, layers) in SIZES.items() for rnn_mode in layers])
def test_a_run_stopped_anywhere_ends_in_the_same_bits(
    corpus_folder, tmp_path, size, rnn_mode):
  """Stops in training, at its end, in validation, and in the test pass."""
  config = dataclasses.replace(SIZES[size][0], max_max_epoch=2, max_epoch=1)
  # An epoch has 5 windows, validation 3.
  train_ids, valid_ids, test_ids, vocabulary = reader.ptb_raw_data(
      corpus_folder)
  corpus = train_ids[:520], valid_ids[:320], test_ids[:20], vocabulary
  options = Options(rnn_mode)
  undisturbed = training_run(tmp_path / "undisturbed", vocabulary)
  ptb_word_lm.train(config, corpus, undisturbed, options)
  run = training_run(tmp_path / "run", vocabulary)
  ends = []
  for windows in (3, 3, 7, 2, 99):
    stop = StopAfter(windows)
    try:
      ptb_word_lm.train(config, corpus, run, options, check_stop=stop)
      ends.append(None)
    except signals.Stopped:
      newest = run.checkpoints()[0]
      ends.append((newest.step, newest.epoch))
  assert ends[0] == (3, None) and ends[-1] is None
  assert len(set(ends)) >= 4, ends
  assert_same_run(undisturbed.path, run.path)


def test_a_number_of_epochs_below_the_one_begun_is_refused(
    corpus_folder, tmp_path):
  config = dataclasses.replace(
      SIZES["test"][0], max_max_epoch=2, num_steps=20)
  corpus = reader.ptb_raw_data(corpus_folder)
  run = training_run(tmp_path / "run", corpus[-1])
  stop = StopAfter(3)

  def stop_in_epoch_2():
    if run.checkpoints():  # that of epoch 1
      stop()

  with pytest.raises(signals.Stopped):
    ptb_word_lm.train(config, corpus, run, check_stop=stop_in_epoch_2)
  before = contents(run.path)
  with pytest.raises(RunError, match=(
      "/run: stopped at epoch 2, step 3 of 8; give max_max_epoch=2 or more$")):
    ptb_word_lm.train(
        dataclasses.replace(config, max_max_epoch=1), corpus, run)
  assert contents(run.path) == before


@pytest.mark.slow
def test_a_finished_run_trains_nothing(
    run_flags, tmp_path, call_main, capsys):
  assert call_main(*run_flags) == 0
  before, first = contents(tmp_path / "run"), capsys.readouterr().out
  assert call_main(*run_flags) == 0
  out, err = capsys.readouterr()
  assert not err
  assert "/run is finished, with 2 epochs; a larger max_max_epoch goes on\n" \
      in out
  assert "Learning rate" not in out
  assert first.splitlines()[-2:] == out.splitlines()[-2:]
  assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_epochs_added_later_give_the_same_run_as_all_at_once(
    trained_flags, tmp_path, call_main, capsys):
  *flags, override = trained_flags
  more = override.replace("max_max_epoch=2", "max_max_epoch=4")
  assert call_main(*flags, more) == 0
  assert "resuming at epoch 3, step 0 of 89" in capsys.readouterr().out
  assert call_main(*flags, f"--save_path={tmp_path}/at_once", more) == 0
  one, other = tmp_path / "run", tmp_path / "at_once"
  assert RunDirectory(str(one)).tests().keys() == {2, 4}
  assert_same_run(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["best-*", "step-*-epoch-2", "*.csv", "*.png"])
def test_a_restart_completes_the_work_that_a_kill_interrupted(
    trained_flags, tmp_path, call_main, lost):
  before = contents(tmp_path / "run")
  for path in glob.glob(f"{tmp_path}/run/**/{lost}", recursive=True):
    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
  assert call_main(*trained_flags) == 0
  after = contents(tmp_path / "run")
  # The file "checkpoint" may name the best one's copy instead.
  name_file = f"{tmp_path}/run/checkpoint"
  assert after.keys() - {name_file} >= before.keys() - {name_file} - {
      path for path in before if lost == "step-*-epoch-2"
      and "/step-000000178" in path}
  newest = RunDirectory(f"{tmp_path}/run").checkpoints()[0]
  assert tf.train.latest_checkpoint(tmp_path / "run") == newest.variables
