"""Training on an indexed text: the same model, resumed to the same bits."""

import dataclasses
import os

import pytest

import configs
import ptb_word_lm
import reader
from rnn import signals
from rnn.errors import DataError
from rnn.options import Options
from rnn.runs.directory import RunDirectory
from rnn.text import indexing, shards, sources, streams
from rnn.text.vocabulary import Choice
from tests.helpers.calls import assert_one_line
from tests.helpers.run_folders import StopAfter, assert_same_run, training_run

CONFIG = dataclasses.replace(
    configs.TEST, keep_prob=0.5, num_steps=5, hidden_size=4, max_max_epoch=2)


def make_index(corpus_folder, output, most):
  """Indexes a corpus; returns the folder."""
  indexing.index(indexing.Task(
      str(output), {split: sources.of_file(f"{corpus_folder}/{split}.txt")
                    for split in reader.SPLITS}, Choice(), 0.01, most, 1))
  return str(output)


def corpus_of(folder):
  """Returns train, valid, test and vocabulary."""
  texts, vocabulary = reader.read_corpus(folder)
  return (*(text.ids for text in texts.values()), vocabulary)


@pytest.mark.parametrize("window_jitter", [
    0.0, pytest.param(1.5, marks=pytest.mark.slow)])
def test_a_run_on_shards_ends_in_the_same_bits(
    corpus_folder, tmp_path, monkeypatch, window_jitter):
  """Stopped within epochs, within parts, and in validation."""
  config = dataclasses.replace(CONFIG, window_jitter=window_jitter)
  monkeypatch.setattr(streams, "_TOKENS", 700)  # parts of 7 windows
  corpus = corpus_of(make_index(corpus_folder, tmp_path / "index", 1000))
  assert len(corpus[0]._shards) > 5
  undisturbed = training_run(tmp_path / "undisturbed", corpus[-1])
  ptb_word_lm.train(config, corpus, undisturbed, Options(seed=5))
  run = training_run(tmp_path / "run", corpus[-1])
  steps = []
  for windows in (3, 9, 25, 999):
    # As after a kill, nothing is left but the files.
    corpus = corpus_of(str(tmp_path / "index"))
    try:
      ptb_word_lm.train(config, corpus, run, Options(seed=5),
                        check_stop=StopAfter(windows))
    except signals.Stopped:
      steps.append(run.checkpoints()[0].step)
  assert steps[:2] == [3, 12] and len(steps) == 3
  assert_same_run(undisturbed.path, run.path)


def test_a_shard_that_cannot_be_read_loses_no_step(
    corpus_folder, tmp_path, monkeypatch):
  monkeypatch.setattr(streams, "_TOKENS", 700)
  folder = make_index(corpus_folder, tmp_path / "index", 1000)
  corpus = corpus_of(folder)
  read, left = shards.Shard.read, [30]

  def fail(*args):
    left[0] -= 1
    if not left[0]:
      raise DataError("shard: gone")
    return read(*args)

  monkeypatch.setattr(shards.Shard, "read", fail)
  run = training_run(tmp_path / "run", corpus[-1])
  with pytest.raises(DataError, match="shard: gone"):
    ptb_word_lm.train(CONFIG, corpus, run, Options(seed=5))
  checkpoint = run.checkpoints()[0]
  assert checkpoint.step > 0 and not checkpoint.epoch
  ptb_word_lm.train(CONFIG, corpus, run, Options(seed=5))
  monkeypatch.undo()
  monkeypatch.setattr(streams, "_TOKENS", 700)
  undisturbed = training_run(tmp_path / "undisturbed", corpus[-1])
  ptb_word_lm.train(CONFIG, corpus, undisturbed, Options(seed=5))
  assert_same_run(undisturbed.path, run.path)


def test_sentences_of_an_indexed_text_are_refused(
    corpus_folder, tmp_path, call_main, capsys):
  index = make_index(corpus_folder, tmp_path / "index", 10**6)
  assert call_main("--model=test", f"--data_path={index}",
                   "--config_override=reset_state=true") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", (
      "train: reset_state=true: .* indexed text .*; name the text itself, or "
      "set reset_state=false"))


def test_one_shard_trains_the_same_model_as_the_text(
    corpus_folder, tmp_path, call_main, capsys):
  index = make_index(corpus_folder, tmp_path / "index", 10**6)
  flags = ["--model=test", "--config_override=hidden_size=8,keep_prob=0.7,"
           "max_max_epoch=1,num_steps=20"]
  outputs = []
  for name, path in ("text", corpus_folder), ("index", index):
    assert call_main(*flags, f"--data_path={path}",
                     f"--save_path={tmp_path}/{name}/run") == 0
    outputs.append(capsys.readouterr().out.splitlines()[:-1])
  assert_same_run(tmp_path / "text" / "run", tmp_path / "index" / "run")
  # Apart from times, also the numbers of words and unknown words.
  assert len(outputs[0]) == len(outputs[1]) and outputs[0][:4] == outputs[1][:4]
  run = tmp_path / "index" / "run"
  assert not {"ids.int32", "ids.json"} & set(os.listdir(run))
  stored = RunDirectory(str(run)).content()["data"]
  assert stored["path"] == index and stored["split"] == "by its files"
  # It resumes from the path alone, and is evaluated on the same data.
  assert call_main(f"--save_path={run}", "--epochs=2") == 0
  assert "resuming at epoch 2" in capsys.readouterr().out
  assert call_main(f"--save_path={run}", "--mode=eval") == 0
  assert "epoch 2, the last" in capsys.readouterr().out
  for flags in ([f"--data_path={index}"], [f"--save_path={run}", "--mode=eval"],
                [f"--data_path={index}", f"--save_path={run}", "--mode=eval"]):
    assert call_main(*flags, "--encoding=gbk") == 1
    assert_one_line(capsys.readouterr().err, "ptb_word_lm.py", "--encoding: "
                    "has no effect with an indexed text; leave it out")


def test_another_index_is_refused(corpus_folder, tmp_path, call_main, capsys):
  flags = ["--model=test", f"--save_path={tmp_path}/run",
           "--config_override=max_max_epoch=1,num_steps=20"]
  one, other = (make_index(corpus_folder, tmp_path / str(most), most)
                for most in (10**6, 1000))
  assert call_main(*flags, f"--data_path={one}") == 0
  capsys.readouterr()
  assert call_main(*flags, f"--data_path={other}") == 1
  assert "  data.train.sha256 (" in capsys.readouterr().err
  assert call_main(*flags, f"--data_path={one}", "--vocab_size=9") == 1
  assert "not indexed with vocab_size=9; leave it out, or index the text " \
      "again (--vocab_size)\n" in capsys.readouterr().err


def test_a_text_that_is_too_short_is_refused(corpus_folder, tmp_path):
  corpus = corpus_of(make_index(corpus_folder, tmp_path / "index", 1000))
  config = dataclasses.replace(CONFIG, num_steps=1000)
  with pytest.raises(reader.DataError, match="train: .* tokens are too few"):
    ptb_word_lm.train(config, corpus)
