"""The training loop of any model: epochs, checkpoints, validation, test.

    rows, tests = run_training(make_passes, num_epochs=13, run=run)

The caller says what the model is and what it reads. All training state lives in
variables and follows from the global step, so a run that was stopped and
resumed gives the same bits as an uninterrupted one.
"""

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from rnn.errors import DataError
from rnn.parallel.workers import ALONE, Workers, WorkersError
from rnn.runs.checkpoints import RunError
from rnn.runs.rows import epochs_since_best, valid_figures
from rnn.runs.training_run import TrainingRun
from rnn.signals import Stopped
from rnn.tf1 import read_in_place, repeatable_session, tf
from rnn.training import divergence, evaluation, footprint, schedule
from rnn.training.curves import StepCurves, difference
from rnn.training.divergence import DivergedError
from rnn.training.metrics import PERPLEXITY, Metric, perplexity
from rnn.training.passes import PassResult, SplitPass, Sums, run_pass
from rnn.training.progress import Progress, duration, run_with_progress

# After so many steps, or seconds, the time that training takes is known.
_SOME_STEPS, _SOME_SECONDS = 30, 10

Hook = Callable[[tf.Session, Any], None]  # called with the session, the model
Row = dict[str, Any]  # the metrics of an epoch, one line of metrics.csv

_log = logging.getLogger(__name__)


def no_hook(session: tf.Session, model: Any) -> None:
  """Does nothing after an epoch or at the end."""


@dataclasses.dataclass
class _LastStep:
  """State of the trainer after a step.

  Attributes:
    learning_rate: of the current epoch.
    grad_norm: of the last step.
    sums: of the training pass after the last step.
    curves: of the epoch; None without a run.
  """

  learning_rate: float = math.nan
  grad_norm: float = math.nan
  sums: Sums = dataclasses.field(default_factory=dict)
  curves: StepCurves | None = None


