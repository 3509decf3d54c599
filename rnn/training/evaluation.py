"""Evaluates the checkpoints of a run: after training, or without it."""

import logging
from collections.abc import Callable, Mapping, Sequence

from rnn.files import DamagedError
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.tf1 import repeatable_session, tf
from rnn.training import progress
from rnn.training.metrics import PERPLEXITY, Metric
from rnn.training.passes import SplitPass, Sums

_log = logging.getLogger(__name__)


def evaluate(run: RunDirectory,
             make_passes: Callable[[], Mapping[str, SplitPass]],
             metric: Metric = PERPLEXITY) -> dict[Checkpoint, dict[str, float]]:
  """Evaluates the newest and the best checkpoint of a run.

  The results are printed, with a table at the end.

  Args:
    run: the run directory.
    make_passes: adds the passes over some splits to the default graph, and
      returns a dict, name -> pass. All of them have the same parameters.
    metric: measures the model.

  Returns:
    A dict, Checkpoint -> {name -> metric}, the newest first. The best is left
    out if it is the newest, or damaged.

  Raises:
    RunError: the folder is not a run, or no checkpoint is readable.
  """
  with tf.Graph().as_default(), repeatable_session() as session:
    passes = make_passes()
    variables = next(iter(passes.values())).model.variables
    session.run(tf.local_variables_initializer())
    for split_pass in passes.values():
      split_pass.load(session)
    restored = run.restore(session, variables)
    if not restored:
      raise RunError(f"{run.path}: has no checkpoint yet")
    newest = restored[0]
    results = {newest: _measure(session, newest, passes, metric)}
    best = run.best()  # only now: training may find a better one meanwhile
    if best and best.step != newest.step and load_best(
        session, variables, run, best):
      results[best] = _measure(session, best, passes, metric)
  print("\n".join(progress.table(list(passes), {
      (f"epoch {c.epoch}" if c.epoch else f"step {c.step}")
      + (", the last" if c is newest else ", best by valid"):
          list(figures.values())
      for c, figures in results.items()}, metric)), flush=True)
  return results


def _measure(session: tf.Session, checkpoint: Checkpoint,
             passes: Mapping[str, SplitPass],
             metric: Metric) -> dict[str, float]:
  """Returns the metric on each split, by the parameters in the session."""
  print(f"{checkpoint.path}:")
  figures = {}
  for name, split_pass in passes.items():
    sums = progress.run_with_progress(
        session, name.capitalize(), split_pass, metric=metric).sums
    figures[name] = metric.compute(sums)
    print(f"{name.capitalize()} {metric.title}: {figures[name]:.3f}",
          flush=True)
  return figures


def test(session: tf.Session, split_pass: SplitPass, run: TrainingRun | None,
          last: int, check_stop: Callable[[], None], metric: Metric,
          after_test: Callable[[int, Sums], None] | None) -> dict[int, float]:
  """Returns the metric on the test split, for the last and the best epoch.

  Args:
    session: it holds the parameters of the last epoch.
    split_pass: the pass over the split.
    run: the run directory, which keeps the result.
    last: the number of the last epoch.
    check_stop, metric, after_test: see `loop.run_training`.

  Returns:
    A dict, epoch -> metric.
  """
  tests = run.tests() if run else {}
  best = run.best() if run else None
  best_epoch = best.epoch if best and best.epoch else last
  for number in dict.fromkeys([last, best_epoch]):
    if number in tests and not after_test:
      continue
    if number != last and run and best and not load_best(
        session, split_pass.model.variables, run, best):
      continue
    sums = progress.run_with_progress(
        session, "Test", split_pass, check_stop, metric).sums
    tests[number] = metric.compute(sums)
    if after_test:
      after_test(number, sums)
    which = "" if number == last else f" (epoch {number}, best by validation)"
    print(f"Test {metric.title}: {tests[number]:.3f}{which}", flush=True)
    if run:
      run.keep_tests(tests)
  return {number: tests[number] for number in (last, best_epoch)
          if number in tests}


def load_best(session: tf.Session, variables: Sequence[tf.Variable],
              run: RunDirectory, checkpoint: Checkpoint) -> bool:
  """Loads the best model into a session; returns False if it is damaged.

  Then the session holds no model that can be used.

  Raises:
    RunError: it is of another run.
  """
  try:
    run.load(session, checkpoint, variables)
    return True
  except DamagedError as error:
    _log.warning("the best model is skipped: damaged checkpoint: %s", error)
    return False
