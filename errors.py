"""What is said to the user when something cannot be used."""

_LONGEST = 10_000  # characters; a path has at most 4,096 bytes


def one_line(text):
  """A text as one line that is fit to print.

  What is not printable, such as the newline in the name of a file, is escaped
  as in Python; of a very long text, the middle is left out.
  """
  text = str(text)
  if len(text) > _LONGEST:
    text = f"{text[:_LONGEST // 2]} ... {text[-_LONGEST // 2:]}"
  return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class UserError(ValueError):
  """Something the user can mend, said in one line.

  Attributes:
    status: the exit status of a script that it ends.
  """

  status = 1

  def __str__(self):
    return one_line(super().__str__())
