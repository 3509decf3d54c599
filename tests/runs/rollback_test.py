"""A run that falls back to an earlier checkpoint drops what came later."""

import pytest

from rnn.runs.directory import RunDirectory
from rnn.tf1 import tf
from tests.helpers.run_folders import training_run, truncate

ROWS = [{"epoch": number, "learning_rate": 1.0, "valid_perplexity": 9 - number}
        for number in (1, 2, 3)]


@pytest.fixture
def run(tmp_path):
  """An open run whose three epochs were tested, and a session with its x."""
  run = training_run(tmp_path / "run", None)
  with tf.Graph().as_default(), tf.Session() as session, run.open():
    x = tf.get_variable("x", initializer=0.0)
    run.begin(0)
    for row in ROWS:
      x.load(row["epoch"], session)
      run.save(session, tf.train.Saver(), row["epoch"],
               {"rows": ROWS[:row["epoch"]]}, ends_epoch=True)
    run.keep_tests({1: 8.5, 2: 7.5, 3: 6.5})
    yield run, session, x


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_figures_of_later_epochs_are_dropped(run, damaged):
  run, session, x = run
  for checkpoint in run.checkpoints():
    if checkpoint.epoch > 3 - damaged:
      truncate(f"{checkpoint.path}/journal.json")
  left = 3 - damaged
  assert run.restore(session, [x])[0].epoch == session.run(x) == left
  figures = {1: 8.5, 2: 7.5, 3: 6.5}
  assert RunDirectory(run.path).tests() == {
      number: figures[number] for number in range(1, left + 1)}
  with open(f"{run.path}/metrics.csv") as file:
    assert len(file.readlines()) == 1 + left
  assert [c.epoch for c in run.checkpoints() if not c.best] == list(
      range(left, 0, -1))
  assert run.best().epoch == left
