"""Small corpora, archives and dumps that tests write."""

import io
import tarfile
from xml.sax import saxutils

import pytest

import reader
from rnn.errors import DataError

TRAIN = "b a b\nc b a\n"  # b 3, then <eos> 2 before a 2 ("<" before "a"), c 1


def write_corpus(folder, train=TRAIN, valid="a\n", test="b\n",
                 naming="{}.txt"):
  """Writes three texts (str or bytes) into a folder; returns its path."""
  folder.mkdir(parents=True, exist_ok=True)
  for split, text in zip(reader.SPLITS, (train, valid, test), strict=True):
    text = text if isinstance(text, bytes) else text.encode()
    (folder / naming.format(split)).write_bytes(text)
  return str(folder)


def write_files(folder, contents):
  """Writes files into a folder: a dict, name -> str or bytes. Returns its path.
  """
  for name, content in contents.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode())
  return str(folder)


def write_archive(path, reviews, mode="w:gz", root="aclImdb/"):
  """Writes a tar archive: a dict, name -> text or bytes. Returns its path."""
  with tarfile.open(path, mode) as archive:
    for name, text in reviews.items():
      data = text if isinstance(text, bytes) else text.encode()
      member = tarfile.TarInfo(root + name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  return str(path)


_HEAD = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <namespaces><namespace key="0" case="first-letter" /></namespaces>
  </siteinfo>
"""


def page(title, text, ns=0, redirect=""):
  """Returns a page of a dump of Wikipedia."""
  return (f"""\
  <page>
    <title>{saxutils.escape(title)}</title>
    <ns>{ns}</ns>
    <id>12</id>{redirect and f'''
    <redirect title="{redirect}" />'''}
    <revision>
      <id>307</id>
      <contributor><username>Somebody</username></contributor>
      <comment>not in the text</comment>
      <text bytes="9" xml:space="preserve">{saxutils.escape(text)}</text>
    </revision>
  </page>
""")


def dump(*pages):
  """Returns a dump of these pages, as bytes."""
  return (_HEAD + "".join(pages) + "</mediawiki>\n").encode()


DUMP = dump(
    page("Anarchism", "'''Anarchism''' is a [[philosophy|view]].\n== See ==\n"),
    page("AAA", "#REDIRECT [[Anarchism]]", redirect="Anarchism"),
    page("Talk:Anarchism", "I object.", ns=1),
    page("Empty", ""),
    page("Albedo", "{{Infobox\n|a=1}}Albedo &ndash; ''whiteness''"))
WORDS = [["anarchism", "is", "a", "view", "see"], [], ["albedo", "whiteness"]]


def letter_lines(words, images, first_id=1, end="\t\n"):
  """Returns the lines of a letter.data file.

  Args:
    words: pairs of a word and its fold.
    images: for each word, the pixels of its letters.
  """
  lines, letter_id = [], first_id
  for word_id, ((word, fold), image) in enumerate(
      zip(words, images, strict=True)):
    for position, (letter, pixels) in enumerate(
        zip(word, image, strict=True), 1):
      next_id = letter_id + 1 if position < len(word) else -1
      lines.append("\t".join(map(str, [
          letter_id, letter, next_id, word_id, position, fold, *pixels])) + end)
      letter_id += 1
  return lines


def data_error(read, path, *args):
  """Asserts that a reader raises a DataError about a file; returns its text.

  The text is one line, and begins with the path.
  """
  with pytest.raises(DataError) as error:
    read(str(path), *args)
  text = str(error.value)
  assert text.startswith(f"{path}: ") and "\n" not in text, text
  return text
