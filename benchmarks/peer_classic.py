"""The textbook graph of the classic script, as a contender of `speed.py`.

Cells are unrolled step by step. Dropout, cross entropy, gradients and clipping
are TensorFlow's own. The state is fed and fetched with each window, and
TensorFlow has its default settings.
"""

from typing import Any

import tensorflow.compat.v1 as tf

from benchmarks import contender

tf.disable_eager_execution()


def make(spec: dict[str, Any]) -> tuple:
  """Makes the contender, see `contender.serve`."""
  config = spec["config"]
  shape = [config["num_steps"], config["batch_size"]]
  inputs, targets = (tf.placeholder(tf.int32, shape) for _ in range(2))
  cost, state, final_state, variables = build(
      config, spec["vocab_size"], inputs, targets)
  gradients, _ = tf.clip_by_global_norm(
      tf.gradients(cost, variables), config["max_grad_norm"])
  train_op = tf.train.GradientDescentOptimizer(
      config["learning_rate"]).apply_gradients(
          zip(gradients, variables, strict=True))
  session = tf.Session()
  session.run(tf.global_variables_initializer())
  for variable in variables if spec["parameters"] else ():
    variable.load(spec["parameters"][variable.op.name], session)
  windows = contender.windows(spec["ids"], *reversed(shape))
  values = session.run(state)

  def step() -> float:
    nonlocal values
    window_inputs, window_targets = next(windows)
    feed = dict(zip(tf.nest.flatten(state), tf.nest.flatten(values),
                    strict=True))
    result, values, _ = session.run(
        [cost, final_state, train_op],
        {inputs: window_inputs, targets: window_targets, **feed})
    return result

  return step, {"tensorflow": tf.version.VERSION}


def build(config: dict[str, Any], vocab_size: int, inputs: tf.Tensor,
          targets: tf.Tensor) -> tuple[tf.Tensor, list, list, list]:
  """Adds the model to the default graph.

  Args:
    config: the fields of a configs.Config.
    inputs, targets: [T, B] word ids.

  Returns:
    cost, initial state, final state and variables. A state is a list with [c,
    h] for each layer, [B, H] each.
  """
  size, scale = config["hidden_size"], config["init_scale"]
  keep_prob, num_layers = config["keep_prob"], config["num_layers"]

  def dropout(x: tf.Tensor) -> tf.Tensor:
    return x if keep_prob == 1 else tf.nn.dropout(x, rate=1 - keep_prob)

  with tf.variable_scope(
      "Model", initializer=tf.random_uniform_initializer(-scale, scale)):
    embedding = tf.get_variable("embedding", [vocab_size, size])
    layers = []
    for i in range(num_layers):
      with tf.variable_scope(f"RNN/multi_rnn_cell/cell_{i}/basic_lstm_cell"):
        layers.append((tf.get_variable("kernel", [2 * size, 4 * size]),
                       tf.get_variable("bias", [4 * size])))
    weights = tf.get_variable("softmax_w", [size, vocab_size])
    bias = tf.get_variable("softmax_b", [vocab_size])
  state = initial_state = [
      [tf.zeros([inputs.shape[1], size]) for _ in "ch"] for _ in layers]
  outputs = []
  for x in tf.unstack(dropout(tf.nn.embedding_lookup(embedding, inputs))):
    after = []
    for (c, h), layer in zip(state, layers, strict=True):
      c, h = _apply_cell(x, c, h, *layer)
      after.append([c, h])
      x = dropout(h)
    state = after
    outputs.append(x)
  logits = tf.concat(outputs, axis=0) @ weights + bias  # (T*B, V)
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=tf.reshape(targets, [-1]), logits=logits)
  cost = tf.reduce_sum(losses) / int(inputs.shape[1])
  return cost, initial_state, state, tf.trainable_variables()


def _apply_cell(x: tf.Tensor, c: tf.Tensor, h: tf.Tensor, kernel: tf.Variable,
                bias: tf.Variable) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the next c and h, [B, H] each."""
  i, j, f, o = tf.split(tf.concat([x, h], axis=1) @ kernel + bias, 4, axis=1)
  c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(j)
  return c, tf.sigmoid(o) * tf.tanh(c)


if __name__ == "__main__":
  contender.serve(make)
