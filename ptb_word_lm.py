"""Trains an LSTM language model on the Penn Treebank, or on any text.

    python ptb_word_lm.py --model=small|medium|large|test --data_path=DIR

The models are those of Zaremba, Sutskever and Vinyals 2014, "Recurrent Neural
Network Regularization" (arXiv 1409.2329). From a notebook, without flags:

    with tf.Graph().as_default():
      words = tf.placeholder(tf.int32, [num_steps + 1, batch_size])
      model = PTBModel(configs.SMALL, vocab_size, words[:-1], words[1:])
"""

import dataclasses
import os

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

from absl import app, flags

import cells
import checkpoints
import configs
import errors
import mixed_precision
import optimizers
import reader
import recurrent
import softmax
import stateless
import training
import training_flags
from tensorflow_v1 import halve_threads_per_op, on_host, repeatable_session, tf

FLAGS = flags.FLAGS
_PART = 10_000  # windows of a text that a session holds at a time
BUNDLED_CORPUS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "data", "factbook")


class PTBModel:
  """The graph of one window: word ids in, cost and next state out.

  Attributes:
    initial_state, final_state: one state a layer, such as lstm.LSTMState, of
      [B, H]. A fed initial state takes the place of the one given.
    losses: [T, B], the cross entropy of each target in nats.
    nats: the sum of them.
    num_targets: the number of them; a target of reader.NO_TARGET is none.
    counts: both, by name, as `training.Epoch` adds them up.
    cost: `nats` averaged over B, what training minimizes.
    outputs: [T, B, H] of the last layer, in the precision of the model.
    logits: [T, B, V].
    output_words: [T, B], the likeliest next word at each position.
    variables: the parameters.
    lr, grad_norm, max_grad_norm, train_op: in training only. The learning
      rate, the global norm of the gradients before clipping, what it is clipped
      to, and the op that takes a step and counts it in the global step.
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
      rnn_mode: one of the layers of the cell (see cells.CELLS); the fastest
        on this machine without it.
      seed: of the initial values and of dropout.
      precision: what to compute in, one of mixed_precision.PRECISIONS.
    """
    self._config, self._seed, self._precision = config, seed, precision
    self._is_training = is_training
    self._step = step
    if is_training and step is None:
      self._step = tf.train.get_or_create_global_step().read_value()
    parameters = stateless.Parameters(config.init_scale, seed)
    self.variables = parameters.variables
    self.initial_state = (_zero_state(config, batch_size=inputs.shape[1])
                          if initial_state is None else initial_state)

    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding, layers, (weights, bias) = self._parameters(
          parameters, config, vocab_size)
    cell = cells.CELLS[config.cell]
    layer = cell.layer(rnn_mode or cell.default_layer())
    # In two halves: while the first goes on through the next layer and the
    # softmax, the second goes through the layer before, on another core.
    outputs, losses = [], []
    state = recurrent.cast(self.initial_state, precision)
    for xs, ys, *masks in zip(*map(_halves, (
        inputs, targets, *self._dropout_masks(tf.shape(inputs)))), strict=True):
      embedded = tf.gather(embedding, tf.maximum(xs, 0))  # NO_TARGET: any row
      hidden, state = _layers(
          tf.cast(embedded, precision), state, layers, masks, layer)
      outputs.append(hidden)
      losses.append(_cross_entropy(hidden, ys, weights, bias))
    self.final_state = recurrent.cast(state, tf.float32)
    self.outputs = tf.concat(outputs, axis=0)
    self.losses = tf.concat(losses, axis=0)
    # Not computed unless they are asked for.
    self.logits = bias + tf.cast(
        tf.tensordot(self.outputs, weights, axes=1), tf.float32)
    self.output_words = tf.argmax(self.logits, -1, output_type=tf.int32)
    self.nats = tf.reduce_sum(self.losses)
    self.num_targets = tf.math.count_nonzero(
        tf.not_equal(targets, reader.NO_TARGET))
    self.counts = {"nats": self.nats, "targets": self.num_targets}
    self.cost = self.nats / tf.cast(tf.shape(inputs)[1], tf.float32)
    if is_training:
      self.lr = tf.convert_to_tensor(
          config.learning_rate if learning_rate is None else learning_rate,
          tf.float32)
      self.max_grad_norm = config.max_grad_norm
      self.grad_norm, self.train_op = optimizers.step(
          self.cost, self.counts, self.variables, self.lr,
          config.max_grad_norm, config.optimizer, precision)

  def _parameters(self, parameters, config, vocab_size):
    """The embedding, kernel and bias of each layer, and those of the softmax.

    The embedding is the variable, for its gradient is sparse. The others are
    read, and but for the softmax's bias, which is added to float32, in the
    precision of the model.
    """
    embedding = parameters.add("embedding", [vocab_size, config.input_size])
    layers, width = [], config.input_size
    for i, size in enumerate(config.layer_sizes):
      with tf.variable_scope(f"RNN/multi_rnn_cell/cell_{i}"):
        layers.append(recurrent.cast(parameters.add_layer(
            cells.CELLS[config.cell], width, size), self._precision))
      width = size
    weights = parameters.add("softmax_w", [width, vocab_size])
    bias = parameters.add("softmax_b", [vocab_size])
    return embedding, layers, (
        tf.cast(weights.read_value(), self._precision), bias.read_value())

  def _dropout_masks(self, shape):
    """Those of this seed and step, each [T, B, size] of 0 and 1 / keep_prob.

    The first is for the embedding, the others for the layers' outputs. Without
    dropout there are none.

    Args:
      shape: T and B, as a tensor.
    """
    if not self._is_training or self._config.keep_prob == 1:
      return []
    return stateless.dropout_masks(
        shape, (self._config.input_size, *self._config.layer_sizes),
        self._config.keep_prob, self._seed, self._step)

