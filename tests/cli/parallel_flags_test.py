"""The flags of devices and workers: errors in one line."""

import json
import signal

import pytest

import configs
import ptb_word_lm
from rnn import signals
from rnn.cli import parallel_flags, stored_flags, training_flags
from rnn.errors import UserError
from rnn.parallel import cluster
from rnn.parallel.workers import STOP, Workers
from tests.helpers.calls import assert_one_line, parse


@pytest.fixture
def joined(monkeypatch):
  """Replaces the start of a server; returns its arguments."""
  calls = []
  monkeypatch.setattr(parallel_flags, "Cluster",
                      lambda *args: calls.append(args) or "cluster")
  return calls


def tf_config(monkeypatch, **content):
  monkeypatch.setenv("TF_CONFIG", json.dumps(content))


@pytest.mark.parametrize("flags, message", [
    (["--worker=1"], "--worker: needs --workers"),
    (["--workers=", "--worker=1"], "--workers: is empty; write host:port"),
    (["--scale_batch"], "--scale_batch: has no effect without --workers"),
    (["--start_secs=5"], "--start_secs: has no effect without --workers"),
    (["--step_secs=5"], "--step_secs: has no effect without --workers"),
    (["--workers=a:1,b:2"], "--worker: give the index of this process .* 0 to "
     "1$"),
    (["--workers=a:1,b:2", "--worker=2"], "--workers: there is no worker 2; "
     "the last one is 1$"),
    (["--workers=a:1,b", "--worker=0"], "'b': not an address; write host:port"),
    (["--workers=a:1,b:70000", "--worker=0"], "'b:70000': not an address"),
    (["--workers=a:1,a:1", "--worker=0"], "a:1 is there twice"),
    (["--num_replicas=3"], "batch_size=20: 3 workers or devices cannot share "
     "it evenly; use a multiple of 3$"),
    (["--workers=a:1,b:2,c:3", "--worker=0"], "batch_size=20: 3 workers"),
    (["--num_gpus=2"], "--num_gpus=2: TensorFlow sees . GPUs?; give a smaller"),
    (["--num_gpus=-1"], "--num_gpus=-1"),
    (["--step_secs=0"], "--step_secs=0"),
])
def test_wrong_flags_get_one_line(
    corpus_folder, call_main, capsys, flags, message):
  assert call_main("--model=test", f"--data_path={corpus_folder}", *flags) == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", message)


@pytest.mark.parametrize("content, message", [
    ("{", "TF_CONFIG: not as TensorFlow has it; it is JSON"),
    ("[]", "TF_CONFIG: not as TensorFlow"),
    ('{"task": {"index": 1e999}}', "TF_CONFIG: not as TensorFlow"),
    ('{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}}',
     "TF_CONFIG: has a job 'ps'; all jobs must be workers"),
    ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 2}}',
     "TF_CONFIG: there is no worker 2"),
    ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": -1}}',
     "TF_CONFIG: there is no worker -1"),
    ('{"cluster": {"worker": ["a:1"]}, "task": {"type": ["worker"]}}',
     "TF_CONFIG: has a job .*; all jobs must be workers"),
])
def test_a_wrong_tf_config_gets_one_line(
    corpus_folder, call_main, capsys, monkeypatch, content, message):
  monkeypatch.setenv("TF_CONFIG", content)
  assert call_main("--model=test", f"--data_path={corpus_folder}") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", message)


def test_tf_config_is_read_as_tensorflow_writes_it(joined, monkeypatch):
  addresses = ["a:1", "b:2", "c:3", "d:4"]
  for task, rank in (({"type": "chief", "index": 0}, 0),
                     ({"type": "worker", "index": 2}, 3)):
    tf_config(monkeypatch, task=task,
              cluster={"chief": addresses[:1], "worker": addresses[1:]})
    parse(ptb_word_lm, "--step_secs=7")
    parallel_flags.workers(configs.SMALL, None)
    assert joined.pop() == (addresses, rank, [""], 300, 7)
  parse(ptb_word_lm, "--workers=e:1,f:2", "--worker=1")  # flags win
  parallel_flags.workers(configs.SMALL, None)
  assert joined.pop()[:2] == (["e:1", "f:2"], 1)


def test_a_cluster_of_one_needs_no_server(joined, monkeypatch):
  tf_config(monkeypatch, cluster={"worker": ["a:1"]},
            task={"type": "worker", "index": 0})
  parse(ptb_word_lm)
  _, workers = parallel_flags.workers(configs.SMALL, None)
  assert (workers.size, workers.is_chief, joined) == (1, True, [])


def test_scale_batch_gives_each_worker_a_whole_batch(joined):
  parse(ptb_word_lm, "--workers=a:1,b:2", "--worker=0", "--scale_batch")
  config, _ = parallel_flags.workers(configs.SMALL, None)
  assert config.batch_size == 40
  # A run that resumes has the batch of all workers already.
  stored = stored_flags.Stored(None, {}, config)
  config, _ = parallel_flags.workers(config, stored)
  assert config.batch_size == 40


def test_evaluation_refuses_the_flags_of_training(call_main, capsys):
  for flag in "--workers=a:1,b:2", "--num_replicas=2", "--scale_batch":
    assert call_main("--mode=eval", "--save_path=x", flag) == 1
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                    "has no effect with --mode=eval; leave it out")


def test_the_lost_worker_is_the_one_at_the_source_of_the_error():
  class LostError(Exception):
    def __str__(self):
      return ("From /job:worker/replica:0/task:0: aborted by: reset\n"
              "information from remote target /job:worker/replica:0/task:2 "
              "while calling\ninformation from remote target "
              "/job:worker/replica:0/task:1 while calling")

  worker = object.__new__(cluster.Cluster)
  worker.size, worker._addresses = 3, ["a:1", "b:2", "c:3"]
  assert worker._lost(LostError()) == (
      "the connection to worker 2 (c:3) was lost")
  assert worker._lost(ValueError("it failed\n\t [[{{node x}}]]")) == (
      "another worker did not take part (it failed)")


def test_other_workers_may_take_long_before_the_first_window():
  worker = object.__new__(cluster.Cluster)
  worker._step_secs, worker._start_secs = 9, 20
  worker._has_joined, worker._windows = False, set()
  mail, training, validation = object(), {STOP: 0}, {STOP: 1}
  assert worker._limit(mail) == (20, "start_secs")
  worker._has_joined = True
  # They read texts; then TensorFlow prepares each pass.
  assert worker._limit(mail) == (20, "start_secs")
  assert worker._limit(mail) == (20, "start_secs")
  assert worker._limit(training) == (20, "start_secs")
  assert worker._limit(training) == (9, "step_secs")
  assert worker._limit(validation) == (20, "start_secs")
  assert worker._limit(validation) == (9, "step_secs")
  assert worker._limit(mail) == (9, "step_secs")
  worker._windows, worker._step_secs = set(), 30
  assert worker._limit(mail) == (30, "step_secs")


def test_a_stopped_worker_names_the_command_that_resumes():
  other = Workers()
  other.rank, other.size = 1, 2
  for flag, workers, message in (
      ("--save_path=x", Workers(), "everything is saved, resume with: "),
      ("--seed=1", Workers(), "nothing is kept without --save_path$"),
      ("--seed=1", other, "if worker 0 has a --save_path, resume with: ")):
    parse(ptb_word_lm, flag)
    with pytest.raises(UserError, match=f"stopped by SIGTERM; {message}"):
      with training_flags.stopping(workers):
        raise signals.Stopped(signal.SIGTERM)
