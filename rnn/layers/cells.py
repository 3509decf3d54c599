"""The table of recurrent cells, and of the layers that compute each of them.

A layer has the signature

    layer(inputs, state, kernel, bias, lengths=None) -> outputs, state

  inputs   [T, B, I], time-major
  state    a namedtuple of parts [B, H], "h" among them
  lengths  [B], the number of steps of each row; by default T
  outputs  [T, B, H], the hidden state after every step

To add a cell, add its step function, a `Cell` to CELLS, and its name to the
setting `cell` in configs.py.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import configs
from rnn.errors import SettingError
from rnn.layers import gru, lstm, recurrent
from rnn.layers.recurrent import Layer
from rnn.options import RNN_MODES
from rnn.tf1 import tf


def _rnn_cell(x: tf.Tensor, state: recurrent.HiddenState, kernel: tf.Tensor,
              bias: tf.Tensor) -> recurrent.HiddenState:
  """Returns h_t = tanh([x_t h_{t-1}] kernel + bias); x is [B, I]."""
  return recurrent.HiddenState(tf.tanh(
      tf.concat([x, state.h], axis=1) @ kernel + bias))


@recurrent.without_bfloat16  # for the reason given at `lstm.cudnn_layer`
def _rnn_cudnn_layer(inputs: tf.Tensor, state: recurrent.HiddenState,
                     kernel: tf.Tensor, bias: tf.Tensor,
                     lengths: tf.Tensor | None = None
                     ) -> tuple[tf.Tensor, recurrent.HiddenState]:
  """Applies cuDNN's plain layer in one call; needs an NVIDIA GPU."""
  # cuDNN adds two biases: ours, and zero.
  params = recurrent.cudnn_params(
      kernel[None], tf.stack([bias, tf.zeros_like(bias)]))
  return recurrent.cudnn("rnn_tanh", inputs, state, params, lengths)


@dataclasses.dataclass(frozen=True)
class Cell:
  """A kind of recurrent cell.

  Attributes:
    scope: the scope of a layer's variables, as in the classic scripts.
    state: the type of a layer's state, a namedtuple.
    columns: the width of the kernel in multiples of H.
    biases: the center of the initial values of each [H] part of the bias.
      Peephole weights are parts of the bias, too. The gates r and z of a GRU
      start around 1, half open, as in the classic scripts.
    layers: a dict, rnn_mode -> implementation.
    static: the rnn_modes that need a static T.
  """

  scope: str
  state: Any
  columns: int
  biases: tuple[float, ...]
  layers: Mapping[str, Layer]
  static: tuple[str, ...] = ("basic",)

  def shapes(self, input_size: int, hidden_size: int) -> dict[str, list[int]]:
    """Returns the shapes of a layer's parameters: a dict by name."""
    return {"kernel": [input_size + hidden_size, self.columns * hidden_size],
            "bias": [len(self.biases) * hidden_size]}

  def zero_state(self, batch_size: int | tf.Tensor, hidden_size: int) -> Any:
    """Returns the state before the first word of a text, parts [B, H]."""
    parts = []
    for _ in self.state._fields:  # separate tensors, so that each can be fed
      parts.append(tf.zeros([batch_size, hidden_size]))
      # The layers need a static H even if B is a tensor.
      parts[-1].set_shape([None, hidden_size])
    return self.state(*parts)

  def resolve(self, rnn_mode: str | None, static: bool = True) -> str:
    """Returns an rnn_mode; for None, the fastest one on this machine.

    Args:
      static: whether T is known when the graph is built.

    Raises:
      SettingError: the cell has no such implementation, or it needs a GPU and
        there is none.
    """
    names = [name for name in self.layers if static or name not in self.static]
    if rnn_mode is None:
      return next(name for name in RNN_MODES
                  if name in names and recurrent.runs_here(name))
    if rnn_mode not in names:
      where = "" if static else " if the number of steps varies"
      raise SettingError(
          "rnn_mode", f"{self.scope} has no such implementation{where}; "
          "choose one of " + ", ".join(names), rnn_mode)
    if not recurrent.runs_here(rnn_mode):
      raise SettingError(
          "rnn_mode", recurrent.NEEDS_GPU, rnn_mode)
    return rnn_mode

  def layer(self, rnn_mode: str | None, static: bool = True) -> Layer:
    """Returns the implementation for an rnn_mode, see `resolve`."""
    return self.layers[self.resolve(rnn_mode, static)]


def zero_state(config: configs.Config,
               batch_size: int | tf.Tensor) -> tuple:
  """Returns the zero state of each layer of a config."""
  return tuple(CELLS[config.cell].zero_state(batch_size, size)
               for size in config.layer_sizes)


CELLS = {
    "lstm": Cell("basic_lstm_cell", lstm.LSTMState, 4, (0,) * 4, lstm.LAYERS,
                 static=("basic", "fused")),
    "peephole": Cell(
        "lstm_cell", lstm.LSTMState, 4, (0,) * 7, lstm.PEEPHOLE_LAYERS),
    "gru": Cell(
        "gru_cell", recurrent.HiddenState, 3, (1, 1, 0, 0), gru.LAYERS),
    "rnn": Cell("basic_rnn_cell", recurrent.HiddenState, 1, (0,), {
        "basic": recurrent.unrolled(_rnn_cell),
        "dynamic": recurrent.looped(_rnn_cell),
        "cudnn": _rnn_cudnn_layer}),
}
