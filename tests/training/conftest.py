"""Fixtures of the tests of training."""

import pytest

from rnn.tf1 import tf


@pytest.fixture
def session():
  """A session of an empty graph, which is the default graph."""
  with tf.Graph().as_default(), tf.Session() as session:
    yield session
