"""Encodings: byte order marks, conversion to UTF-8, guesses and errors."""

import codecs

import hypothesis
import pytest
from hypothesis import strategies

from rnn.errors import DataError, SettingError
from rnn.text import encodings

GERMAN = "Der kleine Bär läuft über die grüne Brücke.\n"
SAMPLES = {
    "cp1252": GERMAN,
    "cp1250": "Mała kotka widzi dużego psa, który idzie w górę rzeki.\n",
    "cp1254": "Işık ağır, kuş gibi şarkı söylüyor.\n",
    "gbk": "小猫看见大狗。我们去河边散步，看云。他的家在那里。\n",
    "big5": "小貓看見大狗。我們去河邊散步，看雲。他的家在那裡。\n",
    "shift_jis": "吾輩は猫である。名前はまだ無い。どこで生れたか。\n",
    "euc_jp": "吾輩は猫である。名前はまだ無い。どこで生れたか。\n",
    "euc_kr": "고양이가 큰 개를 봅니다. 그는 집에 있는 사람이다.\n",
    "cp1251": "Маленькая кошка видит большую собаку.\n",
    "koi8-r": "Маленькая кошка видит большую собаку.\n",
    "cp1253": "Η μικρή γάτα βλέπει τον μεγάλο σκύλο.\n",
    "utf-16-le": GERMAN, "utf-16-be": GERMAN}


def convert(parts, encoding=None):
  """Returns parts of a text as UTF-8, and the byte order mark."""
  marks = []
  return b"".join(encodings.to_utf_8(
      parts, "text", encoding, marks.append)), b"".join(marks)


def cut(data, size):
  """Cuts bytes into parts."""
  return [data[i:i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("encoding", SAMPLES)
def test_text_in_any_encoding_becomes_utf_8_wherever_it_is_cut(encoding):
  text = SAMPLES[encoding]
  for size in 1, 2, 3, 7, 1000:
    parts = cut(text.encode(encoding), size)
    assert convert(parts, encoding) == (text.encode(), b"")


@pytest.mark.parametrize("encoding", [
    "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
@pytest.mark.parametrize("given", [None, "cp1252"])
def test_a_byte_order_mark_shows_the_encoding(encoding, given):
  mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
  data = (mark + GERMAN).encode(encoding)
  for size in 1, 3, 1000:
    assert convert(cut(data, size), given) == (
        GERMAN.encode(), codecs.BOM_UTF8 if encoding == "utf-8-sig" else b"")


@pytest.mark.parametrize("encoding", SAMPLES)
def test_the_error_names_the_place_and_the_probable_encoding(encoding):
  prefix = b"" if encoding.startswith("utf-16") else b"plain ascii, "
  data = prefix + SAMPLES[encoding].encode(encoding) * 9
  generated = []
  with pytest.raises(DataError) as error:
    for part in encodings.to_utf_8([data], "text"):
      generated.append(part)
  assert error.value.setting == f"encoding={encoding}"
  assert f"which may be {encoding}" in str(error.value)
  if encoding.startswith("utf-16"):
    assert "UTF-16 without a byte order mark" in str(error.value)
  else:
    with pytest.raises(UnicodeDecodeError) as expected:
      data.decode()
    start = expected.value.start
    assert f"text: not UTF-8 text, see byte {start}; " in str(error.value)
    assert b"".join(generated) == data[:start]


@pytest.mark.parametrize("encoding", [
    "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_zeros_show_an_encoding_without_a_mark(encoding):
  """Also if the high bytes of all characters are ASCII."""
  text = "\u201cIt\u2019s fine\u201d \u2014 said the cat \u2026\n"
  with pytest.raises(DataError, match=f"may be {encoding}$"):
    convert([text.encode(encoding)])


@pytest.mark.parametrize("data, encoding, message", [
    (b"ab\xff\xd0\xd1", "gbk", "not gbk text, see byte 2; "),
    (b"a" * 10 + b"\xd0", "gbk", "not gbk text, see byte 10; "),
    (b"abc", "utf-16-le", "not utf-16-le text, see byte 2; "),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1", None, "see byte 0; convert the "
     "file, choose another one, or name its encoding$")])
def test_what_is_in_no_encoding_gets_one_line(data, encoding, message):
  for size in 1, 4, 100:
    with pytest.raises(DataError, match=message) as error:
      convert(cut(data, size), encoding)
    assert error.value.setting.startswith("encoding")


@hypothesis.given(strategies.binary(), strategies.integers(1, 9))
def test_any_bytes_are_utf_8_or_refused_at_the_right_place(data, size):
  hypothesis.assume(not data.startswith(tuple(encodings._MARKS)))
  try:
    data.decode()
    assert convert(cut(data, size)) == (data, b"")
  except UnicodeDecodeError as expected:
    with pytest.raises(DataError, match=f"see byte {expected.start}; "):
      convert(cut(data, size))


@pytest.mark.parametrize("name, usual", [
    (None, None), ("UTF8", "utf-8"), ("utf-8-sig", "utf-8"), ("GBK", "gbk"),
    ("latin-1", "iso8859-1"), ("windows-1252", "cp1252"), ("utf-16", "utf-16"),
    ("utf-32", "utf-32")])
def test_names_of_encodings(name, usual):
  assert encodings.resolve(name) == usual


@pytest.mark.parametrize("name", [
    "", "nosuch", "rot13", "base64", "undefined", "a\0b", "\ud800", "x" * 9999])
def test_unknown_encodings_get_one_line(name):
  with pytest.raises(SettingError, match="no such encoding of text"):
    encodings.resolve(name)
