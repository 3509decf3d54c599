"""The file config.json: what a run is, and how two runs differ.

It has the model and its settings, the seed, the precision, the task, and
fingerprints of the data.
"""

import fnmatch
import json
import os
import re
from collections.abc import Iterable

import configs
from rnn import files
from rnn.options import PRECISIONS
from rnn.runs.checkpoints import RunError

LANGUAGE_MODEL = "language model"
WORD_VECTORS = "word vectors"
SENTIMENT = "sentiment"
# The records of settings by task; `Config` for all other tasks.
_RECORDS: dict[object, type[configs.Settings]] = {
    WORD_VECTORS: configs.Word2Vec}
# The version of the run directory's files. A version reads older ones.
FORMAT = 2
# The properties of a run whose config.json is older than the property.
_OLDER = {"format": 1, "precision": "float32", "tokens": "words",
          "init_embeddings": None, "init_from": None, "task": LANGUAGE_MODEL,
          "vocabulary": None, "vocabulary_choice": {}, "overrides": "",
          "flags": {}}
_OLDER_OF_TASK: dict[object, dict] = {SENTIMENT: {
    "labels": ["negative", "positive"], "letters": "a-z"}}
# How texts are split into train, valid and test if data.split does not say it.
_BY_FILES = "by its files"
_OLDER_SPLIT = {"characters": "by its files, or lines 9 and 19 of every 20"}
# The types of properties, or of one of their parts.
_TYPES: dict[str, tuple[type, ...]] = {
    "format": (int,), "model": (str,), "overrides": (str,), "seed": (int,),
    "task": (str,), "tokens": (str,), "precision": (str,), "split": (str,),
    "bidirectional": (bool,),
    "rnn_mode": (str, type(None)), "vocabulary": (str, type(None)),
    "init_embeddings": (dict, type(None)), "init_from": (dict, type(None)),
    "init_from.path": (str,), "init_from.checkpoint": (str,),
    "init_from.average_last": (int,),
    "labels": (list,), "letters": (str,), "settings": (dict,),
    "vocabulary_choice": (dict,), "data": (dict,), "data.path": (str,),
    "data.encoding": (str, type(None)), "flags": (dict,)}
_NAMES = {int: "a whole number", str: "a string", dict: "an object",
          bool: "true or false", list: "a list", type(None): "null"}
# How the user named the origin of a run; its digest tells which it is.
START_MAY_CHANGE = ("init_from.path", "init_from.checkpoint",
                    "init_from.average_last")
# What differs from machine to machine.
PLACE_MAY_CHANGE = ("rnn_mode", "data.path", "data.encoding", "data.*.file",
                    *START_MAY_CHANGE)
# What a resumed run may change without a flag that names it.
ALWAYS_CHANGEABLE = ("model", "overrides", *PLACE_MAY_CHANGE,
                     "settings.max_max_epoch")
# What a resumed run may change. A checkpoint from before the change differs in
# it from config.json.
CHANGEABLE = (
    *ALWAYS_CHANGEABLE,
    *(f"settings.{name}" for settings in (configs.Config, configs.Word2Vec)
      for name in settings.changeable()))


def read(folder: str, path: str) -> dict:
  """Reads the config.json of a run directory.

  Args:
    folder: the absolute path. path: the path as the user gave it.

  Raises:
    RunError: the file does not exist, or is unreadable.
  """
  name = os.path.join(folder, "config.json")
  try:
    with files.open_regular(name) as file:
      config = json.load(file)
    if not isinstance(config, dict):
      raise ValueError
  except FileNotFoundError:
    what = "holds no run" if os.path.isdir(path) else "no such folder"
    raise RunError(f"{path}: {what}; name the folder of a run") from None
  except OSError as error:
    raise RunError(f"{name}: {error.strerror}") from None
  except (ValueError, RecursionError):
    raise RunError(f"{name}: damaged; restore it from a copy") from None
  config = _OLDER | config
  version = config["format"]
  if isinstance(version, int) and version > FORMAT:
    raise RunError(f"{name}: a newer version wrote this run (format {version}; "
                   f"this version reads up to {FORMAT}); use the newer version")
  _check_types(name, config)
  if config["precision"] not in PRECISIONS:
    raise RunError(f"{name}: precision={config['precision']:.99}: must be one "
                   "of " + ", ".join(PRECISIONS))
  return with_defaults(config)


def _check_types(name: str, config: dict) -> None:
  """Raises a RunError if a property has another type than the trainer's."""
  for key, types in _TYPES.items():
    place, _, last = key.rpartition(".")
    parent = config.get(place) or {} if place else config
    if last not in parent:
      continue
    value = parent[last]
    if type(value) not in types:  # a bool is an int, too
      raise RunError(
          f"{name}: {key}={json.dumps(value)[:99]}: must be "
          + " or ".join(map(_NAMES.__getitem__, types))
          + "; restore the file from a copy")
  if config.get("seed", 0) < 0:
    raise RunError(f"{name}: seed={config['seed']}: must not be negative; "
                   "restore the file from a copy")


def record(task: object) -> type[configs.Settings]:
  """Returns the class of a task's settings."""
  return _RECORDS.get(task, configs.Config)


def with_defaults(config: dict) -> dict:
  """Returns the content of config.json with what an older file lacks."""
  config = _OLDER | config
  if isinstance(config["task"], str):
    config = _OLDER_OF_TASK.get(config["task"], {}) | config
  if isinstance(config.get("data"), dict):
    config["data"] = {"split": _OLDER_SPLIT.get(
        config["tokens"], _BY_FILES)} | config["data"]
  if isinstance(config.get("settings"), dict):
    # Through JSON, because a tuple in a record is a list in the file.
    defaults = json.loads(json.dumps(record(config["task"]).defaults()))
    config["settings"] = defaults | config["settings"]
  return config


def differences(there: dict, here: dict, may_change: Iterable[str],
                place: str = "here") -> tuple[list[str], list[str]]:
  """Compares two contents of config.json.

  Args:
    may_change: names that a resumed run may change, such as
      "settings.learning_rate", also with wildcards.
    place: where the second one is, as the text names it.

  Returns:
    refused, changed: the forbidden and the permitted differences, as text.
  """
  refused: list[str] = []
  changed: list[str] = []
  there, here = _flatten(with_defaults(there)), _flatten(with_defaults(here))
  # An older run does not say which vocabulary it has.
  unknown = any(config["format"] == 1 and config["vocabulary"] is None
                for config in (there, here))
  for config in there, here:
    del config["format"]
    for name in list(config):
      if name == "overrides" or name.startswith("flags."):
        del config[name]  # what they cause is compared
    if unknown:
      del config["vocabulary"]
  for name in dict.fromkeys([*there, *here]):
    if there.get(name) != here.get(name):
      may = any(fnmatch.fnmatch(name, pattern) for pattern in may_change)
      (changed if may else refused).append(
          f"{name} ({_short(there.get(name))} there, "
          f"{_short(here.get(name))} {place})")
  return refused, changed


def _flatten(config: dict, prefix: str = "") -> dict:
  """Flattens nested dicts: {"a": {"b": 1}} -> {"a.b": 1}."""
  flat = {}
  for name, value in config.items():
    if isinstance(value, dict):
      flat.update(_flatten(value, f"{prefix}{name}."))
    else:
      flat[prefix + name] = value
  return flat


def _short(value: object) -> str:
  """Returns a value as shown to the user: only the beginning of a hash."""
  text = "nothing" if value is None else str(value)
  return text[:8] + "..." if re.fullmatch("[0-9a-f]{64}", text) else text