class Trainer:
  """Trains epoch by epoch, and keeps the metrics and checkpoints.

  Attributes:
    rows: the metrics of the finished epochs, one dict per epoch.
  """

  def __init__(self, session: tf.Session, training: SplitPass,
               validation: SplitPass | None, run: TrainingRun | None = None,
               save_secs: float = 600,
               check_stop: Callable[[], None] = lambda: None,
               metric: Metric = PERPLEXITY,
               after_epoch: Hook = no_hook, early_stop: int = 0,
               workers: Workers = ALONE) -> None:
    """Restores the run's newest checkpoint, if it has one.

    Of several workers, the chief does, and sends it to the others.

    Args:
      session: a session with initialized variables. If the run has a
        checkpoint, only local ones need to be.
      training, validation: the passes over these splits.
      run: an open run directory.
      save_secs: seconds between two checkpoints within an epoch.
      check_stop: called after each window; may raise `signals.Stopped`.
      metric: what is printed, and decides which epoch is the best.
      after_epoch: called with the session and the training model.
      early_stop: training ends after this many epochs without improvement on
        validation; 0 for never.
      workers: those of the passes. Only the chief may have a run.

    Raises:
      RunError: see `TrainingRun.restore`.
      WorkersError: a worker is lost.
    """
    self._session, self._run, self._metric = session, run, metric
    self._after_epoch, self._early_stop = after_epoch, early_stop
    self._training, self._validation = training, validation
    self._save_secs = save_secs
    self._check_stop = workers.agree_to_stop(check_stop)
    self._averages = training.model.averages
    self._saver = tf.train.Saver(max_to_keep=0)
    with tf.control_dependencies(map(read_in_place, tf.global_variables())):
      self._finite = tf.reduce_all([
          tf.reduce_all(tf.math.is_finite(variable.read_value()))
          for variable in training.model.variables])
    restored = run and run.restore(session, tf.global_variables())
    self._resumes = bool(restored)
    journal = workers.exchange(restored[1] if restored else None)[0]
    if journal:  # otherwise all workers begin with the same values
      workers.broadcast(session, tf.global_variables())
    journal = journal or {"rows": [], "seconds": 0}
    self.rows: list[Row] = journal["rows"]
    now = time.perf_counter()
    # When the epoch began, not counting the time between processes, and when
    # the last checkpoint was saved.
    self._epoch_began, self._saved = now - journal["seconds"], now
    self._last = _LastStep()
    self._num_epochs, self._seconds_per_step = 0, 0.0
    self._estimate_printed = False
    training.schedule.after_epoch(session, self._valid_figures())

  @property
  def step(self) -> int:
    """Training steps in all epochs so far."""
    return int(self._session.run(self._training.step))

  def position(self) -> str:
    """Returns the epoch and the step within it, in words."""
    size = self._training.size
    done = self.step - len(self.rows) * size
    return f"epoch {len(self.rows) + 1}, step {done} of {size}"

  def _valid_figures(self) -> list[float]:
    return list(valid_figures(self.rows, self._metric.name).values())

  def train_to_epoch(self, last: int) -> None:
    """Trains to the end of an epoch; does nothing if the run is there already.

    Early stopping may end it before.

    Raises:
      DivergedError: a loss, a gradient or a parameter is not finite.
      Stopped: `check_stop` raised it; a checkpoint was saved.
      DataError: a part of the text cannot be read; a checkpoint was saved.
      RunError: the run cannot be written.
      WorkersError: a worker is lost; a checkpoint of the last whole step was
        saved.
    """
    if self._run and self._resumes:
      if len(self.rows) >= last or self._epochs_without_improvement():
        self._check_finished(self._run.path)
        return
      print(f"resuming at {self.position()}", flush=True)
    if self._run:
      self._run.begin(self.step)
    print(footprint.summary(self._training.model), flush=True)
    self._num_epochs = last
    try:
      while len(self.rows) < last and not self._epochs_without_improvement():
        self._run_epoch()
    # OSError: standard output was closed.
    except (Stopped, OSError, DataError):
      self.save()
      raise
    except WorkersError as error:
      if not self._run:
        raise
      self.save()
      raise WorkersError(
          f"{error.summary}; it resumes at {self.position()}") from None

  def _check_finished(self, path: str) -> None:
    """Prints that the run is finished.

    Raises:
      RunError: it stopped within a later epoch.
    """
    early = self._epochs_without_improvement()
    if self.step > len(self.rows) * self._training.size:
      advice = (f"early_stop={early + 1} or more, or 0" if early else
                f"max_max_epoch={len(self.rows) + 1} or more")
      raise RunError(f"{path}: stopped at {self.position()}; give {advice}")
    print(f"{path} is finished, with {len(self.rows)} epoch"
          + "s" * (len(self.rows) != 1) + "; " + (
        f"early_stop={self._early_stop} ended it, early_stop={early + 1} or "
        "more, or 0, goes on" if early else
        "a larger max_max_epoch goes on"), flush=True)

  def _epochs_without_improvement(self) -> int:
    """Returns for how many epochs there was no improvement, if too many.

    It follows from the rows, so it is the same in a resumed run.
    """
    epochs = epochs_since_best(self.rows, self._metric.name)
    return epochs if 0 < self._early_stop <= epochs else 0

  def _run_epoch(self) -> None:
    """Trains to the end of the epoch, validates, and adds to `rows`."""
    number, size = len(self.rows) + 1, self._training.size
    rate = self._session.run(self._training.model.lr,
                             {self._training.step: (number - 1) * size})
    print(f"Epoch: {number} Learning rate: {schedule.as_text(rate)}",
          flush=True)
    result = self._run_steps(number, rate)
    grad_norm = result.sums["grad_norm"] / size
    clip_rate = result.sums["clipped"] / size
    figures = {"train": self._metric.compute(result.sums)}
    self._print(number, "Train", figures["train"])
    print(f"Epoch: {number} Gradient norm: {grad_norm:.3f}, clipped in "
          f"{clip_rate:.1%} of steps", flush=True)
    if self._validation:
      figures["valid"] = self._validate(number, self._validation)
    if warning := self._metric.worse_than_uniform(figures):
      _log.warning("epoch %d: %s", number, warning)
    self._after_epoch(self._session, self._training.model)
    now = time.perf_counter()
    self.rows.append({
        "epoch": number, "learning_rate": float(str(rate)),
        **{f"{split}_{self._metric.name}": figure
           for split, figure in figures.items()},
        "grad_norm": grad_norm, "clip_rate": clip_rate,
        f"{self._metric.unit}_per_second": result.per_second,
        "seconds": now - self._epoch_began})
    self._epoch_began = now
    for part in self._training.schedule, self._averages:
      part.after_epoch(self._session, self._valid_figures())
    if self._run:
      self._run.log(self.step, {
          f"epochs/{name}": figure for name, figure in self.rows[-1].items()})
      self.save()
    if epochs := self._epochs_without_improvement():
      print(f"Training ends at epoch {number}, because validation has not "
            f"improved since epoch {number - epochs} "
            f"(early_stop={self._early_stop})", flush=True)

  def _print(self, number: int, split: str, figure: float) -> None:
    print(f"Epoch: {number} {split} {self._metric.title}: {figure:.3f}",
          flush=True)

  def _run_steps(self, number: int, rate: float) -> PassResult:
    """Runs the training steps of an epoch that are left."""
    first = self.step - (number - 1) * self._training.size
    sums = self._session.run(self._training.sums)
    if first == 0:
      sums = dict.fromkeys(sums, 0)  # the variables still hold the last epoch's
    size = self._training.size
    curves = StepCurves(self._run, self._metric, rate, size, first, sums
                        ) if self._run else None
    self._last = _LastStep(rate, self._last.grad_norm, sums, curves)
    with Progress(f"Epoch {number}", size, first, lines=True,
                  metric=self._metric, more=(self._num_epochs - number) * size
                  ) as progress, self._averages.swapped(self._session):
      def report(window: int, sums: Sums, per_second: float) -> None:
        progress.report(window, sums, per_second)
        self._print_estimate(number, window, progress)
        self._after_step(window, sums, per_second)
      return run_pass(self._session, self._training, report, first)

  def _print_estimate(self, number: int, window: int,
                      progress: Progress) -> None:
    """Prints once how long training will take, when some steps have shown it.

    Args:
      number: the epoch.
    """
    self._seconds_per_step = progress.clock.seconds or self._seconds_per_step
    if self._estimate_printed or progress.clock.ticks < _SOME_STEPS and (
        progress.clock.elapsed < _SOME_SECONDS):
      return
    self._estimate_printed = True
    size = self._training.size
    steps_left = size * (self._num_epochs - number + 1) - window - 1
    epoch, left = (duration(self._seconds_per_step * steps)
                   for steps in (size, steps_left))
    progress.note(f"about {epoch} per epoch, "
                  f"{left} to the end of epoch {self._num_epochs}")

  def _validate(self, number: int, validation: SplitPass) -> float:
    """Returns the metric on the validation split."""
    sums = run_with_progress(
        self._session, f"Epoch {number} valid", validation,
        self._check_stop, self._metric, more_seconds=self._seconds_per_step
        * self._training.size * (self._num_epochs - number)).sums
    if not math.isfinite(PERPLEXITY.compute(sums)):
      if self._run:
        self._run.set_aside(self.step)  # it has the same parameters
      raise self._diverged("the validation perplexity is "
                           f"{PERPLEXITY.compute(sums):g}")
    self._print(number, "Valid", self._metric.compute(sums))
    return self._metric.compute(sums)

  def save(self) -> None:
    """Saves a checkpoint, if there is a run directory.

    Raises:
      DivergedError, RunError: it was not saved.
    """
    if not self._run:
      return
    # This also lets the saver read variables without copies.
    if not self._session.run(self._finite):
      raise self._diverged("a parameter is not finite")
    journal = {"rows": self.rows,
               "seconds": time.perf_counter() - self._epoch_began}
    ends_epoch = self.step == len(self.rows) * self._training.size
    self._run.save(self._session, self._saver, self.step, journal,
                   ends_epoch=bool(self.rows) and ends_epoch)
    self._saved = time.perf_counter()

  def _after_step(self, window: int, sums: Sums, per_second: float) -> None:
    """Checks for divergence; logs and saves when due; checks for a stop."""
    new = difference(sums, self._last.sums)
    loss, norm = new["nats"] / max(new["targets"], 1), new["grad_norm"]
    if not (math.isfinite(perplexity(loss, 1)) and math.isfinite(norm)):
      if self._run:  # the parameters of one step ago caused this loss
        self._run.set_aside(self.step - 1)
      raise self._diverged(
          f"the loss is {loss:g} nats per "
          f"{self._metric.unit.removesuffix('s')}", norm)
    self._last.sums, self._last.grad_norm = sums, norm
    if self._last.curves:
      step = len(self.rows) * self._training.size + window + 1
      self._last.curves.add(step, window + 1, sums, per_second)
    seconds = time.perf_counter() - self._saved
    if self._run and seconds >= self._save_secs:
      with self._averages.swapped(self._session):
        self.save()
    self._check_stop()

  def _diverged(self, what: str, norm: float | None = None) -> DivergedError:
    """Returns the error to raise; see `divergence.error` for the norm."""
    return divergence.error(
        self.position(), what, self._last.learning_rate, self._last.grad_norm,
        norm, self._run)


