"""Texts and labels of folders and tables."""

import bz2
import gzip
import lzma
import os

import pytest

from rnn.errors import DataError, SettingError
from tasks import labeled
from tests.helpers.texts import write_archive, write_files


def read(path, **columns):
  """Returns (part, label, text) for each example."""
  return [(e.part, e.label, e.text) for e in labeled.examples(
      str(path), labeled.Columns(**columns))]


def error(path, **columns):
  with pytest.raises(DataError) as raised:
    read(path, **columns)
  assert "IMDB" not in str(raised.value) and "stanford" not in str(raised.value)
  return str(raised.value)


# Folders


@pytest.mark.parametrize("root", ["", "txt_sentoken/", "a/b/"])
def test_a_folder_of_each_label(tmp_path, root):
  """Whatever its files are called, and wherever it is."""
  write_files(tmp_path, {
      f"{root}{name}": text for name, text in {
          "spam/2.eml": "buy", "ham/x": "hello\n", "maybe/cv000_2.txt": "ü",
          "spam/10.eml": "\ufeffnow", "spam/.hidden": "no",
          ".git/config": "no", "README": "no"}.items()})
  assert read(tmp_path) == [
      ("train", "ham", "hello\n"), ("train", "maybe", "ü"),
      ("train", "spam", "now"), ("train", "spam", "buy")]


@pytest.mark.parametrize("valid, test", [
    ("valid", "test"), ("dev", "Testing"), ("validation", "TEST")])
def test_folders_with_parts(tmp_path, valid, test):
  """Other folders, and texts without labels, are left out."""
  write_files(tmp_path, {
      "train/a/1": "1", "train/b/2": "2", "train/unsup/0_0.txt": "no",
      f"{valid}/a/3": "3", f"{valid}/b/4": "4", f"{test}/a/5": "5",
      f"{test}/b/6": "6", "other/a/7": "no", "train/urls.txt": "no"})
  assert read(tmp_path) == [
      ("train", "a", "1"), ("train", "b", "2"), ("valid", "a", "3"),
      ("valid", "b", "4"), ("test", "a", "5"), ("test", "b", "6")]


def test_neg_and_pos_are_negative_and_positive(tmp_path):
  """As in the archive of film reviews; so they are shown by --predict."""
  write_files(tmp_path, {"neg/1": "bad", "pos/1": "good"})
  assert read(tmp_path) == [
      ("train", "negative", "bad"), ("train", "positive", "good")]
  write_files(tmp_path, {"neutral/1": "film"})
  assert [label for _, label, _ in read(tmp_path)] == ["neg", "neutral", "pos"]


def test_the_folder_of_the_archive_equals_it(tmp_path):
  reviews = {"test/neg/0_2.txt": "a", "train/neg/1_1.txt": "b",
             "train/pos/0_9.txt": "c", "test/pos/3_9.txt": "d",
             "train/unsup/0_0.txt": "e"}
  archive = write_archive(tmp_path / "a.tgz", reviews)
  write_files(tmp_path / "folder/aclImdb", reviews)
  assert sorted(read(archive)) == sorted(read(tmp_path / "folder")) == [
      ("test", "negative", "a"), ("test", "positive", "d"),
      ("train", "negative", "b"), ("train", "positive", "c")]


@pytest.mark.parametrize("files, message", [
    ({}, "/d: has no folders and no files, but texts need labels"),
    ({"a.txt": "", "b.txt": ""}, r"/d: has no folders and 2 files (a.txt, b.txt"
     "), but texts need labels; put the texts of each label into a folder"),
    ({"a/1": "", "x": ""}, "/d: has 1 folder (a) and 1 file (x), but needs one "
     "folder per label, at least two"),
    ({"train/a/1": "", "test/a/1": "", "test/b/1": ""}, "/d/train: has 1 folder"
     " (a) and no files, but needs one folder per label"),
    ({"train/a/1": "", "train/b/1": "", "dev/a/1": "", "val/a/1": ""},
     "/d: dev and val both stand for valid; move one of them away"),
    ({"train.csv": "", "train.tsv": ""}, "/d: train.csv and train.tsv both "
     "stand for train; move one of them away"),
    ({"a/1": "a", "b/c/1": "b"}, "/d/b: has 1 folder (c) but no file with a "
     "text of the label b"),
    ({"a/1": "a", "b/1": b"caf\xe9"}, "/d/b/1: not UTF-8 text")])
def test_errors_describe_the_folder(tmp_path, files, message):
  (tmp_path / "d").mkdir()
  write_files(tmp_path / "d", files)
  assert message in error(tmp_path / "d")


@pytest.mark.parametrize("name", ["text", "label"])
def test_a_folder_has_no_columns(tmp_path, name):
  write_files(tmp_path, {"a/1": "a", "b/1": "b"})
  with pytest.raises(SettingError, match=f"^{name}_column=x: has no effect"):
    read(tmp_path, **{name: "x"})


@pytest.mark.parametrize("flag, setting", [
    ("text", "text_column"), ("label", "label_column"),
    ("encoding", "encoding")])
def test_the_archive_has_no_columns_and_one_encoding(tmp_path, flag, setting):
  archive = write_archive(tmp_path / "a.tgz", {"train/neg/1_1.txt": "b"})
  with pytest.raises(SettingError, match=f"^{setting}=utf-8: has no effect "
                     "with the archive of reviews; leave it out"):
    read(archive, **{flag: "utf-8"})


