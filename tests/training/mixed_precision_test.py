"""Models in 16 bits, and the loss scale of float16."""

import contextlib
import dataclasses
import json
import re

import numpy as np
import pytest

import configs
import ptb_word_lm
import reader
from rnn import signals
from rnn.options import Options
from rnn.runs import checkpoints
from rnn.tf1 import repeatable_session, tf
from rnn.training import mixed_precision, optimizers
from tests.helpers.calls import assert_refused
from tests.helpers.run_folders import StopAfter, assert_same_run, training_run

TINY = dataclasses.replace(
    configs.TEST, hidden_size=16, num_steps=6, batch_size=10, keep_prob=0.6,
    max_grad_norm=5)
IDS = np.random.default_rng(0).integers(0, 50, 400)


@contextlib.contextmanager
def training_pass(precision, config=TINY):
  """A context with a session, and the training pass of a TINY model."""
  with tf.Graph().as_default(), repeatable_session() as session:
    training = ptb_word_lm.stream_pass(
        "Train", config, 50, IDS, is_training=True,
        options=Options(precision=precision))
    session.run(tf.global_variables_initializer())
    training.load(session)
    yield session, training


@pytest.fixture(params=optimizers.OPTIMIZERS)
def float16(request):
  """A session, a training pass, and the variables "scale" and "steps"."""
  config = dataclasses.replace(
      TINY, optimizer=request.param, weight_decay=0.01,
      learning_rate=1 if request.param == "sgd" else 0.01)
  with training_pass("float16", config) as (session, training):
    scale, steps = (v for v in tf.global_variables()
                    if v.op.name.startswith("loss_scale/"))
    yield session, training, scale, steps


@pytest.mark.slow
@pytest.mark.parametrize("precision, error", [
    ("bfloat16", 2e-2), ("float16", 2e-3)])
def test_steps_are_near_float32(precision, error):
  """The dropout masks are the same, and float16's scale is divided out."""
  before, after, sums = {}, {}, {}
  for name in "float32", precision:
    with training_pass(name) as (session, training):
      parameters = training.model.variables
      assert {v.dtype.base_dtype for v in parameters} == {tf.float32}
      assert training.model.outputs.dtype == name
      before[name] = session.run(parameters)
      for _ in range(3):
        sums[name] = session.run(training.advance)
      after[name] = session.run(parameters)
  for start, one, other in zip(
      before["float32"], after["float32"], after[precision], strict=True):
    difference = np.linalg.norm(other - one)
    assert 0 < difference < error * np.linalg.norm(one - start)
  for name, value in sums["float32"].items():
    assert sums[precision][name] == pytest.approx(value, rel=error)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_dropout_scales_in_float32(precision):
  """Rounding 1 / keep_prob to 16 bits would scale all units a bit wrongly.

  The parameters open the gates i and o and close f, so h is tanh(1), whatever
  the layer reads.
  """
  config = dataclasses.replace(TINY, num_steps=1, keep_prob=0.85)
  with tf.Graph().as_default(), tf.Session() as session:
    model = ptb_word_lm.PTBModel(
        config, 50, *2 * [tf.zeros([1, 10], tf.int32)], is_training=True,
        step=tf.constant(0, tf.int64), options=Options(precision=precision))
    session.run(tf.global_variables_initializer())
    for variable in model.variables:
      value = np.zeros(variable.shape)
      if variable.op.name.endswith("/bias"):
        value = np.repeat([99, 99, -99, 99], 16)
      variable.load(value, session)
    outputs = session.run(model.outputs)
  dtype = outputs.dtype.type
  h, scale = (np.float32(dtype(x)) for x in (np.tanh(1), 1 / 0.85))
  expected = dtype(dtype(np.tanh(1)).astype("f") / np.float32(0.85))
  assert expected != dtype(h * scale)  # so this test would notice
  assert set(np.unique(outputs)) == {dtype(0), expected}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_learns_like_float32(corpus_folder, precision):
  """Compares one epoch. Later, small differences grow."""
  config = dataclasses.replace(TINY, keep_prob=1)
  corpus = reader.ptb_raw_data(corpus_folder)
  (row,), _ = ptb_word_lm.train(
      config, corpus, options=Options(precision=precision))
  (expected,), _ = ptb_word_lm.train(config, corpus)
  assert row["valid_perplexity"] < 2.5 < 4 < row["train_perplexity"] < 9
  for name in "train_perplexity", "valid_perplexity":
    assert row[name] == pytest.approx(expected[name], rel=5e-3)


def test_a_step_that_overflows_is_skipped_and_the_scale_halved(float16):
  session, training, scale, steps = float16
  session.run(training.advance)
  scale.load(2.0 ** 22, session)
  trained = [v for v in tf.global_variables() if v not in (scale, steps)
             and not v.op.name.startswith(("global_step", "Train/"))]
  before = session.run(trained)
  for exponent in (21, 20, 19):
    sums = session.run(training.advance)
    assert session.run([scale, steps]) == [2.0 ** exponent, 0]
    assert all(map(np.array_equal, before, session.run(trained)))
  # Skipped steps count: the position moves on, and their words are scored.
  assert session.run(training.step) == 4
  assert sums["targets"] == 4 * 60
  norm = sums["grad_norm"]  # of the first step; the skipped steps add 0
  assert 0 < norm < 2
  sums = session.run(training.advance)
  assert norm < sums["grad_norm"] < 4
  assert session.run([scale, steps]) == [2.0 ** 19, 1]
  after = session.run(training.model.variables)
  assert not any(map(np.array_equal, before, after))


