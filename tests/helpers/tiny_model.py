"""A tiny PTBModel: its config, its parameters and its dropout masks."""

import dataclasses

import configs
from rnn.tf1 import tf

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
  sizes = (config.input_size, *config.layer_sizes)
  return [session.run(tf.nn.experimental.stateless_dropout(
      tf.ones([config.num_steps, config.batch_size, size]),
      1 - config.keep_prob, seed=[seed, step * len(sizes) + site]))
          for site, size in enumerate(sizes)]
