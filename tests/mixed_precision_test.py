"""Models that compute in 16 bits, and the scale of float16's cost."""

import contextlib
import dataclasses
import json
import re

import numpy as np
import pytest
from runs_test import StopAfter, assert_same_run, training_run

import checkpoints
import configs
import mixed_precision
import optimizers
import ptb_word_lm
import reader
import stops
from tensorflow_v1 import repeatable_session, tf

TINY = dataclasses.replace(
    configs.TEST, hidden_size=16, num_steps=6, batch_size=10, keep_prob=0.6,
    max_grad_norm=5)
IDS = np.random.default_rng(0).integers(0, 50, 400)


@contextlib.contextmanager
def started(precision, config=TINY):
  """A context with a session and the epoch of a TINY model."""
  with tf.Graph().as_default(), repeatable_session() as session:
    epoch = ptb_word_lm.Epoch(
        "Train", config, 50, IDS, is_training=True, precision=precision)
    session.run(tf.global_variables_initializer())
    epoch.load(session)
    yield session, epoch


@pytest.fixture(params=optimizers.OPTIMIZERS)
def float16(request):
  """A session, the epoch of a TINY model, and the two of its loss scale."""
  config = dataclasses.replace(
      TINY, optimizer=request.param,
      learning_rate=1 if request.param == "sgd" else 0.01)
  with started("float16", config) as (session, epoch):
    scale, steps = (v for v in tf.global_variables()
                    if v.op.name.startswith("loss_scale/"))
    yield session, epoch, scale, steps


@pytest.mark.slow
@pytest.mark.parametrize("precision, error", [
    ("bfloat16", 2e-2), ("float16", 2e-3)])
def test_steps_are_near_those_of_float32(precision, error):
  """Of the same masks, and with the scale divided out."""
  before, after, sums = {}, {}, {}
  for name in "float32", precision:
    with started(name) as (session, epoch):
      parameters = epoch.model.variables
      assert {v.dtype.base_dtype for v in parameters} == {tf.float32}
      assert epoch.model.outputs.dtype == name
      before[name] = session.run(parameters)
      for _ in range(3):
        sums[name] = session.run(epoch.advance)
      after[name] = session.run(parameters)
  for start, one, other in zip(
      before["float32"], after["float32"], after[precision], strict=True):
    difference = np.linalg.norm(other - one)
    assert 0 < difference < error * np.linalg.norm(one - start)
  for name, value in sums["float32"].items():
    assert sums[precision][name] == pytest.approx(value, rel=error)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_learns_as_float32_does(corpus_folder, precision):
  """For an epoch; later on the last bits of a step decide on more."""
  config = dataclasses.replace(TINY, keep_prob=1)
  corpus = reader.ptb_raw_data(corpus_folder)
  (row,), _ = ptb_word_lm.train(config, corpus, precision=precision)
  (expected,), _ = ptb_word_lm.train(config, corpus)
  assert row["valid_perplexity"] < 2.5 < 4 < row["train_perplexity"] < 9
  for name in "train_perplexity", "valid_perplexity":
    assert row[name] == pytest.approx(expected[name], rel=5e-3)


def test_a_step_that_overflows_is_left_out_and_the_scale_lowered(float16):
  session, epoch, scale, steps = float16
  session.run(epoch.advance)
  scale.load(2.0 ** 22, session)
  learned = [v for v in tf.global_variables() if v not in (scale, steps)
             and not v.op.name.startswith(("global_step", "Train/"))]
  before = session.run(learned)
  for lowered in (21, 20, 19):
    sums = session.run(epoch.advance)
    assert session.run([scale, steps]) == [2.0 ** lowered, 0]
    assert all(map(np.array_equal, before, session.run(learned)))
  # These are steps: the position moves on, and their words count.
  assert session.run(epoch.step) == 4
  assert sums["targets"] == 4 * 60
  norm = sums["grad_norm"]  # that of the first step
  assert 0 < norm < 2
  sums = session.run(epoch.advance)
  assert norm < sums["grad_norm"] < 4
  assert session.run([scale, steps]) == [2.0 ** 19, 1]
  after = session.run(epoch.model.variables)
  assert not any(map(np.array_equal, before, after))


