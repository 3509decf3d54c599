"""Sources: files, folders, patterns, compression and encodings."""

import tracemalloc

import pytest

from rnn.text import sources

# Blocks


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r", b"\v", b"\f", b"\n"])
def test_blocks_end_after_words(tmp_path, monkeypatch, blank):
  path = tmp_path / "file"
  text = "a caf\u00e9 \u2028 b\u00a0c d\x1ce".encode().replace(b" ", blank)
  for content in b"", blank * 9, text * 9, text + blank:
    path.write_bytes(content)
    for block_bytes in (1, 2, 3, 7, 1000):
      monkeypatch.setattr(sources, "_BLOCK_BYTES", block_bytes)
      *blocks, last = [*sources.find(str(path)).blocks()] or [b""]
      assert b"".join([*blocks, last]) == content
      assert all(block.endswith(blank) for block in blocks)
      # A block ends at the first chance, so no block is long.
      assert all(len(block) <= block_bytes + 9 for block in blocks)


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r"])
def test_memory_does_not_grow_with_a_line(tmp_path, blank):
  path = tmp_path / "file"
  path.write_bytes((b"word" + blank) * 2_000_000)
  tracemalloc.start()
  try:
    assert sum(map(len, sources.find(str(path)).blocks())) == 10_000_000
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < 7 << 20  # five blocks, some of them as str
