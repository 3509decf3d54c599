"""Keras 3's LSTM on TensorFlow, as a contender of `speed.py`."""

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from benchmarks import contender


def make(spec: dict[str, Any]) -> tuple:
  """Makes the contender, see `contender.serve`."""
  config = spec["config"]
  batch_size, num_steps = config["batch_size"], config["num_steps"]
  model = build(config, spec["vocab_size"])
  if spec["parameters"]:
    load(model, spec["parameters"])
  model.compile(
      # The mean over T and B times T: nats summed over T, averaged over B.
      loss=lambda targets, logits: num_steps * tf.reduce_mean(
          tf.nn.sparse_softmax_cross_entropy_with_logits(
              labels=tf.cast(targets, tf.int32), logits=logits)),
      optimizer=keras.optimizers.SGD(
          config["learning_rate"], global_clipnorm=config["max_grad_norm"]))
  windows = contender.windows(spec["ids"], batch_size, num_steps)

  def step() -> float:
    model.reset_metrics()  # or the cost would be a mean over all steps so far
    inputs, targets = next(windows)
    return model.train_on_batch(inputs.T, targets.T)

  return step, {"keras": keras.version(), "tensorflow": tf.__version__}


def build(config: dict[str, Any], vocab_size: int) -> keras.Model:
  """Returns a model that carries its state: ids [B, T] -> logits [B, T, V].

  Args:
    config: the fields of a configs.Config.
  """
  size, rate = config["hidden_size"], 1 - config["keep_prob"]
  uniform = keras.initializers.RandomUniform(
      -config["init_scale"], config["init_scale"])
  layers = [keras.Input(batch_shape=(config["batch_size"],
                                     config["num_steps"]), dtype="int32"),
            keras.layers.Embedding(
                vocab_size, size, embeddings_initializer=uniform),
            keras.layers.Dropout(rate)]
  for _ in range(config["num_layers"]):
    layers += [keras.layers.LSTM(
        size, return_sequences=True, stateful=True, unit_forget_bias=False,
        kernel_initializer=uniform, recurrent_initializer=uniform,
        bias_initializer=uniform), keras.layers.Dropout(rate)]
  return keras.Sequential([*layers, keras.layers.Dense(
      vocab_size, kernel_initializer=uniform, bias_initializer=uniform)])


def load(model: keras.Model, parameters: dict[str, np.ndarray]) -> None:
  """Loads the suite's parameters.

  The suite orders the gates i, j, f, o. Keras orders them i, f, j, o.
  """
  def reordered(array: np.ndarray) -> np.ndarray:
    i, j, f, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1)

  values = [parameters["Model/embedding"]]
  size = parameters["Model/softmax_w"].shape[0]
  for i in range((len(parameters) - 3) // 2):
    cell = f"Model/RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
    kernel = reordered(parameters[cell + "kernel"])
    values += [kernel[:-size], kernel[-size:],
               reordered(parameters[cell + "bias"])]
  model.set_weights([*values, parameters["Model/softmax_w"],
                     parameters["Model/softmax_b"]])


if __name__ == "__main__":
  contender.serve(make)
