"""Messages of TensorFlow's errors."""

import pytest

from rnn.tf1 import error_cause, tf


@pytest.mark.parametrize("message", [
    "it failed",
    "it failed\n\t [[{{node x}}]]",
    "model.ckpt.data; it failed\n\t [[node x]]",
    "Graph execution error:\n\nDetected at node 'save/RestoreV2' defined at "
    "(most recent call last):\nNode: 'save/RestoreV2'\nit failed\n\t [[{{node "
    "save/RestoreV2}}]]\n\nOriginal stack trace for 'save/RestoreV2':\n"])
def test_an_error_has_a_cause_of_one_line(message):
  assert error_cause(tf.errors.DataLossError(None, None, message)) == (
      "it failed")


def test_an_error_without_a_message_has_its_name():
  assert error_cause(tf.errors.OutOfRangeError(None, None, "")) == (
      "OutOfRangeError")