def _halves(x):
  """Cuts [T, ...] in two along T; leaves whole what has no static T above 1.

  And what goes to a GPU, whose one stream does one thing after the other.
  """
  num_steps = x.shape[0]
  if num_steps is None or num_steps < 2 or recurrent.has_gpu():
    return [x]
  return tf.split(x, [num_steps - num_steps // 2, num_steps // 2])


def _layers(inputs, state, parameters, masks, layer):
  """[T, B, I] -> [T, B, H] of the last layer, and the states after it."""
  def dropout(x, site):
    if not masks:
      return x
    # In float32: 16 bits would round 1 / keep_prob.
    return tf.cast(tf.cast(x, tf.float32) * masks[site], x.dtype)

  x, final_state = dropout(inputs, 0), []
  for i, (before, weights) in enumerate(
      zip(state, parameters, strict=True), 1):
    outputs, after = layer(x, before, *weights)
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
  return tuple(cells.CELLS[config.cell].zero_state(batch_size, size)
               for size in config.layer_sizes)


class Epoch(training.Epoch):
  """One pass over a split of a text, which needs no feeding.

  See `training.Epoch`; its model is a PTBModel.
  """

  def __init__(self, name, config, vocab_size, ids, is_training=False,
               initial_values=None, **settings):
    """Adds the pass to the default graph; `load` brings it into a session.

    Args:
      name: of the split, a scope for the variables.
      ids: 1-D, the words of the split.
      initial_values: see `training.Epoch`.
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
    self._num_steps, self._part = config.num_steps, None
    windows = (len(self._host_streams) - 1) // config.num_steps
    self._windows = windows
    size = is_training and config.epoch_size or windows

    def build(step, state):
      # Fed part by part, so that neither the graph nor a device holds it all.
      self._feed = tf.placeholder(tf.int32, [None, config.batch_size])
      self._streams = tf.Variable(  # no int32 variable is kept on a GPU
          tf.cast(self._feed, tf.int64), trainable=False, name="streams",
          use_resource=True, collections=[])
      with on_host():
        rate = training.learning_rate(config, 1 + step // size)
      return PTBModel(
          config, vocab_size, *self._read_window(config, step % windows),
          state, is_training, step, rate, **settings)

    super().__init__(
        name, size, build, is_training,
        _zero_state(config, config.batch_size), period=windows,
        initial_values=initial_values)

  def load(self, session):
    """See `training.Epoch`."""
    super().load(session)
    self._part = None
    self.prepare(session, 0)

  def prepare(self, session, step):
    """Puts the part of the split into the session that a step is to read."""
    part = step % self._windows // _PART
    if part != self._part:
      start, size = part * _PART * self._num_steps, _PART * self._num_steps
      session.run(self._streams.initializer, {
          self._feed: self._host_streams[start:start + size + 1]})
      self._part = part

  def _read_window(self, config, window):
    """The words of a window, and those one on: two of [T, B]."""
    with on_host():
      begin = tf.stack([window % _PART * config.num_steps, 0])
      size = tf.constant([config.num_steps + 1, config.batch_size], tf.int64)
    rows = tf.slice(self._streams, begin, size)
    return rows[:-1], rows[1:]


def train(config, corpus, run=None, rnn_mode=None, seed=1, save_secs=600,
          check_stop=lambda: None, precision="float32", initial_values=None,
          metric=training.PERPLEXITY):
  """Trains a model, validates it after each epoch, and tests it at the end.

  Args:
    corpus: what `reader.ptb_raw_data` returns.
    run: the checkpoints.TrainingRun to go on with and to keep all in, if any.
    rnn_mode, seed, precision: see `PTBModel`.
    initial_values: see `training.Epoch`.
    save_secs, check_stop, metric: see `training.train`.

  Returns:
    As `training.train`; the test split is read as one stream.

  Raises:
    reader.DataError: a split is too short.
    training.DivergedError, stops.Stopped, checkpoints.RunError: see
      `training.train`.
  """
  train_ids, valid_ids, test_ids, vocabulary = corpus
  shared = {"vocab_size": len(vocabulary), "rnn_mode": rnn_mode, "seed": seed,
            "precision": precision}
  one_stream = dataclasses.replace(config, batch_size=1)

  def make_epochs():
    return (
        Epoch("Train", config, ids=train_ids, is_training=True,
              initial_values=initial_values, **shared),
        Epoch("Valid", config, ids=valid_ids, **shared),
        Epoch("Test", one_stream, ids=test_ids, **shared))

  return training.train(make_epochs, config.max_max_epoch, metric, run,
                        save_secs, check_stop)


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
      if checkpoint is best and not training.load_best(session, epoch, best):
        continue
      print(f"{checkpoint.path}:")
      results[checkpoint] = {}
      for name, epoch in epochs.items():
        result = training.run_with_progress(
            session, name.capitalize(), epoch)
        results[checkpoint][name] = result.perplexity
        print(f"{name.capitalize()} Perplexity: {result.perplexity:.3f}",
              flush=True)
    return results


def run_config(run, task=checkpoints.LANGUAGE_MODEL):
  """What a checkpoints.RunDirectory was trained with, and on.

  Args:
    task: what it is to have been trained for.

  Returns:
    config, data_path, precision: a configs.Config, the folder of the texts,
    and one of mixed_precision.PRECISIONS.

  Raises:
    checkpoints.RunError: its config.json does not say, or another task.
  """
  content = run.config(task)
  try:
    precision = content["precision"]
    if precision not in mixed_precision.PRECISIONS:
      raise ValueError(f"precision {precision}")
    return (configs.Config(**content["settings"]),
            os.fspath(content["data"]["path"]), precision)
  except (configs.ConfigError, KeyError, TypeError, ValueError) as error:
    raise checkpoints.RunError(f"{run.path}: what its config.json holds "
                               f"cannot be used: {error}") from None


def define_flags():
  """The flags of this script; `main` alone reads them."""
  flags.DEFINE_enum("mode", "train", ["train", "eval"],
                    "Train and test, or only evaluate the run at --save_path.")
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS),
                    "The config to train.")
  training_flags.define(
      "The folder of the texts to train, validate and test on; without it, the "
      "bundled corpus. To evaluate, also a single text; without it, what the "
      "run was trained on.")
  training_flags.define_embeddings()
  training_flags.define_precision()
  flags.adopt_module_key_flags(training_flags)  # for --help


def main(argv):
  """Trains and tests, or evaluates, as the flags say."""
  with command_line.complaints(argv[0], out_of_memory=(
      "out of memory; lower hidden_size or batch_size x num_steps")):
    if FLAGS.mode == "eval":
      _evaluate_as_flags_say()
    else:
      _train_as_flags_say()


def _train_as_flags_say():
  config, settings = training_flags.config(configs.CONFIGS[FLAGS.model])
  data_path = BUNDLED_CORPUS if FLAGS.data_path is None else FLAGS.data_path
  kept = FLAGS.save_path and checkpoints.RunDirectory(
      FLAGS.save_path).corpus(data_path)
  texts, vocabulary = kept or reader.read_corpus(data_path)
  identity = {
      "rnn_mode": training_flags.rnn_mode(config),
      "precision": training_flags.precision(),
      "data": {"path": os.path.abspath(data_path), **{
          split: text.identity for split, text in texts.items()}}}
  initial_values, identity["init_embeddings"] = (
      training_flags.initial_embeddings(vocabulary, config))
  published = configs.PUBLISHED.get(FLAGS.model, {})
  run = training_flags.run(
      FLAGS.model, config, settings, identity, vocabulary=vocabulary,
      reference=next(((name, figures[1]) for name, figures
                      in published.items()), None),
      texts=None if kept else texts)
  with training_flags.stopping(run) as check_stop:
    rows, tests = train(
        config, (*(text.ids for text in texts.values()), vocabulary), run,
        identity["rnn_mode"], FLAGS.seed, FLAGS.save_secs, check_stop,
        identity["precision"], initial_values)
  print(training.summary(rows, tests, published), flush=True)


def _evaluate_as_flags_say():
  if not FLAGS.save_path:
    raise errors.UserError(
        "--mode=eval needs --save_path, the folder of the run")
  training_flags.refuse("--mode=eval", "model")
  run = checkpoints.RunDirectory(FLAGS.save_path)
  _, trained_on, _ = run_config(run)
  data_path = trained_on if FLAGS.data_path is None else FLAGS.data_path
  vocabulary = run.vocabulary()
  if not isinstance(vocabulary, reader.Vocabulary) or isinstance(
      vocabulary, reader.Characters):
    raise checkpoints.RunError(f"{run.path}: is no model of words; score.py "
                               "scores text with a model of characters")
  if os.path.isfile(data_path):
    paths = {"text": data_path}
  else:
    paths = reader.find_corpus(data_path, ("valid", "test"))
  results = evaluate(run, {
      name: reader.read_ids(path, vocabulary, name)
      for name, path in paths.items()}, FLAGS.rnn_mode)
  newest = next(iter(results))
  print("\n".join(training.table(paths, {
      (f"epoch {c.epoch}" if c.epoch else f"step {c.step}")
      + (", the last" if c is newest else ", best by valid"): figures.values()
      for c, figures in results.items()})))


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