def run_training(
    make_passes: Callable[[], Sequence[Any]], num_epochs: int,
    metric: Metric = PERPLEXITY, run: TrainingRun | None = None,
    save_secs: float = 600, check_stop: Callable[[], None] = lambda: None,
    after_epoch: Hook = no_hook, at_end: Hook = no_hook, early_stop: int = 0,
    after_test: Callable[[int, Sums], None] | None = None,
    workers: Workers = ALONE,
) -> tuple[list[Row], dict[int, float]]:
  """Trains a model, validates it after each epoch, and tests it at the end.

  Args:
    make_passes: adds the SplitPasses over training, validation and test to the
      default graph, and returns them in this order. The last two may be None.
    num_epochs: in total.
    metric: measures the model.
    run: the run directory to resume from and to write to.
    save_secs, check_stop, after_epoch, early_stop: see `Trainer`.
    at_end: called once, like `after_epoch`, even if there was nothing to train.
    after_test: called with an epoch and the sums of its test. With it, epochs
      are tested again that an earlier process has tested.
    workers: those of the passes over training and validation. The others leave
      the test, and `at_end`, to the chief.

  Returns:
    rows, tests: see `Trainer.rows`, and a dict, epoch -> metric of the test
    split, for the last epoch and, with a run, for the best one.

  Raises:
    DivergedError, Stopped, RunError, WorkersError: see `Trainer`.
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(tf.Graph().as_default())
    training, validation, test = make_passes()
    if run:
      stack.enter_context(run.open())
    session = stack.enter_context(
        repeatable_session(workers.target, workers.adjust))
    session.run(tf.local_variables_initializer())
    # If the run resumes, the Trainer loads the variables, so they are never in
    # memory twice.
    if not (run and run.checkpoints()):
      session.run(tf.global_variables_initializer())
    for split_pass in training, validation, test:
      if split_pass:
        split_pass.load(session)
    trainer = Trainer(session, training, validation, run, save_secs, check_stop,
                      metric, after_epoch, early_stop, workers)
    trainer.train_to_epoch(num_epochs)
    workers.finish()
    if not workers.is_chief:
      return trainer.rows, {}
    at_end(session, training.model)
    tests = evaluation.test(
        session, test, run, len(trainer.rows), check_stop, metric, after_test
        ) if test else {}
    return trainer.rows, tests
