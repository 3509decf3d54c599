"""Encodings of text: byte order marks, UTF-8 from any encoding, and guesses.

A byte order mark counts more than an encoding that a user names. Without both,
a text is UTF-8.
"""

import codecs
import itertools
import re
from collections.abc import Callable, Iterable, Iterator

from rnn.errors import DataError, SettingError

UTF_8 = "utf-8"
HELP = ("The encoding of the text, such as gbk or cp1252; by default UTF-8, or "
        "what a byte order mark shows.")  # of the flag --encoding

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {codecs.BOM_UTF8: UTF_8, codecs.BOM_UTF32_LE: "utf-32-le",
          codecs.BOM_UTF32_BE: "utf-32-be", codecs.BOM_UTF16_LE: "utf-16-le",
          codecs.BOM_UTF16_BE: "utf-16-be"}

_SAMPLE = 1 << 16  # bytes that a guess looks at
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")

# Characters that are frequent in texts of each encoding. In a wrong encoding,
# the same bytes are other characters, and rarely frequent ones.
_HAN = "\uff0c\u3002\u3001\uff1f\uff01\u201c\u201d\uff1a"
_CYRILLIC = "\u043e\u0435\u0430\u0438\u043d\u0442\u0441\u0440\u0432\u043b\u043a"
_OTHER_SCRIPTS = {
    "gbk": _HAN + (
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那"
        "得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看"
        "定天分还进好小部其些主样理心她本前开但因只从想实日"),
    "big5": _HAN + (
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那"
        "得於著下自之年過發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看"
        "定天分還進好小部其些主樣理心她本前開但因只從想實日"),
    "shift_jis": "".join(map(chr, range(0x3041, 0x30fd))) + "\u3002\u3001",
    "euc_jp": "".join(map(chr, range(0x3041, 0x30fd))) + "\u3002\u3001",
    "euc_kr": (
        "이다는을의에가고한지하로기도나사은를아인어해자그리있서대시정일수과들만"
        "부제니라게전여보으었안적장면것했성주우"),
    "cp1251": _CYRILLIC, "koi8-r": _CYRILLIC, "cp866": _CYRILLIC,
    "iso-8859-5": _CYRILLIC,
    "cp1253": "αοιετνσηυρπκμλςίόάέήύώ",
    "cp1255": "יוהלאתרבמשנםדקפעכח",
    "cp1256": "المينرتوبعدسفةهقحكأج",
    "cp874": "านรอกเงมยลวดทสตะปบคหแจพชใไ่้ัิีุู์็",
}
# The same for Latin alphabets, in which most letters are ASCII.
_LATIN = {
    "cp1252": "äöüßéèêëàâçîïôûùñáíóúãõåøæìò’‘“”„–—…»«°£€ÄÖÜÉ",
    "cp1250": "ąęłśżźćńóáéíýčšžřůěúťďňőűăâîşţđ’‘“”„–—…»«ŁŚŻČŠŽŘ",
    "cp1254": "ığşçöüİĞŞÇÖÜâ’‘“”–—…",
}


class EncodingError(DataError):
  """A text is not in an encoding.

  Attributes:
    fault: what is wrong, without advice.
  """

  def __init__(self, fault: str, guess: str | None) -> None:
    super().__init__(
        f"{fault}; convert the file, or name its encoding, which may be {guess}"
        if guess else f"{fault}; convert the file, choose another one, or name "
        "its encoding", f"encoding={guess}" if guess else "encoding")
    self.fault = fault


def resolve(encoding: str | None) -> str | None:
  """Returns the usual name of an encoding; None stays None.

  Raises:
    SettingError: there is no such encoding, or it is not one of text.
  """
  if encoding is None:
    return None
  try:
    b"abc\n".decode(encoding)  # refuses what is not an encoding of text
    info = codecs.lookup(encoding)
    if info.incrementaldecoder:
      return UTF_8 if info.name == "utf-8-sig" else info.name
  except UnicodeError:
    if re.match(r"utf.?(16|32)", encoding, re.IGNORECASE):
      return codecs.lookup(encoding).name  # four bytes are half a character
  except (LookupError, ValueError):  # ValueError: a NUL in the name
    pass
  raise SettingError(
      "encoding", "no such encoding of text; examples are utf-8, utf-16, "
      "latin-1, cp1252, cp1251, gbk, big5 and shift_jis", encoding)


def is_utf_8(start: bytes, encoding: str | None) -> bool:
  """Returns whether `to_utf_8` takes a text for UTF-8.

  Args:
    start: the first four bytes of the text.
    encoding: see `to_utf_8`.
  """
  mark = next((mark for mark in _MARKS if start.startswith(mark)), b"")
  return (_MARKS.get(mark) or encoding or UTF_8) == UTF_8


