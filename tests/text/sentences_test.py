"""Tests of rnn/text/sentences.py."""

import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest

from rnn.text.sentences import Style, split_line, split_sentences


@pytest.mark.parametrize("text, sentences", [
    ("Don't! It can't; they won't.", ["do n't", "it ca n't they wo n't"]),
    ("The country\u2019s and islands' oil", [
        "the country 's and islands ' oil"]),
    ("We cannot.", ["we can not"]),
    ("$1,000.50 or 2.5%", ["$ N or N %"]),
    ("1967-2009, 1/2, 3.5 and 7\u20139%", ["N N N and N %"]),
    ("In the mid-1990s, the 19th and the 30-year",
     ["in the mid-1990s the 19th and the 30-year"]),
    ("Mr. Li met Dr. No. They ate.", ["mr. li met dr. no", "they ate"]),
    ("The U.S. Senate, e.g. John F. Kennedy", [
        "the u.s. senate e.g. john f. kennedy"]),
    ("It left the U.S. The rest stayed.", ["it left the u.s.",
                                           "the rest stayed"]),
    ("World War I. In 1918", ["world war i", "in N"]),
    ("It grew (fast). \"Why?\" he asked.", ["it grew fast", "why he asked"]),
    ("about A.D. 800. 70% of it", ["about a.d. N", "N % of it"]),
    ("in 300 B.C. Rome grew", ["in N b.c.", "rome grew"]),
    ("all lower. no capitals. ok", ["all lower", "no capitals", "ok"]),
    ("state-owned firms - and AT&T - d'Ivoire", [
        "state-owned firms and at&t d'ivoire"]),
    ("law\u2014the <unk> <eos> #tag", ["law the unk eos tag"]),
    ("a\u00a0b\tc\ufeff\u200bd so\u00adft cafe\u0301", [
        "a b c d soft caf\u00e9"]),
    ("\u6771\u4eac\u3002\u5927\u962a\uff01", ["\u6771\u4eac", "\u5927\u962a"]),
    ("\u0939\u093f\u0928\u094d\u0926\u0940\u0964 \u0939\u0948", [
        "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u0948"]),
])
def test_text_is_split_like_ptb(text, sentences):
  assert [" ".join(words) for words in split_sentences(text)] == sentences


@pytest.mark.parametrize("text, sentences", [
    ('"I can\'t," said Dr. No... \u2014 It grew (by 1,000.5%)!!!',
     ['" I ca n\'t , " said Dr. No ... \u2014',
      "It grew ( by 1,000.5 % ) !!!"]),
    ("Cannot stop. AT&T's; and/or e-mail: a@b",
     ["Can not stop .", "AT&T 's ; and / or e-mail : a @ b"]),
    ("DON'T -- the 1990s-2009?! (II)", [
        "DO N'T -- the 1990s-2009 ? !", "( II )"]),
    ("* * *\n?!", []),
    ("\u300a\u6771\u4eac\u300b\u3002", ["\u300a \u6771\u4eac \u300b \u3002"]),
])
def test_everything_can_be_kept(text, sentences):
  style = Style(keep_case=True, keep_punctuation=True, keep_numbers=True)
  assert [" ".join(words) for words in split_sentences(text, style)
          ] == sentences
  assert split_line(text, style) == " ".join(sentences).split()


@hypothesis.given(st.text(st.one_of(st.characters(), st.sampled_from(
    "aZ1.,'-&$% \u0301\u2019\"(!?"))))
@hypothesis.example("a.\n(\nB")
def test_marks_do_not_change_sentences_and_words(text):
  plain, marked = (
      [[word for word in words if any(map(str.isalnum, word))]
       for words in split_sentences(text, Style(keep_punctuation=keep))]
      for keep in (False, True))
  assert marked == plain


@hypothesis.given(st.text(st.one_of(st.characters(), st.sampled_from(
    "aZ1.,'-&$% \u0301\u2019"))))
@hypothesis.example("\u2764\ufe0f &\u0301 \u0301")
def test_words_of_any_text_are_clean(text):
  for sentence in split_sentences(text):
    assert sentence
    for word in sentence:
      assert word.split() == [word]
      assert (any(char.isalnum() for char in word) or word in ("%", "&", "'")
              or [unicodedata.category(char) for char in word] == ["Sc"])
      assert word == "N" or word == word.lower()
