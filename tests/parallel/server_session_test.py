"""Sessions in a server repeat the requests that the server refuses.

The refusal itself cannot be forced: it depends on TensorFlow's random numbers.
"""

import pytest

from rnn.tf1 import repeatable_session, session_config, tf

# As TensorFlow 2.21 words it.
REFUSAL = ("From /job:worker/replica:0/task:0:\nThe same RunGraph (Worker) "
           "request was received twice. goo.gle/debugonly  graph_handle: ...")


@pytest.fixture(scope="module")
def server():
  return tf.train.Server.create_local_server(config=session_config())


@pytest.fixture
def fail(monkeypatch):
  """A function: the next calls of tf.Session.run raise these errors."""
  real, errors = tf.Session.run, []

  def run(*args, **kwargs):
    if errors:
      raise tf.errors.AbortedError(None, None, errors.pop(0))
    return real(*args, **kwargs)

  monkeypatch.setattr(tf.Session, "run", run)
  return errors.extend


def test_a_refused_request_is_repeated(server, fail):
  with tf.Graph().as_default(), repeatable_session(server.target) as session:
    number = tf.placeholder(tf.int32, [])
    fail([REFUSAL, REFUSAL])
    assert session.run(number + 1, {number: 2}) == 3


def test_other_errors_and_sessions_are_as_ever(server, fail):
  with tf.Graph().as_default():
    number = tf.constant(1)
    for target, message in (server.target, "a worker is lost"), ("", REFUSAL):
      with repeatable_session(target) as session:
        fail([message])
        with pytest.raises(tf.errors.AbortedError):
          session.run(number)
        assert session.run(number) == 1
