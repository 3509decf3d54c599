"""Words of dumps of Wikipedia, made here in the form of real ones."""

import bz2
import gzip
import time
import tracemalloc
from xml.sax import saxutils

import pytest

import reader
from tasks import wikipedia

_HEAD = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <namespaces><namespace key="0" case="first-letter" /></namespaces>
  </siteinfo>
"""


def page(title, text, ns=0, redirect=""):
  return (f"""\
  <page>
    <title>{saxutils.escape(title)}</title>
    <ns>{ns}</ns>
    <id>12</id>{redirect and f'''
    <redirect title="{redirect}" />'''}
    <revision>
      <id>307</id>
      <contributor><username>Somebody</username></contributor>
      <comment>not of the text</comment>
      <text bytes="9" xml:space="preserve">{saxutils.escape(text)}</text>
    </revision>
  </page>
""")


def dump(*pages):
  return (_HEAD + "".join(pages) + "</mediawiki>\n").encode()


DUMP = dump(
    page("Anarchism", "'''Anarchism''' is a [[philosophy|view]].\n== See ==\n"),
    page("AAA", "#REDIRECT [[Anarchism]]", redirect="Anarchism"),
    page("Talk:Anarchism", "I object.", ns=1),
    page("Empty", ""),
    page("Albedo", "{{Infobox\n|a=1}}Albedo &ndash; ''whiteness''"))
WORDS = [["anarchism", "is", "a", "view", "see"], [], ["albedo", "whiteness"]]


@pytest.mark.parametrize("pack", [bytes, bz2.compress, gzip.compress])
def test_articles_are_read_and_redirects_are_not(tmp_path, pack):
  path = tmp_path / "dump"
  path.write_bytes(pack(DUMP))
  assert list(wikipedia.pages(str(path))) == WORDS


@pytest.mark.parametrize("wikitext, words", [
    ("It's 1 ''really'' '''Bold''' día_x", "it s really bold día x"),
    ("a {{b|{{c}} d}} e {{f}}", "a e"),
    ("a {| class=b\n|-\n| c {{d}}\n|} e", "a e"),
    ("a <!-- b\n --> c", "a c"),
    ('a<ref name="b">c</ref> d<ref name=e /> f <ref>{{g}}</ref>h', "a d f h"),
    (r"a <math>\frac{b}{\sqrt{c}} + \alpha</math> d {{e}} f", "a d f"),
    ("a <math>{{b}^2}</math> c <MATH>}}{{</Math> d", "a c d"),
    ("a <!-- {{ <math> --> b <code><!-- {|</code> c", "a b c"),
    ("a <nowiki>{{b</nowiki> c {{d <nowiki>}}e</nowiki> f}} g", "a b c g"),
    ("a {{b <!-- }} --> c}} d <ref>{{e</ref>}} f </ref> g", "a d f g"),
    ("a <pre>b\n==c==", "a c"), ("a <math>b", "a"), ("a <math/> b", "a b"),
    ("a <math>x^2</math> <b>c</b> d<br/>e &nbsp;f&amp;g", "a c d e f g"),
    ("[[a]] [[b|c]] [[d|e|f]] [[#g|h]]s", "a c f hs"),
    ("a [[File:b.jpg|thumb|c [[d|e]] f]] g", "a g"),
    ("a [[Image: b.jpg|thumb|c]] d", "a d"),
    ("a [[Category:B]] [[de:C]] [[:File:d]] [[ category: x]] e", "a e"),
    ("[[2001: A Space Odyssey]]", "a space odyssey"),
    ("a [http://b.c/d?e=f g] https://h|i ] j", "a g i j"),
    # What is not closed ends with the section; what was not open, nowhere.
    ("a {{b\n== c ==\nd", "a c d"), ("a {| b\n===c===", "a c"),
    ("a <ref>b\n==c==", "a c"), ("a }} b |} c </ref> d --> e", "a b c d e"),
    ("a [[b", "a b"), ("a [[b [[c]] d", "a b c d"), ("a < b > c", "a c"),
    ("", ""), ("{{", "")])
def test_words_of_running_text(wikitext, words):
  assert wikipedia.words_of(wikitext) == words.split()


@pytest.mark.slow
@pytest.mark.parametrize("mark", [
    "[[", "]]", "{{", "}}", "[[a|", "[[ [[", "{{a|", "<ref>", "<ref ", "<!--",
    "<", "&", "&a", "http://", "\n==", "'", "[[:", ":", "{|", "[", "-"])
@pytest.mark.parametrize("end", ["", "]]"])
def test_any_mark_up_is_gone_through_in_linear_time(mark, end):
  for filler in "", " ", "a":
    text = "[[" + (mark + filler) * 50_000 + end
    start = time.process_time()
    wikipedia.words_of(text)
    assert time.process_time() - start < 2


def test_blanks_are_gone_through_in_linear_time():
  start = time.process_time()
  assert wikipedia.words_of("[[" + " " * 100_000 + "]]") == []
  assert wikipedia.words_of("[[" + "a-" * 100_000 + "]]")[0] == "a"
  assert time.process_time() - start < 2


@pytest.mark.slow
@pytest.mark.parametrize("number, length, most", [
    (200, 20_000, 800_000),  # the words of a page are many strings
    (10_000, 10, 300_000)])
def test_memory_holds_one_page(tmp_path, number, length, most):
  path = tmp_path / "dump.bz2"
  path.write_bytes(bz2.compress(dump(*(
      page(str(i), "some word\n" * (length // 10)) for i in range(number)))))
  pages = wikipedia.pages(str(path))
  next(pages)
  tracemalloc.start()
  try:
    assert sum(1 for _ in pages) == number - 1
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < most


@pytest.mark.parametrize("data, message", [
    (b"", "no element found"), (DUMP[:-9], "cut off or garbled"),
    (DUMP[:400], "cut off or garbled"), (b"the cat sat", "is no dump"),
    (DUMP.replace(b"</title>", b"</titel>"), "garbled (mismatched tag"),
    (DUMP.replace(b"is", b"\xff"), "garbled"),
    (b'<?xml version="1.0" encoding="none"?>' + DUMP, "is no dump"),
    (b'<?xml version="1.0" encoding="euc-jp"?>' + DUMP, "is no dump"),
    (bz2.compress(DUMP)[:-9], "cut off or garbled"),
    (gzip.compress(DUMP, mtime=0)[:-9], "cut off or garbled"),
    (bz2.compress(DUMP)[:50] + b"x" * 99, "cut off or garbled")])
def test_bad_dumps_get_one_line(tmp_path, data, message):
  path = tmp_path / "dump"
  path.write_bytes(data)
  with pytest.raises(reader.DataError) as error:
    list(wikipedia.pages(str(path)))
  assert str(path) in str(error.value) and message in str(error.value)
  assert "\n" not in str(error.value)
