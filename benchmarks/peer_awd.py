"""Regularized LSTMs in PyTorch, to check the suite's configs against.

The layers have dropout as in Zaremba, Sutskever and Vinyals 2014, "Recurrent
Neural Network Regularization" (arXiv 1409.2329), or as in `awd`. All of `awd`
follows Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM
Language Models" (arXiv 1708.02182), and where the paper is silent the behavior
of their code, github.com/salesforce/awd-lstm-lm. This script shares no code
with theirs, nor with the suite: it has cost, rates and windows of its own.

The argument is a JSON object, the spec:

    config      the fields of a configs.Config; `READS` in `awd` lists the ones
                that count. "embedding_size" and "hidden_sizes" must be there
    vocab_size  V
    train, valid  paths of .npy files with word ids
    digests     what tells these texts from others
    epochs      how many to train
    seed        of initial values, masks and windows
    parameters  the path of an .npz file with initial parameters, by their names
                in the suite's checkpoints, which have one bias per LSTM; null:
                random, with 0 in the softmax's bias
    checkpoint  the file to go on from, and to write after each epoch; null

The first line of the output is the version of PyTorch. Then each epoch prints a
JSON object, also the epochs before the checkpoint: "epoch", "train" and "valid"
perplexity, "words_per_second", "averages" (whether validation had averaged
parameters), and "nats", the logarithm of "valid".

This module imports only NumPy, PyTorch and the standard library.
"""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
State = list[tuple[torch.Tensor, torch.Tensor]]  # h, c: [1, B, H], by layer


def drop(x: torch.Tensor, keep: float, shared: int | None = None
         ) -> torch.Tensor:
  """Returns a tensor with dropout; the mask is the same along axis `shared`."""
  if keep == 1:
    return x
  shape = list(x.shape)
  if shared is not None:
    shape[shared] = 1
  return x * torch.bernoulli(torch.full(shape, keep, device=DEVICE)) / keep


class Model(nn.Module):
  """Embedding, LSTM layers and a softmax, with dropout."""

  def __init__(self, config: dict[str, Any], vocab_size: int) -> None:
    """Starts with random parameters."""
    super().__init__()
    self.config = config
    widths = [config["embedding_size"], *config["hidden_sizes"]]
    self.embedding = nn.Embedding(vocab_size, widths[0])
    self.layers = nn.ModuleList(
        nn.LSTM(width, size)
        for width, size in zip(widths, widths[1:], strict=False))
    self.softmax = nn.Linear(widths[-1], vocab_size)
    if config["tie_weights"]:
      self.softmax.weight = self.embedding.weight
    scale = config["init_scale"]
    nn.init.uniform_(self.embedding.weight, -scale, scale)
    nn.init.uniform_(self.softmax.weight, -scale, scale)
    nn.init.zeros_(self.softmax.bias)
    if config["layer_init"] == "init_scale":  # PyTorch's default is "size"
      for parameter in self.layers.parameters():
        nn.init.uniform_(parameter, -scale, scale)
    if not config["two_biases"]:
      for layer in self.layers:
        nn.init.zeros_(layer.bias_hh_l0).requires_grad_(False)

  def keep(self, site: str) -> float:
    """Returns the share of units to keep; 1 outside training."""
    own = self.config[f"keep_prob_{site}"] or self.config["keep_prob"]
    return own if self.training else 1.0

  def zero_state(self, batch_size: int) -> State:
    """Returns the state at the beginning of a text."""
    return [(torch.zeros(1, batch_size, layer.hidden_size, device=DEVICE),) * 2
            for layer in self.layers]

  def forward(self, inputs: torch.Tensor, targets: torch.Tensor, state: State
              ) -> tuple[torch.Tensor, torch.Tensor, State]:
    """Returns nats (sum), penalties (per word) and state, for [T, B] words.

    Targets of -1 do not count.
    """
    # A mask for the whole window, or one for each of its words.
    shared = 0 if self.config["dropout_mask"] == "window" else None
    x = nn.functional.embedding(  # [T, B, E]
        inputs, drop(self.embedding.weight, self.keep("word"), shared=1))
    x = drop(x, self.keep("input"), shared)
    after = []
    for number, (layer, before) in enumerate(
        zip(self.layers, state, strict=True)):
      if number:
        x = drop(x, self.keep("hidden"), shared)
      x, final = torch.func.functional_call(layer, {
          "weight_hh_l0": drop(layer.weight_hh_l0, self.keep("recurrent"))
      }, (x, before))
      after.append(tuple(part.detach() for part in final))
    dropped = drop(x, self.keep("output"), shared)
    nats = nn.functional.cross_entropy(
        self.softmax(dropped).flatten(0, 1), targets.flatten(),
        ignore_index=-1, reduction="sum")
    # Of dropped outputs, and of the change of undropped ones, as in their code.
    penalties = self.config["activation_penalty"] * dropped.square().mean()
    if len(x) > 1:
      penalties = penalties + (
          self.config["slowness_penalty"] * x.diff(dim=0).square().mean())
    return nats, penalties, after


