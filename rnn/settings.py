"""Records of settings whose values are checked: their type and their range.

    @dataclasses.dataclass(frozen=True)
    class Config(Settings):
      hidden_size: int = setting(COUNT, "H, units per layer")

`configs` has the records of this suite.
"""

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rnn.errors import UserError


class ConfigError(UserError):
  """A setting cannot be used."""


@dataclasses.dataclass(frozen=True)
class Range:
  """The values that a setting may have.

  Attributes:
    contains: a function, value -> whether it is in the range.
    text: the range in words, as in "must be TEXT".
  """

  contains: Callable[[Any], bool]
  text: str


COUNT = Range(lambda x: 1 <= x <= 10**6, "from 1 to 1,000,000")
LAYERS = Range(lambda x: 1 <= x <= 100, "from 1 to 100")
COUNT_OR_0 = Range(lambda x: 0 <= x <= 10**6, "from 0 to 1,000,000")
POSITIVE = Range(lambda x: 1e-30 <= x <= 1e30, "above 0, from 1e-30 to 1e30")
NOT_NEGATIVE = Range(lambda x: x == 0 or 1e-30 <= x <= 1e30,
                     "0, or from 1e-30 to 1e30")
SHARE = Range(lambda x: 1e-6 <= x <= 1, "above 0 (from 1e-6) and at most 1")
SHARE_OR_0 = Range(lambda x: x == 0 or SHARE.contains(x),
                   "0, or from 1e-6 to 1")
TRUTH = Range(lambda x: True, "true or false")


def one_of(*names: str) -> Range:
  """Returns a range that contains exactly these names."""
  return Range(lambda x: x in names, "one of " + ", ".join(names))


def between(lowest: float, highest: float) -> Range:
  """Returns the range of the numbers from `lowest` to `highest`."""
  return Range(lambda x: lowest <= x <= highest,
               f"from {lowest:g} to {highest:g}")


# The types of fields, in words.
KINDS: dict[Any, str] = {
    int: "a whole number", float: "a number", str: "one name",
    bool: "true or false",
    tuple: "whole numbers, separated by commas"}

_S = TypeVar("_S", bound="Settings")


def setting(range_: Range, meaning: str, default: Any = dataclasses.MISSING,
            may_change: bool = False, flag: str | None = None,
            needs: str = "") -> Any:
  """Returns a field of a `Settings` record.

  Args:
    range_: the range of the value, or of each item of a tuple.
    meaning: in words, shown in error messages.
    default: the value in records, and in older runs, that lack the setting.
    may_change: whether a resumed run may have another value.
    flag: the flag of scripts that sets it by itself; others are set only in
      --config_override.
    needs: the value of another setting without which this one has no effect,
      as in "optimizer=asgd".
  """
  return dataclasses.field(default=default, metadata={
      "range": range_, "meaning": meaning, "may_change": may_change,
      "flag": flag, "needs": needs})


@dataclasses.dataclass(frozen=True)
class Settings:
  """Base of the records of hyperparameters. Every field is a `setting`.

  Raises:
    ConfigError: a value has another type than its field, or is out of its
      range.
  """

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.type is tuple and isinstance(value, list):
        value = tuple(value)
        object.__setattr__(self, field.name, value)
      if not _has_type(value, field.type):
        raise ConfigError(f"{field.name}={value}: must be {KINDS[field.type]} "
                          f"({field.metadata['meaning']})")
      range_ = field.metadata["range"]
      for item in value if field.type is tuple else (value,):
        if not range_.contains(item):
          raise ConfigError(f"{field.name}={item}: must be {range_.text} "
                            f"({field.metadata['meaning']})")

  @classmethod
  def from_dict(cls: type[_S], values: Mapping[str, Any]) -> _S:
    """Returns the record of these values.

    Raises:
      ConfigError: a setting is missing, unknown, or has a bad value.
    """
    fields = [field.name for field in dataclasses.fields(cls)]
    for name in values:
      if name not in fields:
        raise ConfigError(f"{name}: no such setting")
    for name in fields:
      if name not in values and name not in cls.defaults():
        raise ConfigError(f"{name}: has no value")
    return cls(**values)

  def check_together(self, names: Iterable[str]) -> None:
    """Raises a ConfigError if settings that a user named have no effect."""
    for field in dataclasses.fields(self):
      needed = field.metadata["needs"]
      other, _, value = needed.partition("=")
      if field.name in names and other and as_text(
          getattr(self, other)) != value:
        self.refuse(field.name, needed)

  def refuse(self, name: str, needed: str) -> None:
    """Raises a ConfigError: a setting has no effect, unless it is the default.

    Args:
      needed: what it would need, in words.
    """
    value = getattr(self, name)
    if value != self.defaults().get(name):
      raise ConfigError(f"{name}={as_text(value)}: has no effect without "
                        f"{needed}; leave it out")

  @classmethod
  def defaults(cls) -> dict[str, Any]:
    """Returns the values of older records that do not mention a setting."""
    return {field.name: field.default for field in dataclasses.fields(cls)
            if field.default is not dataclasses.MISSING}

  @classmethod
  def changeable(cls) -> list[str]:
    """Returns the settings that a resumed run may change."""
    return [field.name for field in dataclasses.fields(cls)
            if field.metadata["may_change"]]

  @classmethod
  def flags(cls) -> dict[str, dataclasses.Field]:
    """Returns the settings that have a flag of their own, by this flag."""
    return {field.metadata["flag"]: field for field in dataclasses.fields(cls)
            if field.metadata["flag"]}


