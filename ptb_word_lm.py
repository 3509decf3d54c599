"""Trains an LSTM language model on the Penn Treebank, or on any text.

    python ptb_word_lm.py --model=small|medium|large --data_path=DIR

These are the models of Zaremba, Sutskever and Vinyals 2014, "Recurrent Neural
Network Regularization" (arXiv 1409.2329). From a notebook, without flags:

    with tf.Graph().as_default():
      words = tf.placeholder(tf.int32, [num_steps + 1, batch_size])
      model = PTBModel(configs.SMALL, vocab_size, words[:-1], words[1:])
"""

from absl import flags

from rnn.cli import definitions, scripts

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this script."""
  definitions.language_model()


scripts.parse_first(__name__, define_flags)

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import configs
import reader
from rnn.cli import (
  initial_flags,
  parallel_flags,
  stored_flags,
  text_flags,
  training_flags,
)
from rnn.layers import (
  cells,
  dropout,
  halves,
  output,
  penalties,
  recurrent,
  seeded,
  stack,
)
from rnn.options import Options
from rnn.parallel import replicas
from rnn.parallel.workers import ALONE
from rnn.runs import config_file
from rnn.runs.checkpoints import Checkpoint, RunError
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text import corpora
from rnn.text.vocabulary import EOS, Characters, Vocabulary
from rnn.tf1 import integer_shapes, tf
from rnn.training import evaluation, footprint, loop, progress, window_lengths
from rnn.training.known_words import KnownWords
from rnn.training.metrics import PERPLEXITY, Metric
from rnn.training.passes import StreamPass
from rnn.training.trainable import Trainable

BUNDLED_CORPUS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "data", "factbook")


class PTBModel(Trainable):
  """The graph of one window: word ids in, cost and next state out.

  Attributes:
    initial_state, final_state: one state per layer, such as an lstm.LSTMState,
      whose parts are [B, H]; h is [B, P] with a projection. The initial state
      may be fed. With reset_state, `StreamPass` zeroes it where sentences
      begin; the model does not.
    outputs: [T, B, H or P], of the last layer, in the precision of the model.
    losses: [T, B], the cross entropy of each target in nats; 0 where the target
      is reader.NO_TARGET. In training with a sampled softmax it is among the
      candidates, not among all words.
    nats, num_targets: the sum of the losses, and the number of targets.
    counts: the two of all workers, as a dict with the keys "nats" and
      "targets"; see `passes.Model`.
    cost: nats / B, and in training the penalties: what is minimized.
    memory: the bytes that it needs at least, see `footprint`.
    logits: [T, B, V].
    output_words: [T, B], the most probable next word at each position. These
      two are computed only if they are fetched.
    variables, lr, grad_norm, max_grad_norm, train_op: see `Trainable`.

  Raises:
    UserError: it needs too much memory, or its cell lacks the rnn_mode.
  """

  @integer_shapes()
  def __init__(self, config: configs.Config, vocab_size: int,
               inputs: tf.Tensor, targets: tf.Tensor,
               initial_state: Any = None, is_training: bool = False,
               step: tf.Tensor | None = None,
               learning_rate: tf.Tensor | float | None = None,
               options: Options = Options()) -> None:
    """Adds the model to the default graph, or reuses its variables there.

    Args:
      config: batch_size and, without window_jitter, num_steps do not matter.
      inputs, targets: [T, B] word ids. T must be static for the rnn_modes in
        `Cell.static_modes`. B must be static if there is no `initial_state`.
      initial_state: as `final_state`; zero by default.
      is_training: whether to regularize, and to make a `train_op`.
      step: scalar int64, determines all masks; by default the global step.
      learning_rate: scalar; by default the config's.
      options: implementation of the layers, seed and precision.
    """
    self.memory = footprint.check_language_model(
        config, vocab_size, inputs.shape, is_training, options)
    config = config if is_training else config.without_regularization()
    parameters = seeded.Parameters(config.init_scale, options.seed)
    self.initial_state = initial_state or cells.zero_state(
        config, inputs.shape[1])
    with tf.variable_scope("Model", reuse=tf.AUTO_REUSE):
      embedding, layers = _add_layers(
          parameters, config, vocab_size, step, options)
      embedding, softmax = output.add_softmax(
          parameters, config, embedding, options, targets, is_training, step)
    masks = dropout.masks(config, inputs, vocab_size, step, options)
    has_padding = config.has_padding or options.has_padding
    layer = cells.CELLS[config.cell].layer(options.rnn_mode)

    def run(inputs: tf.Tensor, columns: tf.Tensor, masks: dict[int, tf.Tensor],
            state: Any) -> tuple[dict[str, tf.Tensor], Any]:
      """Runs [t, B] words: results [t, B, ...], next state."""
      embedded = tf.cast(_look_up(embedding, inputs), options.precision)
      ends = window_lengths.lengths(config, columns)
      results, state = stack.run(
          config, embedded, state, layers, masks, layer, ends)
      results["losses"] = output.losses(has_padding, results, columns, softmax)
      return results, state

    results, state = replicas.run_on_devices(
        options.workers.devices, window_lengths.halve(config, run),
        inputs, softmax.columns(targets), masks,
        recurrent.cast(self.initial_state, options.precision))
    self.outputs, self.losses = results["outputs"], results["losses"]
    self.final_state = options.workers.gather(recurrent.cast(state, tf.float32))
    self.logits = softmax.logits(self.outputs)
    self.output_words = tf.argmax(self.logits, -1, output_type=tf.int32)

    self.nats = tf.reduce_sum(self.losses)
    self.num_targets = tf.math.count_nonzero(
        tf.not_equal(targets, reader.NO_TARGET))
    cost = penalties.cost(config, self.nats, results, targets)
    super().__init__(  # adds the training step
        config, cost, {"nats": self.nats, "targets": self.num_targets},
        parameters.variables, is_training, learning_rate, options,
        window_lengths.max_grad_norm(config, targets))


def _add_layers(
    parameters: seeded.Parameters, config: configs.Config, vocab_size: int,
    step: tf.Tensor | None, options: Options) -> tuple[tf.Variable, list]:
  """Adds the parameters below the softmax: the embedding, and each layer's.

  The embedding is returned as a variable, because its gradient is sparse. The
  others are returned as values in the precision of the model.
  """
  embedding = parameters.add("embedding", [vocab_size, config.input_size])
  layers, width = [], config.input_size
  for i, sizes in enumerate(config.sizes):
    with tf.variable_scope(f"RNN/multi_rnn_cell/cell_{i}"):
      weights = parameters.add_layer(config, width, *sizes)
      layers.append(recurrent.cast(dropout.drop_weights(
          config, i, weights, options.seed, step), options.precision))
    width = sizes[1]
  return embedding, layers


def model_variables(config: configs.Config,
                    vocab_size: int) -> list[tf.Variable]:
  """Returns the variables of a PTBModel, for their names and shapes."""
  with tf.Graph().as_default():
    word = tf.zeros([1, 1], tf.int32)
    return PTBModel(config, vocab_size, word, word).variables


def _look_up(embedding: tf.Variable | tf.Tensor, words: tf.Tensor) -> tf.Tensor:
  """Returns the vectors of words: [T, B] -> [T, B, E]."""
  with tf.device(None):  # that of the embedding
    # Where a word is NO_TARGET any will do: its loss does not count.
    return tf.gather(embedding, tf.maximum(words, 0))


def stream_pass(name: str, config: configs.Config, vocab_size: int,
                ids: reader.Ids, is_training: bool = False,
                options: Options = Options(),
                initial_values: Mapping[str, np.ndarray] | None = None,
                eos: int | None = None) -> StreamPass:
  """Adds a pass of the PTBModel over a text to the default graph.

  `train` and `evaluate` call `halves.set_threads` before the first graph. Other
  callers may do so, too, for speed.

  Args:
    config, vocab_size, options: see `PTBModel`.
    name, ids, is_training, initial_values, eos: see `passes.StreamPass`.

  Raises:
    DataError: the split is too short.
  """
  make_model = functools.partial(PTBModel, config, vocab_size, options=options)
  return StreamPass(name, config, ids, make_model, is_training, initial_values,
                    options.seed, options.workers, eos)


def _eos(config: configs.Config, vocabulary: Any) -> int | None:
  """Returns the id of `<eos>`, if it matters and the vocabulary has it."""
  return vocabulary.ids.get(EOS) if config.reset_state else None


def _test_config(config: configs.Config) -> configs.Config:
  """Returns the config with which the test split is read: as one stream.

  With reset_state any number of streams gives the same result, so the test has
  those of the config.
  """
  return config if config.reset_state else dataclasses.replace(
      config, batch_size=1)


def train(config: configs.Config, corpus: reader.RawData,
          run: TrainingRun | None = None, options: Options = Options(),
          initial_values: Mapping[str, np.ndarray] | None = None,
          metric: Metric = PERPLEXITY, save_secs: float = 600,
          check_stop: Callable[[], None] = lambda: None,
          known: KnownWords | None = None
          ) -> tuple[list[loop.Row], dict[int, float]]:
  """Trains a model, validates it after each epoch, and tests it at the end.

  Validation reads the config's batch_size streams. The test reads one stream;
  see `_test_config`.

  Args:
    config: the hyperparameters.
    corpus: the result of `reader.ptb_raw_data`.
    run: the run directory to resume from and to write to.
    options: see `PTBModel`.
    initial_values: see `passes.SplitPass`.
    metric, save_secs, check_stop: see `loop.run_training`.
    known: measures the model at the end.

  Returns:
    rows, tests: see `loop.run_training`, which also lists the errors.

  Raises:
    DataError: a split is too short.
  """
  train_ids, valid_ids, test_ids, vocabulary = corpus
  make_pass = functools.partial(
      stream_pass, vocab_size=len(vocabulary), options=options,
      eos=_eos(config, vocabulary))
  test_config = _test_config(config)
  alone = dataclasses.replace(options, workers=ALONE)
  halves.set_threads(config)

  def make_passes() -> list[StreamPass]:
    split_passes = [
        make_pass("Train", config, ids=train_ids, is_training=True,
                  initial_values=initial_values),
        make_pass("Valid", config, ids=valid_ids),
        make_pass("Test", test_config, ids=test_ids, options=alone)]
    if known:
      known.add_passes(
          functools.partial(PTBModel, config, len(vocabulary), options=alone),
          {"valid": (config, valid_ids), "test": (test_config, test_ids)})
    return split_passes

  return loop.run_training(
      make_passes, config.max_max_epoch,
      metric.with_limit(len(vocabulary), config.num_sampled), run, save_secs,
      check_stop, at_end=functools.partial(
          known.measure, check_stop=check_stop) if known else loop.no_hook,
      early_stop=config.early_stop, workers=options.workers)


def evaluate(run: RunDirectory, texts: Mapping[str, reader.Ids],
             rnn_mode: str | None = None, metric: Metric = PERPLEXITY
             ) -> dict[Checkpoint, dict[str, float]]:
  """Evaluates the newest and the best checkpoint of a run.

  Args:
    run: the run directory.
    texts: a dict, name -> word ids. "valid" is read in the config's batch_size
      streams, as in training; any other text as `train` reads the test.
    rnn_mode: see `options.Options`.
    metric: see `evaluation.evaluate`.

  Returns:
    See `evaluation.evaluate`.

  Raises:
    DataError: a text is too short.
    RunError: the folder is not a run, or no checkpoint is readable.
  """
  settings, vocabulary = run.settings(), run.vocabulary()
  config = settings.config
  options = Options(rnn_mode, precision=settings.precision)
  halves.set_threads(config)

  def make_passes() -> dict[str, StreamPass]:
    return {name: stream_pass(
        name.capitalize(), config if name == "valid" else _test_config(config),
        len(vocabulary), ids, options=options, eos=_eos(config, vocabulary))
            for name, ids in texts.items()}

  return evaluation.evaluate(run, make_passes, metric)


def main(argv: Sequence[str]) -> None:
  """Trains and tests, or evaluates, as the flags say."""
  with scripts.error_lines(argv[0], out_of_memory=(
      "out of memory; lower hidden_size or batch_size x num_steps")):
    parallel_flags.hide_gpus()
    if FLAGS.mode == "eval":
      _evaluate_as_flags_say()
    else:
      _train_as_flags_say()


def _train_as_flags_say() -> None:
  stored = stored_flags.fill_in(config_file.LANGUAGE_MODEL, "words")
  origin = initial_flags.origin("words", model_variables)
  name = initial_flags.model(origin)
  config, settings = initial_flags.config(
      stored_flags.base(stored, configs.CONFIGS[name]), origin)
  config, workers = parallel_flags.workers(config, stored)
  data_path = BUNDLED_CORPUS if FLAGS.data_path is None else FLAGS.data_path
  choice = initial_flags.vocabulary_choice(origin)
  source = data_path, text_flags.encoding(data_path), choice
  saved = FLAGS.save_path and RunDirectory(FLAGS.save_path).saved_texts(*source)
  texts, vocabulary = saved or reader.read_corpus(*source)
  options = training_flags.options(config, workers=workers)
  initial_values, start = initial_flags.initial_values(
      vocabulary, config, origin, stored)
  known = KnownWords(texts, vocabulary)
  description = text_flags.describe_corpus(data_path, texts, choice)
  published = configs.published(name, config) if corpora.is_ptb(
      description["data"]) and not choice.describe() and not any(
          start.values()) else {}
  run = training_flags.run(
      name, config, settings, {
          "rnn_mode": options.rnn_mode, "precision": options.precision,
          **description, **start},
      vocabulary=vocabulary,
      reference=next(((source, valid) for source, (_, valid, _)
                      in published.items()), None),
      texts=None if saved else texts, workers=workers)
  with (parallel_flags.only_the_chief_prints(workers),
        training_flags.stopping(workers) as check_stop):
    train_ids, valid_ids, test_ids = (text.ids for text in texts.values())
    rows, tests = train(
        config, (train_ids, valid_ids, test_ids, vocabulary), run, options,
        initial_values, save_secs=FLAGS.save_secs, check_stop=check_stop,
        known=known)
    if workers.is_chief:
      print(progress.summary(
          rows, tests, {**known.rows(), **published}, PERPLEXITY.with_limit(
              len(vocabulary), config.num_sampled)), flush=True)


def _evaluate_as_flags_say() -> None:
  run = training_flags.run_to_read("--mode=eval", "model")
  settings, vocabulary = run.settings(), run.vocabulary()
  data_path, encoding = FLAGS.data_path, None
  if data_path is None:
    data_path, encoding = settings.data_path, settings.encoding
  encoding = text_flags.encoding(data_path) or encoding
  if not isinstance(vocabulary, Vocabulary) or isinstance(
      vocabulary, Characters):
    raise RunError(f"{run.path}: does not hold a word model; to score text "
                   "with a character model, use score.py")
  texts = reader.read_held_out(
      data_path, vocabulary, encoding, whole=FLAGS.data_path is not None)
  if FLAGS.data_path is None:
    run.check_data(data_path, {
        split: text.fingerprint for split, text in texts.items()})
  evaluate(run, {name: text.ids for name, text in texts.items()},
           FLAGS.rnn_mode)


def command() -> None:
  """Runs the script; `pip install` makes it the command ptb-train."""
  scripts.run(main, define_flags)


if __name__ == "__main__":
  command()
