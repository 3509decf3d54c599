"""The flags of scripts that train: what to train, and where to keep it."""

import contextlib
import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

import configs
from rnn import files, signals
from rnn.cli import agreement
from rnn.errors import UserError
from rnn.layers import cells
from rnn.options import Options
from rnn.parallel.workers import ALONE, Workers
from rnn.runs.config_file import ALWAYS_CHANGEABLE
from rnn.runs.directory import RunDirectory
from rnn.runs.training_run import TrainingRun
from rnn.text import corpora, vector_files
from rnn.text.vocabulary import Words
from rnn.training import loop, progress
from rnn.training.metrics import Metric

FLAGS = flags.FLAGS

_S = TypeVar("_S", bound=configs.Settings)


def options(config: Any, static: bool = True,
            workers: Workers = ALONE) -> Options:
  """Returns the options that the flags give, with the rnn_mode resolved.

  Args:
    config: a `configs.Config`, or the record of a model without layers.
    static: whether the number of steps is known when the graph is built.
    workers: the processes and devices that share each batch.

  Raises:
    SettingError: the cell has no implementation with the name in --rnn_mode.
  """
  # A model without recurrent layers has no flag --rnn_mode.
  rnn_mode = cells.CELLS[config.cell].resolve(
      FLAGS.rnn_mode, static) if "rnn_mode" in FLAGS else None
  return Options(rnn_mode, FLAGS.seed, precision(), workers=workers)


def precision() -> str:
  """Returns the precision of the GEMMs; without its flags, float32."""
  def is_set(name: str) -> bool:
    return name in FLAGS and bool(FLAGS[name].value)

  return ("float16" if is_set("use_fp16") else
          "bfloat16" if is_set("use_bfloat16") else "float32")


def data_path(advice: str) -> str:
  """Returns the value of --data_path.

  Args:
    advice: the data to name, and where to get them.

  Raises:
    UserError: the flag is missing.
  """
  if not FLAGS.data_path:
    raise UserError(f"--data_path: name {advice}")
  return FLAGS.data_path


def config(base: _S, one_layer: bool = False, unused: Sequence[str] = (),
           without: Sequence[str] = ()) -> tuple[_S, dict[str, Any]]:
  """Applies --config_override and the flags of settings to a config.

  The embedding is as wide as the vectors of --init_embeddings, if the user does
  not set embedding_size.

  Args:
    one_layer: whether the model must have one layer.
    unused: settings that the model does not have.
    without: settings that are left as `base` has them, whatever the flags say.

  Returns:
    config, settings: a record like `base`, and the changed settings by name.

  Raises:
    ConfigError: as in `named_settings` and `configs.override`; an unused
      setting, or too many layers.
    DataError: the vectors cannot be used.
  """
  settings = {name: value for name, value in named_settings(type(base)).items()
              if name not in without}
  for name in settings:
    if name in unused:
      raise configs.ConfigError(
          f"{name}: this model has no such setting; leave it out")
  changed = configs.override(base, settings)
  if one_layer and len(getattr(changed, "layer_sizes", ())) > 1:
    raise configs.ConfigError("num_layers: this model has one layer")
  if ("init_embeddings" in FLAGS and FLAGS.init_embeddings
      and "embedding_size" not in settings):
    width = vector_files.width(FLAGS.init_embeddings)
    # Older runs did not name a size that the first layer has anyway.
    if width != getattr(changed, "input_size", width):
      changed = configs.override(changed, {"embedding_size": width})
  return changed, settings


def named_settings(record: type[configs.Settings]) -> dict[str, Any]:
  """Returns the settings that the flags name: a dict, name -> value.

  Raises:
    ConfigError: as in `configs.parse`; or two flags give a setting two values.
  """
  settings = configs.parse(FLAGS.config_override, record)
  for flag, name in _flags_of_settings(record).items():
    value = FLAGS[flag].value
    if settings.setdefault(name, value) != value:
      raise configs.ConfigError(f"{name}={settings[name]}: --{flag} says "
                                f"{value}; leave out one of the two")
  return settings


def _flags_of_settings(record: type[configs.Settings]) -> dict[str, str]:
  """Returns the flags with a value that are settings: a dict, flag -> name."""
  names = {flag: field.name for flag, field in record.flags().items()}
  return {flag: name for flag, name in {**names, "freeze": "freeze"}.items()
          if flag in FLAGS and FLAGS[flag].value is not None}


def _overrides(config: configs.Settings) -> str:
  """Returns --config_override, with what other flags set spelled out."""
  names = [*configs.parse(FLAGS.config_override, type(config)), *(
      name for flag, name in _flags_of_settings(type(config)).items()
      if flag != "freeze")]
  if "scale_batch" in FLAGS and FLAGS.scale_batch:
    names.append("batch_size")
  return ",".join(f"{name}={configs.as_text(getattr(config, name))}"
                  for name in dict.fromkeys(names))


def values(*names: str) -> dict[str, Any]:
  """Returns the values of flags for "flags" in config.json.

  These do not tell a run from others. They only stand in when it resumes, see
  `stored_flags`.
  """
  return {name: FLAGS[name].value for name in names}


def run_to_read(mode: str, *names: str) -> RunDirectory:
  """Returns the run at --save_path, for a script that does not train now.

  Args:
    mode, names: see `refuse`.

  Raises:
    UserError: --save_path is missing, or a flag of training is given.
  """
  if not FLAGS.save_path:
    raise UserError(f"{mode} needs --save_path, the folder of the run")
  refuse(mode, *names)
  return RunDirectory(FLAGS.save_path)


