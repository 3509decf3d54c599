"""Errors that a user can act on. Each is shown as one line."""

from collections.abc import Sequence

_MAX_LENGTH = 10_000  # characters; a path has at most 4,096 bytes


def escaped(text: str) -> str:
  """Returns a text with characters that cannot be printed escaped as in Python.

  Such as a newline, or a no-break space. A backslash stays single.
  """
  return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: object) -> str:
  """Returns a text as a single printable line, see `escaped`.

  A very long text loses its middle.
  """
  text = str(text)
  if len(text) > _MAX_LENGTH:
    text = f"{text[:_MAX_LENGTH // 2]} ... {text[-_MAX_LENGTH // 2:]}"
  return escaped(text)


class UserError(ValueError):
  """An error that the user can fix; its text is one line, and `details`.

  Code below the scripts knows settings, not flags. If a setting would help,
  `rnn.cli.scripts` adds the flag of that name to the message.

  Attributes:
    status: the exit status of a script that ends with this error.
    setting: the setting to change, such as "save_path", or with the value to
      give it, such as "encoding=gbk"; or None.
    details: further lines, which are shown below, each indented.
  """

  status = 1

  def __init__(self, message: object, setting: str | None = None,
               details: Sequence[str] = ()) -> None:
    super().__init__(message)
    self.setting, self.details = setting, details

  @property
  def summary(self) -> str:
    """The text without the details."""
    return one_line(super().__str__())

  def __str__(self) -> str:
    return "\n  ".join([self.summary, *map(one_line, self.details)])


class DataError(UserError):
  """A text or another input file cannot be used."""


class SettingError(UserError):
  """A setting has a value that cannot be used.

  Its text begins with the setting, as in "rnn_mode=cudnn: needs ...".
  `rnn.cli.scripts` puts the two dashes of a flag in front.
  """

  def __init__(self, setting: str, message: str, value: object = None) -> None:
    head = setting if value is None else f"{setting}={value}"
    super().__init__(f"{head}: {message}", setting)
