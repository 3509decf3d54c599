"""Trained models: their probabilities by other ways, and as classic files."""

import numpy as np

from rnn.tf1 import tf
from tests.helpers import oracle

# The flags that describe a classic checkpoint with the parameters of run "a".
CLASSIC_FLAGS = (
    "--model=test", "--config_override=hidden_size=24,num_layers=2")


def softmax(logits):
  exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
  return exps / exps.sum(axis=-1, keepdims=True)


def next_word_probabilities(model, words):
  """Returns [T + 1, V], the probabilities after <eos> and after each word.

  The model runs them in a single window.
  """
  ids = np.array([model.vocabulary.eos, *model.vocabulary.encode(words)])
  with model.open(len(ids)) as session:
    logits = session.run(["logits"], ids[:, None])["logits"][:, 0]
  return softmax(logits.astype(np.float64))


def oracle_probabilities(model, words, first):
  """Returns the probabilities of words, the first of them after `first`.

  Computed from a zero state, in NumPy and float64.
  """
  ids = model.vocabulary.encode([first, *words])[:, None]
  state = [(np.zeros([1, size]), np.zeros([1, size]))
           for size in model.config.layer_sizes]
  nats, _ = oracle.Model(model.values).forward(
      ids[:-1], ids[1:], state, [1] * (len(state) + 1))
  return np.exp(-nats[:, 0])


def write_checkpoint(prefix, values):
  """Writes variables, a dict by name, as TensorFlow's Saver does."""
  with tf.Graph().as_default(), tf.Session() as session:
    for name, value in values.items():
      tf.get_variable(name, initializer=value)
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(prefix))


def write_classic(prefix, values, cell="basic_lstm_cell", kernel="kernel",
                  bias="bias"):
  """Writes the parameters of a model as the classic script does."""
  renamed = {
      name.replace("basic_lstm_cell", cell).replace("/kernel", f"/{kernel}")
      .replace("/bias", f"/{bias}"): value for name, value in values.items()}
  write_checkpoint(prefix, renamed | {
      "Model/global_step": 7, "Train/Model/learning_rate": 0.5})
