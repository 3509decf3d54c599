"""Perplexity without unknown words, if training never saw any."""

import logging
import math
from unittest import mock

import numpy as np
import pytest

import configs
import ptb_word_lm
import reader
from rnn.text.vocabulary import EOS, UNK, Vocabulary
from rnn.tf1 import repeatable_session, tf
from rnn.training.known_words import KnownWords
from tests.helpers.calls import assert_one_line

WORDS = Vocabulary(("a", "b", "c", EOS, UNK))
TRAIN = [0, 1, 2, 3, 0, 2, 3, 1, 0, 3]


def texts_of(**splits):
  return {name: reader.Text(np.array(ids, np.int32), 0, {}, None)
          for name, ids in splits.items()}


def test_unknown_targets_do_not_count():
  held_out = [0, 4, 1, 2, 4, 4, 3, 0]  # 4: <unk>
  texts = texts_of(train=TRAIN, valid=held_out, test=held_out)
  known = KnownWords(texts, WORDS)
  config = configs.override(configs.TEST, "num_steps=9,batch_size=1")

  def make_model(*args, **kwargs):
    return ptb_word_lm.PTBModel(config, len(WORDS), *args, **kwargs)

  with tf.Graph().as_default(), repeatable_session() as session:
    known.add_passes(make_model, {
        name: (config, texts[name].ids) for name in ("valid", "test")})
    ids = np.array(held_out, np.int32)[:, None]
    losses = make_model(ids[:-1], ids[1:]).losses
    session.run([tf.global_variables_initializer(),
                 tf.local_variables_initializer()])
    known.measure(session, None)
    expected = [loss for loss, target in zip(
        session.run(losses)[:, 0], held_out[1:], strict=True) if target != 4]
  assert len(expected) == 4
  perplexity = math.exp(math.fsum(expected) / 4)
  assert known.figures == pytest.approx(
      {"valid": perplexity, "test": perplexity}, rel=1e-6)


def test_measuring_can_be_stopped_after_each_window():
  held_out = [0, 4, 1, 2, 4, 4, 3, 0]
  known = KnownWords(
      texts_of(train=TRAIN, valid=held_out, test=held_out), WORDS)
  config = configs.override(
      configs.TEST, "num_steps=2,batch_size=1,max_max_epoch=1")
  without, with_known = (mock.Mock(return_value=None) for _ in range(2))
  for check_stop, measured in (without, None), (with_known, known):
    ptb_word_lm.train(config, (TRAIN, held_out, held_out, WORDS),
                      check_stop=check_stop, known=measured)
  windows = 4  # of two words, of valid and of test
  assert with_known.call_count == without.call_count + 2 * windows


def test_a_split_that_is_too_short_has_its_name():
  known = KnownWords(texts_of(train=TRAIN, valid=[4], test=[4, 4]), WORDS)
  with pytest.raises(reader.DataError, match="^valid: at least 2 tokens"):
    ptb_word_lm.train(
        configs.TEST, (TRAIN * 9, [4], [4, 4], WORDS), known=known)


@pytest.mark.parametrize("train, valid", [
    (TRAIN, [0, 1, 3]),  # nothing is unknown
    ([*TRAIN, 4], [0, 4, 1]),  # training has learned <unk>
])
def test_nothing_is_measured_if_training_has_learned_it(train, valid):
  known = KnownWords(texts_of(train=train, valid=valid, test=[0, 1]), WORDS)
  known.add_passes(pytest.fail, {"valid": (configs.TEST, valid)})
  known.measure(None, None)
  assert known.rows() == {}


def test_a_split_of_unknown_words_has_no_figure():
  texts = texts_of(train=TRAIN, valid=[4, 4, 4], test=[0, 4, 1])
  known = KnownWords(texts, WORDS)
  with tf.Graph().as_default(), repeatable_session() as session:
    known.add_passes(
        lambda *args, **kwargs: ptb_word_lm.PTBModel(
            configs.TEST, len(WORDS), *args, **kwargs),
        {name: (configs.TEST, texts[name].ids) for name in ("valid", "test")})
    session.run([tf.global_variables_initializer(),
                 tf.local_variables_initializer()])
    known.measure(session, None)
  (row,) = known.rows().values()
  assert row[:2] == (None, None) and row[2] == pytest.approx(5, abs=0.5)


def test_the_script_warns_and_shows_both(tmp_path, call_main, capsys):
  for split, last in ("train", "c"), ("valid", "d"), ("test", "e"):
    (tmp_path / f"{split}.txt").write_text(f"a b {last}\nb a\n" * 30)
  arguments = ["--model=test", f"--data_path={tmp_path}",
               f"--save_path={tmp_path}/run"]
  # The second time, the ids are those that were saved, and the vocabulary
  # cannot change.
  for advice in "; min_count=2 or a smaller vocab_size turns rare", "":
    assert call_main(*arguments) == 0
    out, err = capsys.readouterr()
    assert_one_line(err, "ptb_word_lm.py", (
        "warning: 14.3% of valid and 14.3% of test are unknown words, read as "
        "<unk>, which train lacks, so that training cannot learn it" + advice))
    assert bool(advice) == ("min_count" in err)
    rows = [line.split()[-3:] for line in out.splitlines()
            if line.startswith("this run")]
    assert [len(rows), rows[1][0]] == [2, "-"]
    for column in 1, 2:
      assert float(rows[1][column]) < float(rows[0][column])
  # With a vocabulary in which <unk> occurs, neither is there.
  assert call_main("--model=test", f"--data_path={tmp_path}",
                   "--vocab_size=4") == 0
  out, err = capsys.readouterr()
  assert not err and out.count("this run") == 1


def test_saved_ids_are_for_one_choice(tmp_path, call_main, caplog):
  caplog.set_level(logging.INFO)
  for split in reader.SPLITS:
    (tmp_path / f"{split}.txt").write_text("a b a c\nb a\n" * 30)
  run = f"{tmp_path}/run"
  arguments = ["--model=test", f"--data_path={tmp_path}", f"--save_path={run}"]
  assert call_main(*arguments, "--vocab_size=4") == 0
  saved = ptb_word_lm.RunDirectory(run)
  texts, vocabulary = saved.saved_texts(
      str(tmp_path), choice=reader.Choice(size=4))
  assert vocabulary.words == ("a", EOS, "b", UNK)
  assert texts["train"].ids[:5].tolist() == [0, 2, 0, 3, 1]
  for choice in reader.Choice(), reader.Choice(size=5), reader.Choice(WORDS):
    assert saved.saved_texts(str(tmp_path), choice=choice) is None
  assert call_main(*arguments, "--vocab_size=5") == 1  # another run