class Average:
  """The mean of the parameters since averaging began."""

  def __init__(self) -> None:
    self.count = 0
    self.means: list[torch.Tensor] = []

  @torch.no_grad()
  def add(self, parameters: list[nn.Parameter]) -> None:
    """Adds the parameters after a step."""
    self.count += 1
    if self.count == 1:
      self.means = [parameter.clone() for parameter in parameters]
    for mean, parameter in zip(self.means, parameters, strict=True):
      mean += (parameter - mean) / self.count

  @contextlib.contextmanager
  def replacing(self, parameters: list[nn.Parameter]) -> Iterator[None]:
    """A context in which the parameters have their mean values, if any."""
    values = [parameter.detach().clone() for parameter in parameters]
    self._assign(parameters, self.means or values)
    yield
    self._assign(parameters, values)

  @torch.no_grad()
  def _assign(self, parameters: list[nn.Parameter],
              values: list[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
      parameter.copy_(value)


class Training:
  """A training run: everything that a checkpoint holds, and an epoch of it.

  Attributes:
    rows: what the module says of each epoch so far.
  """

  def __init__(self, spec: dict[str, Any]) -> None:
    """Loads the texts, and goes on from the checkpoint, if there is one."""
    self.spec, self.config = spec, spec["config"]
    self.texts = {name: torch.from_numpy(
        np.load(spec[name]).astype(np.int64)).to(DEVICE)
                  for name in ("train", "valid")}
    torch.manual_seed(spec["seed"])
    self.model = Model(self.config, spec["vocab_size"])
    if spec["parameters"]:
      load(self.model, dict(np.load(spec["parameters"])))
    self.model.to(DEVICE)
    self.trained = [p for p in self.model.parameters() if p.requires_grad]
    self.rows: list[dict[str, Any]] = []
    self.averages = False
    self.average = Average()
    self.position = 0  # in the streams of the training text
    self.state = self.model.zero_state(self.config["batch_size"])
    self.resume()

  def lengths(self) -> Iterator[int]:
    """Generates the lengths of the windows of an epoch; draws are its own."""
    rng = np.random.default_rng([self.spec["seed"], len(self.rows)])
    steps, jitter = self.config["num_steps"], self.config["window_jitter"]
    while True:
      middle = steps if rng.random() < 0.95 else steps / 2
      yield max(5, int(rng.normal(middle, jitter))) if jitter else steps

  def windows(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Generates the windows of an epoch: inputs and targets, [T, B]."""
    size = self.config["batch_size"]
    length = len(self.texts["train"]) // size
    streams = self.texts["train"][:size * length].reshape(size, length).T
    if not self.config["window_jitter"]:  # whole windows only, as in the suite
      steps = self.config["num_steps"]
      length = (length - 1) // steps * steps + 1
    for number, steps in enumerate(self.lengths(), 1):
      steps = min(steps, length - 1 - self.position)
      rows = streams[self.position:self.position + steps + 1]
      self.position += steps
      yield rows[:-1], rows[1:]
      ends = self.position >= length - 1
      if ends:
        self.position = 0
        self.state = self.model.zero_state(size)
      if ends if not self.config["epoch_size"] else (
          number == self.config["epoch_size"]):
        return

  def step(self, inputs: torch.Tensor,
           targets: torch.Tensor) -> float:
    """Takes a training step; returns the sum of nats."""
    most = self.config["num_steps"]
    nats, penalties, self.state = self.model(inputs, targets, self.state)
    self.model.zero_grad(set_to_none=True)
    (nats / targets.numel() + penalties).backward()
    # The suite's cost is a sum over T, so its rate is 1/T of the one here.
    nn.utils.clip_grad_norm_(
        self.trained, self.config["max_grad_norm"] / most)
    epoch = len(self.rows) + 1
    rate = self.config["learning_rate"] * len(targets) * (
        self.config["lr_decay"] ** max(epoch - self.config["max_epoch"], 0))
    decay = self.config["weight_decay"] / most
    with torch.no_grad():
      for parameter in self.trained:
        parameter -= rate * (parameter.grad + decay * parameter)
    if self.averages:
      self.average.add(self.trained)
    return nats.item()

  def run_epoch(self) -> None:
    """Trains and validates for an epoch, and adds its row."""
    torch.manual_seed(1_000_003 * self.spec["seed"] + len(self.rows))
    self.model.train()
    start, nats, words = time.perf_counter(), 0.0, 0
    for inputs, targets in self.windows():
      nats += self.step(inputs, targets)
      words += targets.numel()
    seconds = time.perf_counter() - start
    averaged = self.averages
    with self.average.replacing(self.trained):
      valid = self.validate()
    self.averages |= self.config["optimizer"] == "asgd" and self.is_worse(valid)
    self.rows.append({
        "epoch": len(self.rows) + 1, "train": perplexity(nats / words),
        "valid": perplexity(valid), "words_per_second": words / seconds,
        "averages": averaged, "nats": valid})

  def is_worse(self, valid: float) -> bool:
    """Returns whether a validation loss says that it is time to average.

    It does if it exceeds the lowest one of all epochs but the last
    `asgd_patience`: algorithm 1 of the paper, at the end of each epoch.
    """
    patience = self.config["asgd_patience"]
    return valid > min(
        (row["nats"] for row in self.rows[:-patience]), default=math.inf)

  @torch.no_grad()
  def validate(self) -> float:
    """Returns the nats per word of all words of the validation text."""
    self.model.eval()
    size, steps = self.config["batch_size"], self.config["num_steps"]
    ids = self.texts["valid"]
    length = -(-(len(ids) - 1) // size)
    inputs, targets = (nn.functional.pad(
        part, (0, length * size - len(part)), value=filler).reshape(
            size, length).T for part, filler in ((ids[:-1], 0), (ids[1:], -1)))
    nats, state = 0.0, self.model.zero_state(size)
    for start in range(0, length, steps):
      part, _, state = self.model(
          inputs[start:start + steps], targets[start:start + steps], state)
      nats += part.item()
    return nats / (len(ids) - 1)

  def save(self) -> None:
    """Writes the checkpoint."""
    path = self.spec["checkpoint"]
    if path:
      torch.save({
          "spec": self._identity(), "model": self.model.state_dict(),
          "means": self.average.means, "count": self.average.count,
          "averages": self.averages, "rows": self.rows,
          "position": self.position, "state": self.state}, path + ".partial")
      os.replace(path + ".partial", path)

  def resume(self) -> None:
    """Loads the checkpoint, if there is one of this training."""
    path = self.spec["checkpoint"]
    if not path or not os.path.exists(path):
      return
    saved = torch.load(path, map_location=DEVICE)
    if saved["spec"] != self._identity():
      sys.exit(f"{path}: is of other settings, another text or an older "
               "version; remove it, or name another folder in --runs")
    self.model.load_state_dict(saved["model"])
    self.average.means, self.average.count = saved["means"], saved["count"]
    self.averages, self.rows = saved["averages"], saved["rows"]
    self.position, self.state = saved["position"], saved["state"]

  def _identity(self) -> str:
    """Returns what a checkpoint must agree with: all but the epochs."""
    return json.dumps([
        self.config | {"max_max_epoch": 0}, self.spec["vocab_size"],
        self.spec["digests"], self.spec["seed"]], sort_keys=True)


def perplexity(nats: float) -> float:
  """Returns the perplexity of a mean of nats; inf if it is too high."""
  return math.exp(nats) if nats < 700 else math.inf


def load(model: Model, parameters: dict[str, np.ndarray]) -> None:
  """Loads the suite's parameters.

  The suite orders the gates i, j, f, o and has matrices [in, out]. PyTorch
  orders them i, f, j, o and has matrices [out, in].
  """
  def assign(target: torch.Tensor, array: np.ndarray) -> None:
    with torch.no_grad():
      target.copy_(torch.from_numpy(np.ascontiguousarray(array)))

  def gates(array: np.ndarray) -> np.ndarray:
    i, j, f, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1).T

  for number, layer in enumerate(model.layers):
    cell = f"Model/RNN/multi_rnn_cell/cell_{number}/basic_lstm_cell/"
    x, h = np.split(parameters[cell + "kernel"], [layer.input_size])
    assign(layer.weight_ih_l0, gates(x))
    assign(layer.weight_hh_l0, gates(h))
    assign(layer.bias_ih_l0, gates(parameters[cell + "bias"]))
    nn.init.zeros_(layer.bias_hh_l0)
  if not model.config["tie_weights"]:
    assign(model.softmax.weight, parameters["Model/softmax_w"].T)
  assign(model.softmax.bias, parameters["Model/softmax_b"])
  assign(model.embedding.weight, parameters["Model/embedding"])


def main() -> None:
  """Trains as the argument says."""
  training = Training(json.loads(sys.argv[1]))
  print(torch.__version__, flush=True)
  for number in range(training.spec["epochs"]):
    if number == len(training.rows):
      training.run_epoch()
      training.save()
    print(json.dumps(training.rows[number]), flush=True)


if __name__ == "__main__":
  main()
