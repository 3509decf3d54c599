"""The words of dumps of Wikipedia, made up in the form of real dumps."""

import bz2
import gzip
import re
import time
import tracemalloc

import pytest

from tasks import wikipedia
from tests.helpers.texts import DUMP, WORDS, data_error, dump, page


@pytest.mark.parametrize("pack", [bytes, bz2.compress, gzip.compress])
def test_articles_are_read_but_not_redirects(tmp_path, pack):
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
    # An open part ends with its section. A closing mark without an opening one
    # has no effect.
    ("a {{b\n== c ==\nd", "a c d"), ("a {| b\n===c===", "a c"),
    ("a <ref>b\n==c==", "a c"), ("a }} b |} c </ref> d --> e", "a b c d e"),
    ("a [[b", "a b"), ("a [[b [[c]] d", "a b c d"), ("a < b > c", "a c"),
    ("", ""), ("{{", "")])
def test_words_of_running_text(wikitext, words):
  assert wikipedia.extract_words(wikitext) == words.split()


@pytest.mark.slow
@pytest.mark.parametrize("mark", [
    "[[", "]]", "{{", "}}", "[[a|", "[[ [[", "{{a|", "<ref>", "<ref ", "<!--",
    "<", "&", "&a", "http://", "\n==", "'", "[[:", ":", "{|", "[", "-"])
@pytest.mark.parametrize("end", ["", "]]"])
def test_any_markup_is_read_in_linear_time(mark, end):
  for filler in "", " ", "a":
    text = "[[" + (mark + filler) * 50_000 + end
    start = time.process_time()
    wikipedia.extract_words(text)
    assert time.process_time() - start < 2


def test_blanks_and_hyphens_are_read_in_linear_time():
  start = time.process_time()
  assert wikipedia.extract_words("[[" + " " * 100_000 + "]]") == []
  assert wikipedia.extract_words("[[" + "a-" * 100_000 + "]]")[0] == "a"
  assert time.process_time() - start < 2


@pytest.mark.slow
@pytest.mark.parametrize("number, length, max_bytes", [
    (200, 20_000, 800_000),  # the words of a page are many strings
    (10_000, 10, 300_000)])
def test_memory_holds_one_page(tmp_path, number, length, max_bytes):
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
  assert peak < max_bytes


@pytest.mark.parametrize("data, message", [
    (b"", "no element found"), (b"the cat sat", "not a MediaWiki dump"),
    (DUMP[:-9], "truncated or damaged"), (DUMP[:400], "truncated or damaged"),
    (DUMP.replace(b"</title>", b"</titel>"), "damaged (mismatched tag"),
    (DUMP.replace(b"is", b"\xff"), "truncated or damaged"),
    (b'<?xml version="1.0" encoding="none"?>' + DUMP, "not a MediaWiki dump"),
    (b'<?xml version="1.0" encoding="euc-jp"?>' + DUMP, "not a MediaWiki dump"),
    (bz2.compress(DUMP)[:-9], "truncated or damaged"),
    (gzip.compress(DUMP, mtime=0)[:-9], "truncated or damaged"),
    (bz2.compress(DUMP)[:50] + b"x" * 99, "truncated or damaged")])
def test_bad_dumps_get_one_line(tmp_path, data, message):
  path = tmp_path / "dump"
  path.write_bytes(data)
  assert message in data_error(
      lambda path: list(wikipedia.pages(path)), path)


ENTITIES = b"""<!DOCTYPE mediawiki [<!ENTITY a "some text">%b]>""" % b"".join(
    b'<!ENTITY %c "%b">' % (name, b"&%c;" % (name - 1) * 10)
    for name in b"bcdefghij")
LONG = b"x" * (3 << 20)


@pytest.mark.parametrize("data, message", [
    (ENTITIES + dump(page("A", "_")).replace(b"_", b"&j;"),
     "not a MediaWiki dump.*it has a document type declaration"),
    (dump(page("A", "a"), page("B", "b c " * 99)),
     "page number 2 has more than 300 characters; get a dump of pages-art"),
    (dump(page("A", "a")).replace(b"<title>", b"<t" + LONG),
     "page number 1 has a tag of more than 1,048,576 bytes"),
    (dump(page("A", "a")).replace(b"<id>", b"<!--" + LONG + b"-->"),
     "page number 1 has a tag of more than 1,048,576 bytes")])
def test_dumps_that_take_all_memory_get_one_line(
    tmp_path, monkeypatch, data, message):
  monkeypatch.setattr(wikipedia, "_MAX_PAGE", 300)
  path = tmp_path / "dump"
  path.write_bytes(bz2.compress(data))
  tracemalloc.start()
  try:
    assert re.search(message, data_error(
        lambda path: list(wikipedia.pages(path)), path))
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 1e7


@pytest.mark.parametrize("tags, message", [
    (b"<a/>" * 100_000, "no element found"),
    (b"<a>" * 100_000, "page number 1 has more than 1,000 kinds of tags, or"),
    (b"".join(b"<a%d/>" % i for i in range(100_000)),
     "page number 1 has more than 1,000 kinds of tags"),
    (b"".join(b"<a b%d=''/>" % i for i in range(100_000)),
     "page number 1 has more than 1,000 kinds of tags")])
def test_tags_without_end_take_no_memory(tmp_path, tags, message):
  path = tmp_path / "dump"
  path.write_bytes(bz2.compress(b"<mediawiki><page>" + tags))
  tracemalloc.start()
  try:
    assert message in data_error(
        lambda path: list(wikipedia.pages(path)), path)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 3e6


def test_of_a_page_with_its_history_the_last_text_is_read(tmp_path):
  revision = "<revision><text>one {} two</text></revision>"
  path = tmp_path / "dump"
  path.write_bytes(dump(
      page("A", "a").replace("</page>", "".join(
          revision.format(word) for word in ("b", "c", "d")) + "</page>")))
  assert list(wikipedia.pages(str(path))) == [["one", "d", "two"]]
