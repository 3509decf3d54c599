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
from rnn.runs.checkpoints import RunError

LANGUAGE_MODEL = "language model"
WORD_VECTORS = "word vectors"
# The records of settings by task; `Config` for all other tasks.
_RECORDS: dict[object, type[configs.Settings]] = {
    WORD_VECTORS: configs.Word2Vec}
# The properties of a run whose config.json is older than the property.
_OLDER = {"precision": "float32", "tokens": "words",
          "init_embeddings": None, "task": LANGUAGE_MODEL}


def read(folder: str, path: str) -> dict:
  """Reads the config.json of a run directory.

  Args:
    folder: the absolute path. path: the path as the user gave it.

  Raises:
    RunError: the file does not exist, or is unreadable.
  """
  name = os.path.join(folder, "config.json")
  try:
    with open(name) as file:
      config = json.load(file)
    if not isinstance(config, dict):
      raise ValueError
    return with_defaults(config)
  except FileNotFoundError:
    what = "holds no run" if os.path.isdir(path) else "no such folder"
    raise RunError(f"{path}: {what}") from None
  except OSError as error:
    raise RunError(f"{name}: {error.strerror}") from None
  except (ValueError, RecursionError):
    raise RunError(f"{name}: garbled; restore it from a copy") from None


def with_defaults(config: dict) -> dict:
  """Returns the content of config.json with what an older file lacks."""
  config = _OLDER | config
  if isinstance(config.get("settings"), dict):
    record = _RECORDS.get(config["task"], configs.Config)
    # Through JSON, because a tuple in a record is a list in the file.
    defaults = json.loads(json.dumps(record.defaults()))
    config["settings"] = defaults | config["settings"]
  return config


def differences(there: dict, here: dict,
                may_change: Iterable[str]) -> tuple[list[str], list[str]]:
  """Compares two contents of config.json.

  Args:
    may_change: names that a resumed run may change, such as
      "settings.learning_rate", also with wildcards.

  Returns:
    refused, changed: the forbidden and the permitted differences, as text.
  """
  refused: list[str] = []
  changed: list[str] = []
  there, here = _flatten(with_defaults(there)), _flatten(with_defaults(here))
  for name in dict.fromkeys([*there, *here]):
    if there.get(name) != here.get(name):
      may = any(fnmatch.fnmatch(name, pattern) for pattern in may_change)
      (changed if may else refused).append(
          f"{name} ({_short(there.get(name))} there, "
          f"{_short(here.get(name))} here)")
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
