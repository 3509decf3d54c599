"""The language model of characters, from texts in each of their forms."""

import bz2
import gzip
import lzma
import math
import re

import pytest
from runs_test import StopAfter, assert_same_run
from script_test import assert_one_line

import checkpoints
import configs
import generate
import ptb_word_lm
import reader
import score
import stops
from tasks import char_lm

LINES = [f"we train net {i} on {i * 7 % 13} data, 'twas so." for i in range(60)]
SMALL = ("--config_override=hidden_size=12,batch_size=4,num_steps=10,"
         "epoch_size=40,max_max_epoch=2")
HEADER = "\tabstract\tacm_class\ttitle\n"


def text_of(split):
  """The lines of LINES that are in a split, each with its end."""
  places = {"valid": [9], "test": [19],
            "train": [i for i in range(20) if i not in (9, 19)]}[split]
  return "".join(f"{line}\n" for i, line in enumerate(LINES)
                 if i % 20 in places)


def decoded(texts, vocabulary):
  return {split: vocabulary.join(vocabulary.decode(text.ids))
          for split, text in texts.items()}


EXPECTED = {split: text_of(split) for split in reader.SPLITS}
FORMS = {
    "text": lambda text: text.encode(),
    "without the last newline": lambda text: text.encode()[:-1],
    "of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "with a mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "table": lambda text: lzma.compress((HEADER + "".join(
        f'{i}\t"{line}"\tx\tA title\n'
        for i, line in enumerate(text.splitlines()))).encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_a_text(tmp_path, form):
  path = tmp_path / "text"
  path.write_bytes(FORMS[form]("".join(f"{line}\n" for line in LINES)))
  texts, vocabulary = char_lm.read_corpus(str(path))
  assert decoded(texts, vocabulary) == EXPECTED
  assert isinstance(vocabulary, reader.Characters)
  assert vocabulary.words[0] == " "  # the most frequent
  assert set(vocabulary.words) == {
      reader.EOS, reader.UNK, *EXPECTED["train"].replace("\n", "")}


def test_a_text_of_one_line_is_held_out_in_parts(tmp_path):
  parts = [f"{3 * i:5}" * 2000 for i in range(40)]
  (tmp_path / "text").write_text("".join(parts))
  texts, vocabulary = char_lm.read_corpus(str(tmp_path / "text"))
  found = decoded(texts, vocabulary)
  assert found["valid"] == parts[9] + parts[29]
  assert found["test"] == parts[19] + parts[39] + "\n"
  assert found["train"].startswith(parts[0] + parts[1])


def test_a_folder_of_texts(tmp_path):
  for split in reader.SPLITS:
    (tmp_path / f"{split}.txt").write_text(f"  a_b {split[0]}\n")
  texts, vocabulary = char_lm.read_corpus(str(tmp_path))
  assert decoded(texts, vocabulary)["train"] == "  a_b t\n"
  assert texts["valid"].unknown == 1  # the v


def test_the_penn_treebank_as_characters(tmp_path):
  for split in reader.SPLITS:
    (tmp_path / f"ptb.char.{split}.txt").write_text(
        "n o _ i t \n < u n k > \n ")
  texts, vocabulary = char_lm.read_corpus(str(tmp_path))
  assert set(decoded(texts, vocabulary).values()) == {"no it\n<unk>\n"}


BAD = {
    "empty": (b"", "no line is left for train; at least 20 lines are needed"),
    "short": (b"a\n" * 9, "no line is left for valid; at least 20 lines are"),
    "latin 1": (b"\xff\n" * 40, "not UTF-8 text"),
    "gzip": (gzip.compress(b"abc\n" * 99)[:-9], "cut off or garbled"),
    "xz": (lzma.compress(b"abc\n" * 99)[:-9], "cut off or garbled"),
    "bzip2": (bz2.compress(b"abc\n" * 99)[:-9], "cut off or garbled"),
    "no bzip2": (b"BZh9 no bzip2", "cut off or garbled"),
    "missing": (None, "No such file or directory"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_texts_get_one_line(tmp_path, call_script, capsys, name):
  content, message = BAD[name]
  path = tmp_path / "text"
  if content is not None:
    path.write_bytes(content)
  assert call_script(char_lm, f"--data_path={path}") == 1
  assert_one_line(capsys.readouterr().err, "char_lm.py", f"{path}: {message}")


def test_without_a_text(call_script, capsys):
  assert call_script(char_lm) == 1
  assert_one_line(capsys.readouterr().err, "char_lm.py",
                  "--data_path: name a text, or cs.NE.tsv.xz from https://")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
  path = tmp_path_factory.mktemp("text") / "text.txt"
  path.write_text("".join(f"{line}\n" for line in LINES))
  return str(path)


def test_end_to_end(text, tmp_path, call_script, capsys):
  """Train, see that it learned, score and generate."""
  run = f"{tmp_path}/run"
  assert call_script(
      char_lm, f"--data_path={text}", f"--save_path={run}", SMALL) == 0
  out = capsys.readouterr().out
  train, valid, test = map(float, re.search(
      r"this run +([\d.]+) +([\d.]+) +([\d.]+)\n", out).groups())
  assert train < valid + 0.5 and valid < 4.3 and test < 4.3  # log2(32) is 5
  logged = float(re.search(r"Test Bits Per Character: ([\d.]+)", out)[1])

  # As the log says, by another way: score.py's perplexity is 2 ** bits.
  held_out = tmp_path / "test.txt"
  held_out.write_text(EXPECTED["test"])
  assert call_script(score, f"--save_path={run}", f"--text={held_out}",
                     "--state=carry") == 0
  found = capsys.readouterr().err.splitlines()[-1].split()[-2]
  assert math.log2(float(found)) == pytest.approx(logged, abs=2e-3)

  assert call_script(generate, f"--save_path={run}", "--prompt=we train",
                     "--num_words=30", "--temperature=0.5") == 0
  written = capsys.readouterr().out
  assert written.startswith("we train") and len(written) == 8 + 30 + 1
  # The state carries: to go on from what was written is to write it on.
  assert call_script(generate, f"--save_path={run}", "--temperature=0",
                     "--prompt=we train net", "--num_words=20") == 0
  whole = capsys.readouterr().out[:-1]
  assert call_script(generate, f"--save_path={run}", "--temperature=0",
                     f"--prompt={whole[:22]}", "--num_words=10") == 0
  assert capsys.readouterr().out[:-1] == whole


def test_a_run_of_characters_is_none_of_words(
    text, tmp_path, call_script, call_main, capsys):
  run = f"{tmp_path}/run"
  assert call_script(char_lm, f"--data_path={text}", f"--save_path={run}",
                     SMALL.replace("epoch=2", "epoch=1")) == 0
  capsys.readouterr()
  assert call_main("--mode=eval", f"--save_path={run}") == 1
  assert_one_line(capsys.readouterr().err, "ptb_word_lm.py",
                  "is no model of words")
  assert call_script(score, f"--save_path={run}", f"--text={text}",
                     "--with_ids") == 1
  assert_one_line(capsys.readouterr().err, "score.py", "--with_ids")


@pytest.mark.slow
def test_stopped_anywhere_it_ends_in_the_same_bits(text, tmp_path):
  """With Adam's moments, and an epoch that ends within the text."""
  texts, vocabulary = char_lm.read_corpus(text)
  corpus = (*(t.ids for t in texts.values()), vocabulary)
  config = configs.override(configs.CHAR_LM, SMALL.partition("=")[2])

  def run_at(name):
    return checkpoints.TrainingRun(
        f"{tmp_path}/{name}", {}, vocabulary, metric=char_lm.BITS.name)

  ptb_word_lm.train(config, corpus, run_at("undisturbed"), metric=char_lm.BITS)
  stopped = 0
  for windows in (3, 33, 7, 9, 200):
    try:
      ptb_word_lm.train(config, corpus, run_at("run"), metric=char_lm.BITS,
                        check_stop=StopAfter(windows))
    except stops.Stopped:
      stopped += 1
  assert stopped == 4
  assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


@pytest.mark.parametrize("text_, characters", [
    ("ab c", ["a", "b", " ", "c"]), ("a\nb", ["a", reader.EOS, "b"]),
    ("a\r\nb\rc", ["a", reader.EOS, "b", reader.EOS, "c"]),
    ("<eos>", list("<eos>")), ("", []), ("\u2028\t", ["\u2028", "\t"])])
def test_characters_split_and_join(text_, characters):
  assert reader.Characters.split(text_) == characters
  assert reader.Characters.join(characters) == "\n".join(
      text_.replace("\r\n", "\n").split("\r"))


def test_a_vocabulary_of_characters_is_saved_and_loaded(tmp_path):
  words = (reader.EOS, reader.UNK, " ", "\t", "\u00a0", "\u2028", "<", "\ufeff")
  path = tmp_path / "vocab.txt"
  reader.Characters(words).save(path)
  assert reader.Characters.load(path).words == words
