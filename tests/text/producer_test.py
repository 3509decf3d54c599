"""Windows as tensors: first the checks of the tutorial's own reader test."""

import numpy as np
import pytest

import reader
from rnn.errors import UserError
from rnn.tf1 import tf

IDS = [4, 3, 2, 1, 0, 5, 6, 1, 1, 1, 1, 0, 3, 4, 1]
WINDOWS = [
    ([[4, 3], [5, 6], [1, 0]], [[3, 2], [6, 1], [0, 3]]),
    ([[2, 1], [1, 1], [3, 4]], [[1, 0], [1, 1], [4, 1]])]


@pytest.fixture
def session():
  with tf.Graph().as_default(), tf.Session() as session:
    yield session


@pytest.mark.parametrize("with_queues", [False, True])
def test_each_run_gives_the_next_window(session, with_queues):
  """The tutorial starts queue runners."""
  x, y = reader.ptb_producer(IDS, 3, 2)
  assert x.dtype == y.dtype == tf.int32
  assert x.shape.as_list() == y.shape.as_list() == [3, 2]
  coordinator = tf.train.Coordinator()
  if with_queues:
    tf.train.start_queue_runners(session, coord=coordinator)
  for window in [*WINDOWS, *WINDOWS]:  # then it starts anew
    assert [value.tolist() for value in session.run([x, y])] == list(window)
  coordinator.request_stop()
  coordinator.join()
  with tf.Session() as another:
    assert another.run(x).tolist() == WINDOWS[0][0]
    assert another.run(y).tolist() == WINDOWS[1][1]


def test_windows_are_those_of_the_iterator(session):
  ids = np.random.default_rng(0).integers(0, 9, 143).astype(np.int32)
  tensors = reader.ptb_producer(ids, 4, 5, name="Batches")
  assert tensors[0].op.name.startswith("Batches/")
  for x, y in reader.ptb_iterator(ids, 4, 5):
    values = session.run(tensors)
    assert (values[0] == x).all() and (values[1] == y).all()


def test_a_supervisor_and_an_imported_graph_work():
  with tf.Graph().as_default():
    x, _ = reader.ptb_producer(IDS, 3, 2)
    graph = tf.train.export_meta_graph()
  with tf.Graph().as_default():
    tf.train.import_meta_graph(graph)
    # With a folder it would save, which fails unless the whole process calls
    # tf.disable_v2_behavior().
    supervisor = tf.train.Supervisor()
    with supervisor.managed_session() as session:
      for inputs, _ in WINDOWS:
        assert session.run(x.name).tolist() == inputs


@pytest.mark.parametrize("ids, batch_size, num_steps", [
    (IDS, 3, 5), (IDS, 8, 2), (IDS, 16, 1), ([], 1, 1)])
def test_a_stream_that_is_too_short(session, ids, batch_size, num_steps):
  tensors = reader.ptb_producer(ids, batch_size, num_steps)
  for tensor in tensors:
    with pytest.raises(tf.errors.InvalidArgumentError, match=(
        f"too few for batch_size={batch_size} x num_steps={num_steps}: lower")):
      session.run(tensor)


def test_without_a_graph_it_says_how_to_get_one():
  with pytest.raises(UserError, match="tf.disable_v2_behavior()"):
    reader.ptb_producer(IDS, 3, 2)
