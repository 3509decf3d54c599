"""A tiny PTBModel: its config, its parameters and its dropout masks."""

import dataclasses
import itertools

import configs
from rnn.tf1 import repeatable_session, tf

TINY = dataclasses.replace(
    configs.TEST, num_layers=2, num_steps=4, hidden_size=5, batch_size=3,
    init_scale=0.3)
VOCAB_SIZE = 11


def initialize(session, *passes):
  """Initializes all variables, and loads the texts of passes."""
  session.run([tf.global_variables_initializer(),
               tf.local_variables_initializer()])
  for split_pass in passes:
    split_pass.load(session)


def parameters(session):
  """Returns the parameters: a dict, name -> array."""
  return {v.op.name: session.run(v) for v in tf.trainable_variables()}


def dropout_masks(session, config, seed, step):
  """Returns the mask of each of the L + 1 sites, [T, B, size]."""
  return masks_of_shapes(session, [
      (config.num_steps, config.batch_size, size)
      for size in (config.input_size, *config.layer_sizes)],
      config.keep_prob, seed, step)


def masks_of_shapes(session, shapes, keep_prob, seed, step):
  """Returns the masks of a step, one of each shape."""
  return [session.run(tf.nn.experimental.stateless_dropout(
      tf.ones(shape), 1 - keep_prob, seed=[seed, step * len(shapes) + site]))
          for site, shape in enumerate(shapes)]


def bits_after(training, *stops):
  """Returns the bits of all variables after some steps of a training pass.

  Args:
    stops: the steps before which the variables move to a new session; the last
      one is the number of steps.
  """
  values = []
  for start, stop in itertools.pairwise([0, *stops]):
    with repeatable_session() as session:
      initialize(session, training)
      for variable, value in zip(  # the first session has none
          tf.global_variables(), values, strict=False):
        variable.load(value, session)
      for step in range(start, stop):
        training.run(session, step)
      values = session.run(tf.global_variables())
  return [value.tobytes() for value in values]