def test_the_scale_doubles_after_steps_without_an_overflow(
    float16):
  session, epoch, scale, steps = float16
  for before, after in [((4, 0), (4, 1)), ((4, 1998), (4, 1999)),
                        ((4, 1999), (8, 0)), ((8, 0), (8, 1))]:
    scale.load(before[0], session)
    steps.load(before[1], session)
    session.run(epoch.advance)
    assert tuple(session.run([scale, steps])) == after


def test_what_overflows_at_any_scale_is_not_left_out(float16):
  session, epoch, scale, _ = float16
  scale.load(2.0, session)
  epoch.model.variables[-1].load(np.full(50, np.nan), session)
  assert session.run(epoch.advance)["grad_norm"] == 0
  assert session.run(scale) == 1
  assert not np.isfinite(session.run(epoch.advance)["grad_norm"])
  assert session.run(scale) == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision, optimizer", [
    ("bfloat16", "sgd"), ("float16", "sgd"), ("float16", "adam")])
def test_a_stopped_run_ends_in_the_same_bits(
    corpus_folder, tmp_path, monkeypatch, precision, optimizer):
  """Also where the scale is on its way down, or up."""
  monkeypatch.setattr(mixed_precision, "FIRST_SCALE", 2.0 ** 24)
  monkeypatch.setattr(mixed_precision, "STEPS_TO_DOUBLE", 4)
  train_ids, *others, vocabulary = reader.ptb_raw_data(corpus_folder)
  corpus = train_ids[:1200], *(ids[:120] for ids in others), vocabulary
  config = dataclasses.replace(TINY, max_max_epoch=2, optimizer=optimizer)
  undisturbed = training_run(tmp_path / "undisturbed", vocabulary)
  ptb_word_lm.train(config, corpus, undisturbed, precision=precision)
  run = training_run(tmp_path / "run", vocabulary)
  for windows in 2, 9, 99:
    try:
      ptb_word_lm.train(config, corpus, run, precision=precision,
                        check_stop=StopAfter(windows))
    except stops.Stopped:
      continue
  assert_same_run(undisturbed.path, run.path)


@pytest.mark.slow
def test_a_run_keeps_to_its_precision(corpus_folder, tmp_path, call_main,
                                      capsys):
  flags = ["--model=test", f"--data_path={corpus_folder}",
           f"--save_path={tmp_path}/run",
           "--config_override=hidden_size=32,init_scale=0.5"]
  assert call_main(*flags, "--use_bfloat16") == 0
  trained = capsys.readouterr().out
  with open(tmp_path / "run" / "config.json") as file:
    assert json.load(file)["precision"] == "bfloat16"
  for flag, other in ("--use_fp16", "float16"), ("--keep=3", "float32"):
    assert call_main(*flags, flag) == 1
    assert (f"differs in precision (bfloat16 there, {other} here); repeat its "
            "flags") in capsys.readouterr().err
  run = f"--save_path={tmp_path}/run"
  assert call_main(run, "--mode=eval") == 0
  assert (re.findall("(?:Valid|Test) Perplexity: .*", trained)
          == re.findall("(?:Valid|Test) Perplexity: .*",
                        capsys.readouterr().out))
  assert call_main(run, "--mode=eval", "--use_fp16") == 1
  assert "--use_fp16: --mode=eval takes it from the run" in (
      capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_older_than_the_setting_goes_on(corpus_folder, tmp_path):
  """Its config.json and its checkpoints do not say that it is of float32."""
  corpus = reader.ptb_raw_data(corpus_folder)
  path, vocabulary = tmp_path / "run", corpus[-1]
  ptb_word_lm.train(configs.TEST, corpus, training_run(path, vocabulary))
  newer = training_run(path, vocabulary, precision="float32")
  more = dataclasses.replace(configs.TEST, max_max_epoch=2)
  rows, _ = ptb_word_lm.train(more, corpus, newer)
  assert len(rows) == 2
  with pytest.raises(checkpoints.RunError, match=(
      r"differs in precision \(float32 there, float16 here\)")):
    with training_run(path, vocabulary, precision="float16").open():
      pass


def test_a_precision_that_is_none_cannot_be_evaluated(
    corpus_folder, tmp_path, call_main, capsys):
  run = f"--save_path={tmp_path}/run"
  assert call_main("--model=test", f"--data_path={corpus_folder}", run) == 0
  path = tmp_path / "run" / "config.json"
  path.write_text(path.read_text().replace("float32", "float31"))
  assert call_main(run, "--mode=eval") == 1
  assert ("config.json holds cannot be used: precision float31\n"
          in capsys.readouterr().err)
