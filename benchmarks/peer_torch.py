"""PyTorch's nn.LSTM, as a contender of `speed.py`."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import contender, gemms

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

State = tuple[torch.Tensor, torch.Tensor]  # h, c: [L, B, H] each


class Model(nn.Module):
  """The suite's model: ids of a window in, cost and next state out."""

  def __init__(self, config: dict[str, Any], vocab_size: int) -> None:
    """Starts with random parameters; config: the fields of a configs.Config."""
    super().__init__()
    size, rate = config["hidden_size"], 1 - config["keep_prob"]
    self.embedding = nn.Embedding(vocab_size, size)
    self.lstm = nn.LSTM(size, size, config["num_layers"], dropout=rate)
    self.dropout = nn.Dropout(rate)
    self.softmax = nn.Linear(size, vocab_size)
    for parameter in self.parameters():
      nn.init.uniform_(parameter, -config["init_scale"], config["init_scale"])
    for i in range(config["num_layers"]):
      # PyTorch adds two biases. The suite has one, so the second is fixed at 0.
      nn.init.zeros_(getattr(self.lstm, f"bias_hh_l{i}")).requires_grad_(False)

  def forward(self, inputs: torch.Tensor, targets: torch.Tensor,
              state: State) -> tuple[torch.Tensor, State]:
    """Returns cost and next state; inputs and targets are [T, B]."""
    outputs, state = self.lstm(self.dropout(self.embedding(inputs)), state)
    logits = self.softmax(self.dropout(outputs)).flatten(0, 1)  # (T*B, V)
    nats = nn.functional.cross_entropy(
        logits, targets.flatten(), reduction="sum")
    return nats / inputs.shape[1], state


def make(spec: dict[str, Any]) -> tuple:
  """Makes the contender, see `contender.serve`.

  Its settings are "onednn", "compile" and "bfloat16", booleans, and "sgd", the
  arguments of the optimizer. A report is the rates of the model's GEMMs.
  """
  config, settings = spec["config"], spec["settings"]
  bfloat16 = settings.get("bfloat16", False)
  torch.backends.mkldnn.enabled = settings.get("onednn", True)
  model = Model(config, spec["vocab_size"])
  if spec["parameters"]:
    load(model, spec["parameters"])
  model.to(DEVICE)
  run = torch.compile(model) if settings.get("compile") else model
  trained = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.SGD(trained, lr=config["learning_rate"],
                              **settings.get("sgd", {}))
  ids = torch.from_numpy(spec["ids"].astype(np.int64)).to(DEVICE)
  windows = contender.windows(ids, config["batch_size"], config["num_steps"])
  state = tuple(torch.zeros(
      config["num_layers"], config["batch_size"], config["hidden_size"],
      device=DEVICE) for _ in "hc")

  def step() -> torch.Tensor:
    nonlocal state
    with torch.autocast(DEVICE, torch.bfloat16, enabled=bfloat16):
      cost, state = run(*next(windows), state)
    state = tuple(part.detach() for part in state)
    optimizer.zero_grad(set_to_none=True)
    cost.backward()
    nn.utils.clip_grad_norm_(trained, config["max_grad_norm"])
    optimizer.step()
    return cost.detach()

  def report(repeats: int) -> list[float]:
    return gemms.rates(config, spec["vocab_size"], repeats, torch_timer)

  return step, {"torch": torch.__version__}, report


def torch_timer(m: int, k: int, n: int, transpose_a: bool,
                transpose_b: bool) -> Callable[[], float]:
  """Times PyTorch's GEMMs; a `gemms.Timer`."""
  a = torch.randn(k, m).T if transpose_a else torch.randn(m, k)
  b = torch.randn(n, k).T if transpose_b else torch.randn(k, n)
  a, b, c = a.to(DEVICE), b.to(DEVICE), torch.empty(m, n, device=DEVICE)

  def measure() -> float:
    start = time.perf_counter()
    torch.mm(a, b, out=c)
    if DEVICE == "cuda":
      torch.cuda.synchronize()
    return time.perf_counter() - start

  return measure


def load(model: Model, parameters: dict[str, np.ndarray]) -> None:
  """Loads the suite's parameters.

  The suite orders the gates i, j, f, o and has matrices [in, out]. PyTorch
  orders them i, f, j, o and has matrices [out, in].
  """
  def converted(array: np.ndarray) -> torch.Tensor:
    i, j, f, o = np.split(array, 4, axis=-1)
    return torch.from_numpy(np.concatenate([i, f, j, o], axis=-1).T.copy())

  with torch.no_grad():
    model.embedding.weight[:] = torch.from_numpy(parameters["Model/embedding"])
    for i in range(model.lstm.num_layers):
      cell = f"Model/RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
      kernel, bias = (
          converted(parameters[cell + name]) for name in ("kernel", "bias"))
      x, h = kernel.split(model.lstm.hidden_size, dim=1)
      for name, value in ("weight_ih", x), ("weight_hh", h), ("bias_ih", bias):
        getattr(model.lstm, f"{name}_l{i}")[:] = value
    model.softmax.weight[:] = torch.from_numpy(parameters["Model/softmax_w"].T)
    model.softmax.bias[:] = torch.from_numpy(parameters["Model/softmax_b"])


if __name__ == "__main__":
  contender.serve(make)
