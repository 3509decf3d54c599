"""The tables of settings in the documents, made from `configs.py`."""

import dataclasses
import fractions
import math
from collections.abc import Iterator, Mapping
from typing import Any

import configs
from benchmarks.markdown import header, row
from rnn.settings import Settings
from tasks import hyperparameters

_MODELS = ("small", "medium", "large", "lm1b")
_TASKS = {"tasks.char_lm": hyperparameters.CHAR_LM,
          "tasks.sentiment": hyperparameters.SENTIMENT,
          "tasks.ocr": hyperparameters.OCR, "tasks.echo": hyperparameters.ECHO}
_KINDS: dict[Any, str] = {
    int: "whole number, ", float: "number, ", str: "", bool: "",
    tuple: "whole numbers with commas between, "}


def tables() -> dict[str, list[str]]:
  """Returns the lines of the tables, by name."""
  models = {name: configs.CONFIGS[name] for name in _MODELS}
  return {
      "settings": list(table(configs.Config, models)),
      "task_settings": list(_values(configs.Config, _TASKS)),
      "word2vec_settings": list(table(
          configs.Word2Vec, {"tasks.word2vec": hyperparameters.WORD2VEC})),
  }


def table(record: type[Settings],
          columns: Mapping[str, Settings]) -> Iterator[str]:
  """Generates a table of meaning, range, default and some records' values."""
  yield from header("setting", "meaning", "range", "default", *columns)
  for field in dataclasses.fields(record):
    range_ = field.metadata["range"].text
    changeable = "\\*" if field.metadata["may_change"] else ""
    yield row(
        f"`{field.name}`{changeable}",
        field.metadata["meaning"], _KINDS[field.type] + range_,
        text(record.defaults().get(field.name, "")),
        *(text(getattr(values, field.name)) for values in columns.values()))


def _values(record: type[Settings],
            columns: Mapping[str, Settings]) -> Iterator[str]:
  """Generates a table of some records' values."""
  yield from header("setting", *(f"`{name}`" for name in columns))
  for field in dataclasses.fields(record):
    yield row(f"`{field.name}`", *(
        text(getattr(values, field.name)) for values in columns.values()))


def text(value: Any) -> str:
  """Returns a value as a cell: 5/6 as "1/1.2", 3/7 as "3/7", () as "none"."""
  if isinstance(value, tuple):
    return ",".join(map(str, value)) or "none"
  if not isinstance(value, float):
    return str(value)
  if float(f"{value:g}") == value:
    return f"{value:g}"
  if math.isclose(value * float(f"{1 / value:.3g}"), 1):
    return f"1/{1 / value:.3g}"
  return str(fractions.Fraction(value).limit_denominator(1000))
