"""The averages of optimizer=asgd: when they begin, and what they are."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import ptb_word_lm
from rnn.options import Options
from rnn.tf1 import tf
from rnn.training import averaging
from tests.helpers.tiny_model import TINY, VOCAB_SIZE, initialize, parameters

ASGD = dataclasses.replace(TINY, optimizer="asgd", asgd_patience=1)
WORSE = [1.0, 2.0, 3.0]  # validations after which averaging begins
IDS = np.random.default_rng(3).integers(0, VOCAB_SIZE - 2, 64)  # not all words


@pytest.mark.parametrize("figures, patience, epoch", [
    ([], 1, None), ([3], 1, None),
    ([3, 4], 1, None),  # one epoch is the last one, none is before
    ([3, 4, 5], 1, 1), ([3, 4, 3], 1, None), ([3, 2, 2.5], 1, None),
    ([3, 2, 2.5, 2.6], 1, 2), ([3, 2, 2.5, 2.6], 2, None),
    ([3, 2, 2.5, 2.6, 2.1], 2, 2), ([3, 2, 2.5, 1, 2.1], 2, 2),
    ([3, 2, 2.5, 2.6, 1.9], 2, None)])
def test_when_averaging_begins(figures, patience, epoch):
  assert averaging.better_epoch(figures, patience) == epoch


@hypothesis.given(strategies.lists(strategies.integers(1, 9), min_size=1),
                  strategies.integers(1, 6))
def test_it_begins_as_in_algorithm_1(figures, patience):
  """With t from 0, and v < min(logs[:t - n]) for "better"."""
  *logs, v = figures
  t = len(logs)
  due = t > patience and v > min(logs[:t - patience])
  assert (averaging.better_epoch(figures, patience) is not None) == due


def training_pass(session, config=ASGD, precision="float32"):
  """Returns a training pass that is ready to run."""
  training = ptb_word_lm.stream_pass(
      "Train", config, VOCAB_SIZE, IDS, is_training=True,
      options=Options(precision=precision))
  initialize(session, training)
  return training


def run_steps(session, training, number):
  """Returns the parameters after each step: a list of dicts."""
  values = []
  for _ in range(number):
    session.run(training.advance)
    values.append(parameters(session))
  return values


def slots(session):
  """Returns the slots: a dict, name of the parameter -> array."""
  return {v.op.name.removeprefix("asgd/"): session.run(v)
          for v in tf.global_variables() if v.op.name.startswith("asgd/Model")}


def assert_close(values, expected):
  assert values.keys() == expected.keys()
  for name, value in values.items():
    np.testing.assert_allclose(value, expected[name], atol=2e-7, err_msg=name)


def mean(values):
  """Returns the mean of dicts of arrays, in float64."""
  return {name: np.mean([v[name].astype(np.float64) for v in values], axis=0)
          for name in values[0]}


def torch_asgd(values):
  """Returns the averages of torch.optim.ASGD with t0=0 and lambd=0.

  Args:
    values: the parameters after each step.
  """
  averages, mu = {}, 1.0
  for t, value in enumerate(values, 1):
    for name, array in value.items():
      average = averages.get(name, np.zeros_like(array, np.float64))
      averages[name] = average + mu * (array - average)
    mu = 1 / max(1, t)
  return averages


@pytest.mark.parametrize("changes", [
    {}, {"weight_decay": 0.1}, {"freeze": "embedding"}])
def test_slots_are_the_mean_of_the_parameters_after_each_step(session, changes):
  """Also in the rows of words that a window does not have."""
  training = training_pass(session, dataclasses.replace(ASGD, **changes))
  averages = training.model.averages
  before = run_steps(session, training, 2)[-1]
  assert not any(value.any() for value in slots(session).values())
  averages.after_epoch(session, WORSE)
  trained = {name: value for name, value in before.items()
             if name in slots(session)}
  assert ("Model/embedding" in trained) == ("freeze" not in changes)
  assert_close(slots(session), trained)
  values = [{name: value[name] for name in trained}
            for value in run_steps(session, training, 7)]
  assert_close(slots(session), mean(values))
  # PyTorch leaves the first step out, because its mu is late by one step.
  assert_close(torch_asgd(values), mean(values[1:]))
  for name in trained:
    assert (values[0][name] != values[-1][name]).any()


def test_the_steps_are_those_of_gradient_descent(session):
  training = training_pass(session)
  training.model.averages.after_epoch(session, WORSE)
  values = run_steps(session, training, 4)[-1]
  with tf.Graph().as_default(), tf.Session() as other:
    plain = training_pass(other, dataclasses.replace(ASGD, optimizer="sgd"))
    assert len(tf.global_variables()) < len(
        session.graph.get_collection("variables"))
    expected = run_steps(other, plain, 4)[-1]
  for name, value in values.items():
    assert (value == expected[name]).all()


def test_averages_and_trained_values_trade_places(session, capsys):
  training = training_pass(session)
  averages = training.model.averages
  first = run_steps(session, training, 1)[-1]
  with averages.swapped(session):  # there are none yet
    assert_close(parameters(session), first)
  averages.after_epoch(session, WORSE[:2])
  assert not capsys.readouterr().out
  averages.after_epoch(session, WORSE)
  averages.after_epoch(session, [*WORSE, 4.0])  # it does not begin once more
  assert capsys.readouterr().out == (
      "Averaging of the parameters begins, because validation was better in "
      "epoch 1 (asgd_patience=1)\n")
  with pytest.raises(ZeroDivisionError), averages.swapped(session):
    values = run_steps(session, training, 3)
    with averages.swapped(session):
      inner = parameters(session), slots(session)
    assert all((slots(session)[name] == inner[0][name]).all()
               for name in inner[0])
    raise ZeroDivisionError
  assert_close(inner[1], values[-1])
  for now, then in zip((parameters(session), slots(session)), inner,
                       strict=True):
    assert all((now[name] == then[name]).all() for name in then)
  assert_close(parameters(session), mean(values))


def test_a_step_that_float16_skips_counts(session):
  training = training_pass(session, precision="float16")
  (scale,) = (v for v in tf.global_variables()
              if v.op.name == "loss_scale/scale")
  training.model.averages.after_epoch(session, WORSE)
  values = run_steps(session, training, 2)
  scale.load(2.0 ** 60, session)
  values += run_steps(session, training, 1)
  assert_close(values[2], values[1])
  scale.load(1.0, session)
  values += run_steps(session, training, 1)
  assert_close(slots(session), mean(values))
