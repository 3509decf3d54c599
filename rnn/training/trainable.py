"""The base of all models: their parameters, counts, and training step."""

import os
from typing import Any

from rnn.layers import seeded
from rnn.options import Options
from rnn.tf1 import tf
from rnn.training import averaging, optimizers


class Trainable:
  """A model as a pass needs it, see `passes.Model`.

  A model builds its graph first. Then it calls this constructor, which adds the
  training step.

  Attributes:
    cost: the scalar that training minimizes.
    counts: a dict of numbers or arrays to add up over the windows, of all
      workers.
    final_state: the state after the window, of the streams of all workers; ()
      if the model carries none.
    variables: the parameters.
    lr: the learning rate. It and what follows exist only in training.
    grad_norm: the global norm of the gradient before clipping.
    max_grad_norm: the norm to which the gradient is clipped.
    train_op: the op that takes a step and increments the global step.
    averages: the `averaging.Averages` of the parameters.
  """

  final_state: Any = ()

  def __init__(self, config: Any, cost: tf.Tensor,
               counts: dict[str, tf.Tensor], variables: list[tf.Variable],
               is_training: bool = False,
               learning_rate: tf.Tensor | float | None = None,
               options: Options = Options(),
               max_grad_norm: tf.Tensor | float | None = None) -> None:
    """Adds the training step to the default graph, in training.

    Args:
      config: the `configs.Settings` with learning_rate, max_grad_norm and
        optimizer; perhaps with weight_decay, with two_biases, and with
        `freeze`, the last part of the name of the variable that stays fixed.
      learning_rate: scalar; by default the config's.
      options: the precision of the model, and the workers.
      max_grad_norm: scalar; by default the config's.
    """
    self.cost, self.variables = cost, variables
    self.counts = options.workers.total(counts)
    if is_training:
      self.lr = tf.convert_to_tensor(
          config.learning_rate if learning_rate is None else learning_rate,
          tf.float32)
      self.max_grad_norm = (
          config.max_grad_norm if max_grad_norm is None else max_grad_norm)
      # The gradient of a frozen parameter is not computed.
      frozen = getattr(config, "freeze", "nothing")
      trained = [v for v in variables if os.path.basename(v.op.name) != frozen]
      self.averages = averaging.add(config, trained)
      self.grad_norm, step = optimizers.step(
          cost, [*self.counts.values(), *tf.nest.flatten(self.final_state)],
          trained, self.lr, self.max_grad_norm, config.optimizer, options,
          getattr(config, "weight_decay", 0.0), [
              seeded.terms_of(os.path.basename(v.op.name), config)
              for v in trained])
      self.train_op = self.averages.after(step)
