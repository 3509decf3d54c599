"""The flags of the scripts that train: what to train, and where to keep it."""

import contextlib
import dataclasses
import math
import re
import shlex
import sys

from absl import flags

import cells
import checkpoints
import configs
import embeddings
import errors
import recurrent
import stops

FLAGS = flags.FLAGS


def define(data_help, layers=True):
  """Defines them.

  Args:
    data_help: what --data_path is.
    layers: whether the model has recurrent layers, to be chosen among.
  """
  flags.DEFINE_string("data_path", None, data_help)
  flags.DEFINE_string("save_path", None,
                      "The folder of the run: it keeps checkpoints and "
                      "metrics, and training goes on from there.")
  flags.DEFINE_bool("fresh", False,
                    "Refuse a --save_path that is not empty.")
  flags.DEFINE_float("save_secs", 600,
                     "Seconds between two checkpoints within an epoch; there "
                     "is one at the end of each epoch in any case.",
                     lower_bound=0)
  flags.DEFINE_integer("keep", 3, "How many of the newest checkpoints to keep, "
                       "beside the best.", lower_bound=1)
  flags.DEFINE_integer("seed", 1, "Seed of initial values and of all that is "
                       "drawn in training.",
                       lower_bound=0, upper_bound=2**31 - 1)
  flags.DEFINE_string("config_override", "",
                      "Settings in place of the config's, such as "
                      "hidden_size=300,keep_prob=0.8")
  flags.register_validator("save_path", lambda path: path != "",
                           "no name; leave out the flag to save nothing")
  flags.register_validator("save_secs", lambda seconds: not math.isnan(seconds),
                           "must be a number")
  if layers:
    flags.DEFINE_enum("rnn_mode", None, list(dict.fromkeys(
        name for cell in cells.CELLS.values() for name in cell.layers)),
                      "The implementation of the recurrent layers; the fastest "
                      "on this machine without it.")
    flags.register_validator(
        "rnn_mode", lambda name: name is None or recurrent.runs_here(name),
        recurrent.NEEDS_GPU)


def define_embeddings():
  """Defines the flag that `initial_embeddings` reads."""
  flags.DEFINE_string("init_embeddings", None,
                      "Word vectors to start the embedding with: a .npy, or a "
                      "text in the format of word2vec.")


def define_precision():
  """Defines the flags that `precision` reads."""
  flags.DEFINE_bool("use_fp16", False,
                    "Compute in float16, with parameters in float32.")
  flags.DEFINE_bool("use_bfloat16", False,
                    "Compute in bfloat16, with parameters in float32.")
  flags.mark_bool_flags_as_mutual_exclusive(["use_fp16", "use_bfloat16"])


def precision():
  """What to compute in: one of mixed_precision.PRECISIONS."""
  return ("float16" if FLAGS.use_fp16 else
          "bfloat16" if FLAGS.use_bfloat16 else "float32")


def initial_embeddings(vocabulary, config):
  """What --init_embeddings says.

  Returns:
    values, identity: the initial values of a model's variables, a dict by
    name, and what config.json is to say of them; None and None without.

  Raises:
    errors.UserError: the file cannot be used, or has vectors of another size.
  """
  if not FLAGS.init_embeddings:
    return None, None
  values, identity = embeddings.initial(
      FLAGS.init_embeddings, vocabulary.words, config.input_size,
      config.init_scale, FLAGS.seed)
  return {"Model/embedding": values}, identity


def data_path(advice):
  """The value of --data_path.

  Args:
    advice: what to name, and where to get it.

  Raises:
    errors.UserError: there is none.
  """
  if not FLAGS.data_path:
    raise errors.UserError(f"--data_path: name {advice}")
  return FLAGS.data_path


def config(base, one_layer=False, unused=()):
  """A config as --config_override has it.

  Args:
    one_layer: whether the model can have no more.
    unused: settings that mean nothing to the model.

  Returns:
    config, settings: a record like `base`, and what was changed, by name.

  Raises:
    configs.ConfigError: as `configs.parse` and `configs.override`; one that is
      unused, or too many layers.
  """
  settings = configs.parse(FLAGS.config_override, type(base))
  for name in settings:
    if name in unused:
      raise configs.ConfigError(f"{name}: the model has none; leave it out")
  found = configs.override(base, settings)
  if one_layer and len(found.layer_sizes) > 1:
    raise configs.ConfigError("num_layers: the model has one layer")
  return found, settings


def refuse(mode, *names):
  """Refuses the flags that say how to train, and others that are named.

  Args:
    mode: the flag by which a run is used rather than trained.

  Raises:
    errors.UserError: one of them is given.
  """
  for name in ("config_override", "seed", "use_fp16", "use_bfloat16", "fresh",
               "save_secs", "keep", "init_embeddings", *names):
    if name in FLAGS and FLAGS[name].present:
      raise errors.UserError(
          f"--{name}: {mode} takes it from the run; leave it out")


def rnn_mode(config, static=True):
  """The layer to use: that of --rnn_mode, or the fastest on this machine.

  Args:
    static: whether the number of steps is known when the graph is built.

  Raises:
    errors.UserError: the cell has no such layer.
  """
  cell = cells.CELLS[config.cell]
  name = FLAGS.rnn_mode or cell.default_layer(static)
  cell.layer(name, static)
  return name


def run(name, config, settings, identity, **kwargs):
  """The checkpoints.TrainingRun at --save_path; None without one.

  Args:
    name: of the model.
    config, settings: what `config` returns.
    identity: a dict, what else config.json is to say: what tells one run from
      another, and "data", of the text.
    kwargs: more arguments of the TrainingRun.
  """
  if not FLAGS.save_path:
    return None
  return checkpoints.TrainingRun(
      FLAGS.save_path,
      config={"model": name, "overrides": FLAGS.config_override,
              "settings": dataclasses.asdict(config), "seed": FLAGS.seed,
              **identity},
      fresh=FLAGS.fresh, keep=FLAGS.keep,
      # What decides on numbers changes only if it is asked for by name.
      may_change=["model", "overrides", "rnn_mode", "data.path",
                  "data.*.file", "settings.max_max_epoch",
                  *(f"settings.{name}" for name in settings
                    if name in configs.SCHEDULE)],
      title=" ".join([name, *(
          f"{setting}={value}" for setting, value in settings.items())]),
      **kwargs)


class _StoppedError(errors.UserError):
  """A signal stopped the script."""

  def __init__(self, stop, advice):
    super().__init__(f"stopped by {stop}; {advice}")
    self.status = 128 + stop.signum


@contextlib.contextmanager
def stopping(run):
  """A context in which signals wait for a step's end; see stops.on_signals.

  One that has stopped the training becomes a line that says how to go on.
  """
  try:
    with stops.on_signals() as check_stop:
      yield check_stop
  except stops.Stopped as stop:
    # As it was called, but --fresh would refuse to go on.
    command = shlex.join(
        arg for arg in sys.orig_argv if not re.match("--?(no)?fresh", arg))
    raise _StoppedError(stop, (
        f"all is saved, go on with: {command}" if run else
        "nothing is kept without --save_path")) from None