def _has_type(value: object, type_: Any) -> bool:
  """Returns whether a value may be in a field of a type in KINDS."""
  if type_ is tuple:
    return isinstance(value, tuple) and all(
        _has_type(item, int) for item in value)
  if type_ is bool:
    return isinstance(value, bool)
  abstract = {int: numbers.Integral, float: numbers.Real, str: str}[type_]
  return isinstance(value, abstract) and not isinstance(value, bool)


def parse(settings: str, record: type[Settings]) -> dict[str, Any]:
  """Parses settings into the types of their fields.

  Args:
    settings: "hidden_size=300,keep_prob=0.8". A list continues after a comma,
      as in "hidden_sizes=256,128".
    record: the class whose fields may be set.

  Returns:
    A dict, name -> value, for `override`.

  Raises:
    ConfigError: an unknown name, a name given twice, or a value of another
      type.
  """
  texts: dict[str, list[str]] = {}
  for part in filter(None, map(str.strip, settings.split(","))):
    name, equals, text = (piece.strip() for piece in part.partition("="))
    if not name:
      raise ConfigError(f"{part}: has no name; write hidden_size=300")
    if not equals and texts:
      texts[next(reversed(texts))].append(name)
    elif not equals:
      raise ConfigError(f"{name}: has no value; write hidden_size=300")
    elif name in texts:
      raise ConfigError(f"{name}: set twice")
    else:
      texts[name] = [text]
  return {name: _parse_value(name, text, record)
          for name, text in texts.items()}


def as_text(value: Any) -> str:
  """Returns a value of a setting as the user writes it, for `parse`."""
  if isinstance(value, bool):
    return str(value).lower()
  return (",".join(map(str, value)) if isinstance(value, tuple)
          else str(value))


def override(config: _S, settings: dict[str, Any] | str) -> _S:
  """Returns a config with some values replaced.

  Args:
    settings: a dict, name -> value, or the text that `parse` reads.

  Raises:
    ConfigError: as in `parse`; a value out of its range, a size given in two
      ways, or one that has no effect.
  """
  values = (parse(settings, type(config)) if isinstance(settings, str)
            else settings)
  changed = dataclasses.replace(config, **values)
  changed.check_together(values)
  return changed


def _parse_value(name: str, texts: list[str], record: type[Settings]) -> Any:
  """Returns the value of a setting, in the type of its field."""
  types: dict[str, Any] = {
      field.name: field.type for field in dataclasses.fields(record)}
  if name not in types:
    raise ConfigError(f"{name}: no such setting; the settings are "
                      + ", ".join(types))
  type_ = types[name]
  try:
    if type_ is tuple:
      return () if texts == [""] else tuple(int(text) for text in texts)
    (text,) = texts
    if type_ is bool:
      return {"true": True, "false": False}[text.lower()]
    return type_(text)
  except (KeyError, ValueError):
    raise ConfigError(
        f"{name}={','.join(texts)}: must be {KINDS[type_]}") from None
