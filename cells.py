"""The recurrent cells there are, by name."""

import dataclasses

import errors
import lstm


@dataclasses.dataclass(frozen=True)
class Cell:
  """A kind of recurrent cell."""

  scope: str
  state: type
  kernel_columns: int
  bias_columns: int
  layers: dict

  def shapes(self, input_size, hidden_size):
    """The shapes of a layer's parameters, by name."""
    return {"kernel": [input_size + hidden_size,
                       self.kernel_columns * hidden_size],
            "bias": [self.bias_columns * hidden_size]}

  def zero_state(self, batch_size, hidden_size):
    """The state before a text begins."""
    return lstm.zero_state(batch_size, hidden_size)

  def default_layer(self, static=True):
    """The fastest layer on this machine."""
    return lstm.default_layer()

  def layer(self, name):
    """The implementation of a name."""
    if name not in self.layers:
      raise errors.UserError(f"no layer {name}")
    return self.layers[name]


CELLS = {"lstm": Cell("basic_lstm_cell", lstm.LSTMState, 4, 4, lstm.LAYERS)}