def refuse(mode: str, *names: str) -> None:
  """Refuses the flags of training, and other flags that are named.

  Args:
    mode: the flag because of which the script does not train.

  Raises:
    UserError: one of the flags is given.
  """
  for name in ("config_override", "seed", "use_fp16", "use_bfloat16", "fresh",
               "save_secs", "keep", "init_embeddings", "lowercase_vectors",
               "init_from", "init_checkpoint", "init_average_last", "freeze",
               "vocab_path", "vocab_size", "min_count", "num_replicas",
               "workers", "worker", "scale_batch", "start_secs", "step_secs",
               *configs.Config.flags(), *names):
    if name in FLAGS and FLAGS[name].present:
      raise UserError(f"--{name}: has no effect with {mode}; leave it out")
  if "num_gpus" in FLAGS and FLAGS.num_gpus > 1:
    raise UserError(f"--num_gpus={FLAGS.num_gpus}: {mode} uses one GPU, or 0; "
                    "leave it out")


def run(name: str, config: configs.Settings, settings: Mapping[str, Any],
        content: Mapping[str, Any], vocabulary: Words | None = None,
        workers: Workers = ALONE, **kwargs: Any) -> TrainingRun | None:
  """Returns the TrainingRun at --save_path; None without the flag.

  Of several workers, only the chief writes. But all of them must train the same
  model on the same text.

  Args:
    name: the model's name.
    config, settings: as `config` returns them.
    content: the rest of config.json: properties that tell this run from
      others, with "data" about the text.
    vocabulary, kwargs: other arguments of the TrainingRun.
    workers: the workers that train.

  Raises:
    WorkersError: a worker would train something else.
  """
  description = {"model": name, "overrides": _overrides(config),
                 "settings": dataclasses.asdict(config), "seed": FLAGS.seed,
                 **content}
  if FLAGS.keep != FLAGS["keep"].default:  # a resumed run keeps as many
    description["flags"] = {**content.get("flags", {}), **values("keep")}
  agreement.check(
      workers, {**description, "vocabulary": (
          vocabulary and files.json_digest(vocabulary.words))},
      resumes=bool(FLAGS.save_path) and os.path.exists(
          os.path.join(FLAGS.save_path, "config.json")))
  if not workers.is_chief:
    return None
  if not FLAGS.save_path:
    for flag in "fresh", "keep", "save_secs":
      if FLAGS[flag].present:
        raise UserError(f"--{flag}: has no effect without --save_path; name "
                        "the folder of the run, or leave it out")
    return None
  return TrainingRun(
      FLAGS.save_path, description, vocabulary, fresh=FLAGS.fresh,
      keep=FLAGS.keep,
      # A setting that affects the result changes only if it is named.
      may_change=[*ALWAYS_CHANGEABLE, *(
          f"settings.{name}" for name in settings
          if name in config.changeable())],
      title=_title(name, corpora.name(content["data"]), settings),
      **kwargs)


def _title(name: str, corpus: str, settings: Mapping[str, Any]) -> str:
  """Returns the title of a learning curve: model, corpus and settings."""
  return " ".join([
      name, *(["on", corpus] if corpus else []), *(
          f"{setting}={configs.as_text(value)}"
          for setting, value in settings.items())])


def train(name: str, config: Any, settings: Mapping[str, Any],
          content: Mapping[str, Any],
          make_passes: Callable[[], Sequence[Any]], metric: Metric,
          **kwargs: Any) -> tuple[TrainingRun | None, dict[int, float]]:
  """Trains and tests a model of a task, and prints the summary.

  Args:
    name, config, settings, content, kwargs: see `run`.
    make_passes, metric: see `loop.run_training`.

  Returns:
    run, tests: the run at --save_path, and the metric on the test split by
    epoch, the last epoch first.

  Raises:
    DivergedError, RunError: see `loop.run_training`.
    UserError: a signal stopped the script.
  """
  training_run = run(
      name, config, settings, content, metric=metric.name, **kwargs)
  with stopping() as check_stop:
    rows, tests = loop.run_training(
        make_passes, config.max_max_epoch, metric, training_run,
        FLAGS.save_secs, check_stop,
        # Word vectors have no validation, and so no such setting.
        early_stop=getattr(config, "early_stop", 0))
  print(progress.summary(rows, tests, metric=metric), flush=True)
  return training_run, tests


class _StoppedError(UserError):
  """A signal stopped the script."""

  def __init__(self, stop: signals.Stopped, advice: str) -> None:
    super().__init__(f"stopped by {stop}; {advice}")
    self.status = 128 + stop.signum


@contextlib.contextmanager
def stopping(workers: Workers = ALONE) -> Iterator[Callable[[], None]]:
  """A context in which signals wait until a step ends.

  It yields the function to call between steps, see `signals.on_signals`. A
  signal ends the context with an error that says how to resume.

  Args:
    workers: the workers that train. All need the command, even those without
      --save_path.
  """
  try:
    with signals.on_signals() as check_stop:
      yield check_stop
  except signals.Stopped as stop:
    # The same command, without --fresh, which would refuse to resume.
    command = shlex.join(
        arg for arg in sys.orig_argv if not re.match("--?(no)?fresh", arg))
    raise _StoppedError(stop, (
        f"everything is saved, resume with: {command}" if FLAGS.save_path else
        "nothing is kept without --save_path" if workers.is_chief else
        f"if worker 0 has a --save_path, resume with: {command}")) from None
