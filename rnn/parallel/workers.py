"""The processes that train one model together, as one of them sees them.

Each worker has all parameters, and a share of the batch: of B streams, worker w
of W reads the columns from w * B / W to (w + 1) * B / W. In each step the
workers average their gradients, so all of them make the same update. They also
exchange the carried state, so each of them could save the whole run. Worker 0,
the chief, does.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rnn.errors import UserError

# The key of requests to stop among the counts of several workers.
STOP = "stop"

_X = TypeVar("_X")


class WorkersError(UserError):
  """Another worker differs, is lost, or did not answer in time."""


class Workers:
  """A single worker. Nothing is sent: each method returns what it is given.

  `cluster.Cluster` is one of several.

  Attributes:
    rank: the index of this worker; 0 is the chief.
    size: W, the number of workers.
    devices: the names of the devices of this worker which share its part of
      each batch, see `replicas`. A single one needs no name.
    target: of a session, see `tf1.repeatable_session`.
  """

  rank, size, target = 0, 1, ""

  def __init__(self, devices: Sequence[str] = ("",)) -> None:
    self.devices = tuple(devices)

  @property
  def is_chief(self) -> bool:
    """Whether this worker writes the run directory, and tests."""
    return self.rank == 0

  def adjust(self, config: Any) -> None:
    """Sets the devices in the tf.ConfigProto of a session."""
    config.device_count["CPU"] = max(
        1, sum("CPU" in device for device in self.devices))

  def part(self, number: int) -> slice:
    """Returns which of so many streams or rows are this worker's."""
    return slice(None)

  def share(self, x: _X, axis: int = 0) -> _X:
    """Returns this worker's part of a tensor along an axis."""
    return x

  def mean(self, gradients: Sequence[Any], low_precision: bool = False
           ) -> Sequence[Any]:
    """Returns the mean of the workers' gradients.

    Args:
      gradients: a list of tensors and tf.IndexedSlices.
      low_precision: whether large gradients have the precision of bfloat16.
    """
    return gradients

  def total(self, counts: dict[str, Any]) -> dict[str, Any]:
    """Returns the sums of the workers' counts, a dict of numbers or arrays."""
    return counts

  def gather(self, state: Any) -> Any:
    """Returns the rows of all workers: [B / W, n] -> [B, n].

    Args:
      state: a structure of tensors.
    """
    return state

  def run(self, session: Any, fetches: Any, feed: Any = None) -> Any:
    """Runs ops that may wait for other workers.

    Raises:
      WorkersError: a worker is lost or did not answer in time. Variables still
        hold the values of the last whole step.
    """
    return session.run(fetches, feed)

  def broadcast(self, session: Any, variables: Sequence[Any]) -> None:
    """Gives all workers the chief's values of variables."""

  def exchange(self, value: Any) -> list[Any]:
    """Returns the values of all workers, by rank: of JSON types."""
    return [value]

  def barrier(self) -> None:
    """Waits until all workers have come this far."""

  def finish(self) -> None:
    """Waits until all workers have done their last step.

    Raises:
      WorkersError: another worker is lost, so the chief may not have saved the
        run. The chief itself does not raise it.
    """

  def agree_to_stop(self, check_stop: Callable[[], None]
                    ) -> Callable[[], None]:
    """Returns a function to call between steps instead of `check_stop`.

    After a signal to any worker, it raises `signals.Stopped` in all of them, at
    the same step.
    """
    return check_stop


ALONE = Workers()
