"""The comparison of word vectors with gensim."""

import sys

from benchmarks import word2vec
from tests.helpers.calls import assert_one_line


def test_gensim_that_is_missing_is_named(call_script, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, "gensim", None)
  assert call_script(word2vec, "--data_path=absent", "--questions=absent") == 1
  assert_one_line(capsys.readouterr().err, "word2vec.py",
                  "the package gensim is not installed; run pip install -r")
