"""Fixtures of the tests of word vectors."""

import pytest

from rnn.text import vector_files
from tests.helpers.vectors import WORDS, vectors_of


@pytest.fixture
def prefix(tmp_path):
  """The prefix of files with vectors of WORDS."""
  vector_files.save(f"{tmp_path}/v", WORDS, vectors_of(len(WORDS)))
  return f"{tmp_path}/v"
