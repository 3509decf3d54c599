"""How a vocabulary shows the preparation of its corpus, and applies it."""

import unicodedata

import pytest

from rnn.text.preparation import Preparation, near_in_spelling, style_of
from rnn.text.sentences import Style
from rnn.text.vocabulary import Characters, Vocabulary

PTB = "<unk> <eos> the N company said do n't $ 's u.s. <brand> that"
CASED = "<unk> <eos> The the company Company said , . 1990 don"


def vocabulary(words, kind=Vocabulary):
  return kind(tuple(words.split()))


@pytest.mark.parametrize("words, style", [
    (PTB, Style()), (CASED, Style(True, True, True)),
    (f"{PTB} .", Style(keep_punctuation=True)),
    (f"{PTB} 1990", Style(keep_numbers=True)),
    (f"{PTB} Fed", Style(keep_case=True)),
    (" ".join([PTB, "Fed", *(f"w{chr(97 + i // 26)}{chr(97 + i % 26)}"
                             for i in range(100))]), Style()),
    ("<unk> <eos> the", Style(keep_numbers=True))])
def test_the_vocabulary_shows_the_style(words, style):
  assert style_of(vocabulary(words)) == style


@pytest.mark.parametrize("words, text, normal", [
    (PTB, "The Company said, don't!", "the company said do n't"),
    (PTB, "$1,000 the Company's\nU.S.", "$ N the company 's <eos> u.s."),
    (PTB, "the <unk> said N <brand> n't", "the <unk> said N <brand> n't"),
    (PTB, " -- ", ""), (PTB, "", ""),
    (CASED, "The Company said, 1990.", "The Company said , 1990 .")])
def test_text_is_prepared_as_the_corpus_was(words, text, normal):
  preparation = Preparation(vocabulary(words), normalize=True)
  once = preparation.split(text)
  assert once == normal.split()
  assert preparation.split(" ".join(once)) == once


def test_without_normalize_only_blanks_count():
  assert Preparation(vocabulary(PTB)).split("The cat,\n") == [
      "The", "cat,", "<eos>"]


def test_characters_change_case_where_the_vocabulary_has_no_other():
  preparation = Preparation(
      Characters(("<unk>", "<eos>", *"abAcd ")), normalize=True)
  assert preparation.split("AB É\n") == ["A", "b", " ", "É", "<eos>"]
  assert preparation.nearest_form("B") == "b"


@pytest.mark.parametrize("words, word, form", [
    (PTB, "Company", "company"), (PTB, "1,000", "N"), (PTB, "don't", "do n't"),
    (PTB, "company,", "company"), (PTB, "Xyz", None), (PTB, "...", None),
    (CASED, "SAID", "said"), ("<unk> <eos> Fed", "fed", "Fed")])
def test_nearest_form(words, word, form):
  assert Preparation(vocabulary(words)).nearest_form(word) == form


def test_unknown_words_are_listed_with_their_forms():
  preparation = Preparation(vocabulary(PTB))
  assert preparation.describe(["Company", "xyz", "Company", "1,000"]) == (
      "Company (the vocabulary has company), xyz, 1,000 (the vocabulary has N)")
  assert preparation.describe(map(chr, range(97, 109))) == (
      "a, b, c, d, e, f, g, h, i, j, and 2 more")


def test_words_near_in_spelling():
  words = ["bank", "banks", "company", "Bank", "the", "companies"]
  assert near_in_spelling("BANK", words, 2) == ["bank", "Bank"]
  assert near_in_spelling("compny", words) == ["company", "companies"]
  assert near_in_spelling("qqq", words) == []


def test_a_stray_mark_in_the_vocabulary_changes_nothing():
  words = Characters(("<unk>", "<eos>", *"caf\u00e9e\u0301"))
  preparation = Preparation(words, normalize=True)
  assert preparation.split("cafe\u0301") == [*"caf\u00e9"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_marks_stay_apart_if_the_vocabulary_has_them_apart(form):
  words = Characters(
      ("<unk>", "<eos>", *unicodedata.normalize(form, "caf\u00e9")))
  preparation = Preparation(words, normalize=True)
  text = unicodedata.normalize(form, "Caf\u00e9")
  for typed in "NFC", "NFD":
    assert "".join(preparation.split(
        unicodedata.normalize(typed, text))) == text.lower()
