"""Flags whose values are lists of numbers, such as --sizes=1,2,4."""

from collections.abc import Sequence

from absl import flags

from rnn.settings import Range

flags.disclaim_key_flags()  # a flag belongs to the script that calls `define`


class _Parser(flags.ArgumentParser):
  """Turns a text into a list of numbers; whole ones are of type int."""

  def __init__(self, valid: Range) -> None:
    self._valid = valid

  def parse(self, argument: str | Sequence[float]) -> list[float]:
    """Returns the numbers; raises a ValueError if one is out of range."""
    try:
      numbers = list(map(float, argument.split(",") if isinstance(argument, str)
                         else argument))
      if not all(map(self._valid.contains, numbers)):
        raise ValueError
    except ValueError:
      raise ValueError(f"must be {self._valid.text}, separated by commas"
                       ) from None
    return [int(number) if number.is_integer() else number
            for number in numbers]

  def flag_type(self) -> str:
    """Returns what the help calls such a value."""
    return "numbers, separated by commas"


def define(name: str, default: Sequence[float], valid: Range,
           meaning: str) -> None:
  """Defines a flag.

  Args:
    name: the name of the flag.
    default: its numbers if it is not given.
    valid: the range of each number.
    meaning: what the help says.
  """
  flags.DEFINE(_Parser(valid), name, default, meaning,
               serializer=flags.CsvListSerializer(","))


def whole(low: int, high: int) -> Range:
  """Returns the range of whole numbers from `low` to `high`."""
  return Range(lambda x: x in range(low, high + 1),
               f"whole numbers from {low:,} to {high:,}")
