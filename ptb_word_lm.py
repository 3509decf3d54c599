"""Trains an LSTM language model on the Penn Treebank, or on any text.

    python ptb_word_lm.py --model=small|medium|large|test --data_path=DIR

The models are those of Zaremba, Sutskever and Vinyals 2014, "Recurrent Neural
Network Regularization" (arXiv 1409.2329). From a notebook, without flags:

    with tf.Graph().as_default():
      words = tf.placeholder(tf.int32, [num_steps + 1, batch_size])
      model = PTBModel(configs.SMALL, vocab_size, words[:-1], words[1:])
"""

import contextlib
import dataclasses
import functools
import logging
import math
import os
import re
import shlex
import statistics
import sys
import time
import zlib

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
import tqdm
from absl import app, flags

import checkpoints
import configs
import errors
import lstm
import mixed_precision
import reader
import softmax
import stops
from tensorflow_v1 import halve_threads_per_op, repeatable_session, tf

_log = logging.getLogger(__name__)

FLAGS = flags.FLAGS
BUNDLED_CORPUS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "data", "factbook")


class PTBModel:
  """The graph of one window: word ids in, cost and next state out.

  Attributes:
    initial_state, final_state: one LSTMState of two [B, H] a layer. A fed
      initial state takes the place of the one given.
    losses: [T, B], the cross entropy of each target in nats.
    nats: the sum of them.
    num_targets: the number of them; a target of reader.NO_TARGET is none.
    cost: `nats` averaged over B, what training minimizes.
    outputs: [T, B, H] of the last layer, in the precision of the model.
    logits: [T, B, V].
    output_words: [T, B], the likeliest next word at each position.
    variables: the parameters.
    lr, grad_norm, train_op: in training only. The learning rate, the global
      norm of the gradients before clipping, and the op that takes a step and
      counts it in the global step.
  """

  def __init__(self, config, vocab_size, inputs, targets, initial_state=None,
               is_training=False, step=None, learning_rate=None,
               rnn_mode=None, seed=1, precision="float32"):
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: a configs.Config; its batch_size and num_steps do not count.
      inputs, targets: [T, B] word ids; T is static, but on the layer
        `dynamic`, and so is B without an `initial_state`.
      initial_state: as `final_state`; zero without it.
      is_training: whether to apply dropout and make a `train_op`.
      step: scalar int64 that dropout's masks follow from, along with `seed`;
        the global step without it.
      learning_rate: scalar, the config's first rate without it.
      rnn_mode: a key of lstm.LAYERS; the fastest on this machine without it.
      seed: of the initial values and of dropout.
      precision: what to compute in, one of mixed_precision.PRECISIONS.
    """
    self._config, self._vocab_size, self._seed = config, vocab_size, seed
    self._precision = precision
    self._is_training = is_training
    self._step = step
    if is_training and step is None:
      self._step = tf.train.get_or_create_global_step().read_value()
    self.variables = []
    self.initial_state = (_zero_state(config, batch_size=inputs.shape[1])
                          if initial_state is None else initial_state)

    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding, cells, (weights, bias) = self._parameters()
    # In two halves: while the first goes on through the next layer and the
    # softmax, the second goes through the layer before, on another core.
    outputs, losses = [], []
    state = lstm.cast(self.initial_state, precision)
    for xs, ys, *masks in zip(*map(_halves, (
        inputs, targets, *self._dropout_masks(tf.shape(inputs)))), strict=True):
      embedded = tf.gather(embedding, tf.maximum(xs, 0))  # NO_TARGET: any row
      hidden, state = _layers(
          tf.cast(embedded, precision), state, cells, masks,
          rnn_mode or lstm.default_layer())
      outputs.append(hidden)
      losses.append(_cross_entropy(hidden, ys, weights, bias))
    self.final_state = lstm.cast(state, tf.float32)
    self.outputs = tf.concat(outputs, axis=0)
    self.losses = tf.concat(losses, axis=0)
    # Not computed unless they are asked for.
    self.logits = bias + tf.cast(
        tf.tensordot(self.outputs, weights, axes=1), tf.float32)
    self.output_words = tf.argmax(self.logits, -1, output_type=tf.int32)
    self.nats = tf.reduce_sum(self.losses)
    self.num_targets = tf.math.count_nonzero(
        tf.not_equal(targets, reader.NO_TARGET))
    self.cost = self.nats / tf.cast(tf.shape(inputs)[1], tf.float32)
    if is_training:
      self.lr = tf.convert_to_tensor(
          config.learning_rate if learning_rate is None else learning_rate,
          tf.float32)
      self.grad_norm, self.train_op = self._train_op()

  def _parameters(self):
    """The embedding, kernel and bias of each layer, and those of the softmax.

    The embedding is the variable, for its gradient is sparse. The others are
    read, and but for the softmax's bias, which is added to float32, in the
    precision of the model.
    """
    embedding = self._parameter(
        "embedding", [self._vocab_size, self._config.input_size])
    cells, width = [], self._config.input_size
    for i, size in enumerate(self._config.layer_sizes):
      with tf.variable_scope(f"RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell"):
        cells.append(lstm.cast((
            self._parameter("kernel", [width + size, 4 * size]).read_value(),
            self._parameter("bias", [4 * size]).read_value()), self._precision))
      width = size
    weights = self._parameter("softmax_w", [width, self._vocab_size])
    bias = self._parameter("softmax_b", [self._vocab_size])
    return embedding, cells, (
        tf.cast(weights.read_value(), self._precision), bias.read_value())

  def _parameter(self, name, shape):
    """A variable whose initial value follows from seed and name alone.

    It joins `variables`.
    """
    scale = self._config.init_scale
    full_name = f"{tf.get_variable_scope().name}/{name}"
    key = -1 - zlib.crc32(full_name.encode())  # dropout's keys are from 0 up
    self.variables.append(tf.get_variable(
        name, use_resource=True, initializer=tf.random.stateless_uniform(
            shape, [self._seed, key], -scale, scale)))
    return self.variables[-1]

  def _dropout_masks(self, shape):
    """Those of this seed and step, each [T, B, size] of 0 and 1 / keep_prob.

    The first is for the embedding, the others for the layers' outputs. Without
    dropout there are none.

    Args:
      shape: T and B, as a tensor.
    """
    if not self._is_training or self._config.keep_prob == 1:
      return []
    sizes = (self._config.input_size, *self._config.layer_sizes)
    with _on_host():
      seeds = [tf.stack([tf.constant(self._seed, tf.int64),
                         self._step * len(sizes) + site])
               for site in range(len(sizes))]
    return [tf.nn.experimental.stateless_dropout(
        tf.ones(tf.concat([shape, [size]], axis=0)),
        rate=1 - self._config.keep_prob, seed=seed)
            for size, seed in zip(sizes, seeds, strict=True)]

  def _train_op(self):
    """Clipped gradient descent: the norm before clipping, and the op.

    Clipping scales all gradients alike, so it scales the step instead.
    """
    if self._precision == "float16":
      gradients, next_scale = mixed_precision.scaled_gradients(
          self.cost, self._gradients)
    else:
      gradients, next_scale = self._gradients(self.cost), tf.no_op()
    norm = tf.global_norm(gradients)
    scale = tf.minimum(1.0, self._config.max_grad_norm / norm)
    train_op = tf.train.GradientDescentOptimizer(
        self.lr * scale).apply_gradients(
            zip(gradients, self.variables, strict=True),
            global_step=tf.train.get_or_create_global_step())
    return norm, tf.group(train_op, next_scale)

  def _gradients(self, cost):
    """Those by each of the variables."""
    # Two terms at a time: a sum of many adds up in the order of their arrival.
    return [_sum_rows(g) for g in tf.gradients(
        cost, self.variables,
        aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)]


def _on_host():
  """A context for scalars that a GPU would at once have to hand back."""
  return tf.device("/CPU:0")


def _halves(x):
  """Cuts [T, ...] in two along T; leaves whole what has no static T above 1.

  And what goes to a GPU, whose one stream does one thing after the other.
  """
  num_steps = x.shape[0]
  if num_steps is None or num_steps < 2 or lstm.has_gpu():
    return [x]
  return tf.split(x, [num_steps - num_steps // 2, num_steps // 2])


def _layers(inputs, state, cells, masks, rnn_mode):
  """[T, B, I] -> [T, B, H] of the last layer, and the states after it."""
  def dropout(x, site):
    if not masks:
      return x
    # In float32: 16 bits would round 1 / keep_prob.
    return tf.cast(tf.cast(x, tf.float32) * masks[site], x.dtype)

  x, final_state = dropout(inputs, 0), []
  for i, (before, cell) in enumerate(zip(state, cells, strict=True), 1):
    outputs, after = lstm.LAYERS[rnn_mode](x, before, *cell)
    final_state.append(after)
    x = dropout(outputs, i)
  return x, tuple(final_state)


def _cross_entropy(outputs, targets, weights, bias):
  """[T, B, H], [T, B] -> the cost of each target in nats, [T, B]."""
  losses = softmax.softmax_cross_entropy(
      tf.reshape(outputs, [-1, outputs.shape[-1]]), weights, bias,
      tf.reshape(tf.maximum(targets, 0), [-1]))
  losses = tf.reshape(losses, tf.shape(targets))
  return tf.where(tf.equal(targets, reader.NO_TARGET),
                  tf.zeros_like(losses), losses)


def _zero_state(config, batch_size):
  return tuple(lstm.zero_state(batch_size, s) for s in config.layer_sizes)


def _sum_rows(gradient):
  """Adds up the rows of an embedding's gradient that belong to one word.

  The norm of the gradient is that of these sums, not of the single rows.
  """
  if not isinstance(gradient, tf.IndexedSlices):
    return gradient
  words, row_of = tf.unique(gradient.indices)
  rows = tf.math.unsorted_segment_sum(gradient.values, row_of, tf.size(words))
  return tf.IndexedSlices(rows, words, gradient.dense_shape)


class Epoch:
  """The graph of one pass over a split: a model, window after window.

  Position, carried state and sums are variables and all else follows from
  them, so `advance` needs no feeding. In training the position is the global
  step and the variables are global ones: a checkpoint holds all that a run is.

  Attributes:
    model: the PTBModel.
    size: windows in an epoch.
    step: scalar int64, the windows gone through in all epochs; in training
      the global step, as of a checkpoint.
    window: scalar int64, the window of the epoch that comes next.
    sums: of the windows up to here, since the start of the epoch: "nats" and
      "targets"; in training also "grad_norm", of the norms before clipping,
      and "clipped", the windows in which it was above max_grad_norm.
    advance: what to fetch to go through the next window: the sums after it.
  """

  def __init__(self, name, config, vocab_size, ids, is_training=False,
               **settings):
    """Adds the pass to the default graph; `load` brings it into a session.

    Args:
      name: of the split, a scope for the variables.
      ids: 1-D, the words of the split.
      settings: more arguments of the PTBModel: rnn_mode, seed, precision.

    Raises:
      reader.DataError: the split is too short.
    """
    # Both halves of a window are under way at once, and to hand each small op
    # over to more threads takes longer than it saves. With matrices beyond the
    # processor's caches it is the other way round.
    if max(config.layer_sizes) < 1000:
      halve_threads_per_op()
    cut = reader.training_streams if is_training else reader.evaluation_streams
    try:
      self._host_streams = cut(ids, config.batch_size, config.num_steps)
    except reader.DataError as error:
      raise reader.DataError(f"{name.lower()}: {error}") from None
    self.size = (len(self._host_streams) - 1) // config.num_steps
    self._collection = (tf.GraphKeys.GLOBAL_VARIABLES if is_training
                        else tf.GraphKeys.LOCAL_VARIABLES)

    with tf.name_scope(name):
      # Fed by `load`: the graph itself can hold no more than 2 GB.
      self._feed = tf.placeholder(tf.int32, self._host_streams.shape)
      self._streams = tf.Variable(  # no int32 variable is kept on a GPU
          tf.cast(self._feed, tf.int64), trainable=False, name="streams",
          use_resource=True, collections=[])
      with _on_host():
        position = (tf.train.get_or_create_global_step() if is_training
                    else self._variable("position", np.int64(0)))
        self.step = position.read_value()
        self.window = self.step % self.size
        learning_rate = _learning_rate(config, 1 + self.step // self.size)
      carried = self._carried(config, is_training)
      self.sums = {name: variable.read_value()
                   for name, variable in carried.items() if name != "state"}
      before = tf.nest.map_structure(self._zero_at_start, carried)
      self.model = PTBModel(
          config, vocab_size, *self._read_window(config), before["state"],
          is_training, self.step, learning_rate, **settings)
      added = {"nats": self.model.nats, "targets": self.model.num_targets}
      if is_training:
        added["grad_norm"] = self.model.grad_norm
        added["clipped"] = self.model.grad_norm > config.max_grad_norm
      after = {name: before[name] + tf.cast(value, before[name].dtype)
               for name, value in added.items()}
      updates = tf.nest.map_structure(
          tf.assign, carried, {**after, "state": self.model.final_state})
      with tf.control_dependencies([self.model.cost]):  # has used the position
        move_on = (self.model.train_op if is_training
                   else position.assign_add(1))
      with tf.control_dependencies([move_on, *tf.nest.flatten(updates)]):
        self.advance = {
            name: tf.identity(value) for name, value in after.items()}

  def _carried(self, config, is_training):
    """The variables that go from window to window: the state, and the sums."""
    sums = {"nats": np.float64(0), "targets": np.int64(0)}
    if is_training:
      sums |= {"grad_norm": np.float64(0), "clipped": np.int64(0)}
    zeros = {"state": _zero_state(config, config.batch_size)} | sums
    return {name: tf.nest.map_structure(
        functools.partial(self._variable, name), zero)
            for name, zero in zeros.items()}

  def load(self, session):
    """Puts the split into the session, once its variables are initialized."""
    session.run(self._streams.initializer, {self._feed: self._host_streams})

  def _variable(self, name, value):
    return tf.Variable(value, trainable=False, name=name, use_resource=True,
                       collections=[self._collection])

  def _read_window(self, config):
    """The words of the window, and those one on: two of [T, B]."""
    with _on_host():
      begin = tf.stack([self.window * config.num_steps, 0])
      size = tf.constant([config.num_steps + 1, config.batch_size], tf.int64)
    rows = tf.slice(self._streams, begin, size)
    return rows[:-1], rows[1:]

  def _zero_at_start(self, variable):
    value = variable.read_value()
    return tf.where_v2(tf.equal(self.window, 0), tf.zeros_like(value), value)


def _learning_rate(config, epoch):
  """The rate of an epoch, counted from 1; `epoch` is a scalar tensor."""
  decays = tf.cast(tf.maximum(epoch - config.max_epoch, 0), tf.float64)
  return tf.cast(
      config.learning_rate * config.lr_decay ** decays, tf.float32)


def perplexity(nats, targets):
  """exp(nats / targets); infinite where that is beyond a float."""
  try:
    return math.exp(nats / targets)
  except OverflowError:
    return math.inf


@dataclasses.dataclass(frozen=True)
class EpochResult:
  """What a pass over a split came to.

  `sums` are those of its Epoch. `words_per_second` leaves out the first window,
  in which TensorFlow prepares the graph; it is NaN where there is no other.
  """

  sums: dict
  words_per_second: float
  seconds: float

  @property
  def perplexity(self):
    """That of the whole split."""
    return perplexity(self.sums["nats"], self.sums["targets"])


def run_epoch(session, epoch, report=None, first=None):
  """Goes through a split, from a window to the last.

  Args:
    report: called after each window with its index from 0, the sums so far
      (see `Epoch`), and the words per second since the first window.
    first: the window to start with, the epoch's size to see its sums alone;
      without it, where an earlier call was stopped half-way.

  Returns:
    An EpochResult.
  """
  started = time.perf_counter()
  start = None  # time and targets at the end of the first window
  words_per_second = math.nan
  first = session.run(epoch.window) if first is None else first
  sums = session.run(epoch.sums)
  for window in range(first, epoch.size):
    sums = session.run(epoch.advance)
    now = time.perf_counter()
    if start:
      words_per_second = (sums["targets"] - start[1]) / (now - start[0])
    else:
      start = now, sums["targets"]
    if report:
      report(window, sums, words_per_second)
  return EpochResult(sums, words_per_second, time.perf_counter() - started)


class Progress:
  """How far an epoch is: a bar on a terminal, elsewhere the classic lines."""

  def __init__(self, title, size, first=0, lines=False):
    """Starts at the window `first` of `size`.

    Without `lines`, only a terminal sees progress.
    """
    self._size = size
    self._bar = tqdm.tqdm(
        total=size, initial=first, desc=title, file=sys.stdout, leave=False,
        bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}",
        disable=not sys.stdout.isatty())
    self._prints = lines and self._bar.disable
    # As the classic script: in each tenth of an epoch, after ten windows.
    self._every = max(size // 10, 1)
    self._first = min(10, self._every - 1)

  def report(self, window, sums, words_per_second):
    """Shows what `run_epoch` reports."""
    perplexity_so_far = perplexity(sums["nats"], sums["targets"])
    self._bar.set_postfix_str(
        f"perplexity {perplexity_so_far:.3f}, {words_per_second:.0f} words/s",
        refresh=False)
    self._bar.update()
    if self._prints and window % self._every == self._first:
      print(f"{window / self._size:.3f} perplexity: {perplexity_so_far:.3f} "
            f"speed: {words_per_second:.0f} wps", flush=True)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._bar.close()


class DivergedError(errors.UserError):
  """Training has left the range of floats, said in one line fit for the user.

  That of perplexity, too: beyond 709 nats a word it is infinite.
  """


class _StoppedError(errors.UserError):
  """A signal stopped the script."""

  def __init__(self, stop, advice):
    super().__init__(f"stopped by {stop}; {advice}")
    self.status = 128 + stop.signum


class Training:
  """A training under way: goes through epochs, and keeps what they come to.

  Attributes:
    rows: the metrics of the epochs that have ended, a dict each.
  """

  def __init__(self, session, training, validation, run=None, save_secs=600,
               check_stop=lambda: None):
    """Goes to where the run's newest checkpoint was taken, if there is one.

    Args:
      session: its variables are initialized.
      training, validation: an Epoch each.
      run: an open checkpoints.TrainingRun.
      save_secs: seconds from one checkpoint to the next, within an epoch.
      check_stop: called after each window; may raise stops.Stopped.
    """
    self._session, self._run = session, run
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
    print(f"Epoch: {number} Learning rate: {lr:.3f}", flush=True)
    trained = self._train(number, lr)
    grad_norm = trained.sums["grad_norm"] / size
    clip_rate = trained.sums["clipped"] / size
    print(f"Epoch: {number} Train Perplexity: {trained.perplexity:.3f}")
    print(f"Epoch: {number} Gradient norm: {grad_norm:.3f}, clipped in "
          f"{clip_rate:.1%} of steps", flush=True)
    validated = run_with_progress(self._session, f"Epoch {number} valid",
                                  self._validation, self._check_stop)
    if not math.isfinite(validated.perplexity):
      if self._run:
        self._run.set_aside(self.step)  # of the same parameters
      raise self._diverged("the validation perplexity is "
                           f"{validated.perplexity:g}")
    print(f"Epoch: {number} Valid Perplexity: {validated.perplexity:.3f}",
          flush=True)
    now = time.perf_counter()
    self.rows.append({
        "epoch": number, "learning_rate": float(str(lr)),
        "train_perplexity": trained.perplexity,
        "valid_perplexity": validated.perplexity,
        "grad_norm": grad_norm, "clip_rate": clip_rate,
        "words_per_second": trained.words_per_second,
        "seconds": now - self._times["epoch"]})
    self._times["epoch"] = now
    if self._run:
      self._run.log(self.step, {
          f"epochs/{name}": figure for name, figure in self.rows[-1].items()})
      self.save()

  def _train(self, number, lr):
    """The training part of an epoch: an EpochResult."""
    first = self.step - (number - 1) * self._training.size
    sums = self._session.run(self._training.sums)
    if first == 0:
      sums = dict.fromkeys(sums, 0)  # those are of the epoch before
    self._seen.update(lr=lr, sums=sums, logged=(first, sums))
    with Progress(f"Epoch {number}", self._training.size, first,
                  lines=True) as progress:
      def report(window, sums, words_per_second):
        progress.report(window, sums, words_per_second)
        self._after_step(window, sums, words_per_second)
      return run_epoch(self._session, self._training, report, first)

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

  def _after_step(self, window, sums, words_per_second):
    """Looks out for divergence, a point to log, a due checkpoint, a stop."""
    new = {name: sums[name] - before
           for name, before in self._seen["sums"].items()}
    loss, norm = new["nats"] / new["targets"], new["grad_norm"]
    if not math.isfinite(math.fsum([perplexity(loss, 1), norm])):
      if self._run:  # what was kept a step ago made this loss
        self._run.set_aside(self.step - 1)
      raise self._diverged(f"the loss is {loss:g} nats a word", norm)
    self._seen.update(sums=sums, norm=norm)
    if self._run:
      self._log(window + 1, sums, words_per_second)
      if time.perf_counter() - self._times["save"] >= self._save_secs:
        self.save()
    self._check_stop()

  def _log(self, done, sums, words_per_second):
    """Adds to TensorBoard's curves, a hundred times an epoch."""
    then, sums_then = self._seen["logged"]
    if done - then < max(self._training.size // 100, 1):
      return
    new = {name: sums[name] - before for name, before in sums_then.items()}
    self._run.log(self.step, {
        "steps/train_perplexity": perplexity(new["nats"], new["targets"]),
        "steps/learning_rate": self._seen["lr"],
        "steps/grad_norm": new["grad_norm"] / (done - then),
        "steps/clip_rate": new["clipped"] / (done - then),
        "steps/words_per_second": words_per_second})
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


def train(config, corpus, run=None, rnn_mode=None, seed=1, save_secs=600,
          check_stop=lambda: None, precision="float32"):
  """Trains a model, validates it after each epoch, and tests it at the end.

  Args:
    corpus: what `reader.ptb_raw_data` returns.
    run: the checkpoints.TrainingRun to go on with and to keep all in, if any.
    rnn_mode, seed, precision: see `PTBModel`.
    save_secs, check_stop: see `Training`.

  Returns:
    rows, tests: a dict for each epoch (see `Training.epoch`), and the
    perplexity of the test split, read as one stream, by epoch: the last, and
    of a run the best by validation too.

  Raises:
    reader.DataError: a split is too short.
    DivergedError, stops.Stopped, checkpoints.RunError: see `Training.epoch`.
  """
  train_ids, valid_ids, test_ids, vocabulary = corpus
  shared = {"vocab_size": len(vocabulary), "rnn_mode": rnn_mode, "seed": seed,
            "precision": precision}
  one_stream = dataclasses.replace(config, batch_size=1)
  with contextlib.ExitStack() as stack:
    stack.enter_context(tf.Graph().as_default())
    training = Epoch("Train", config, ids=train_ids, is_training=True, **shared)
    validation = Epoch("Valid", config, ids=valid_ids, **shared)
    test = Epoch("Test", one_stream, ids=test_ids, **shared)
    if run:
      stack.enter_context(run.open())
    session = stack.enter_context(repeatable_session())
    session.run([tf.global_variables_initializer(),
                 tf.local_variables_initializer()])
    for epoch in training, validation, test:
      epoch.load(session)
    loop = Training(session, training, validation, run, save_secs, check_stop)
    loop.to_epoch(config.max_max_epoch)
    return loop.rows, _test(session, test, run, len(loop.rows), check_stop)


def _test(session, test, run, last, check_stop):
  """The perplexity of the test split, by epoch: the last and the best one."""
  tests = run.tests() if run else {}
  best = run and run.best()
  best_epoch = best.epoch if best else last
  for number in dict.fromkeys([last, best_epoch]):
    if number in tests:
      continue
    if number != last and not _load_best(session, test, best):
      continue
    tests[number] = run_with_progress(
        session, "Test", test, check_stop).perplexity
    which = "" if number == last else f" (epoch {number}, best by validation)"
    print(f"Test Perplexity: {tests[number]:.3f}{which}", flush=True)
    if run:
      run.keep_tests(tests)
  return {number: tests[number] for number in (last, best_epoch)
          if number in tests}


def _load_best(session, epoch, checkpoint):
  """Brings the best model into a session; False, and a warning, if damaged."""
  try:
    checkpoint.load(session, epoch.model.variables)
    return True
  except checkpoints.DamagedError as error:
    _log.warning("the best model is left out: damaged checkpoint: %s", error)
    return False


def run_with_progress(session, title, epoch, check_stop=lambda: None):
  """Evaluates a split while showing how far it is: an EpochResult."""
  with Progress(title, epoch.size) as progress:
    def report(window, sums, words_per_second):
      progress.report(window, sums, words_per_second)
      check_stop()
    return run_epoch(session, epoch, report)


def evaluate(run, texts, rnn_mode=None):
  """Evaluates the newest and the best checkpoint of a run, without training.

  Args:
    run: a checkpoints.RunDirectory.
    texts: a dict, name -> word ids; "valid" is read in the config's batch_size
      streams, as while training, anything else as one.

  Returns:
    A dict, Checkpoint -> {name -> perplexity}, the newest first.

  Raises:
    reader.DataError: a text is too short.
    checkpoints.RunError: it is no run, or no checkpoint is readable.
  """
  config, _, precision = run_config(run)
  one_stream = dataclasses.replace(config, batch_size=1)
  with tf.Graph().as_default(), repeatable_session() as session:
    epochs = {
        name: Epoch(
            name.capitalize(), config if name == "valid" else one_stream,
            len(run.vocabulary()), ids, rnn_mode=rnn_mode,
            precision=precision)
        for name, ids in texts.items()}
    session.run(tf.local_variables_initializer())
    for epoch in epochs.values():
      epoch.load(session)
    found = run.restore(session, tf.trainable_variables())
    if not found:
      raise checkpoints.RunError(f"{run.path}: has no checkpoint yet")
    results = {}
    newest, best = found[0], run.best()
    for checkpoint in newest, best:
      if not checkpoint or checkpoint.step in [c.step for c in results]:
        continue
      if checkpoint is best and not _load_best(session, epoch, best):
        continue
      print(f"{checkpoint.path}:")
      results[checkpoint] = {}
      for name, epoch in epochs.items():
        result = run_with_progress(session, name.capitalize(), epoch)
        results[checkpoint][name] = result.perplexity
        print(f"{name.capitalize()} Perplexity: {result.perplexity:.3f}",
              flush=True)
    return results


def run_config(run):
  """What a checkpoints.RunDirectory was trained with, and on.

  Returns:
    config, data_path, precision: a configs.Config, the folder of the texts,
    and one of mixed_precision.PRECISIONS.

  Raises:
    checkpoints.RunError: its config.json does not say.
  """
  content = run.config()
  try:
    precision = content["precision"]
    if precision not in mixed_precision.PRECISIONS:
      raise ValueError(f"precision {precision}")
    return (configs.Config(**content["settings"]),
            os.fspath(content["data"]["path"]), precision)
  except (configs.ConfigError, KeyError, TypeError, ValueError) as error:
    raise checkpoints.RunError(f"{run.path}: what its config.json holds "
                               f"cannot be used: {error}") from None


def summary(model_name, rows, tests):
  """The closing lines: this run beside the published ones of its config.

  `rows` and `tests` are what `train` returns.
  """
  table = {}
  for number, figure in tests.items():
    row = rows[number - 1]
    name = ("this run" if number == len(rows)
            else f"this run, epoch {number}, best by valid")
    table[name] = row["train_perplexity"], row["valid_perplexity"], figure
  table.update(configs.PUBLISHED.get(model_name, {}))
  speeds = [row["words_per_second"] for row in rows
            if not math.isnan(row["words_per_second"])]
  minutes, seconds = divmod(round(sum(row["seconds"] for row in rows)), 60)
  return "\n".join([
      *_table(("train", "valid", "test"), table),
      f"{statistics.median(speeds or [math.nan]):.0f} words/s in training "
      f"(median of {len(speeds)} epochs), {minutes} min {seconds} s in all "
      f"{len(rows)} epochs"])


def _table(columns, rows):
  """Lines: perplexities, a row for each name."""
  yield f"{'perplexity':<38}" + "".join(f"{name:>9}" for name in columns)
  for name, figures in rows.items():
    cells = ("-" if figure is None else
             f"{figure:.2f}" if figure < 1e5 else f"{figure:.2g}"
             for figure in figures)
    yield f"{name:<38}" + "".join(f"{cell:>9}" for cell in cells)


def define_flags():
  """The flags of this script; `main` alone reads them."""
  flags.DEFINE_enum("mode", "train", ["train", "eval"],
                    "Train and test, or only evaluate the run at --save_path.")
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS),
                    "The config to train.")
  flags.DEFINE_string("data_path", None,
                      "The folder of the texts to train, validate and test "
                      "on; without it, the bundled corpus. To evaluate, also "
                      "a single text; without it, what the run was trained on.")
  flags.DEFINE_string("save_path", None,
                      "The folder of the run: it keeps checkpoints, metrics "
                      "and vocabulary, and training goes on from there.")
  flags.DEFINE_bool("fresh", False,
                    "Refuse a --save_path that is not empty.")
  flags.DEFINE_float("save_secs", 600,
                     "Seconds between two checkpoints within an epoch; there "
                     "is one at the end of each epoch in any case.",
                     lower_bound=0)
  flags.DEFINE_integer("keep", 3, "How many of the newest checkpoints to keep, "
                       "beside the best.", lower_bound=1)
  flags.DEFINE_enum("rnn_mode", lstm.default_layer(), list(lstm.LAYERS),
                    "The implementation of the LSTM layer.")
  flags.DEFINE_bool("use_fp16", False,
                    "Compute in float16, with parameters in float32.")
  flags.DEFINE_bool("use_bfloat16", False,
                    "Compute in bfloat16, with parameters in float32.")
  flags.DEFINE_integer("seed", 1, "Seed of initial values and dropout.",
                       lower_bound=0, upper_bound=2**31 - 1)
  flags.DEFINE_string("config_override", "",
                      "Settings in place of the config's, such as "
                      "hidden_size=300,keep_prob=0.8")
  flags.register_validator("save_path", lambda path: path != "",
                           "no name; leave out the flag to save nothing")
  flags.register_validator("save_secs", lambda seconds: not math.isnan(seconds),
                           "must be a number")
  flags.register_validator("rnn_mode", lstm.runs_here, lstm.NEEDS_GPU)
  flags.mark_bool_flags_as_mutual_exclusive(["use_fp16", "use_bfloat16"])


