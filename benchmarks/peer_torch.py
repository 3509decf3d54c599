"""PyTorch's nn.LSTM, as a contender of `speed.py`."""

import time

import numpy as np
import torch
from torch import nn

from benchmarks import contender, gemms

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Model(nn.Module):
  """The same model: cost of a window, and the state after it."""

  def __init__(self, config, vocab_size):
    super().__init__()
    size, rate = config["hidden_size"], 1 - config["keep_prob"]
    self.embedding = nn.Embedding(vocab_size, size)
    self.lstm = nn.LSTM(size, size, config["num_layers"], dropout=rate)
    self.dropout = nn.Dropout(rate)
    self.softmax = nn.Linear(size, vocab_size)
    for parameter in self.parameters():
      nn.init.uniform_(parameter, -config["init_scale"], config["init_scale"])
    for i in range(config["num_layers"]):  # the second bias does what one does
      nn.init.zeros_(getattr(self.lstm, f"bias_hh_l{i}")).requires_grad_(False)

  def forward(self, inputs, targets, state):
    """[T, B], [T, B], (h, c) of [L, B, H] each."""
    outputs, state = self.lstm(self.dropout(self.embedding(inputs)), state)
    logits = self.softmax(self.dropout(outputs)).flatten(0, 1)
    nats = nn.functional.cross_entropy(
        logits, targets.flatten(), reduction="sum")
    return nats / inputs.shape[1], state


def make(spec):
  """See `contender.serve`; settings: "onednn", "sgd", "compile", "bfloat16".

  A report is the rates of the model's GEMMs.
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
  text = contender.windows(ids, config["batch_size"], config["num_steps"])
  state = tuple(torch.zeros(
      config["num_layers"], config["batch_size"], config["hidden_size"],
      device=DEVICE) for _ in "hc")

  def step():
    nonlocal state
    with torch.autocast(DEVICE, torch.bfloat16, enabled=bfloat16):
      cost, state = run(*next(text), state)
    state = tuple(part.detach() for part in state)
    optimizer.zero_grad(set_to_none=True)
    cost.backward()
    nn.utils.clip_grad_norm_(trained, config["max_grad_norm"])
    optimizer.step()
    return cost.detach()

  return step, {"torch": torch.__version__}, (
      lambda repeats: gemms.rates(config, spec["vocab_size"], repeats, _gemm))


def _gemm(m, k, n, transpose_a, transpose_b):
  """A function that takes the time of a GEMM, in seconds."""
  a = torch.randn(k, m).T if transpose_a else torch.randn(m, k)
  b = torch.randn(n, k).T if transpose_b else torch.randn(k, n)
  a, b, c = a.to(DEVICE), b.to(DEVICE), torch.empty(m, n, device=DEVICE)

  def seconds():
    start = time.perf_counter()
    torch.mm(a, b, out=c)
    if DEVICE == "cuda":
      torch.cuda.synchronize()
    return time.perf_counter() - start

  return seconds


def load(model, parameters):
  """Takes the suite's parameters: gates i, j, f, o where i, f, j, o go here."""
  def gates_first(array):
    i, j, f, o = np.split(array, 4, axis=-1)
    return torch.from_numpy(np.concatenate([i, f, j, o], axis=-1).T.copy())

  with torch.no_grad():
    model.embedding.weight[:] = torch.from_numpy(parameters["Model/embedding"])
    for i in range(model.lstm.num_layers):
      cell = f"Model/RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
      kernel, bias = (
          gates_first(parameters[cell + name]) for name in ("kernel", "bias"))
      x, h = kernel.split(model.lstm.hidden_size, dim=1)
      for name, value in ("weight_ih", x), ("weight_hh", h), ("bias_ih", bias):
        getattr(model.lstm, f"{name}_l{i}")[:] = value
    model.softmax.weight[:] = torch.from_numpy(parameters["Model/softmax_w"].T)
    model.softmax.bias[:] = torch.from_numpy(parameters["Model/softmax_b"])


if __name__ == "__main__":
  contender.serve(make)
