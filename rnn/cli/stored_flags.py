"""A run that resumes: what it stores stands in for flags that are not given."""

import dataclasses
import os
from collections.abc import Container, Iterator, Mapping
from typing import Any, TypeVar

from absl import flags

import configs
from rnn.errors import UserError
from rnn.layers import cells, recurrent
from rnn.options import RNN_MODES
from rnn.runs import config_file
from rnn.runs.checkpoints import RunError
from rnn.runs.directory import RunDirectory

FLAGS = flags.FLAGS

_S = TypeVar("_S", bound=configs.Settings)

_INITIAL = {"init_from", "init_checkpoint", "init_average_last",
            "init_embeddings"}
# Flag -> the other flags with which the run does not stand in for it.
_WITHOUT = {
    "vocab_path": {"vocab_size", "min_count"},
    "vocab_size": {"vocab_path"}, "min_count": {"vocab_path"},
    "use_fp16": {"use_bfloat16"}, "use_bfloat16": {"use_fp16"},
    **dict.fromkeys(_INITIAL, _INITIAL)}


@dataclasses.dataclass(frozen=True)
class Stored:
  """A run at --save_path that has begun.

  Attributes:
    run: the folder.
    content: its config.json.
    config: its settings; None if --model names others.
  """

  run: RunDirectory
  content: Mapping[str, Any]
  config: Any


def fill_in(task: str, tokens: str | None = None) -> Stored | None:
  """Gives flags that are not given the values that the run was begun with.

  --model stands for all settings, so with it no setting is taken from the run.

  Args:
    task: the task of the script.
    tokens: what it models, of VOCABULARIES, if other scripts have its task.

  Returns:
    The run; None if there is none yet at --save_path, or none of this task,
    which `TrainingRun.open` reports.

  Raises:
    RunError: config.json cannot be used, or has a value that a flag cannot
      have; the run has other tokens; or its list of words is damaged.
    ConfigError: a setting that the user gives has a bad value.
  """
  if not FLAGS.save_path or FLAGS.fresh:
    return None
  run = RunDirectory(FLAGS.save_path)
  if not os.path.exists(os.path.join(run.path, "config.json")):
    return None
  content = run.content()
  if content["task"] != task or "settings" not in content:  # another program's
    return None
  if tokens and content["tokens"] != tokens:
    raise RunError(
        f"{run.path}: holds a model of {content['tokens']!s:.99}, not of "
        f"{tokens}; use the script that trained it, or another folder",
        "save_path")
  settings = run.settings(task)
  given = {name for name in FLAGS if FLAGS[name].present}
  for name, value in dict(_values(run, content)).items():
    if name in FLAGS and not given & {name, *_WITHOUT.get(name, ())} and (
        name != "vocab_path" or _has_words(run, given)):
      _set(run, name, value)
  if "model" in given:
    return Stored(run, content, None)
  _merge_overrides(content["overrides"], settings.config)
  return Stored(run, content, settings.config)


def base(stored: Stored | None, config: _S) -> _S:
  """Returns the config that flags change: the run's, or by default `config`."""
  return stored.config if stored and stored.config else config


def resume(task: str, config: _S) -> _S:
  """Calls `fill_in`, and returns the `base`."""
  return base(fill_in(task), config)


def initial_embeddings(stored: Stored | None) -> dict | None:
  """Returns the entry of config.json on the word vectors that a run began with.

  The vectors themselves are not needed any more.

  Returns:
    The entry; None if the run had none, or flags say how to start.

  Raises:
    UserError: the run has no checkpoint yet, so it needs the vectors.
  """
  vectors = stored and stored.content["init_embeddings"]
  if not stored or not vectors or FLAGS.init_embeddings:
    return None
  if not stored.run.checkpoints():
    raise UserError(f"--init_embeddings: {stored.run.path} has no checkpoint "
                    "yet, so it needs its vectors again; name their file")
  return vectors


def _values(run: RunDirectory,
            content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
  """Generates the flags that tell a run from others, with its values."""
  # A property of a task has the name of its flag.
  yield from ((name, value) for name, value in content.items()
              if not isinstance(value, dict))
  yield from content["flags"].items()
  yield "data_path", content["data"].get("path")
  yield "encoding", content["data"].get("encoding")
  yield "use_fp16", content["precision"] == "float16"
  yield "use_bfloat16", content["precision"] == "bfloat16"
  if "rnn_mode" in FLAGS:
    yield "rnn_mode", _rnn_mode(content)
  if content["task"] == config_file.LANGUAGE_MODEL:
    choice = content["vocabulary_choice"]
    if "sha256" in choice:
      yield "vocab_path", os.path.join(run.path, "vocab.txt")
    else:
      yield "vocab_size", choice.get("size")
      yield "min_count", choice.get("min_count", 1)
  if origin := content["init_from"]:
    yield "init_from", origin.get("path")
    yield "init_checkpoint", origin.get("checkpoint")
    yield "init_average_last", origin.get("average_last")
  else:
    yield "init_from", None


def _has_words(run: RunDirectory, given: Container[str]) -> bool:
  """Returns whether a run's list of words can stand in for --vocab_path.

  Raises:
    RunError: the list is damaged, and no --init_from is given that has it.
  """
  try:
    run.vocabulary()
  except RunError:
    if "init_from" in given:
      return False
    raise
  return True


def _rnn_mode(content: Mapping[str, Any]) -> str | None:
  """Returns the implementation of a run's layers, for --rnn_mode.

  It is None if the flag has it by default, or if it does not run on this
  machine.
  """
  mode, cell = content.get("rnn_mode"), content["settings"].get("cell")
  if mode not in RNN_MODES or cell not in cells.CELLS or (
      not recurrent.runs_here(mode)):
    return None
  default = FLAGS["rnn_mode"].default or cells.CELLS[cell].resolve(None)
  return mode if mode != default else None


def _set(run: RunDirectory, name: str, value: Any) -> None:
  """Gives a flag a value from config.json, unless it is None.

  Raises:
    RunError: the flag cannot have this value.
  """
  if value is None:
    return
  text = (",".join(map(str, value)) if isinstance(value, list) else str(value))
  try:
    FLAGS[name].parse(text)
    FLAGS.validate_all_flags()
  except (flags.Error, ValueError):
    raise RunError(f"{os.path.join(run.path, 'config.json')}: {name}="
                   f"{text:.99}: not a value of --{name}; restore the file "
                   "from a copy") from None


def _merge_overrides(earlier: str, config: configs.Settings) -> None:
  """Puts the overrides of a run in front of those in --config_override.

  A setting that the user gives, there or in its own flag, replaces the earlier
  value. An override that has no effect any more is left out.

  Args:
    earlier: the overrides of the run.
    config: its settings.
  """
  record = type(config)
  given = configs.parse(FLAGS.config_override, record) | {
      field.name: FLAGS[flag].value for flag, field in record.flags().items()
      if FLAGS[flag].value is not None}
  changed = dataclasses.replace(config, **given)
  try:
    kept = {name: value for name, value in configs.parse(
        earlier, record).items() if name not in given
            and _has_effect(changed, name)}
  except configs.ConfigError:  # an older version had such a setting
    kept = {}
  FLAGS["config_override"].value = ",".join([
      *(f"{name}={configs.as_text(value)}" for name, value in kept.items()),
      *filter(None, [FLAGS.config_override])])


def _has_effect(config: configs.Settings, name: str) -> bool:
  """Returns whether a setting has an effect together with the others."""
  try:
    config.check_together([name])
    return True
  except configs.ConfigError:
    return False
