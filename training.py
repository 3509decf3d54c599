"""The training of any model: epochs, progress, checkpoints, and the end.

    rows, tests = train(make_epochs, num_epochs=13, metric=PERPLEXITY, run=run)

What a model is, and what it reads, is the caller's; here is what goes on from
step to step. All that a run is lies in variables and follows from the global
step, so that one that was stopped ends in the same bits as one that was not.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import statistics
import sys
import time

import numpy as np
import tqdm

import checkpoints
import errors
import stops
from tensorflow_v1 import on_host, repeatable_session, tf

_log = logging.getLogger(__name__)


def perplexity(nats, targets):
  """exp(nats / targets); infinite where that is beyond a float."""
  try:
    return math.exp(nats / targets)
  except OverflowError:
    return math.inf


@dataclasses.dataclass(frozen=True)
class Metric:
  """What a model is measured by; the lower, the better.

  Attributes:
    name: a Python name, such as "letter_error".
    of: a function of the sums of an Epoch.
    unit: what the targets are, such as "letters".
    speed: how their number a second is written.
  """

  name: str
  of: object
  unit: str
  speed: str = ""

  @property
  def title(self):
    """The name, as at the head of a line."""
    return self.name.replace("_", " ").title()

  def show_speed(self, per_second):
    """A number of targets a second, as text."""
    return f"{per_second:.0f} {self.speed or f'{self.unit}/s'}"


PERPLEXITY = Metric(
    "perplexity", lambda sums: perplexity(sums["nats"], sums["targets"]),
    "words", "wps")


class Epoch:
  """The graph of one pass over a split: a model, window after window.

  A window is what a model takes in a step: of a stream, or a batch.

  Position, carried state and sums are variables and all else follows from
  them. In training the position is the global step and the variables are
  global ones: a checkpoint holds all that a run is.

  Attributes:
    model: what `build` has returned.
    size: windows in an epoch.
    feed: a function, step -> what `advance` is to be fed.
    step: scalar int64, the windows gone through in all epochs; in training
      the global step, as of a checkpoint.
    window: scalar int64, the window of the epoch that comes next.
    sums: of the windows up to here, since the start of the epoch: the counts
      of the model; in training also "grad_norm", of the norms before clipping,
      and "clipped", the windows in which it was above max_grad_norm.
    advance: what to fetch to go through the next window: the sums after it.
  """

  def __init__(self, name, size, build, is_training=False, state=(),
               feed=lambda step: {}, period=None, initial_values=None):
    """Adds the pass to the default graph; `load` brings it into a session.

    Args:
      name: of the split, a scope for the variables.
      build: a function, (step, state) -> model: an object with the attributes
        "counts" (a dict of scalars, "nats" and "targets" among them) and
        "variables"; where there is a state, "final_state"; in training "lr",
        "grad_norm", "max_grad_norm" and "train_op".
      state: zeros, of the structure of what is carried from window to window.
      period: the windows after which the state is zero again; those of the
        epoch without it.
      initial_values: a dict, name -> array, for variables of the model that
        are not to start at random.
    """
    self.size, self.feed = size, feed
    self._initial_values = initial_values or {}
    self._collection = (tf.GraphKeys.GLOBAL_VARIABLES if is_training
                        else tf.GraphKeys.LOCAL_VARIABLES)
    with tf.name_scope(name):
      with on_host():
        position = (tf.train.get_or_create_global_step() if is_training
                    else self._variable("position", np.int64(0)))
        self.step = position.read_value()
        self.window = self.step % size
      carried = self._variables("state", state)
      before = _zero_where(tf.equal(self.step % (period or size), 0), carried)
      self.model = build(self.step, before)
      self.sums, after, updates = self._add_up(is_training)
      if carried:
        updates.append(tf.nest.map_structure(
            tf.assign, carried, self.model.final_state))
      # The position is read, and all that depends on it used, before it moves.
      with tf.control_dependencies([self.step, *self.model.counts.values()]):
        move_on = (self.model.train_op if is_training
                   else position.assign_add(1))
      with tf.control_dependencies([move_on, *tf.nest.flatten(updates)]):
        self.advance = {
            name: tf.identity(value) for name, value in after.items()}

  def _add_up(self, is_training):
    """The sums before and after the window, and the ops that keep them."""
    counts = dict(self.model.counts)
    if is_training:
      counts["grad_norm"] = self.model.grad_norm
      counts["clipped"] = self.model.grad_norm > self.model.max_grad_norm
    kept = {name: self._variable(
        name, np.float64(0) if value.dtype.is_floating else np.int64(0))
            for name, value in counts.items()}
    before = _zero_where(tf.equal(self.window, 0), kept)
    after = {name: before[name] + tf.cast(value, before[name].dtype)
             for name, value in counts.items()}
    return ({name: variable.read_value() for name, variable in kept.items()},
            after, [tf.assign(kept[name], after[name]) for name in kept])

  def load(self, session):
    """Brings into a session what is not in the graph.

    To be called once its variables are initialized.
    """
    checkpoints.assign(
        session, [v for v in self.model.variables
                  if v.op.name in self._initial_values], self._initial_values)

  def prepare(self, session, step):
    """To be called before `advance` is run for a step of all epochs."""

  def _variables(self, name, zeros):
    return tf.nest.map_structure(functools.partial(self._variable, name), zeros)

  def _variable(self, name, value):
    return tf.Variable(value, trainable=False, name=name, use_resource=True,
                       collections=[self._collection])


def _zero_where(condition, variables):
  """The values of a structure of variables, or zeros."""
  def read(variable):
    value = variable.read_value()
    return tf.where_v2(condition, tf.zeros_like(value), value)
  return tf.nest.map_structure(read, variables)


def learning_rate(config, epoch):
  """The rate of an epoch, counted from 1; `epoch` is a scalar tensor."""
  decays = tf.cast(tf.maximum(epoch - config.max_epoch, 0), tf.float64)
  return tf.cast(
      config.learning_rate * config.lr_decay ** decays, tf.float32)


@dataclasses.dataclass(frozen=True)
class EpochResult:
  """What a pass over a split came to.

  `sums` are those of its Epoch. `per_second` is the rate of targets; it leaves
  out the first window, in which TensorFlow prepares the graph, and is NaN where
  there is no other.
  """

  sums: dict
  per_second: float
  seconds: float

  @property
  def perplexity(self):
    """That of the whole split."""
    return PERPLEXITY.of(self.sums)


def run_epoch(session, epoch, report=None, first=None):
  """Goes through a split, from a window to the last.

  Args:
    report: called after each window with its index from 0, the sums so far
      (see `Epoch`), and the targets per second since the first window.
    first: the window to start with, the epoch's size to see its sums alone;
      without it, where an earlier call was stopped half-way.

  Returns:
    An EpochResult.
  """
  started = time.perf_counter()
  start = None  # time and targets at the end of the first window
  per_second = math.nan
  step, sums = session.run([epoch.step, epoch.sums])
  first = int(step) % epoch.size if first is None else first
  for number, window in enumerate(range(first, epoch.size), int(step)):
    epoch.prepare(session, number)
    sums = session.run(epoch.advance, epoch.feed(number))
    now = time.perf_counter()
    if start:
      per_second = (sums["targets"] - start[1]) / (now - start[0])
    else:
      start = now, sums["targets"]
    if report:
      report(window, sums, per_second)
  return EpochResult(sums, per_second, time.perf_counter() - started)


class Progress:
  """How far an epoch is: a bar on a terminal, elsewhere the classic lines."""

  def __init__(self, title, size, first=0, lines=False, metric=PERPLEXITY):
    """Starts at the window `first` of `size`.

    Without `lines`, only a terminal sees progress.
    """
    self._size, self._metric = size, metric
    self._label = metric.name.replace("_", " ")
    self._bar = tqdm.tqdm(
        total=size, initial=first, desc=title, file=sys.stdout, leave=False,
        bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}",
        disable=not sys.stdout.isatty())
    self._prints = lines and self._bar.disable
    # As the classic script: in each tenth of an epoch, after ten windows.
    self._every = max(size // 10, 1)
    self._first = min(10, self._every - 1)

  def report(self, window, sums, per_second):
    """Shows what `run_epoch` reports."""
    figure = self._metric.of(sums)
    self._bar.set_postfix_str(
        f"{self._label} {figure:.3f}, {per_second:.0f} {self._metric.unit}/s",
        refresh=False)
    self._bar.update()
    if self._prints and window % self._every == self._first:
      print(f"{window / self._size:.3f} {self._label}: {figure:.3f} "
            f"speed: {self._metric.show_speed(per_second)}", flush=True)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._bar.close()


def run_with_progress(session, title, epoch, check_stop=lambda: None,
                      metric=PERPLEXITY):
  """Evaluates a split while showing how far it is: an EpochResult."""
  with Progress(title, epoch.size, metric=metric) as progress:
    def report(window, sums, per_second):
      progress.report(window, sums, per_second)
      check_stop()
    return run_epoch(session, epoch, report)


class DivergedError(errors.UserError):
  """Training has left the range of floats, said in one line fit for the user.

  That of perplexity, too: beyond 709 nats a word it is infinite.
  """


class Training:
  """A training under way: goes through epochs, and keeps what they come to.

  Attributes:
    rows: the metrics of the epochs that have ended, a dict each.
  """

  def __init__(self, session, training, validation, run=None, save_secs=600,
               check_stop=lambda: None, metric=PERPLEXITY,
               after_epoch=lambda session, model: None):
    """Goes to where the run's newest checkpoint was taken, if there is one.

    Args:
      session: its variables are initialized.
      training, validation: an Epoch each; the latter may be None.
      run: an open checkpoints.TrainingRun.
      save_secs: seconds from one checkpoint to the next, within an epoch.
      check_stop: called after each window; may raise stops.Stopped.
      after_epoch: called with the session and the model of training.
    """
    self._session, self._run, self._metric = session, run, metric
    self._after_epoch = after_epoch
    self._training, self._validation = training, validation
    self._save_secs, self._check_stop = save_secs, check_stop
    self._saver = tf.train.Saver(max_to_keep=0)
    self._finite = tf.reduce_all([
        tf.reduce_all(tf.math.is_finite(variable))
        for variable in training.model.variables])
    found = run and run.restore(session, tf.global_variables())
    self._resumes = bool(found)
    journal = found[1] if found else {"rows": [], "seconds": 0}
    self.rows = journal["rows"]
    now = time.perf_counter()
    # When the epoch under way was begun, had no process ended in it, and when
    # the last checkpoint was taken.
    self._times = {"epoch": now - journal["seconds"], "save": now}
    # The rate of the epoch, and what there was after the last step and at the
    # last point logged.
    self._seen = {"lr": math.nan, "norm": math.nan}

  @property
  def step(self):
    """Training steps taken, in all epochs."""
    return int(self._session.run(self._training.step))

  def position(self):
    """Where it is, in words."""
    size = self._training.size
    done = self.step - len(self.rows) * size
    return f"epoch {len(self.rows) + 1}, step {done} of {size}"

  def to_epoch(self, last):
    """Trains to the end of an epoch; nothing where the run has come so far.

    Raises:
      DivergedError: a loss, a gradient or a parameter is not finite.
      stops.Stopped: `check_stop` raised it; a checkpoint was taken.
      checkpoints.RunError: the run cannot be written.
    """
    if self._resumes and len(self.rows) >= last:
      if self.step > len(self.rows) * self._training.size:
        raise checkpoints.RunError(
            f"{self._run.path}: is at {self.position()}; give max_max_epoch="
            f"{len(self.rows) + 1} or more")
      print(f"{self._run.path} is finished, with {len(self.rows)} epochs; "
            "a larger max_max_epoch goes on", flush=True)
      return
    if self._resumes:
      print(f"resuming at {self.position()}", flush=True)
    if self._run:
      self._run.begin(self.step)
    try:
      while len(self.rows) < last:
        self._epoch()
    except (stops.Stopped, OSError):  # that of print: nobody reads any more
      self.save()
      raise

  def _epoch(self):
    """Trains to the end of the epoch and validates; adds to `rows`."""
    number, size = len(self.rows) + 1, self._training.size
    lr = self._session.run(self._training.model.lr,
                           {self._training.step: (number - 1) * size})
    print(f"Epoch: {number} Learning rate: {lr:{_format(lr)}}", flush=True)
    trained = self._train(number, lr)
    grad_norm = trained.sums["grad_norm"] / size
    clip_rate = trained.sums["clipped"] / size
    figures = {f"train_{self._metric.name}": self._metric.of(trained.sums)}
    self._print(number, "Train", self._metric.of(trained.sums))
    print(f"Epoch: {number} Gradient norm: {grad_norm:.3f}, clipped in "
          f"{clip_rate:.1%} of steps", flush=True)
    if self._validation:
      figures[f"valid_{self._metric.name}"] = self._validate(number)
    self._after_epoch(self._session, self._training.model)
    now = time.perf_counter()
    self.rows.append({
        "epoch": number, "learning_rate": float(str(lr)), **figures,
        "grad_norm": grad_norm, "clip_rate": clip_rate,
        f"{self._metric.unit}_per_second": trained.per_second,
        "seconds": now - self._times["epoch"]})
    self._times["epoch"] = now
    if self._run:
      self._run.log(self.step, {
          f"epochs/{name}": figure for name, figure in self.rows[-1].items()})
      self.save()

  def _print(self, number, split, figure):
    print(f"Epoch: {number} {split} {self._metric.title}: {figure:.3f}",
          flush=True)

  def _train(self, number, lr):
    """The training part of an epoch: an EpochResult."""
    first = self.step - (number - 1) * self._training.size
    sums = self._session.run(self._training.sums)
    if first == 0:
      sums = dict.fromkeys(sums, 0)  # those are of the epoch before
    self._seen.update(lr=lr, sums=sums, logged=(first, sums))
    with Progress(f"Epoch {number}", self._training.size, first,
                  lines=True, metric=self._metric) as progress:
      def report(window, sums, per_second):
        progress.report(window, sums, per_second)
        self._after_step(window, sums, per_second)
      return run_epoch(self._session, self._training, report, first)

  def _validate(self, number):
    """The metric on the validation split."""
    sums = run_with_progress(
        self._session, f"Epoch {number} valid", self._validation,
        self._check_stop, self._metric).sums
    if not math.isfinite(PERPLEXITY.of(sums)):
      if self._run:
        self._run.set_aside(self.step)  # of the same parameters
      raise self._diverged("the validation perplexity is "
                           f"{PERPLEXITY.of(sums):g}")
    self._print(number, "Valid", self._metric.of(sums))
    return self._metric.of(sums)

  def save(self):
    """Takes a checkpoint, if there is a run to keep it in.

    Raises:
      DivergedError, checkpoints.RunError: it cannot, and has not.
    """
    if not self._run:
      return
    if not self._session.run(self._finite):
      raise self._diverged("a parameter is not finite")
    journal = {"rows": self.rows,
               "seconds": time.perf_counter() - self._times["epoch"]}
    self._run.save(
        self._session, self._saver, self.step, journal,
        ends_epoch=self.step == len(self.rows) * self._training.size)
    self._times["save"] = time.perf_counter()

  def _after_step(self, window, sums, per_second):
    """Looks out for divergence, a point to log, a due checkpoint, a stop."""
    new = {name: sums[name] - before
           for name, before in self._seen["sums"].items()}
    loss, norm = new["nats"] / max(new["targets"], 1), new["grad_norm"]
    if not math.isfinite(math.fsum([perplexity(loss, 1), norm])):
      if self._run:  # what was kept a step ago made this loss
        self._run.set_aside(self.step - 1)
      raise self._diverged(
          f"the loss is {loss:g} nats a {self._metric.unit.rstrip('s')}", norm)
    self._seen.update(sums=sums, norm=norm)
    if self._run:
      self._log(window + 1, sums, per_second)
      if time.perf_counter() - self._times["save"] >= self._save_secs:
        self.save()
    self._check_stop()

  def _log(self, done, sums, per_second):
    """Adds to TensorBoard's curves, a hundred times an epoch."""
    then, sums_then = self._seen["logged"]
    if done - then < max(self._training.size // 100, 1):
      return
    new = {name: sums[name] - before for name, before in sums_then.items()}
    self._run.log(self.step, {
        f"steps/train_{self._metric.name}": self._metric.of(new),
        "steps/learning_rate": self._seen["lr"],
        "steps/grad_norm": new["grad_norm"] / (done - then),
        "steps/clip_rate": new["clipped"] / (done - then),
        f"steps/{self._metric.unit}_per_second": per_second})
    self._seen["logged"] = done, sums

  def _diverged(self, what, norm=None):
    """The error to raise; `norm` is that of the step in hand."""
    before = "" if norm is None else f", {self._seen['norm']:g} a step before"
    norm = self._seen["norm"] if norm is None else norm
    kept = self._run and self._run.checkpoints()
    return DivergedError(
        f"diverged at {self.position()}: {what} (learning rate "
        f"{self._seen['lr']:g}, gradient norm {norm:g}{before}); lower "
        "learning_rate or max_grad_norm by --config_override, to go on from "
        + (kept[0].path if kept else "the start"))


def _format(rate):
  """Three decimals, as the classic script has it, or what a small one needs."""
  return ".3f" if rate >= 0.1 or rate == 0 else ".3g"


def train(make_epochs, num_epochs, metric=PERPLEXITY, run=None, save_secs=600,
          check_stop=lambda: None, after_epoch=lambda session, model: None,
          at_end=lambda session, model: None):
  """Trains a model, validates it after each epoch, and tests it at the end.

  Args:
    make_epochs: adds to the default graph, and returns, the Epochs of
      training, validation and test, in this order; of the latter two, what is
      not there is None.
    num_epochs: in all.
    metric: the Metric to measure it by.
    run: the checkpoints.TrainingRun to go on with and to keep all in, if any.
    save_secs, check_stop, after_epoch: see `Training`.
    at_end: called once, as `after_epoch`, also where nothing was left to do.

  Returns:
    rows, tests: a dict for each epoch (see `Training.rows`), and the metric of
    the test split by epoch: the last, and of a run the best by validation too.

  Raises:
    DivergedError, stops.Stopped, checkpoints.RunError: see `Training`.
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(tf.Graph().as_default())
    training, validation, test = make_epochs()
    if run:
      stack.enter_context(run.open())
    session = stack.enter_context(repeatable_session())
    session.run([tf.global_variables_initializer(),
                 tf.local_variables_initializer()])
    for epoch in training, validation, test:
      if epoch:
        epoch.load(session)
    loop = Training(
        session, training, validation, run, save_secs, check_stop, metric,
        after_epoch)
    loop.to_epoch(num_epochs)
    at_end(session, training.model)
    tests = _test(
        session, test, run, len(loop.rows), check_stop, metric) if test else {}
    return loop.rows, tests


def _test(session, test, run, last, check_stop, metric):
  """The metric of the test split, by epoch: the last and the best one."""
  tests = run.tests() if run else {}
  best = run and run.best()
  best_epoch = best.epoch if best else last
  for number in dict.fromkeys([last, best_epoch]):
    if number in tests:
      continue
    if number != last and not load_best(session, test, best):
      continue
    tests[number] = metric.of(run_with_progress(
        session, "Test", test, check_stop, metric).sums)
    which = "" if number == last else f" (epoch {number}, best by validation)"
    print(f"Test {metric.title}: {tests[number]:.3f}{which}", flush=True)
    if run:
      run.keep_tests(tests)
  return {number: tests[number] for number in (last, best_epoch)
          if number in tests}


def load_best(session, epoch, checkpoint):
  """Brings the best model into a session; False, and a warning, if damaged."""
  try:
    checkpoint.load(session, epoch.model.variables)
    return True
  except checkpoints.DamagedError as error:
    _log.warning("the best model is left out: damaged checkpoint: %s", error)
    return False


def summary(rows, tests, published=None, metric=PERPLEXITY):
  """The closing lines: this run beside published ones.

  Args:
    rows, tests: what `train` returns.
    published: a dict, name -> (train, valid, test), where None is not known.
  """
  figures = {}
  for number, figure in (tests or {len(rows): None}).items():
    row = rows[number - 1]
    name = ("this run" if number == len(rows)
            else f"this run, epoch {number}, best by valid")
    figures[name] = (row[f"train_{metric.name}"],
                     row.get(f"valid_{metric.name}"), figure)
  figures.update(published or {})
  speeds = [row[f"{metric.unit}_per_second"] for row in rows
            if not math.isnan(row[f"{metric.unit}_per_second"])]
  minutes, seconds = divmod(round(sum(row["seconds"] for row in rows)), 60)
  return "\n".join([
      *table(("train", "valid", "test"), figures, metric),
      f"{statistics.median(speeds or [math.nan]):.0f} {metric.unit}/s in "
      f"training (median of {len(speeds)} epochs), {minutes} min {seconds} s "
      f"in all {len(rows)} epochs"])


def table(columns, rows, metric=PERPLEXITY):
  """Lines: figures of a metric, a row for each name."""
  yield (f"{metric.name.replace('_', ' '):<38}"
         + "".join(f"{name:>9}" for name in columns))
  for name, figures in rows.items():
    cells = ("-" if figure is None else
             f"{figure:.2f}" if 1 <= figure < 1e5 else f"{figure:.2g}"
             for figure in figures)
    yield f"{name:<38}" + "".join(f"{cell:>9}" for cell in cells)
