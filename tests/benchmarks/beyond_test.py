"""The tables of models and settings beyond the paper."""

import re

import pytest

import configs
from benchmarks import ablation, awd, beyond, costs
from benchmarks.comparison import Result
from benchmarks.records import Record
from data import fetch_ptb

HEADER = ["| | parameters | epochs | hours | words/s | valid | test |",
          "|---|---|---|---|---|---|---|"]
PAPER = "| large, paper | 66.0 M | 55 | | | 82.2 | 78.4 |"


def run(model, epochs, seed=1, precision="float32", tests=None, **settings):
  """Returns a run whose second epoch is its best."""
  rows = [{"train_perplexity": 50.0, "valid_perplexity": 90.0 - (number == 2),
           "words_per_second": 1000.0 + number, "seconds": 1800.0}
          for number in range(1, epochs + 1)]
  return Record("path", {
      "model": model, "seed": seed, "precision": precision, "overrides": "",
      "settings": vars(configs.CONFIGS[model]) | {
          "hidden_sizes": [*configs.CONFIGS[model].hidden_sizes]} | settings,
      "data": {name.split(".")[1]: {"sha256": digest}
               for name, digest in fetch_ptb.HASHES.items()}}, rows,
                tests or {}, "a\n2,659,200 parameters; training needs at least")


def table(name, runs=(), **texts):
  return beyond.tables(runs, texts)[name]


def test_without_results_only_the_paper_has_a_row():
  assert table("beyond") == [*HEADER, PAPER]
  for name in "ablation", "costs", "awd", "awd_400":
    assert table(name) == []


def test_a_run_has_the_figures_of_its_best_epoch_by_validation():
  runs = [run("small", 13), run("tied-small", 40, tests={2: 84.0, 40: 85.0}),
          run("tied-small", 40, 2, tests={40: 85.0}),
          run("tied-medium", 50, precision="bfloat16", tests={50: 70.125}),
          run("large", 55, tests={2: 77.0, 55: 78.0})]
  assert table("beyond", runs) == [
      *HEADER,
      "| **tied-small** | 2.7 M | 40 of 40 | 20.0 | 1,020 | 89.00 | 84.00 |",
      "| **tied-medium** with `--use_bfloat16` | 2.7 M | 50 of 50 | 25.0 | "
      "1,026 | 90.00 | 70.12 |",
      "| **large** | 2.7 M | 55 of 55 | 27.5 | 1,028 | 90.00 | 78.00 |", PAPER]


def test_a_partial_run_is_shown_until_one_has_finished():
  runs = [run("tied-small", 3), run("awd", 2), run("large", 1)]
  found = table("beyond", runs)
  assert found[2:] == [
      "| **tied-small**: partial | 2.7 M | 3 of 40 | 1.5 | 1,002 | 90.00 | |",
      "| **awd**: partial | 2.7 M | 2 of 500 | 1.0 | 1,002 | 89.00 | |", PAPER]
  finished = run("tied-small", 40, precision="bfloat16", tests={40: 85.0})
  assert "partial" not in table("beyond", [runs[0], finished])[2]


def test_a_run_with_other_settings_has_no_row():
  assert table("beyond", [run("tied-small", 40, keep_prob=0.123)]) == [
      *HEADER, PAPER]


def test_sources_and_settings_are_those_of_the_models():
  sources = table("beyond_sources")
  assert len(sources) == 2 + sum(
      len(configs.PUBLISHED[name]) for name in beyond.MODELS)
  assert all(re.search(r" \d+\.\d+ \|$", line) for line in sources[2:])
  settings = {line.split("`")[1]: line for line in table("beyond_settings")[2:]}
  assert settings["learning_rate"].endswith("| 3/7 |")
  assert settings["tie_weights"] == "| `tie_weights` | True | True | True |"
  assert settings["weight_decay"].endswith("| 8.4e-05 |")
  assert "cell" not in settings  # the default in all of them


def test_ablation_shows_the_change_of_test():
  base = run("tied-small", 3, tests={2: 84.0, 3: 85.0})
  lines = list(ablation.table({
      "tied-small": ("", base),
      "without tie_weights": ("tie_weights=false", run(
          "tied-small", 2, tests={2: 87.25})),
      "with reset_state": ("reset_state=true,lr_decay=0.5", run(
          "tied-small", 2, tests={2: 83.5}))}))
  text = "\n".join(["$ x", "# 3 b", *lines, ""])
  assert table("ablation", ablation=text) == [
      "| | settings | valid | test | change of test |", "|---|---|---|---|---|",
      "| **tied-small** | | 89.00 | 84.00 | |",
      "| without tie_weights | `tie_weights=false` | 89.00 | 87.25 | +3.25 |",
      "| with reset_state | `reset_state=true,lr_decay=0.5` | 89.00 | 83.50 | "
      "-0.50 |"]


def test_costs_are_relative_to_their_config():
  results = {
      "medium": Result("medium", 1.0, 2048 * 1024, [3000.0], [1.0]),
      "with tie_weights": Result("x", 1.0, 1024 * 1024, [2000.0], [1.25])}
  text = "\n".join(["# 7 rounds of 6 s", *costs.table(results), "# other  1",
                    *costs.table({"tied-medium": results["medium"]}), ""])
  assert table("costs", costs=text) == [
      "| | words/s | speed | peak memory, MB |", "|---|---|---|---|",
      "| **medium** | 3,000 | | 2,048 |",
      "| medium with tie_weights | 2,000 | 0.80 | 1,024 |",
      "| **tied-medium** | 3,000 | | 2,048 |"]


@pytest.mark.parametrize("name, file", [("awd", "awd"),
                                        ("awd_400", "awd-400")])
def test_long_comparisons_are_shortened(name, file):
  def row(number, **changes):
    return {"train": 200.0, "valid": 100.0 - number, "averages": False,
            "words_per_second": 300.0} | changes

  ours = [row(number, averages=number > 13) for number in range(1, 19)]
  theirs = [row(number, averages=number > 11) for number in range(1, 19)]
  lines = table(name, **{file: "\n".join(awd.table(ours, theirs))})
  assert lines[0] == (
      "| epoch | train | PyTorch | valid | PyTorch | difference | |")
  assert [line.split(" | ")[0] for line in lines[2:]] == [
      f"| {number}" for number in (1, 2, 3, 5, 10, 11, 12, 13, 14, 15, 18)]
  assert lines[2] == "| 1 | 200.00 | 200.00 | 99.00 | 99.00 | +0.0 % | |"
  assert lines[7].endswith("| +0.0 % | |")
  assert lines[8].endswith("| +0.0 % | averages in PyTorch |")
  assert lines[10].endswith("| averages here, averages in PyTorch |")
  alone = table(name, **{file: "\n".join(awd.table(ours, theirs[:2]))})
  assert alone[:4] == lines[:4]
  assert alone[4] == "| 3 | 200.00 | - | 97.00 | - | - | |"
  assert alone[-1] == "| 18 | 200.00 | - | 82.00 | - | - | averages here |"


def test_the_log_says_when_averaging_begins():
  log = ("Epoch: 1 Valid Perplexity: 9.000\nEpoch: 2 Valid Perplexity: 9.500\n"
         "Averaging of the parameters begins, because\n"
         "Epoch: 3 Valid Perplexity: 8.000\n")
  assert awd.averaging_begins(log) == 2
  assert awd.averaging_begins(log.replace("Averaging", "Nothing")) is None
