"""Lines of a text."""

import pytest

from rnn.text import lines, sources

LINES = ["", "a b", "c d\r", "e\t" * 40, "f" * 60, "g" * 39 + " " + "h" * 80,
         "i j " * 10, " " * 70, "k" * 41 + "\r", "l " * 19 + "lll\r"]


@pytest.mark.parametrize("last", ["", "m", "m" * 41, "m" * 99, "m " * 99])
def test_lines_do_not_depend_on_the_blocks_they_are_read_in(
    tmp_path, monkeypatch, last):
  content = "\n".join([*LINES, last])
  path = tmp_path / "text"
  path.write_bytes(content.encode())
  monkeypatch.setattr(lines, "_LONGEST", 41)
  found = {}
  for size in range(1, 200):
    monkeypatch.setattr(sources, "_BLOCK_BYTES", size)
    found[size] = list(lines.of(sources.find(str(path))))
    assert found[size] == found[1], size
  joined = "".join(found[1])
  assert joined == content.replace("\r\n", "\n") + "\n" * bool(last)
  for part in found[1]:
    assert part[-1].isspace() and (
        len(part) <= 41 or " " not in part.rstrip() and "\t" not in part)
