"""Words of any script, and characters."""

import re
import unicodedata

import hypothesis
import pytest
from hypothesis import strategies

from tasks import tokens

ENGLISH = [
    ("It's GREAT, really!?", "it s great , really ! ?"),
    ("one<br />two<br /><br />(3)", "one two ( )"),
    ("a;b-c_d\t\n\"e\"", "a b c d e"),
    ("***** 10/10", ""),
    ("Well: yes. No (maybe)...", "well : yes . no ( maybe ) . . .")]


@pytest.mark.parametrize("text, expected", ENGLISH)
def test_english_gives_the_same_words_as_ever(text, expected):
  assert tokens.words(text) == tokens.az_words(text) == expected.split()


@hypothesis.given(strategies.text(strategies.characters(max_codepoint=127)))
def test_any_ascii_gives_the_same_words_as_ever(text):
  assert tokens.words(text) == tokens.az_words(text)


@pytest.mark.parametrize("text, expected", [
    ("caf\u00e9 na\u00efve", "caf na ve"),
    ("\u0130 \u212a \u017f", "")])  # their lower or upper case is i, k, s
def test_a_to_z_of_other_text(text, expected):
  assert tokens.az_words(text) == expected.split()


@pytest.mark.parametrize("text, expected", [
    ("Schöner Film!", "schöner film !"),
    ("cafe\u0301 CAFÉ", "café café"),  # composed
    ("Это ПЛОХОЙ фильм, ёлки.", "это плохой фильм , ёлки ."),
    ("Το ΚΑΛΟΣ", "το καλος"),
    ("हिन्दी फ़िल्म बहुत अच्छी है।",
     unicodedata.normalize("NFC", "हिन्दी फ़िल्म बहुत अच्छी है .")),
    ("مَرْحَبًا، كيف الحال؟", "مَرْحَبًا , كيف الحال ?"),
    ("جميـــل", "جميل"),  # without the stretching of the tatweel
    ("می\u200cخواهم", "می\u200cخواهم"),  # the joiner is part of the word
    ("한국어 영화", "한국어 영화"),
    ("这 部 电影 好看！很。", "这 部 电影 好看 ! 很 ."),
    ("l\u2019amour п'ять", "l amour п ять"),  # as in English
    ("\u2764\ufe0f 1\ufe0f\u20e3 x\u00b2 ½ 10", "x"),  # symbols and digits
    ("so\u00adft \u0301 \u200d", "soft"),
    ("naïve<br />résumé", "naïve résumé")])
def test_words_have_letters_of_any_script(text, expected):
  assert tokens.words(text) == expected.split(" ")


@hypothesis.given(strategies.text())
def test_words_of_any_text(text):
  found = tokens.words(text)
  for token in found:
    assert token in tokens.MARKS or (
        unicodedata.category(token[0])[0] == "L"
        and not re.search(r"[\s\d_!?.:,()]", token)), ascii(token)
  assert tokens.words(" ".join(found)) == found


@pytest.mark.parametrize("text, expected", [
    ("Das  ist\n1<br />Ü", "das ist 1 ü"),
    ("这部 电影\u3000好！", "这部 电影 好！"),
    (" \t", ""), ("e\u0301", "é")])
def test_characters(text, expected):
  assert tokens.characters(text) == list(expected)
