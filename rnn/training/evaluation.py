"""Evaluates the checkpoints of a run without training."""

from collections.abc import Callable, Mapping

from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory
from rnn.tf1 import repeatable_session, tf
from rnn.training import loop, progress
from rnn.training.metrics import PERPLEXITY, Metric
from rnn.training.passes import SplitPass


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
    newest, best = restored[0], run.best()
    results = {newest: _measure(session, newest, passes, metric)}
    if best and best.step != newest.step and loop.load_best(
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
