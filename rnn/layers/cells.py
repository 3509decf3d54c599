"""The table of recurrent cells, and of the layers that compute each of them.

A layer has the signature

    layer(inputs, state, *weights, lengths=None) -> outputs, state

  inputs   [T, B, I], time-major
  state    a namedtuple of parts [B, H], "h" among them
  weights  kernel and bias; more if `Cell.shapes` has more
  lengths  [B], the number of steps of each row; by default T
  outputs  [T, B, H], the hidden state after every step

With a projection, h and the outputs have P columns; see `lstmp`.

To add a cell, add its step function, a `Cell` to CELLS, and its name to the
setting `cell` in configs.py.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

import configs
from rnn.errors import SettingError
from rnn.layers import gru, lstm, lstmp, recurrent
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
      start around 1, mostly open, as in the classic scripts. So does the forget
      gate with a projection, as in Jozefowicz et al. 2016 (arXiv 1602.02410).
    layers: a dict, rnn_mode -> implementation.
    forget: the number of the part of the bias that is the forget gate's; None
      if there is no such gate.
    static_modes: the rnn_modes that need a static T.
    projects: whether a projection follows the H units of a layer.
  """

  scope: str
  state: Any
  columns: int
  biases: tuple[float, ...]
  layers: Mapping[str, Layer]
  forget: int | None = 2
  static_modes: tuple[str, ...] = ("basic",)
  projects: bool = False

  def shapes(self, input_size: int, hidden_size: int,
             output_size: int | None = None) -> dict[str, list[int]]:
    """Returns the shapes of a layer's parameters: a dict by name.

    Args:
      output_size: P, of a cell that projects; H by default.
    """
    output_size = output_size or hidden_size
    shapes = {
        "kernel": [input_size + output_size, self.columns * hidden_size],
        "bias": [len(self.biases) * hidden_size]}
    if self.projects:
      shapes["projection/kernel"] = [hidden_size, output_size]
    return shapes

  def bias_centers(self, hidden_size: int,
                   forget_bias: float = 0) -> np.ndarray:
    """Returns the centers of the initial values of the bias, float32.

    Args:
      forget_bias: added to that of the forget gate.
    """
    centers = np.array(self.biases, np.float32)
    if self.forget is not None:
      centers[self.forget] += forget_bias
    return np.repeat(centers, hidden_size)

  def widths(self, hidden_size: int, output_size: int | None = None
             ) -> dict[str, int]:
    """Returns the width of each part of the state: a dict by its name."""
    return {part: output_size or hidden_size if part == "h" else hidden_size
            for part in self.state._fields}

  def zero_state(self, batch_size: int | tf.Tensor, hidden_size: int,
                 output_size: int | None = None) -> Any:
    """Returns the state before the first word of a text, parts [B, H]."""
    parts = []  # separate tensors, so that each can be fed
    for width in self.widths(hidden_size, output_size).values():
      parts.append(tf.zeros([batch_size, width]))
      # The layers need a static H even if B is a tensor.
      parts[-1].set_shape([None, width])
    return self.state(*parts)

  def resolve(self, rnn_mode: str | None, static: bool = True) -> str:
    """Returns an rnn_mode; for None, the fastest one on this machine.

    Args:
      static: whether T is known when the graph is built.

    Raises:
      SettingError: the cell has no such implementation, or it needs a GPU and
        there is none.
    """
    names = [name for name in self.layers
             if static or name not in self.static_modes]
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
  return tuple(CELLS[config.cell].zero_state(batch_size, *sizes)
               for sizes in config.sizes)


CELLS = {
    "lstm": Cell("basic_lstm_cell", lstm.LSTMState, 4, (0,) * 4, lstm.LAYERS,
                 static_modes=("basic", "fused")),
    "peephole": Cell(
        "lstm_cell", lstm.LSTMState, 4, (0,) * 7, lstm.PEEPHOLE_LAYERS),
    "lstmp": Cell(
        "lstm_cell", lstm.LSTMState, 4, (0, 0, 1, 0), lstmp.LAYERS,
        static_modes=("basic", "fused"), projects=True),
    "gru": Cell(
        "gru_cell", recurrent.HiddenState, 3, (1, 1, 0, 0), gru.LAYERS,
        forget=None),
    "rnn": Cell("basic_rnn_cell", recurrent.HiddenState, 1, (0,), {
        "basic": recurrent.unrolled(_rnn_cell),
        "dynamic": recurrent.looped(_rnn_cell),
        "cudnn": _rnn_cudnn_layer}, forget=None),
}
