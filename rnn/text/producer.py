"""Windows of a text as tensors, for graphs in the style of TensorFlow 1.x."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnn.errors import UserError

if TYPE_CHECKING:
  import numpy as np

  from rnn.tf1 import tf


def ptb_producer(
    raw_data: "Sequence[int] | np.ndarray | tf.Tensor", batch_size: int,
    num_steps: int, name: str | None = None,
) -> "tuple[tf.Tensor, tf.Tensor]":
  """Returns the next window as tensors, batch-major.

  The windows are those of `reader.ptb_iterator`. Each `session.run` that
  fetches one of the tensors moves on by one window; after the last window of
  the text comes the first. A new session starts at the first window.

  No queue feeds the tensors. They need neither `tf.train.start_queue_runners`
  nor an initializer, but code that calls these works, too.

  Args:
    raw_data: 1-D sequence of word ids.
    name: the scope of the ops, "PTBProducer" by default.

  Returns:
    x, y: int32 [batch_size, num_steps]; y is x shifted by one word. Fetched in
    one `session.run`, they belong together.

  Raises:
    UserError: there is no graph, because TensorFlow executes eagerly.
    tf.errors.InvalidArgumentError: the stream is too short for a single window;
      raised by `session.run`.
  """
  from rnn.tf1 import on_host, tf  # slow; the reader needs only NumPy

  if tf.executing_eagerly():
    raise UserError(
        "ptb_producer: makes tensors of a graph; call it in `with tf.Graph()."
        "as_default():`, or call tf.disable_v2_behavior() at the start")
  with tf.name_scope(name, "PTBProducer"), on_host():
    ids = tf.convert_to_tensor(raw_data, tf.int32)
    length = tf.size(ids) // batch_size
    rows = tf.reshape(ids[:batch_size * length], [batch_size, length])
    epoch_size = (length - 1) // num_steps
    long_enough = tf.assert_positive(epoch_size, message=(
        f"the tokens are too few for batch_size={batch_size} x "
        f"num_steps={num_steps}: lower one of them"))
    with tf.control_dependencies([long_enough]):
      # Unlike a variable, an iterator needs no initializer.
      step = tf.data.make_one_shot_iterator(
          tf.data.Dataset.range(2**63 - 1)).get_next()
      window = tf.cast(step % tf.cast(epoch_size, tf.int64), tf.int32)
    start, shape = window * num_steps, [batch_size, num_steps]
    return (tf.slice(rows, [0, start], shape),
            tf.slice(rows, [0, start + 1], shape))
