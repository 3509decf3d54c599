"""The contenders of `speed.py` by name, and the processes that they run in."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import configs
from benchmarks import transcript
from rnn.errors import UserError
from rnn.layers import lstm
from rnn.options import PRECISIONS

# name -> settings of the module `suite`: this suite, by the implementation of
# its layer and by the precision.
OURS: dict[str, dict[str, Any]] = {
    layer if precision == "float32" else f"{layer}-{precision}":
    {"rnn_mode": layer, "precision": precision}
    for layer in lstm.LAYERS for precision in PRECISIONS}
# name -> module, settings. A contender without oneDNN shows what that library
# gains: PyTorch uses it for its LSTM on a CPU, TensorFlow for its GEMMs.
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    # The layers and the step of TensorFlow's tutorial.
    "classic": ("peer_classic", {}),
    "classic-no-onednn": ("peer_classic", {"onednn": False}),
    # keras.layers.LSTM, compiled by Keras.
    "keras": ("peer_keras", {}),
    # nn.LSTM with PyTorch's optimizer SGD as it is, with its two faster
    # implementations, and with torch.compile.
    "torch": ("peer_torch", {}),
    "torch-foreach": ("peer_torch", {"sgd": {"foreach": True}}),
    "torch-fused": ("peer_torch", {"sgd": {"fused": True}}),
    "torch-no-onednn": ("peer_torch", {"onednn": False}),
    "torch-compile": ("peer_torch", {"compile": True}),
    "torch-bfloat16": ("peer_torch", {"bfloat16": True}),
}
EAGER_TORCH = ("torch", "torch-foreach", "torch-fused", "torch-no-onednn")


class Command(NamedTuple):
  """The way to start a contender.

  Attributes:
    module: its module in this package.
    settings: see `contender`.
    python: the path of the interpreter.
  """

  module: str
  settings: dict[str, Any]
  python: str = sys.executable


def find_command(name: str, peers_python: str) -> Command | None:
  """Returns the command of a contender; None if it is not installed.

  Args:
    name: one of OURS and PEERS.
    peers_python: the interpreter that has PyTorch, if it exists.
  """
  if name in OURS:
    return Command("suite", OURS[name])
  module, settings = PEERS[name]
  if module != "peer_torch":
    return Command(module, settings)
  if os.path.exists(peers_python):
    return Command(module, settings, peers_python)
  return None


class Contender:
  """A process that takes training steps on command.

  Attributes:
    versions: the versions of its frameworks, a dict, name -> text.
    first_step: seconds from the start of the process to the end of its first
      step.
  """

  def __init__(self, module: str, spec: dict[str, Any], cores: Iterable[int],
               python: str = sys.executable) -> None:
    """Starts the process, and waits until it has taken its first step.

    Args:
      module, python: see `Command`.
      spec: see `contender`.
      cores: the cores that it may use.

    Raises:
      UserError: it cannot be started.
    """
    self._log = tempfile.TemporaryFile()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    # Every framework runs with its own default, unless the settings differ.
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    if not spec["settings"].get("onednn", True):
      environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
    # A compiler's cache of an earlier run would shorten the first step.
    environment["TORCHINDUCTOR_CACHE_DIR"] = os.path.dirname(spec["ids"])
    start = time.perf_counter()
    self._process = subprocess.Popen(
        [python, "-m", f"benchmarks.{module}", json.dumps(spec)],
        cwd=transcript.ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=self._log, env=environment,
        # All frameworks see the limit, because it holds from the start.
        preexec_fn=lambda: os.sched_setaffinity(0, cores))
    self.versions: dict[str, str] = self._read_answer()
    self.first_step = time.perf_counter() - start

  def ask(self, command: str, number: float) -> Any:
    """Gives a command of `contender`, and returns the answer.

    Raises:
      UserError: the process has ended.
    """
    assert self._process.stdin
    with contextlib.suppress(BrokenPipeError):  # _read_answer says why it ended
      print(command, number, file=self._process.stdin, flush=True)
    return self._read_answer()

  def close(self) -> None:
    """Ends the process."""
    assert self._process.stdin
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    self._process.wait()

  def _read_answer(self) -> Any:
    assert self._process.stdout
    line = self._process.stdout.readline()
    if line:
      return json.loads(line)
    status = self._process.wait()
    self._log.seek(0)
    log = self._log.read().decode(errors="replace").strip().splitlines()
    reason = log[-1] if log else f"exit status {status}"
    if status < 0:  # Linux does this when memory runs out
      reason = f"killed by {signal.Signals(-status).name}"
    assert isinstance(self._process.args, list)
    raise UserError(
        f"{' '.join(self._process.args[:3])} has ended: {reason}")


@dataclasses.dataclass(frozen=True)
class Workload:
  """The model and the text that all contenders train, and their cores.

  Attributes:
    ids: the path of an .npy file with word ids.
    cores: the cores that a contender may use.
  """

  config: configs.Config
  ids: str
  vocab_size: int
  cores: list[int]

  def spec(self, settings: dict[str, Any],
           parameters: str | None = None) -> dict[str, Any]:
    """Returns the argument of a contender, see `contender`."""
    return {"config": dataclasses.asdict(self.config),
            "vocab_size": self.vocab_size, "ids": self.ids,
            "parameters": parameters, "settings": settings}

  def start(self, command: Command) -> Contender:
    """Starts a contender; it has taken its first step.

    Raises:
      UserError: it cannot be started.
    """
    return Contender(command.module, self.spec(command.settings), self.cores,
                     command.python)
