"""Corpora as ids: a single text is split, and the vocabulary is chosen."""

import collections

import pytest

import reader
from rnn.errors import DataError
from rnn.text.vocabulary import EOS, UNK, Characters, Choice, Vocabulary
from tests.helpers.texts import data_error

# c and e are rare in train; d, once in train, is as rare.
TRAIN = "a b a c\na b d e\na e b\n"


@pytest.fixture
def corpus(tmp_path):
  folder = tmp_path / "corpus"
  folder.mkdir()
  (folder / "train.txt").write_text(TRAIN)
  (folder / "valid.txt").write_text("a c f\n")
  (folder / "test.txt").write_text("b e\n")
  return folder


def words_of(texts, vocabulary):
  return {split: " ".join(vocabulary.decode(text.ids))
          for split, text in texts.items()}


def test_rare_words_become_unknown(corpus):
  texts, vocabulary = reader.read_corpus(
      str(corpus), choice=Choice(min_count=2))
  # a: 4; <eos>, b: 3; <unk> (c, d), e: 2.
  assert vocabulary.words == ("a", EOS, "b", UNK, "e")
  assert words_of(texts, vocabulary) == {
      "train": "a b a <unk> <eos> a b <unk> e <eos> a e b <eos>",
      "valid": "a <unk> <unk> <eos>", "test": "b e <eos>"}
  assert [text.unknown for text in texts.values()] == [2, 2, 0]


def test_the_vocabulary_size_counts_the_marks(corpus):
  _, vocabulary = reader.read_corpus(str(corpus), choice=Choice(size=4))
  assert vocabulary.words == (UNK, "a", EOS, "b")  # c, d, e, e are unknown
  _, vocabulary = reader.read_corpus(str(corpus), choice=Choice(size=99))
  assert vocabulary == reader.read_corpus(str(corpus))[1]


def test_choosing_is_like_reading_a_prepared_text(corpus):
  """Rare words that the file itself replaces give the same ids."""
  chosen, words = reader.read_corpus(str(corpus), choice=Choice(min_count=2))
  counts = collections.Counter(TRAIN.split())
  (corpus / "train.txt").write_text("".join(
      " ".join(word if counts[word] > 1 else UNK for word in line.split())
      + "\n" for line in TRAIN.splitlines()))
  prepared, same = reader.read_corpus(str(corpus))
  assert words == same
  for split in reader.SPLITS:
    assert (chosen[split].ids == prepared[split].ids).all()


def test_a_given_list_keeps_its_order(corpus):
  path = corpus / "list"
  path.write_text("e\nzz\na\n")
  given = Vocabulary.load_list(str(path))
  assert given.words == ("e", "zz", "a", UNK, EOS)
  texts, vocabulary = reader.read_corpus(str(corpus), choice=Choice(given))
  assert vocabulary is given
  assert texts["test"].ids.tolist() == [3, 0, 4]


@pytest.mark.parametrize("kind, text, message", [
    (Vocabulary, "a\nb 12\n", "line 2 is not one word; name a list with one"),
    (Characters, "a\nbc\n", "line 2 is not one character; name a list"),
    (Vocabulary, "a\nb\na\n", "the vocabulary has the word a twice"),
    (Vocabulary, "a\n\nb\n", "line 2 has no word"),
    (Vocabulary, "", "the file is empty"),
])
def test_bad_lists_get_one_line(tmp_path, kind, text, message):
  path = tmp_path / "list"
  path.write_text(text)
  assert message in data_error(kind.load_list, path)


def test_a_list_of_characters_may_have_blanks(tmp_path):
  words = (EOS, UNK, " ", "\t", "\u00a0", "a")
  Characters(words).save(tmp_path / "list")
  assert Characters.load_list(str(tmp_path / "list")).words == words


def test_no_word_is_frequent_enough(corpus):
  with pytest.raises(DataError, match="no word of the training text is freq"):
    reader.read_corpus(str(corpus), choice=Choice(min_count=9))


@pytest.mark.parametrize("form", ["file", "Windows", "folder", "pattern"])
def test_a_single_text_is_split_in_order(tmp_path, form):
  lines = [f"a line has words w{i}\n" for i in range(100)]
  folder = tmp_path / "texts"
  folder.mkdir()
  pieces = [lines] if form in ("file", "Windows") else [lines[:7], lines[7:]]
  for i, piece in enumerate(pieces):
    end = "\r\n" if form == "Windows" else "\n"
    (folder / f"{i}.txt").write_bytes(
        "".join(piece).replace("\n", end).encode())
  path = {"folder": folder, "pattern": folder / "*.txt"}.get(
      form, folder / "0.txt")
  texts, vocabulary = reader.read_corpus(str(path))
  # By characters; the first ten lines are shorter by one.
  expected = {"train": lines[:81], "valid": lines[81:91], "test": lines[91:]}
  for split, text in texts.items():
    known = vocabulary.ids if split != "train" else dict.fromkeys(
        "".join(expected["train"]).split())
    assert words_of(texts, vocabulary)[split] == " ".join(
        word if word == EOS or word in known else UNK
        for line in expected[split]
        for word in [*line.split(), EOS])
    assert text.fingerprint["tokens"] == 6 * len(expected[split])
    assert text.fingerprint["bytes"] == sum(map(len, expected[split]))


def test_a_single_text_on_one_line_has_one_end(tmp_path):
  path = tmp_path / "line"
  words = [f"w{i % 50}" for i in range(20_000)]
  path.write_text(" ".join(words))
  texts, vocabulary = reader.read_corpus(str(path))
  decoded = vocabulary.decode(
      id for text in texts.values() for id in text.ids)
  assert decoded == [*words, EOS]


def test_a_text_without_blanks_between_words_gets_advice(tmp_path, caplog):
  path = tmp_path / "text"
  lines = "小猫 看见 大狗\n我们 去 河边 散步\n天 黑了 鸟 回家\n" * 9
  for text, number in (lines.replace(" ", ""), 1), (lines, 0):
    path.write_text(text)
    caplog.clear()
    reader.read_corpus(str(path))
    assert caplog.text.count("Chinese text without blanks between its words; "
                             "segment it first, with jieba") == number
