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
  """

  scope: str
  state: type
  columns: int
  biases: tuple
  layers: dict

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
    names = ["cudnn"] if recurrent.has_gpu() else []
    if static or self.layers.get("fused") is gru.fused_layer:
      names.append("fused")
    names += ["block", "basic" if static else "dynamic"]
    return next(name for name in names if name in self.layers)

  def layer(self, name):
    """The implementation of a name.

    Raises:
      errors.UserError: the cell has none.
    """
    if name not in self.layers:
      raise errors.UserError(f"--rnn_mode={name}: {self.scope} has none; there "
                             "are " + ", ".join(self.layers))
    return self.layers[name]


CELLS = {
    "lstm": Cell("basic_lstm_cell", lstm.LSTMState, 4, (0,) * 4, lstm.LAYERS),
    "peephole": Cell(
        "lstm_cell", lstm.LSTMState, 4, (0,) * 7, lstm.PEEPHOLE_LAYERS),
    "gru": Cell(
        "gru_cell", recurrent.HiddenState, 3, (1, 1, 0, 0), gru.LAYERS),
    "rnn": Cell("basic_rnn_cell", recurrent.HiddenState, 1, (0,), {
        "basic": recurrent.unrolled(_rnn_cell),
        "dynamic": recurrent.looped(_rnn_cell)}),
}
