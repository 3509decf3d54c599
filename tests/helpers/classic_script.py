"""The graph of the classic script, with the cells that it used.

    python classic_script.py FOLDER VOCABULARY TEXT

saves a checkpoint of two layers of 24 units with random parameters, and prints
the log-probability of the text as one sentence. It runs in a process by itself:
TensorFlow's old cells need tf-keras, which has to be chosen before the import.
"""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow.compat.v1 as tf

SIZE = 24


def main(folder, vocabulary, text):
  """Builds the graph, saves a checkpoint, and scores the text."""
  with open(vocabulary) as file:
    words = file.read().split("\n")[:-1]
  with open(text) as file:
    ids = [words.index(word)
           for word in ["<eos>", *file.read().split(), "<eos>"]]
  with tf.Graph().as_default(), tf.Session() as session:
    with tf.variable_scope(
        "Model", initializer=tf.random_uniform_initializer(-1, 1, seed=3)):
      cell = tf.nn.rnn_cell.MultiRNNCell([
          tf.nn.rnn_cell.BasicLSTMCell(SIZE, forget_bias=0.0)
          for _ in range(2)])
      embedding = tf.get_variable("embedding", [len(words), SIZE])
      inputs = tf.nn.embedding_lookup(embedding, [ids[:-1]])
      state, outputs = cell.zero_state(1, tf.float32), []
      with tf.variable_scope("RNN"):
        for t in range(len(ids) - 1):
          output, state = cell(inputs[:, t], state)
          outputs.append(output)
      weights = tf.get_variable("softmax_w", [SIZE, len(words)])
      bias = tf.get_variable("softmax_b", [len(words)])
    log_probs = tf.nn.log_softmax(tf.concat(outputs, 0) @ weights + bias)
    tf.train.get_or_create_global_step()
    session.run(tf.global_variables_initializer())
    log_probs = session.run(log_probs)
    tf.train.Saver().save(session, f"{folder}/model.ckpt", global_step=1000)
  print(sum(row[i] for row, i in zip(log_probs, ids[1:], strict=True)))


if __name__ == "__main__":
  main(*sys.argv[1:])
