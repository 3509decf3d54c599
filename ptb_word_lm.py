"""Trains an LSTM language model on the Penn Treebank, or on any text.

    python ptb_word_lm.py --model=small|medium|large|test --data_path=DIR

The models are those of Zaremba, Sutskever and Vinyals 2014, "Recurrent Neural
Network Regularization" (arXiv 1409.2329). From a notebook, without flags:

    with tf.Graph().as_default():
      words = tf.placeholder(tf.int32, [num_steps + 1, batch_size])
      model = PTBModel(configs.SMALL, vocab_size, words[:-1], words[1:])
"""

import dataclasses
import logging
import math
import os
import statistics
import sys
import time
import zlib

import numpy as np
import tqdm
from absl import app, flags

import checkpoints
import configs
import lstm
import reader
import softmax
from tensorflow_v1 import tf

FLAGS = flags.FLAGS
BUNDLED_CORPUS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "data", "factbook")


class PTBModel:
  """The graph of one window: word ids in, cost and next state out.

  Attributes:
    initial_state, final_state: one LSTMState of two [B, H] a layer. A fed
      initial state takes the place of the one given.
    nats: cross entropy summed over all targets.
    num_targets: the number of them; a target of reader.NO_TARGET is none.
    cost: `nats` averaged over B, what training minimizes.
    logits: [T, B, V].
    output_words: [T, B], the likeliest next word at each position.
    variables: the parameters.
    lr, grad_norm, train_op: in training only. The learning rate, the global
      norm of the gradients before clipping, and the op that takes a step and
      counts it in the global step.
  """

  def __init__(self, config, vocab_size, inputs, targets, initial_state=None,
               is_training=False, step=None, learning_rate=None,
               rnn_mode=lstm.DEFAULT_LAYER, seed=1):
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: a configs.Config; its batch_size and num_steps do not count.
      inputs, targets: [T, B] word ids; T and B are static.
      initial_state: as `final_state`; zero without it.
      is_training: whether to apply dropout and make a `train_op`.
      step: scalar int64 that dropout's masks follow from, along with `seed`;
        the global step without it.
      learning_rate: scalar, the config's first rate without it.
      rnn_mode: a key of lstm.LAYERS.
      seed: of the initial values and of dropout.
    """
    self._config, self._vocab_size, self._seed = config, vocab_size, seed
    self._is_training = is_training
    self._step = step
    if is_training and step is None:
      self._step = tf.train.get_or_create_global_step().read_value()
    self.variables = []
    self.initial_state = (_zero_state(config, batch_size=inputs.shape[1])
                          if initial_state is None else initial_state)

    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedded = self._dropout(self._embed(inputs), site=0)  # (T, B, I)
      outputs, self.final_state = self._layers(embedded, rnn_mode)  # (T, B, H)
      losses, self.logits = self._softmax(outputs, targets)  # (T, B), (T, B, V)
    self.output_words = tf.argmax(self.logits, -1, output_type=tf.int32)
    self.nats = tf.reduce_sum(losses)
    self.num_targets = tf.math.count_nonzero(
        tf.not_equal(targets, reader.NO_TARGET))
    self.cost = self.nats / tf.cast(inputs.shape[1], tf.float32)
    if is_training:
      self.lr = tf.convert_to_tensor(
          config.learning_rate if learning_rate is None else learning_rate,
          tf.float32)
      self.grad_norm, self.train_op = self._train_op()

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

  def _embed(self, inputs):
    """[T, B] ids -> [T, B, I]."""
    embedding = self._parameter(
        "embedding", [self._vocab_size, self._config.input_size])
    return tf.gather(embedding, tf.maximum(inputs, 0))  # NO_TARGET: any row

  def _layers(self, inputs, rnn_mode):
    """[T, B, I] -> [T, B, H] of the last layer, and the final states."""
    final_state = []
    for i, (size, state) in enumerate(zip(
        self._config.layer_sizes, self.initial_state, strict=True)):
      with tf.variable_scope(f"RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell"):
        kernel = self._parameter(
            "kernel", [inputs.shape[-1] + size, 4 * size])
        bias = self._parameter("bias", [4 * size])
      outputs, state = lstm.LAYERS[rnn_mode](
          inputs, state, kernel.read_value(), bias.read_value())
      final_state.append(state)
      inputs = self._dropout(outputs, site=i + 1)
    return inputs, tuple(final_state)

  def _softmax(self, outputs, targets):
    """[T, B, H], [T, B] -> cost of each target in nats [T, B], logits."""
    size = self._config.layer_sizes[-1]
    weights = self._parameter("softmax_w", [size, self._vocab_size])
    bias = self._parameter("softmax_b", [self._vocab_size])
    weights, bias = weights.read_value(), bias.read_value()
    hidden = tf.reshape(outputs, [-1, size])  # (T*B, H)
    losses = softmax.softmax_cross_entropy(
        hidden, weights, bias, tf.reshape(tf.maximum(targets, 0), [-1]))
    losses = tf.reshape(losses, targets.shape)
    losses = tf.where(tf.equal(targets, reader.NO_TARGET),
                      tf.zeros_like(losses), losses)
    logits = hidden @ weights + bias  # not computed unless it is asked for
    return losses, tf.reshape(logits, [*targets.shape, self._vocab_size])

  def _dropout(self, x, site):
    """Dropout with the mask of this seed, step and site (0 to L)."""
    if not self._is_training or self._config.keep_prob == 1:
      return x
    key = self._step * (len(self._config.layer_sizes) + 1) + site
    return tf.nn.experimental.stateless_dropout(
        x, rate=1 - self._config.keep_prob,
        seed=tf.stack([tf.constant(self._seed, tf.int64), key]))

  def _train_op(self):
    """Clipped gradient descent: the norm before clipping, and the op.

    Clipping scales all gradients alike, so it scales the step instead.
    """
    gradients = [_sum_rows(g) for g in tf.gradients(self.cost, self.variables)]
    norm = tf.global_norm(gradients)
    scale = tf.minimum(1.0, self._config.max_grad_norm / norm)
    train_op = tf.train.GradientDescentOptimizer(
        self.lr * scale).apply_gradients(
            zip(gradients, self.variables, strict=True),
            global_step=tf.train.get_or_create_global_step())
    return norm, train_op


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
    window: scalar int64, the window that comes next.
    advance: what to fetch to go through it: "nats" and "targets" are the sums
      since the start of the epoch.
  """

  def __init__(self, name, config, vocab_size, ids, is_training=False,
               rnn_mode=lstm.DEFAULT_LAYER, seed=1):
    """Adds the pass to the default graph; `load` brings it into a session.

    Args:
      name: of the split, a scope for the variables.
      ids: 1-D, the words of the split.

    Raises:
      reader.DataError: the split is too short.
    """
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
      self._streams = tf.Variable(
          self._feed, trainable=False, name="streams", use_resource=True,
          collections=[])
      position = (tf.train.get_or_create_global_step() if is_training
                  else self._variable("position", np.int64(0)))
      step = position.read_value()
      self.window = step % self.size
      carried = {
          "state": tf.nest.map_structure(
              lambda zero: self._variable("state", zero),
              _zero_state(config, config.batch_size)),
          "nats": self._variable("nats", np.float64(0)),
          "targets": self._variable("targets", np.int64(0)),
      }
      before = tf.nest.map_structure(self._zero_at_start, carried)
      self.model = PTBModel(
          config, vocab_size, *self._read_window(config), before["state"],
          is_training, step, _learning_rate(config, 1 + step // self.size),
          rnn_mode, seed)
      after = {
          "state": self.model.final_state,
          "nats": before["nats"] + tf.cast(self.model.nats, tf.float64),
          "targets": before["targets"] + self.model.num_targets,
      }
      updates = tf.nest.map_structure(tf.assign, carried, after)
      with tf.control_dependencies([self.model.cost]):  # has used the position
        move_on = (self.model.train_op if is_training
                   else position.assign_add(1))
      self.advance = {"nats": after["nats"], "targets": after["targets"],
                      "updates": tf.group(move_on, tf.nest.flatten(updates))}

  def load(self, session):
    """Puts the split into the session, once its variables are initialized."""
    session.run(self._streams.initializer, {self._feed: self._host_streams})

  def _variable(self, name, value):
    return tf.Variable(value, trainable=False, name=name, use_resource=True,
                       collections=[self._collection])

  def _read_window(self, config):
    """The words of the window, and those one on: two of [T, B]."""
    rows = tf.slice(self._streams, [self.window * config.num_steps, 0],
                    [config.num_steps + 1, config.batch_size])
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

  `words_per_second` leaves out the first window, in which TensorFlow prepares
  the graph; it is NaN where there is no other.
  """

  perplexity: float
  words_per_second: float
  seconds: float


def run_epoch(session, epoch, report=None):
  """Goes through a split, from the next window to the last.

  Where an earlier call was stopped half-way, that is where this one starts.

  Args:
    report: called after each window with its index from 0, the perplexity of
      the epoch so far, and the words per second since the first window.

  Returns:
    An EpochResult.
  """
  started = time.perf_counter()
  first = None  # time and targets at the end of the first window
  words_per_second = math.nan
  for window in range(session.run(epoch.window), epoch.size):
    sums = session.run(epoch.advance)
    now = time.perf_counter()
    if first:
      words_per_second = (sums["targets"] - first[1]) / (now - first[0])
    else:
      first = now, sums["targets"]
    if report:
      report(window, perplexity(sums["nats"], sums["targets"]),
             words_per_second)
  return EpochResult(perplexity(sums["nats"], sums["targets"]),
                     words_per_second, time.perf_counter() - started)


class Progress:
  """How far an epoch is: a bar on a terminal, elsewhere the classic lines."""

  def __init__(self, title, size, lines):
    """`size` is in windows; without `lines`, only a terminal sees progress."""
    self._size = size
    self._bar = tqdm.tqdm(
        total=size, desc=title, file=sys.stdout, leave=False,
        bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}",
        disable=not sys.stdout.isatty())
    self._prints = lines and self._bar.disable
    # As the classic script: in each tenth of an epoch, after ten windows.
    self._every = max(size // 10, 1)
    self._first = min(10, self._every - 1)

  def report(self, window, perplexity_so_far, words_per_second):
    """Shows what `run_epoch` reports."""
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


def train(config, corpus, run=None, rnn_mode=lstm.DEFAULT_LAYER, seed=1):
  """Trains a model, validates it after each epoch, and tests it at the end.

  Args:
    corpus: what `reader.ptb_raw_data` returns.
    run: the checkpoints.RunDirectory to keep metrics and variables in, if any.

  Returns:
    rows, test_perplexity: a dict for each epoch (see `checkpoints.METRICS`),
    and the perplexity of the test split, read as one stream.

  Raises:
    reader.DataError: a split is too short.
    checkpoints.RunError: the run cannot be written.
  """
  train_ids, valid_ids, test_ids, vocabulary = corpus
  shared = {"vocab_size": len(vocabulary), "rnn_mode": rnn_mode, "seed": seed}
  one_stream = dataclasses.replace(config, batch_size=1)
  with tf.Graph().as_default():
    training = Epoch("Train", config, ids=train_ids, is_training=True, **shared)
    validation = Epoch("Valid", config, ids=valid_ids, **shared)
    test = Epoch("Test", one_stream, ids=test_ids, **shared)
    saver = tf.train.Saver(max_to_keep=1, save_relative_paths=True)
    if run:
      run.create()
    with tf.Session() as session:
      session.run([tf.global_variables_initializer(),
                   tf.local_variables_initializer()])
      for epoch in training, validation, test:
        epoch.load(session)
      rows = []
      for number in range(1, config.max_max_epoch + 1):
        rows.append(_train_epoch(session, number, training, validation))
        if run:
          run.add_epoch(rows[-1], vocabulary, session, saver)
      result = _run_with_progress(session, "Test", test)
      print(f"Test Perplexity: {result.perplexity:.3f}")
      return rows, result.perplexity


def _train_epoch(session, number, training, validation):
  """Trains for an epoch and validates: a row of metrics."""
  lr = session.run(training.model.lr)
  print(f"Epoch: {number} Learning rate: {lr:.3f}", flush=True)
  trained = _run_with_progress(
      session, f"Epoch {number}", training, lines=True)
  print(f"Epoch: {number} Train Perplexity: {trained.perplexity:.3f}")
  validated = _run_with_progress(session, f"Epoch {number} valid", validation)
  print(f"Epoch: {number} Valid Perplexity: {validated.perplexity:.3f}",
        flush=True)
  return {"epoch": number, "learning_rate": lr,
          "train_perplexity": trained.perplexity,
          "valid_perplexity": validated.perplexity,
          "words_per_second": trained.words_per_second,
          "seconds": trained.seconds + validated.seconds}


def _run_with_progress(session, title, epoch, lines=False):
  with Progress(title, epoch.size, lines) as progress:
    return run_epoch(session, epoch, progress.report)


def summary(model_name, rows, test_perplexity, seconds):
  """The closing lines: this run beside the published ones of its config."""
  table = {"this run": (rows[-1]["train_perplexity"],
                        rows[-1]["valid_perplexity"], test_perplexity),
           **configs.PUBLISHED.get(model_name, {})}
  lines = [f"{'perplexity':<34}{'train':>9}{'valid':>9}{'test':>9}"]
  for name, figures in table.items():
    cells = ("-" if figure is None else f"{figure:.2f}" for figure in figures)
    lines.append(f"{name:<34}" + "".join(f"{cell:>9}" for cell in cells))
  speed = statistics.median(row["words_per_second"] for row in rows)
  minutes, seconds = divmod(round(seconds), 60)
  lines.append(f"{speed:.0f} words/s in training (median of {len(rows)} "
               f"epochs), {minutes} min {seconds} s in all")
  return "\n".join(lines)


def define_flags():
  """The flags of this script; `main` alone reads them."""
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS),
                    "The config to train.")
  flags.DEFINE_string("data_path", BUNDLED_CORPUS,
                      "The folder of the texts to train, validate and test on.")
  flags.DEFINE_string("save_path", None,
                      "A new folder for metrics, vocabulary and checkpoint.")
  flags.DEFINE_enum("rnn_mode", lstm.DEFAULT_LAYER, list(lstm.LAYERS),
                    "The implementation of the LSTM layer.")
  flags.DEFINE_integer("seed", 1, "Seed of initial values and dropout.",
                       lower_bound=0, upper_bound=2**31 - 1)
  flags.DEFINE_string("config_override", "",
                      "Settings in place of the config's, such as "
                      "hidden_size=300,keep_prob=0.8")
  flags.register_validator("save_path", lambda path: path != "",
                           "no name; leave out the flag to save nothing")


def parse_flags(argv):
  """Reads the command line; what is wrong with it is said in one line."""
  try:
    rest = FLAGS(argv)
  except flags.Error as error:
    _fail(error)
  if len(rest) > 1:
    _fail(f"{rest[1]}: not a flag; flags look like --model=small")
  return rest


def main(_):
  """Trains and tests as the flags say."""
  started = time.perf_counter()
  sys.stdout = sys.stdout or open(os.devnull, "w")  # it may have been closed
  logging.basicConfig(level=logging.INFO, format="%(message)s",
                      stream=sys.stdout, force=True)
  logging.raiseExceptions = False  # the next print will tell
  try:
    config = configs.override(
        configs.CONFIGS[FLAGS.model], FLAGS.config_override)
    corpus = reader.ptb_raw_data(FLAGS.data_path)
    run = FLAGS.save_path and checkpoints.RunDirectory(FLAGS.save_path)
    rows, test_perplexity = train(
        config, corpus, run, FLAGS.rnn_mode, FLAGS.seed)
    print(summary(FLAGS.model, rows, test_perplexity,
                  time.perf_counter() - started), flush=True)
  except (configs.ConfigError, reader.DataError, checkpoints.RunError) as error:
    _fail(error)
  except tf.errors.ResourceExhaustedError:
    _fail("out of memory; lower hidden_size or batch_size x num_steps")
  except KeyboardInterrupt:
    kept = f"; {FLAGS.save_path} keeps the epochs that ended"
    _fail("interrupted" + (kept if FLAGS.save_path else ""), status=130)
  except OSError as error:  # of print
    sys.stdout = open(os.devnull, "w")  # what is left to print goes nowhere
    if not isinstance(error, BrokenPipeError):  # as in `ptb_word_lm.py | head`
      print(f"ptb_word_lm.py: standard output: {error.strerror}",
            file=sys.stderr)
    sys.exit(1)


def _fail(message, status=1):
  print(f"ptb_word_lm.py: {message}", file=sys.stderr)
  sys.exit(status)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=parse_flags)