def to_utf_8(parts: Iterable[bytes], name: str, encoding: str | None = None,
             on_mark: Callable[[bytes], object] | None = None
             ) -> Iterator[bytes]:
  """Generates a text as UTF-8. A part may end within a character.

  Args:
    parts: the bytes of the text, in an encoding that a byte order mark shows or
      that is given. UTF-8 is checked and passed on as it is.
    name: the name of the text for errors.
    encoding: as `resolve` returns it. None is UTF-8, and refuses text without a
      byte order mark that looks like UTF-16.
    on_mark: is called with the byte order mark of UTF-8, if there is one. No
      mark is generated.

  Raises:
    DataError: the text has another encoding. The message says where, and which
      one it may be. The text before that place was generated.
  """
  parts = iter(parts)
  first = _first_part(parts)
  mark = next((mark for mark in _MARKS if first.startswith(mark)), b"")
  codec = _MARKS.get(mark) or encoding or UTF_8
  if on_mark and mark == codecs.BOM_UTF8:
    on_mark(mark)
  if not (mark or encoding) and (guess := _guess_wide(first, True)):
    raise EncodingError(
        f"{name}: not UTF-8 text, but probably {guess[:6].upper()} without a "
        f"byte order mark, see byte {first.index(0)}", guess)
  decoder = codecs.getincrementaldecoder(codec)()
  offset = len(mark)  # of the text that is not decoded yet
  for part in itertools.chain([first[len(mark):]], parts, [b""]):
    pending = decoder.getstate()[0]
    try:
      text = decoder.decode(part, not part)
      yield part if codec == UTF_8 else text.encode()
      offset += len(pending + part) - len(decoder.getstate()[0])
    except UnicodeError as error:
      start = 0
      if isinstance(error, UnicodeDecodeError):
        start = error.start
        good = error.object[:start]
        yield (good[len(pending):] if codec == UTF_8 else
               good.decode(codec, "ignore").encode())
      raise _error(name, offset + start, codec, pending + part) from None


def _first_part(parts: Iterator[bytes]) -> bytes:
  """Returns the first part, long enough to tell its byte order mark."""
  first = next(parts, b"")
  while any(mark.startswith(first) and mark != first for mark in _MARKS):
    more = next(parts, b"")
    if not more:
      break
    first += more
  return first


def _error(name: str, offset: int, codec: str,
           sample: bytes) -> EncodingError:
  """Returns the error for a text that is not in an encoding."""
  kind = "UTF-8" if codec == UTF_8 else codec
  guess = guess_encoding(sample)
  return EncodingError(f"{name}: not {kind} text, see byte {offset}",
                       guess if guess != codec else None)


def guess_encoding(sample: bytes) -> str | None:
  """Returns the probable encoding of text that is not UTF-8, or None.

  If the bytes beyond ASCII mostly stand alone, the alphabet is Latin; otherwise
  the text is in another script. Of the encodings of the kind, the one is taken
  in which the most characters beyond ASCII are frequent ones, if a quarter of
  them are. UTF-16 and UTF-32 show by their zeros.
  """
  sample = sample[:_SAMPLE]
  if guess := _guess_wide(sample, False):
    return guess
  if len(_CONTROL.findall(sample)) * 100 > len(sample):
    return None  # not text
  runs = [len(run) for run in _NOT_ASCII.findall(sample)]
  candidates = (_LATIN if runs.count(1) * 2 > sum(runs) else _OTHER_SCRIPTS)
  shares = {name: _share(sample, name, frequent)
            for name, frequent in candidates.items()}
  best = max(shares, key=lambda name: shares[name])  # the first, if equal
  return best if shares[best] >= 0.25 else None


def _share(sample: bytes, encoding: str, frequent: str) -> float:
  """Returns the share of the characters beyond ASCII that are frequent."""
  decoder = codecs.getincrementaldecoder(encoding)()
  try:  # the last character of the sample may be incomplete
    others = [char for char in decoder.decode(sample) if not char.isascii()]
  except UnicodeDecodeError:
    return 0.
  return sum(map(frequent.__contains__, others)) / max(len(others), 1)


def _guess_wide(sample: bytes, may_be_utf_8: bool) -> str | None:
  """Returns the kind of UTF-16 or UTF-32 that bytes look like, or None.

  In UTF-16, blanks and line ends have a zero byte, and so do ASCII letters. It
  is the high byte, so the low bytes are never zero. In UTF-32, every character
  has a zero byte.

  Args:
    may_be_utf_8: whether the bytes may be UTF-8, too. Then most high bytes of
      UTF-16 have to be zero, or all to be below 32.
  """
  sample = sample[:_SAMPLE & -4]
  if len(sample) < 16 or 0 not in sample:
    return None
  names = [name for name, low, high in (
      ("utf-16-le", sample[::2], sample[1::2]),
      ("utf-16-be", sample[1::2], sample[::2]))
           if 0 not in low and high.count(0) * 50 >= len(high) and not (
               may_be_utf_8 and max(high) >= 32
               and high.count(0) * 2 < len(high))]
  if sample.strip(b"\0"):
    names += ["utf-32-le", "utf-32-be"]
  for name in names:
    try:
      codecs.getincrementaldecoder(name)().decode(sample)
      return name
    except UnicodeDecodeError:
      pass
  return None
