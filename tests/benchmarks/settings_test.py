"""The tables of settings. That the documents have them: `results_test`."""

import dataclasses
import re

import configs
from benchmarks import settings
from rnn.settings import COUNT, SHARE, Settings, setting


def test_a_table_has_all_that_a_setting_says():
  @dataclasses.dataclass(frozen=True)
  class Config(Settings):
    decay: float = setting(SHARE, "the factor", may_change=True)
    sizes: tuple = setting(COUNT, "the sizes", ())

  lines = list(settings.table(Config, {
      "small": Config(1.0), "medium": Config(1 / 1.2, (5, 6))}))
  assert lines == [
      "| setting | meaning | range | default | small | medium |",
      "|---|---|---|---|---|---|",
      "| `decay`\\* | the factor | number, above 0 (from 1e-6) and at most 1 |"
      " | 1 | 1/1.2 |",
      "| `sizes` | the sizes | whole numbers with commas between, from 1 to "
      "1,000,000 | none | none | 5,6 |"]


def test_tables_have_every_setting_of_the_suite():
  tables = settings.tables()
  for name, record in {"settings": configs.Config,
                       "task_settings": configs.Config,
                       "word2vec_settings": configs.Word2Vec}.items():
    assert [re.match(r"\| `(\w+)`", line)[1] for line in tables[name][2:]] == [
        field.name for field in dataclasses.fields(record)]
  row, = [line for line in tables["settings"] if "`hidden_size`" in line]
  assert row.endswith("| 200 | 650 | 1500 | 2048 |")
