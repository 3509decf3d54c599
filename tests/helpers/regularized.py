"""The model of `oracle` with dropped weights, and penalties on its outputs."""

import contextlib

import numpy as np

from tests.helpers import oracle


class Model(oracle.Model):
  """A language model whose cost has more terms than its words."""

  def __init__(self, parameters, kernel_masks=None, activation_penalty=0,
               slowness_penalty=0):
    """Makes the model.

    Args:
      kernel_masks: a factor of the recurrent rows of each layer's kernel.
    """
    super().__init__(parameters)
    self.activation_penalty = activation_penalty
    self.slowness_penalty = slowness_penalty
    self.kernel_masks = {}
    for i, mask in enumerate(kernel_masks or []):
      name, _ = self.layer(i)
      whole = np.ones_like(self.parameters[name])
      whole[-len(mask):] = mask
      self.kernel_masks[name] = whole

  @contextlib.contextmanager
  def _dropped(self):
    """A context in which the parameters are those that a window sees."""
    whole = self.parameters
    self.parameters = {name: value * self.kernel_masks.get(name, 1)
                       for name, value in whole.items()}
    try:
      yield
    finally:
      self.parameters = whole

  def forward(self, inputs, targets, state, masks):
    with self._dropped():
      result = super().forward(inputs, targets, state, masks)
    # h = o tanh(c)
    self.undropped = np.array(
        [o * np.tanh(c) for _, _, _, _, o, _, c in self.tapes[-1]])
    return result

  def cost(self, nats):
    """Returns the cost of a window, after `forward`."""
    steps, streams, units = self.hidden.shape
    number = streams * units
    changes = np.diff(self.undropped, axis=0)
    return (nats.sum() / streams
            + self.activation_penalty * (self.hidden ** 2).sum() / number
            + self.slowness_penalty * steps * (changes ** 2).sum() / (
                max(steps - 1, 1) * number))

  def gradients(self):
    with self._dropped():
      grads = super().gradients()
      self._add_penalties(grads)
    return {name: grad * self.kernel_masks.get(name, 1)
            for name, grad in grads.items()}

  def _add_penalties(self, grads):
    """Adds the gradients of the penalties, which go back through all layers."""
    steps, streams, units = self.hidden.shape
    number = streams * units
    d = 2 * self.activation_penalty / number * self.hidden * self.masks[-1]
    changes = np.diff(self.undropped, axis=0)
    d_changes = 2 * self.slowness_penalty * steps / (
        max(steps - 1, 1) * number) * changes
    d[1:] += d_changes
    d[:-1] -= d_changes
    for i in reversed(range(self.num_layers)):
      kernel, bias = self.layer(i)
      d, _, _, d_kernel, d_bias = oracle.lstm_gradient(
          self.tapes[i], self.parameters[kernel], d, 0, 0)
      grads[kernel] += d_kernel
      grads[bias] += d_bias
      d = d * self.masks[i]
    np.add.at(grads["Model/embedding"], self.inputs, d)
