"""Several processes on TensorFlow's distributed runtime, each one worker.

Each process has a server and runs its own copy of the graph there. Only the
collective ops in it wait for the other workers.
"""

import contextlib
import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn import signals
from rnn.parallel.collectives import Collectives
from rnn.parallel.watchdog import Watchdog
from rnn.parallel.workers import STOP, Workers, WorkersError
from rnn.tf1 import error_cause, repeatable_session, session_config, tf

_JOB = "worker"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CHUNK = 2 ** 14  # bytes that `exchange` sends at a time
# Seconds that the watchdog waits beyond TensorFlow's own time limit.
_GRACE = 2
# Seconds in which another worker can still fetch the answer at the barrier.
_LINGER = 1


class Cluster(Workers):
  """One of several workers. See `Workers` for the methods."""

  def __init__(self, addresses: Sequence[str], rank: int,
               devices: Sequence[str] = ("",), start_secs: float = 300,
               step_secs: float = 120) -> None:
    """Starts the server of this worker, and waits for the others.

    TensorFlow must not have computed anything yet.

    Args:
      addresses: of all workers, by rank, such as "localhost:2222".
      rank: the index of this worker.
      devices: see `Workers`.
      start_secs, step_secs: seconds to wait until all workers have started, and
        until they have done a step. The first step may take the longer of the
        two, and so may all that comes before it.

    Raises:
      WorkersError: the address cannot be used, or a worker is lost.
    """
    super().__init__(devices)
    self.rank, self.size = rank, len(addresses)
    self._addresses, self._start_secs = addresses, start_secs
    self._step_secs = step_secs
    self._watchdog = Watchdog()
    self._collectives = Collectives(self.size)
    self._check_stop: Callable[[], None] = lambda: None
    self._agreed: int | None = None  # the signal that stops all workers
    self._has_joined = False  # all workers have started
    self._windows: set[int] = set()  # the ids of fetches that process a window
    try:
      self._server = tf.train.Server(
          {_JOB: list(addresses)}, job_name=_JOB, task_index=rank,
          config=session_config(self.adjust))
    except tf.errors.OpError as error:
      raise WorkersError(
          f"worker {rank}: cannot listen at {addresses[rank]}: the port may be "
          f"in use ({error_cause(error)}); choose another port, in the same "
          "flags on every machine") from None
    self.target = self._server.target
    self._mail = self._make_mail()
    self.barrier()
    self._has_joined = True

  def adjust(self, config: tf.ConfigProto) -> None:
    """See `Workers`."""
    super().adjust(config)
    # Without a leader in the configuration of the server itself, ops hang.
    config.experimental.collective_group_leader = (
        f"/job:{_JOB}/replica:0/task:0")
    config.device_filters.append(f"/job:{_JOB}/task:{self.rank}")
    config.isolate_session_state = True

  def part(self, number: int) -> slice:
    """See `Workers`."""
    each = number // self.size
    return slice(self.rank * each, (self.rank + 1) * each)

  def share(self, x: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """See `Workers`."""
    return x[(slice(None),) * axis + (self.part(x.shape[axis]),)]

  def mean(self, gradients: Sequence[Any], low_precision: bool = False
           ) -> Sequence[Any]:
    """See `Workers`."""
    return self._collectives.mean(gradients, low_precision)

  def total(self, counts: dict[str, Any]) -> dict[str, Any]:
    """See `Workers`."""
    # Requests to stop travel with the counts. They cost no message of their
    # own, and no worker can take a step that the others do not take.
    requests = tf.placeholder_with_default(
        np.zeros(len(_SIGNALS)), [len(_SIGNALS)], name="stop_requests")
    tf.add_to_collection(STOP, requests)
    return self._collectives.sums({**counts, STOP: requests})

  def gather(self, state: Any) -> Any:
    """See `Workers`."""
    parts = tf.nest.flatten(state)
    rows = self._collectives.gather(tf.concat(parts, axis=1))
    return tf.nest.pack_sequence_as(state, tf.split(
        rows, [part.shape[1] for part in parts], axis=1))

  def run(self, session: tf.Session, fetches: Any, feed: Any = None) -> Any:
    """See `Workers`."""
    feed = dict(feed or {})
    if requested := self._requested():
      for requests in session.graph.get_collection(STOP):
        feed[requests] = [float(signum == requested) for signum in _SIGNALS]
    seconds, flag = self._limit(fetches)
    silence = self._line(f"no answer from {self._others()} for {seconds:g} s "
                         f"(--{flag})")
    try:
      with self._watchdog.limit(seconds + _GRACE, silence):
        result = session.run(fetches, feed, options=tf.RunOptions(
            timeout_in_ms=int(1000 * seconds)))
    except tf.errors.DeadlineExceededError:
      raise WorkersError(silence) from None
    except tf.errors.FailedPreconditionError:
      raise WorkersError(self._line(
          f"{self._others()} was started again, this one was not")) from None
    except (tf.errors.UnavailableError, tf.errors.AbortedError,
            tf.errors.CancelledError, tf.errors.InternalError) as error:
      raise WorkersError(self._line(self._lost(error))) from None
    if isinstance(result, dict) and STOP in result:
      agreed = [signum for signum, requests in zip(
          _SIGNALS, result.pop(STOP), strict=True) if requests]
      self._agreed = agreed[0] if agreed else None
    return result

  def _limit(self, fetches: Any) -> tuple[float, str]:
    """Returns the seconds to wait for others, and the flag that says so.

    Before the first window, other workers may still read their texts. The first
    window of a pass is slow, too, because TensorFlow prepares it.
    """
    step, start = (self._step_secs, "step_secs"), (self._start_secs,
                                                   "start_secs")
    if not self._has_joined:
      return start
    is_window, has_begun = isinstance(fetches, dict), bool(self._windows)
    is_new = is_window and id(fetches) not in self._windows
    if is_window:
      self._windows.add(id(fetches))
    return step if has_begun and not is_new else max(step, start)

  def broadcast(self, session: tf.Session,
                variables: Sequence[tf.Variable]) -> None:
    """See `Workers`."""
    ops = [self._collectives.broadcast(variable, self.is_chief)
           for variable in variables]
    self.run(session, ops)

  def exchange(self, value: Any) -> list[Any]:
    """See `Workers`."""
    content = json.dumps(value).encode()
    sizes = self._send([len(content)])[:, 0]
    texts = [b""] * self.size
    for start in range(0, max(sizes), _CHUNK):
      chunk = np.zeros(_CHUNK, np.int32)
      piece = np.frombuffer(content[start:start + _CHUNK], np.uint8)
      chunk[:len(piece)] = piece
      received = self._send(chunk)
      texts = [text + bytes(row.astype(np.uint8))
               for text, row in zip(texts, received, strict=True)]
    return [json.loads(text[:size])
            for text, size in zip(texts, sizes, strict=True)]

  def barrier(self) -> None:
    """See `Workers`."""
    self._send([0])

  def finish(self) -> None:
    """See `Workers`."""
    # The chief has saved the run when it comes here, so the loss of another
    # worker does not matter to it. The second barrier keeps it until all have
    # passed the first one, so that they do not take it for lost.
    if self.is_chief:
      with contextlib.suppress(WorkersError):
        self.barrier()
        self.barrier()
      return
    self.barrier()
    with contextlib.suppress(WorkersError):
      self.barrier()
    time.sleep(_LINGER)

  def agree_to_stop(self, check_stop: Callable[[], None]
                    ) -> Callable[[], None]:
    """See `Workers`."""
    self._check_stop = check_stop
    return self._raise_agreed

  def _raise_agreed(self) -> None:
    if self._agreed is not None:
      raise signals.Stopped(self._agreed)

  def _requested(self) -> int | None:
    """Returns the signal that asked this process to stop, if any."""
    try:
      self._check_stop()
    except signals.Stopped as stop:
      return stop.signum
    return None

  def _make_mail(self) -> dict[int, tuple]:
    """Returns size -> (session, placeholder, rows of all workers)."""
    mail = {}
    with tf.Graph().as_default():
      for size in 1, _CHUNK:
        numbers = tf.placeholder(tf.int32, [size])
        mail[size] = numbers, tf.reshape(
            self._collectives.gather(numbers), [self.size, size])
      session = repeatable_session(self.target, self.adjust)
    return {size: (session, *ops) for size, ops in mail.items()}

  def _send(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns the numbers of all workers, [W, n]; n is 1 or _CHUNK."""
    session, placeholder, received = self._mail[len(numbers)]
    return self.run(session, received, {placeholder: numbers})

  def _line(self, reason: str) -> str:
    return (f"worker {self.rank} of {self.size}: {reason}; start the same "
            "command on every machine again")

  def _others(self) -> str:
    """Returns the name of the other worker, or of all others."""
    if self.size > 2:
      return "another worker"
    return self._name(1 - self.rank)

  def _lost(self, error: tf.errors.OpError) -> str:
    """Returns which worker is lost, in words."""
    # Errors travel from worker to worker. The first that is named is at their
    # source.
    source = re.search(rf"remote target /job:{_JOB}/replica:0/task:(\d+)",
                       str(error))
    if source:
      return f"the connection to {self._name(int(source[1]))} was lost"
    return f"{self._others()} did not take part ({error_cause(error)})"

  def _name(self, rank: int) -> str:
    return f"worker {rank} ({self._addresses[rank]})"
