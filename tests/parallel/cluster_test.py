"""Several workers train as one process does, and fail in good order."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tests.helpers import warm_python
from tests.helpers.calls import ROOT, run_script
from tests.helpers.several_workers import Team, last_line

pytestmark = pytest.mark.slow

SIZES = ("hidden_size=8,num_layers=2,num_steps=5,batch_size=8,max_epoch=1,"
         "keep_prob=0.6,init_scale=0.1")
SHORT = f"--config_override={SIZES},epoch_size=25,max_max_epoch=2"
LONG = f"--config_override={SIZES},max_max_epoch=1000"
# Seconds after a limit within which a process ends. On an idle machine 5 are
# enough, but here other tests run, too.
LATE = 20


def flags(corpus, run, *more):
  return ("--model=test", f"--data_path={corpus}", f"--save_path={run}", *more)


def variables(run):
  """Returns the variables of the newest checkpoint: name -> array."""
  checkpoint = RunDirectory(str(run)).checkpoints()[0]
  reader = tf.train.load_checkpoint(checkpoint.variables)
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()}


def figures(run):
  """Returns the perplexities of all epochs and tests."""
  run = RunDirectory(str(run))
  return [{name: figure for name, figure in row.items() if "perplexity" in name}
          for row in run.checkpoints()[0].journal()["rows"]], run.tests()


def assert_same_figures(run, other, rel):
  (rows, tests), (other_rows, other_tests) = figures(run), figures(other)
  assert tests == pytest.approx(other_tests, rel=rel)
  assert len(rows) == len(other_rows)
  for row, other_row in zip(rows, other_rows, strict=True):
    assert row == pytest.approx(other_row, rel=rel)


@pytest.fixture(scope="module")
def alone(corpus_folder, tmp_path_factory):
  """A function, flags -> the folder of a run by a single process."""
  runs = {}

  def train(*args):
    if args not in runs:
      folder = tmp_path_factory.mktemp("alone") / "run"
      result = run_script(*flags(corpus_folder, folder, *args))
      assert result.returncode == 0, result.stderr
      runs[args] = folder
    return runs[args]
  return train


def train(size, corpus, run, *args):
  """Trains with several workers, to the end."""
  ends = Team(size, *flags(corpus, run, *args)).start_all().ends()
  assert [status for status, *_ in ends] == [0] * size, ends
  for rank, (_, output, _) in enumerate(ends[1:], 1):
    assert last_line(output) == f"worker {rank} of {size}: finished"
  return run


# The flags of every run; the flags of runs with several workers only; and the
# largest difference of a parameter from the run of a single process. Adagrad
# and Adam divide by small numbers, which makes rounding errors larger.
CASES = {
    "small": ([SHORT], [], 4e-7),
    "replicas": ([SHORT], ["--num_replicas=2"], 4e-7),
    "gru, adam, tied": ([
        SHORT + ",cell=gru,optimizer=adam,tie_weights=true,embedding_size=6",
        "--learning_rate=0.01"], [], 2e-5),
    "lstmp, sampled softmax": ([
        SHORT + ",cell=lstmp,projection_size=4,num_sampled=6,optimizer=adagrad",
        "--learning_rate=0.1"], [], 2e-5),
    # The rate decays in epochs 3 and 6, and averaging begins after epoch 5.
    "asgd, masks, penalties": ([
        f"--config_override={SIZES.replace('max_epoch=1,', '')},"
        "epoch_size=5,max_max_epoch=7,"
        "optimizer=asgd,asgd_patience=1,weight_decay=0.001,lr_schedule=plateau,"
        "lr_decay=0.9,dropout_mask=window,keep_prob_word=0.7,"
        "keep_prob_recurrent=0.6,activation_penalty=2,slowness_penalty=1"
    ], [], 4e-7),
    "random windows, tied": ([
        SHORT + ",window_jitter=1.5,tie_weights=true,slowness_penalty=1"
    ], [], 4e-7),
    "sentences": ([SHORT + ",reset_state=true,slowness_penalty=9"], [], 4e-7),
}


@pytest.mark.parametrize("size, case", [
    (4, "replicas"), (2, "gru, adam, tied"), (2, "lstmp, sampled softmax"),
    (2, "asgd, masks, penalties"), (2, "random windows, tied"),
    (2, "sentences")])
def test_workers_follow_a_single_process(
    corpus_folder, tmp_path, alone, size, case):
  args, more, tolerance = CASES[case]
  single = alone(*args)
  run = train(size, corpus_folder, tmp_path / "run", *args, *more)
  assert_same_figures(run, single, 10 * tolerance)
  values = variables(single)
  assert values.get("asgd/start", 25) == 25
  for name, value in variables(run).items():
    if name.startswith(("Model/", "asgd/")):
      np.testing.assert_allclose(
          value, values[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def index(corpus_folder, tmp_path_factory):
  """The folder of an indexed text, of several shards."""
  folder = tmp_path_factory.mktemp("indexed") / "index"
  subprocess.run(
      [*warm_python.command(), os.path.join(ROOT, "data", "index.py"),
       f"--input={corpus_folder}/train.txt", f"--output={folder}",
       f"--valid={corpus_folder}/valid.txt", f"--test={corpus_folder}/test.txt",
       "--vocab_size=50", "--shard_megabytes=0.002"], check=True)
  return folder


def test_an_indexed_text_is_read_by_its_workers(index, tmp_path):
  """Also by another number of them after a stop, in the same order."""
  args = SHORT.replace(",epoch_size=25", "")
  single = tmp_path / "single"
  result = run_script(*flags(index, single, args))
  assert result.returncode == 0, result.stderr
  run = train(2, index, tmp_path / "run", args.replace("epoch=2", "epoch=1"))
  train(4, index, run, args)
  (rows, tests), (expected_rows, expected_tests) = figures(run), figures(single)
  assert tests[2] == pytest.approx(expected_tests[2], rel=1e-5)
  for row, expected in zip(rows, expected_rows, strict=True):
    assert row == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["--use_bfloat16", "--use_fp16"])
def test_low_precision_stays_close(corpus_folder, tmp_path, alone, precision):
  run = train(2, corpus_folder, tmp_path / "run", SHORT, precision)
  assert_same_figures(run, alone(SHORT, precision), 0.005)


def test_a_signal_to_one_worker_stops_all_and_a_resumed_run_has_the_same_bits(
    index, tmp_path):
  """With shards in an order per epoch, and with sampled candidates."""
  args = (SHORT.replace(",epoch_size=25", "")
          + ",cell=lstmp,projection_size=4,num_sampled=6,optimizer=adagrad")
  undisturbed = train(2, index, tmp_path / "undisturbed", args)
  run = tmp_path / "run"
  team = Team(2, *flags(index, run, args)).start_all()
  team.wait_for_step()
  team.processes[1].send_signal(signal.SIGTERM)
  for status, _, error in team.ends():
    assert status == 128 + signal.SIGTERM, error
    assert "stopped by SIGTERM; everything is saved" in last_line(error)
  train(2, index, run, args)
  expected = variables(undisturbed)
  for name, value in variables(run).items():
    np.testing.assert_array_equal(value, expected[name], name)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_ends_all_and_the_same_commands_resume(
    corpus_folder, tmp_path, rank):
  args = flags(corpus_folder, tmp_path / "run", LONG, "--save_secs=0")
  team = Team(2, *args, cold=[rank]).start_all()
  team.wait_for_step()
  start = time.monotonic()
  team.processes[rank].kill()
  status, _, error = team.end(1 - rank)
  assert time.monotonic() - start < LATE
  assert status == 1
  address = team.addresses[rank]
  expected = (
      rf"^ptb_word_lm.py: worker {1 - rank} of 2: the connection to worker "
      rf"{rank} \({address}\) was lost; start the same command on every "
      "machine again")
  assert re.match(expected, last_line(error)), error
  if rank == 1:
    assert re.search("; it resumes at epoch .*, step .* of ", last_line(error))
  newest = RunDirectory(str(tmp_path / "run")).checkpoints()[0]
  # One more epoch, by another number of workers, or by one.
  epoch = len(newest.journal()["rows"]) + 1
  end = LONG.replace("=1000", f"={epoch}")
  if rank == 0:
    result = run_script(*flags(corpus_folder, tmp_path / "run", end))
    assert result.returncode == 0, result.stderr
  else:
    train(4, corpus_folder, tmp_path / "run", end)
  assert len(figures(tmp_path / "run")[0]) == epoch


def test_a_batch_of_each_worker_is_a_larger_batch(
    corpus_folder, tmp_path, alone):
  """A single process resumes it, by the folder alone."""
  single = alone(SHORT)
  run = train(2, corpus_folder, tmp_path / "run",
              SHORT.replace("batch_size=8", "batch_size=4"), "--scale_batch")
  assert_same_figures(run, single, 1e-6)
  result = run_script(f"--save_path={run}", "--epochs=3")
  assert result.returncode == 0, result.stderr
  assert len(figures(run)[0]) == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_worker_ends_the_others_after_the_limit(
    corpus_folder, tmp_path, rank):
  team = Team(2, *flags(corpus_folder, tmp_path / "run", LONG,
                        "--step_secs=2", "--start_secs=60"),
              cold=[rank]).start_all()
  team.wait_for_step()
  team.processes[rank].send_signal(signal.SIGSTOP)
  start = time.monotonic()
  status, _, error = team.end(1 - rank)
  team.processes[rank].kill()
  assert time.monotonic() - start < 2 + LATE
  assert status == 1
  assert (f"worker {1 - rank} of 2: no answer from worker {rank} "
          f"({team.addresses[rank]}) for 2 s (--step_secs); start the same "
          ) in last_line(error)
  if rank == 1:
    epoch, step, size = map(int, re.search(
        r"; it resumes at epoch (\d+), step (\d+) of (\d+)$",
        last_line(error)).groups())
    newest = RunDirectory(str(tmp_path / "run")).checkpoints()[0]
    assert newest.step == (epoch - 1) * size + step > 0


@pytest.mark.parametrize("absent", [0, 1])
def test_a_worker_that_never_arrives_ends_the_others(
    corpus_folder, tmp_path, absent):
  team = Team(2, *flags(corpus_folder, tmp_path / "run", LONG,
                        "--start_secs=3", "--step_secs=2"))
  team.start(1 - absent)
  start = time.monotonic()
  status, _, error = team.end(1 - absent)
  assert time.monotonic() - start < 3 + LATE
  assert status == 1
  assert (f"worker {1 - absent} of 2: no answer from worker {absent} "
          f"({team.addresses[absent]}) for 3 s (--start_secs)"
          ) in last_line(error)


def test_a_restarted_worker_ends_and_names_the_reason(corpus_folder, tmp_path):
  team = Team(2, *flags(corpus_folder, tmp_path / "run", LONG,
                        "--start_secs=60"), cold=[1]).start_all()
  team.wait_for_step()
  team.processes[1].kill()
  team.processes[1].wait()
  team.start(1, "--start_secs=2")
  for rank, (status, _, error) in enumerate(team.ends()):
    assert status == 1, error
    assert f"worker {rank} of 2: " in last_line(error)
    assert "start the same command on every machine again" in last_line(error)


def test_a_port_in_use_gets_one_line(corpus_folder, tmp_path):
  team = Team(2, *flags(corpus_folder, tmp_path / "run", LONG))
  with socket.socket() as other:
    other.bind(("", int(team.addresses[0].rpartition(":")[2])))
    other.listen()
    team.start(0)
    status, _, error = team.end(0)
  assert status == 1
  assert (f"worker 0: cannot listen at {team.addresses[0]}: the port may be in "
          "use") in last_line(error)


def test_workers_that_differ_name_the_difference(corpus_folder, tmp_path):
  team = Team(2, *flags(corpus_folder, tmp_path / "run", LONG))
  team.start(0)
  team.start(1, "--seed=3", "--learning_rate=0.5")
  for status, _, error in team.ends():
    assert status == 1
    assert "the workers differ as listed below; give all of them" in error
    assert "\n  worker 1: seed (3 there, 1 at worker 0)\n" in error
  assert not os.path.exists(tmp_path / "run")


def test_a_worker_with_another_text_is_refused(corpus_folder, tmp_path):
  other = shutil.copytree(corpus_folder, tmp_path / "other")
  (other / "valid.txt").write_text("the cat sees the dog\n" * 9)
  team = Team(2, *flags(corpus_folder, tmp_path / "run", LONG))
  team.start(0)
  team.start(1, f"--data_path={other}")
  for status, _, error in team.ends():
    assert status == 1
    assert "worker 1: data.valid.sha256 (" in error


def test_the_others_may_finish_long_before_the_chief(corpus_folder, tmp_path):
  corpus = shutil.copytree(corpus_folder, tmp_path / "corpus")
  (corpus / "test.txt").write_text("the cat sees the dog\n" * 40000)
  team = Team(2, *flags(corpus, tmp_path / "run", SHORT)).start_all()
  assert team.end(1)[0] == 0
  assert team.processes[0].poll() is None
  assert team.end(0)[0] == 0
  assert figures(tmp_path / "run")[1].keys() >= {2}


def test_tf_config_names_the_workers(corpus_folder, tmp_path, monkeypatch):
  team = Team(2, *flags(corpus_folder, tmp_path / "run", SHORT))
  addresses = team.addresses
  for rank, job in enumerate(["chief", "worker"]):
    monkeypatch.setenv("TF_CONFIG", json.dumps({
        "cluster": {"chief": addresses[:1], "worker": addresses[1:]},
        "task": {"type": job, "index": 0}}))
    team.start_process(rank)
  for status, _, error in team.ends():
    assert status == 0, error


def test_characters_are_trained_by_several_workers(tmp_path):
  text = tmp_path / "text.txt"
  text.write_text("".join(f"the cat sees {n} dogs\n" for n in range(400)))
  team = Team(2, f"--data_path={text}", f"--save_path={tmp_path}/run",
              "--config_override=hidden_sizes=8,batch_size=4,num_steps=10,"
              "epoch_size=5,max_max_epoch=1", script="tasks/char_lm.py")
  for status, _, error in team.start_all().ends():
    assert status == 0, error