@pytest.mark.usefixtures("no_hang")
def test_what_is_no_text_in_a_folder_is_one_line(tmp_path, monkeypatch):
  write_files(tmp_path, {"a/1": "aaaa", "b/1": "bbb"})
  monkeypatch.setattr(labeled, "_MAX_TEXT", 3)
  assert error(tmp_path).startswith(f"{tmp_path}/a/1: has more than 3 charac")
  (tmp_path / "a/1").unlink()
  os.mkfifo(tmp_path / "a/1")
  assert error(tmp_path) == f"{tmp_path}/a/1: not a file"


# Tables

ROWS = [("train", "neg", "bad, dull"), ("train", "pos", 'a "fine"\nfilm')]


@pytest.mark.parametrize("content", [
    'review,sentiment\n"bad, dull",neg\n"a ""fine""\nfilm",pos\n',
    'Sentiment;id;Text\r\nneg;1;bad, dull\r\n\r\n pos ;2;"a ""fine""\nfilm"',
    '\ufefftext\tx\tlabel\nbad, dull\t0\tneg\n"a ""fine""\nfilm"\t1\tpos\n',
    'words,label\n"bad, dull",neg\n"a ""fine""\nfilm",pos\n'])
@pytest.mark.parametrize("compress", [
    bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_table(tmp_path, content, compress):
  (tmp_path / "a").write_bytes(compress(content.encode()))
  assert read(tmp_path / "a") == ROWS


def test_a_quote_takes_in_no_other_row(tmp_path):
  write_files(tmp_path, {"a.tsv": (
      'text\tlabel\n"Hello there my friends\tpos\nHe said "yes"\tneg\n')})
  assert "a.tsv: line 2: '\\t' expected after" in error(tmp_path / "a.tsv")


def test_labels_have_one_name_in_all_parts(tmp_path):
  write_files(tmp_path, {f"{part}/{label}/1": "x" for part, label in (
      ("train", "neg"), ("train", "neutral"), ("train", "pos"),
      ("test", "neg"), ("test", "pos"))})
  assert [label for _, label, _ in read(tmp_path)] == [
      "neg", "neutral", "pos", "neg", "pos"]


def test_columns_that_are_named(tmp_path, caplog):
  write_files(tmp_path, {"a.csv": "text,label,v1,v2\na,b,c,d\n"})
  with caplog.at_level("INFO"):
    assert read(tmp_path / "a.csv") == [("train", "b", "a")]
  assert "the text is in the column 'text', the label in 'label'" in caplog.text
  assert read(tmp_path / "a.csv", text="v2", label="v1") == [
      ("train", "c", "d")]


def test_tables_in_a_folder(tmp_path):
  write_files(tmp_path, {
      "train.csv": "text,label\na,1\n", "Test.tsv": "label\ttext\n2\tb\n",
      "dev.csv": "text,label\nc,1\n", "README.md": ""})
  assert read(tmp_path) == [
      ("train", "1", "a"), ("valid", "1", "c"), ("test", "2", "b")]


@pytest.mark.parametrize("content, columns, message", [
    ("", {}, "a.csv: has no header with the names of the columns"),
    ("a fine film\n", {}, "none of its columns 'a fine film' has a usual name "
     "for texts; name the column, or add a header"),
    ("review,x,y\na,b,c\n", {}, "none of its columns 'review', 'x', 'y' has a "
     "usual name for labels"),
    ("text,label\na,b\n", {"text": "z"}, "has no column 'z', but 'text', 'labe"
     "l'; name one of them"),
    ("text,label\na,b\n", {"text": "label"}, "the column 'label' cannot hold "
     "both texts and labels; its columns are 'text', 'label'"),
    ("text,label\na,b\nbad, dull,neg\n", {}, "line 3: the row has 3 values, "
     "the header 2 names; put a text with separators"),
    ("text,label\na,b\nc, \n", {}, "line 3: the column 'label' has no label"),
    ('text,label\na,b\n"c' + "c\n" * 600_000, {}, "belongs to a row of more "
     "than 1,000,000 characters; close the quote")],
    ids=["empty", "text", "label", "name", "same", "row", "no label", "quote"])
def test_errors_describe_the_table(tmp_path, content, columns, message):
  write_files(tmp_path, {"a.csv": content})
  assert message in error(tmp_path / "a.csv", **columns)


def test_nothing_there_is_one_line(tmp_path):
  assert error(tmp_path / "x").endswith("/x: no such file or folder")


# Encodings


def test_tables_and_folders_may_have_any_encoding(tmp_path):
  table = "text,label\ncafé,a\nбар,b\n"
  (tmp_path / "t.csv").write_bytes(table.encode("utf-16"))
  rows = [("train", "a", "café"), ("train", "b", "бар")]
  assert read(tmp_path / "t.csv") == rows
  (tmp_path / "t.csv").write_bytes(table.encode("utf-16-le"))
  assert read(tmp_path / "t.csv", encoding="utf-16-le") == rows
  write_files(tmp_path / "d", {"a/1": b"caf\xe9", "b/1": "x"})
  assert read(tmp_path / "d", encoding="cp1252") == [
      ("train", "a", "café"), ("train", "b", "x")]
  assert "name its encoding, which may be cp1252" in error(
      tmp_path / "d")
