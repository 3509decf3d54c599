"""Contenders that are measured in turn."""

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks import gemms, machine
from benchmarks.contenders import Command, Contender, Workload
from rnn.errors import UserError

_GEMM_REPEATS = 20


@dataclasses.dataclass
class Result:
  """The figures of a contender.

  Attributes:
    first_step: seconds from the start of the process to the end of its first
      step.
    peak: its peak memory in kB.
    rates: words per second, one number per round.
    ratios: the speed of the first contender divided by the speed of this one,
      one number per round.
  """

  name: str
  first_step: float
  peak: int = 0
  rates: list[float] = dataclasses.field(default_factory=list)
  ratios: list[float] = dataclasses.field(default_factory=list)

  @property
  def rate(self) -> float:
    """The median of the rates."""
    return statistics.median(self.rates)

  @property
  def ratio(self) -> float:
    """The median of the ratios."""
    return statistics.median(self.ratios)


class Comparison:
  """Measures contenders in turn, and leaves out the ones that fail.

  Attributes:
    results: a dict, name -> Result, in the order of the commands.
    failed: a dict, name -> the error.
    versions: the versions of the frameworks, a dict, name -> text.
    other_load: a machine.OtherLoad of all turns.
    gemm_rates: results of `gemms.rates`.
    base: the contender to compare with: the first one that starts.
  """

  def __init__(self, workload: Workload, commands: Mapping[str, Command],
               rounds: int, seconds: float) -> None:
    """Does not start anything yet.

    Args:
      commands: by name; all contenders are compared with the first.
      rounds: turns of each contender.
      seconds: the length of a turn.
    """
    self._workload, self._commands = workload, commands
    self._rounds, self._seconds = rounds, seconds
    self._running: dict[str, Contender] = {}
    self.results: dict[str, Result] = {}
    self.failed: dict[str, UserError] = {}
    self.versions: dict[str, str] = {}
    self.other_load = machine.OtherLoad()
    self.gemm_rates: list[list[float]] = []
    self.base = ""

  def limits(self) -> dict[str, float]:
    """Returns the limits of the machine's speed, see `gemms.limits`."""
    return gemms.limits(dataclasses.asdict(self._workload.config),
                        self._workload.vocab_size, self.gemm_rates)

  def measure(self, names: Sequence[str]) -> list[str]:
    """Measures as many contenders as fit into memory, but at least two.

    Args:
      names: in order; the first one is the one to compare with.

    Returns:
      The names of the contenders that did not fit.

    Raises:
      UserError: none of them starts, or the first one fails later.
    """
    waiting = list(names)
    with contextlib.ExitStack() as stack:
      self._running = {}
      while waiting and (len(self._running) < 2 or machine.has_memory()):
        self._try_each([waiting.pop(0)], lambda name: self._enter(name, stack))
      gemm = self._start(Command("gemms", {}), stack)
      self._try_each(self._running, self._warm_up)
      if not self._running:
        raise UserError(str(self.failed[names[0]]))
      self.base = self.base or next(iter(self._running))
      self._check_base()
      for round_ in range(self._rounds):
        if round_ in (0, self._rounds // 2, self._rounds - 1):
          self._measure_gemms(gemm)
        self._run_round()
    return waiting

  def _run_round(self) -> None:
    """Gives each contender a turn.

    Raises:
      UserError: the first one has failed, so no ratio has a meaning.
    """
    self._try_each(self._running, self._take_turn)
    self._check_base()
    results = [self.results[name] for name in self._running]
    for result in results:
      result.ratios.append(results[0].rates[-1] / result.rates[-1])

  def _check_base(self) -> None:
    """Raises a UserError if the contender to compare with has failed."""
    if self.base not in self._running:
      raise UserError(f"{self.base}, with which the others are compared, has "
                      f"failed: {self.failed[self.base]}")

  def _try_each(self, names: Iterable[str],
                method: Callable[[str], None]) -> None:
    """Calls a method with each name, and drops the contenders that fail."""
    for name in list(names):
      try:
        method(name)
      except UserError as error:
        self.failed[name] = error
        self._running.pop(name, None)
        self.results.pop(name, None)

  def _start(self, command: Command,
             stack: contextlib.ExitStack) -> Contender:
    """Starts a contender, which ends with the stack."""
    contender = self._workload.start(command)
    stack.callback(contender.close)
    self.versions |= contender.versions
    return contender

  def _enter(self, name: str, stack: contextlib.ExitStack) -> None:
    """Starts a contender to measure."""
    contender = self._start(self._commands[name], stack)
    self._running[name] = contender
    # With several groups, the first contender is started several times.
    self.results.setdefault(name, Result(name, contender.first_step))

  def _warm_up(self, name: str) -> None:
    """Gives a contender a turn that does not count."""
    self._running[name].ask("rate", self._seconds)

  def _take_turn(self, name: str) -> None:
    answer = self.other_load.watch(
        lambda: self._running[name].ask("rate", self._seconds))
    self.results[name].rates.append(answer["rate"])
    self.results[name].peak = answer["peak"]

  def _measure_gemms(self, contender: Contender) -> None:
    """Adds to `gemm_rates`: TensorFlow's, and PyTorch's if it takes part."""
    measured = [contender] + [
        self._running[name] for name in self._running if name == "torch"]
    self.gemm_rates += [c.ask("report", _GEMM_REPEATS) for c in measured]


def compare(workload: Workload, commands: Mapping[str, Command], rounds: int,
            seconds: float) -> Comparison:
  """Measures contenders in turn.

  If memory cannot hold all of them at once, they are measured in groups. The
  first contender is part of each group, to compare with.

  Args:
    commands, rounds, seconds: see `Comparison`.

  Raises:
    UserError: all of them fail, or the first one that starts fails later.
  """
  comparison = Comparison(workload, commands, rounds, seconds)
  waiting = comparison.measure(list(commands))
  while waiting:
    waiting = comparison.measure([comparison.base, *waiting])
  return comparison