def main(argv):
  """Trains and tests, or evaluates, as the flags say."""
  with command_line.complaints(argv[0], out_of_memory=(
      "out of memory; lower hidden_size or batch_size x num_steps")):
    if FLAGS.mode == "eval":
      _evaluate_as_flags_say()
    else:
      _train_as_flags_say()


def _train_as_flags_say():
  settings = configs.parse(FLAGS.config_override)
  config = configs.override(configs.CONFIGS[FLAGS.model], settings)
  data_path = BUNDLED_CORPUS if FLAGS.data_path is None else FLAGS.data_path
  kept = FLAGS.save_path and checkpoints.RunDirectory(
      FLAGS.save_path).corpus(data_path)
  texts, vocabulary = kept or reader.read_corpus(data_path)
  precision = ("float16" if FLAGS.use_fp16 else
               "bfloat16" if FLAGS.use_bfloat16 else "float32")
  run = None
  if FLAGS.save_path:
    run = checkpoints.TrainingRun(
        FLAGS.save_path,
        config={"model": FLAGS.model, "overrides": FLAGS.config_override,
                "settings": dataclasses.asdict(config), "seed": FLAGS.seed,
                "rnn_mode": FLAGS.rnn_mode, "precision": precision,
                "data": {"path": os.path.abspath(data_path),
                         **{split: text.identity
                            for split, text in texts.items()}}},
        vocabulary=vocabulary, fresh=FLAGS.fresh,
        # What decides on numbers changes only if it is asked for by name.
        may_change=["model", "overrides", "rnn_mode", "data.path",
                    "data.*.file", "settings.max_max_epoch",
                    *(f"settings.{name}" for name in settings
                      if name in configs.SCHEDULE)],
        keep=FLAGS.keep,
        title=" ".join([FLAGS.model, *(
            f"{name}={value}" for name, value in settings.items())]),
        reference=next(
            ((name, figures[1]) for name, figures
             in configs.PUBLISHED.get(FLAGS.model, {}).items()), None),
        texts=None if kept else texts)
  try:
    with stops.on_signals() as check_stop:
      rows, tests = train(
          config, (*(text.ids for text in texts.values()), vocabulary), run,
          FLAGS.rnn_mode, FLAGS.seed, FLAGS.save_secs, check_stop, precision)
  except stops.Stopped as stop:
    # As it was called, but --fresh would refuse to go on.
    command = shlex.join(
        arg for arg in sys.orig_argv if not re.match("--?(no)?fresh", arg))
    raise _StoppedError(stop, (
        f"all is saved, go on with: {command}" if run else
        "nothing is kept without --save_path")) from None
  print(summary(FLAGS.model, rows, tests), flush=True)


def _evaluate_as_flags_say():
  if not FLAGS.save_path:
    raise errors.UserError(
        "--mode=eval needs --save_path, the folder of the run")
  for name in ("model", "config_override", "seed", "use_fp16", "use_bfloat16",
               "fresh", "save_secs", "keep"):
    if FLAGS[name].present:
      raise errors.UserError(
          f"--{name}: --mode=eval takes it from the run; leave it out")
  run = checkpoints.RunDirectory(FLAGS.save_path)
  _, trained_on, _ = run_config(run)
  data_path = trained_on if FLAGS.data_path is None else FLAGS.data_path
  vocabulary = run.vocabulary()
  if os.path.isfile(data_path):
    paths = {"text": data_path}
  else:
    paths = reader.find_corpus(data_path, ("valid", "test"))
  results = evaluate(run, {
      name: reader.read_ids(path, vocabulary, name)
      for name, path in paths.items()}, FLAGS.rnn_mode)
  newest = next(iter(results))
  print("\n".join(_table(paths, {
      (f"epoch {c.epoch}" if c.epoch else f"step {c.step}")
      + (", the last" if c is newest else ", best by valid"): figures.values()
      for c, figures in results.items()})))


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