def test_the_first_scale_keeps_gradients_below_the_range_of_float16():
  tiny = 2.0 ** -24 / 2 ** 15  # 2 ** -24 is the smallest float16
  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.get_variable("v", initializer=1.0, use_resource=True)
    low = tf.cast(variable.read_value(), tf.float16)
    (gradient,), _, _ = mixed_precision.scaled_gradients(
        tiny * tf.cast(low, tf.float32),
        lambda cost: tf.gradients(cost, [variable]))
    session.run(tf.global_variables_initializer())
    assert session.run(gradient) == tiny


def test_the_scale_doubles_after_2000_steps_without_an_overflow(float16):
  session, training, scale, steps = float16
  for before, after in [((4, 0), (4, 1)), ((4, 1998), (4, 1999)),
                        ((4, 1999), (8, 0)), ((8, 0), (8, 1))]:
    scale.load(before[0], session)
    steps.load(before[1], session)
    session.run(training.advance)
    assert tuple(session.run([scale, steps])) == after


def test_a_step_that_overflows_at_scale_1_is_not_skipped(float16):
  session, training, scale, _ = float16
  scale.load(2.0, session)
  training.model.variables[-1].load(np.full(50, np.nan), session)
  assert session.run(training.advance)["grad_norm"] == 0
  assert session.run(scale) == 1
  assert not np.isfinite(session.run(training.advance)["grad_norm"])
  assert session.run(scale) == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision, optimizer", [
    ("bfloat16", "sgd"), ("float16", "sgd"), ("float16", "adam")])
def test_a_stopped_run_ends_in_the_same_bits(
    corpus_folder, tmp_path, monkeypatch, precision, optimizer):
  """The scale first falls and then rises, so runs stop in both phases."""
  monkeypatch.setattr(mixed_precision, "FIRST_SCALE", 2.0 ** 24)
  monkeypatch.setattr(mixed_precision, "STEPS_TO_DOUBLE", 4)
  train_ids, *others, vocabulary = reader.ptb_raw_data(corpus_folder)
  corpus = train_ids[:1200], *(ids[:120] for ids in others), vocabulary
  config = dataclasses.replace(TINY, max_max_epoch=2, optimizer=optimizer)
  undisturbed = training_run(tmp_path / "undisturbed", vocabulary)
  options = Options(precision=precision)
  ptb_word_lm.train(config, corpus, undisturbed, options)
  run = training_run(tmp_path / "run", vocabulary)
  for windows in 2, 9, 99:
    try:
      ptb_word_lm.train(config, corpus, run, options,
                        check_stop=StopAfter(windows))
    except signals.Stopped:
      continue
  assert_same_run(undisturbed.path, run.path)


@pytest.mark.slow
def test_a_run_keeps_its_precision(
    corpus_folder, tmp_path, call_main, capsys):
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run",
           "--config_override=hidden_size=32,init_scale=0.5"]
  assert call_main(*flags, "--use_bfloat16") == 0
  trained = capsys.readouterr().out
  with open(tmp_path / "run" / "config.json") as file:
    assert json.load(file)["precision"] == "bfloat16"
  for flag, other in (("--use_fp16", "float16"),
                      ("--nouse_bfloat16", "float32")):
    assert call_main(*flags, flag) == 1
    assert_refused(capsys.readouterr().err, "ptb_word_lm.py",
                   rf"precision \(bfloat16 there, {other} here\)")
  run = f"--save_path={tmp_path}/run"
  assert call_main(run, "--mode=eval") == 0
  assert (re.findall("(?:Valid|Test) Perplexity: .*", trained)
          == re.findall("(?:Valid|Test) Perplexity: .*",
                        capsys.readouterr().out))
  assert call_main(run, "--mode=eval", "--use_fp16") == 1
  assert "--use_fp16: has no effect with --mode=eval" in (
      capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_older_than_the_setting_resumes_in_float32(
    corpus_folder, tmp_path):
  """Its config.json and its checkpoints mention no precision."""
  corpus = reader.ptb_raw_data(corpus_folder)
  path, vocabulary = tmp_path / "run", corpus[-1]
  ptb_word_lm.train(configs.TEST, corpus, training_run(path, vocabulary))
  newer = training_run(path, vocabulary, precision="float32")
  more = dataclasses.replace(configs.TEST, max_max_epoch=2)
  rows, _ = ptb_word_lm.train(more, corpus, newer)
  assert len(rows) == 2
  with pytest.raises(checkpoints.RunError, match=(
      r"\n  precision \(float32 there, float16 here\)")):
    with training_run(path, vocabulary, precision="float16").open():
      pass


def test_a_run_with_an_unknown_precision_is_refused(
    corpus_folder, tmp_path, call_main, capsys):
  run = f"--save_path={tmp_path}/run"
  assert call_main("--model=test", f"--data_path={corpus_folder}", run) == 0
  path = tmp_path / "run" / "config.json"
  path.write_text(path.read_text().replace("float32", "float31"))
  assert call_main(run, "--mode=eval") == 1
  assert ("config.json: precision=float31: must be one of float32, bfloat16, "
          "float16\n"
          in capsys.readouterr().err)
