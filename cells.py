"""The kinds of recurrent cells, by name, and the layers there are of each.

    layer(inputs, state, kernel, bias, lengths=None) -> outputs, state

Inputs and outputs are [T, B, ...], time-major; a state is a namedtuple of parts
[B, H], "h" among them; lengths [B] are those of the rows, T without them.
"""

import dataclasses

import errors
import gru
import lstm
import recurrent
from tensorflow_v1 import tf


def _rnn_cell(x, state, kernel, bias):
  """h_t = tanh([x_t h_{t-1}] kernel + bias)."""
  return recurrent.HiddenState(tf.tanh(
      tf.concat([x, state.h], axis=1) @ kernel + bias))


@recurrent.without_bfloat16
def _rnn_cudnn_layer(inputs, state, kernel, bias, lengths=None):
  """The plain layer of cuDNN, one call; on an NVIDIA GPU alone."""
  params = recurrent.cudnn_params(
      kernel[None], tf.stack([bias, tf.zeros_like(bias)]))
  return recurrent.cudnn("rnn_tanh", inputs, state, params, lengths)


@dataclasses.dataclass(frozen=True)
class Cell:
  """A kind of recurrent cell.

  Attributes:
    scope: of its variables, as in the classic scripts.
    state: the type of its states.
    columns: of the kernel, in multiples of H.
    biases: what each of the biases (and peepholes) is about at the start; of
      [H] each. As in the classic scripts, a GRU's gates begin half open.
    layers: a dict, name -> implementation.
    static: those of them that need to know T when the graph is built.
  """

  scope: str
  state: type
  columns: int
  biases: tuple
  layers: dict
  static: tuple = ("basic",)

  def shapes(self, input_size, hidden_size):
    """The shapes of a layer's parameters, by name."""
    return {"kernel": [input_size + hidden_size, self.columns * hidden_size],
            "bias": [len(self.biases) * hidden_size]}

  def zero_state(self, batch_size, hidden_size):
    """The state before a text begins; `batch_size` may be a tensor."""
    parts = []
    for _ in self.state._fields:  # each can be fed
      parts.append(tf.zeros([batch_size, hidden_size]))
      parts[-1].set_shape([None, hidden_size])
    return self.state(*parts)

  def default_layer(self, static=True):
    """The name of the fastest layer on this machine.

    Args:
      static: whether T is known when the graph is built.
    """
    names = self._names(static)
    return next(name for name in (
        "cudnn", "fused", "block", "basic", "dynamic")
                if name in names and recurrent.runs_here(name))

  def layer(self, name, static=True):
    """The implementation of a name.

    Raises:
      errors.UserError: the cell has none that can be used here.
    """
    if name not in self._names(static):
      where = "" if static else " where the number of steps differs"
      raise errors.UserError(f"--rnn_mode={name}: {self.scope} has none{where};"
                             " there are " + ", ".join(self._names(static)))
    return self.layers[name]

  def _names(self, static):
    return [name for name in self.layers if static or name not in self.static]


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
