"""Hypothesis strategies: odd texts, names and settings."""

from hypothesis import strategies

import configs

BOM = b"\xef\xbb\xbf"

WORDS = [
    "a", "b", "the", "<eos>", "<unk>", "\u00e9", "\U0001f989", "\0", "\x1c",
    "\x85", "\u00a0", "\u2028", "\u3000", "\ufeff", "\x1b[2J"]
BLANKS = ["\n", "\n", " ", " ", "\t", "\r", "\r\n", "\v", "\f"]
# A lone surrogate, half a character, an overlong one, one beyond Unicode.
NOT_UTF_8 = [
    "\ud800".encode("utf-8", "surrogatepass"), b"\xc3", b"\xc0\x80",
    b"\xf4\x90\x80\x80", b"\xff"]


def joined(pieces, **sizes):
  """Returns a strategy of bytes, made up of some of the pieces."""
  return strategies.lists(
      strategies.sampled_from(pieces), **sizes).map(b"".join)


PIECES = [piece.encode() for piece in WORDS + BLANKS]
GOOD_TEXT = joined(PIECES, min_size=1)
ANY_TEXT = (
    GOOD_TEXT | strategies.binary() | joined(PIECES + NOT_UTF_8)
    | strategies.text().map(str.encode) | joined([b"\n"])
    | strategies.sampled_from(PIECES + NOT_UTF_8)
    | GOOD_TEXT.map(BOM.__add__))

# No dot: ".." would lead out of the folder of the tests.
NAME = strategies.text(min_size=1, alphabet=(
    "ab /-=~*?[]{}%$'\"\\\0\n\r\t\x1b\x7f\x85\u00e9\u00a0\u202e\u2028\ufeff"
    "\ud800\udcff"))
LONG_NAME = strategies.integers(250, 260).map("n".__mul__)
ABSURD_NAME = strategies.sampled_from(["n" * 10**6, "d/" * 10**5])
ANY_NAME = NAME | LONG_NAME | ABSURD_NAME

ODD = strategies.sampled_from([
    "", " ", "nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "-0", "0", "1",
    "2", "0.5", "1_0", "0x10", "1e3", "\u0663", "\uff13", "\u00b2", "\u0bf0",
    "9" * 400, "9" * 5000, "1,2", "1,,2", ",", "=", "==", "1=2", "None", "True",
    "1\n", "a\nb", "\n", "\0", "1\0", "\r", "\x1b[2J", "\x85", "\u2028",
    "\u202e", "\ud800", "\udcff", "%s", "{}", "{0}", "\\n", "'", '"', "x" * 9999
]) | strategies.text(strategies.characters()) | strategies.floats().map(
    repr) | strategies.integers().map(str)
SETTING = strategies.tuples(
    strategies.sampled_from([*vars(configs.SMALL), "vocab_size", "init_scale "])
    | ODD, strategies.sampled_from(["=", "=", "=", "", "==", " = "]), ODD
).map("".join)
GOOD_SETTINGS = strategies.lists(unique=True, elements=strategies.sampled_from([
    "hidden_size=2", "keep_prob=.5", "num_steps= 1_0 ", "hidden_sizes=3,4",
    "learning_rate=1e-3", "max_epoch=\u0663", "", "embedding_size=\n7"])
).map(",".join)
SETTINGS = strategies.lists(
    SETTING | GOOD_SETTINGS, max_size=4).map(",".join) | GOOD_SETTINGS | ODD


def shown(path):
  """Returns a path as messages show it, or the beginning of that."""
  return "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                 for c in path[:4200])

JSON_VALUES = [
    None, True, 0, -1, 7, 12.0, 1e400, float("nan"), 10**30, "", "x", "12",
    "\x1b[2J", "\ud800", [], [1], [[]], {}, {"a": 1}]
