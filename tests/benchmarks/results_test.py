"""The tables of results in the documents, and the files in results/."""

import json
import os
import pathlib
import re
import shutil

import pytest

import configs
from benchmarks import logbook, results, scores, tables
from data import fetch_ptb
from rnn import files
from rnn.errors import UserError
from rnn.text import corpora
from tests.helpers.calls import ROOT, assert_one_line

RESULTS = os.path.join(ROOT, "results")
ADVICE = "python -m benchmarks.results writes the tables"


AVERAGE = """\
data/ptb/ptb.valid.txt: 3 lines, 9 tokens, 0 of them <unk>; 1 words/s
perplexity                       all  without <unk>
average of 2                  99.591        110.208
runs/seed-1 (epoch 13)       118.978        132.392
runs/seed-2 (epoch 13)       120.121        133.598
data/ptb/ptb.test.txt: 3 lines, 9 tokens, 0 of them <unk>; 1 words/s
perplexity                       all  without <unk>
average of 2                  95.507        107.925
runs/seed-1 (epoch 13)       113.740        129.515
runs/seed-2 (epoch 13)       114.606        130.207
"""
ADAPTATION = f"""\
static                            118.978
{tables.DEFAULTS["cache"]}             96.137
cache 1000,0.3,0.15                97.822
{tables.DEFAULTS["dynamic"]}                      103.426
data/ptb/ptb.test.txt: 3 lines, 9 tokens, 0 of them <unk>; 1 words/s
perplexity                                          all  without <unk>
runs/seed-1 (epoch 13)                          113.740        129.515
runs/seed-1 (epoch 13), cache                    94.209        106.810
runs/seed-1 (epoch 13), dynamic                  99.092        113.538
runs/seed-1 (epoch 13), dynamic and cache        90.194        102.970
"""


@pytest.fixture
def copy(tmp_path):
  """A copy of the project's documents, with tables of made-up results.

  There are finished runs of small, and partial ones of medium and large.
  """
  for path in results.documents():
    target = tmp_path / os.path.relpath(path, ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
  for folder, text in ("averages", AVERAGE), ("adaptation", ADAPTATION):
    (tmp_path / "results" / folder).mkdir()
    name = "small-2.txt" if folder == "averages" else "small.txt"
    (tmp_path / "results" / folder / name).write_text(text)
  for name, epochs in (("small-seed-1-float32", 13), (
      "medium-seed-1-float32", 1), ("large-seed-1-float32", 1)):
    add_run(tmp_path, name, epochs)
  results.update(str(tmp_path))
  return tmp_path


def add_run(root, name, epochs, **changes):
  """Adds a run to the results, whose figures depend on its seed."""
  model, _, seed, precision = name.rsplit("-", 3)
  folder = root / "results" / "ptb" / name
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "config.json").write_text(json.dumps({
      "model": model, "seed": int(seed), "precision": precision,
      "settings": vars(configs.CONFIGS[model]) | changes,
      "data": {"path": "data/ptb", **{
          name.split(".")[1]: {"file": name, "sha256": digest}
          for name, digest in fetch_ptb.HASHES.items()}}}))
  rows = [f"{number},{50 + int(seed)},{80 + int(seed)},3600,{2000 + number}\n"
          for number in range(1, epochs + 1)]
  (folder / "metrics.csv").write_text(
      "epoch,train_perplexity,valid_perplexity,seconds,words_per_second\n"
      + "".join(rows))
  files.write_sealed(str(folder / "tests.json"),
                     {"1": 70, str(epochs): 78 + int(seed)})
  (folder / "log.txt").write_text(
      "train: 929,589 tokens\n2,659,200 parameters; training needs at least 9 "
      "MB of memory\nEpoch: 1 L\n\tMaximum resident set size "
      "(kbytes): 1052276\n")


def all_tables(root=ROOT):
  return tables.tables(tables.Results(os.path.join(root, "results")))


def blocks(path):
  """Returns the names of the tables in a document."""
  return re.findall("<!-- results: (.+) -->", pathlib.Path(path).read_text())


# The documents


def test_documents_agree_with_the_results():
  lines = all_tables()
  for path in results.documents():
    text = pathlib.Path(path).read_text(encoding="utf-8")
    assert results.fill(text, lines) == text, f"{path}: {ADVICE}"
    assert text.count("<!-- end of results -->") == len(blocks(path))


def test_every_table_is_in_a_document():
  places = {os.path.relpath(path, ROOT): blocks(path)
            for path in results.documents()}
  assert "models" in places["README.md"]
  assert set(all_tables()) == {name for names in places.values()
                               for name in names}


@pytest.mark.parametrize("path, name", [
    ("README.md", "models"), ("README.md", "beyond"),
    ("docs/trained-models.md", "averages"),
    ("docs/trained-models.md", "adaptation"), ("results/README.md", "runs")])
def test_a_figure_changed_in_a_document_is_noticed(copy, capsys, path, name):
  capsys.readouterr()
  document = copy / path
  text = document.read_text(encoding="utf-8")
  head, start, rest = text.partition(f"<!-- results: {name} -->")
  changed = re.sub(r"\d([^\d\n]*\n<!-- end)", r"77\1", rest, count=1)
  assert changed != rest
  document.write_text(head + start + changed, encoding="utf-8")
  results.update(str(copy))
  assert capsys.readouterr().out == f"{path}: updated\n"
  assert document.read_text(encoding="utf-8") == text
  results.update(str(copy))
  assert capsys.readouterr().out == "all tables are up to date\n"


@pytest.mark.parametrize("path, figure", [
    ("ptb/small-seed-1-float32/metrics.csv", "81"),
    ("ptb/small-seed-1-float32/tests.json", "79"),
    ("averages/small-2.txt", "99.591"), ("adaptation/small.txt", "94.209")])
def test_a_figure_changed_in_the_results_is_noticed(copy, path, figure):
  before = all_tables(copy)
  path = copy / "results" / path
  text = path.read_text()
  assert figure in text
  path.write_text(text.replace(figure, "77.777"))
  assert all_tables(copy) != before


def test_logs_have_the_figures_of_the_tables():
  """Of all epochs, and of the test."""
  for run in tables.Results(RESULTS).runs:
    for split in "train", "valid":
      figures = re.findall(
          rf"^Epoch: \d+ {split.title()} Perplexity: ([\d.]+)$", run.log,
          re.MULTILINE)
      # An epoch after a checkpoint that was lost is in the log twice.
      assert {f"{row[f'{split}_perplexity']:.3f}" for row in run.rows} <= set(
          figures)
    for epoch, figure in run.tests.items():
      assert re.search(
          rf"^Test Perplexity: {figure:.3f}" + (
              "$" if epoch == len(run.rows) else rf" \(epoch {epoch},"),
          run.log, re.MULTILINE), (run.path, epoch)
    assert logbook.starts(run.log)


def test_defaults_follow_the_rule():
  """The best settings for all models whose results are there."""
  tried = list(map(scores.read_settings, tables.Results(
      RESULTS).adaptation.values()))
  assert tables.DEFAULTS == {
      method: scores.best(tried, method) for method in ("dynamic", "cache")}


def test_unknown_table():
  with pytest.raises(UserError, match="results: models2: no such table; there "
                     "are models, averages, "):
    results.fill("<!-- results: models2 -->\n<!-- end of results -->\n",
                 all_tables())


def test_complains_in_one_line(call_script, copy, capsys, monkeypatch):
  monkeypatch.setattr(results.transcript, "ROOT", str(copy))
  (copy / "results" / "averages" / "small-2.txt").write_text("")
  assert call_script(results) == 1
  assert_one_line(capsys.readouterr().err, "results.py",
                  "results/averages/small-2.txt: has no average on the valid")


# The rows of runs that do not exist yet


def rows(root, name="models"):
  return [re.split(r" ?\| ?", row)[1:-1] for row in all_tables(root)[name]]


def labels(root, name="models"):
  return [row[0] for row in rows(root, name)]


def test_a_finished_run_is_no_longer_partial(copy):
  partial = "**medium**, this suite: partial"
  assert partial in labels(copy)
  add_run(copy, "medium-seed-1-float32", 38)
  assert [partial, "38 of 39", "51.00", "81.00", "79.00"] in rows(copy)
  add_run(copy, "medium-seed-1-float32", 39)
  assert ["**medium**, this suite", "39 of 39", "51.00", "81.00", "79.00"
          ] in rows(copy)
  assert partial not in labels(copy)


def test_a_partial_run_is_hidden_by_a_finished_one_in_another_precision(copy):
  assert "**large**, this suite: partial" in labels(copy)
  add_run(copy, "large-seed-1-bfloat16", 55)
  assert [label for label in labels(copy) if "large" in label] == [
      "**large**, this suite with `--use_bfloat16`", "large, paper",
      "large, classic script"]


@pytest.mark.parametrize("changes", [
    {"hidden_size": 10}, {"keep_prob": 0.9}])
def test_another_config_is_no_row(copy, changes):
  add_run(copy, "medium-seed-1-float32", 39, **changes)
  assert not [label for label in labels(copy) if "medium**" in label]


def test_another_text_is_no_row(copy, monkeypatch):
  assert "**small**, this suite" in labels(copy)
  monkeypatch.setitem(corpora.PTB, "test", "another")
  assert labels(copy)[2] == "small, paper"


def test_best_epoch_has_a_row_if_it_is_not_the_last(copy):
  assert ["its best epoch by validation", "1", "51.00", "81.00", "70.00"
          ] in rows(copy)
  tests = copy / "results" / "ptb" / "small-seed-1-float32" / "tests.json"
  files.write_sealed(str(tests), {"13": 79})
  assert "its best epoch by validation" not in labels(copy)


def test_seeds_have_mean_and_deviation(copy):
  add_run(copy, "medium-seed-1-float32", 39)
  add_run(copy, "medium-seed-2-bfloat16", 39)
  for seed in range(1, 4):
    add_run(copy, f"small-seed-{seed}-bfloat16", 13)
  add_run(copy, "small-seed-4-bfloat16", 12)  # partial
  found = rows(copy)
  assert ["medium with `--use_bfloat16 --seed=2`", "39 of 39", "52.00",
          "82.00", "80.00"] in found
  assert ["small with `--use_bfloat16`, seeds 1 to 3: mean and standard "
          "deviation", "13", "52.00 ± 1.00", "82.00 ± 1.00", "80.00 ± 1.00"
          ] in found
  assert [label for label in labels(copy) if label.startswith(
      ("**small", "small with"))] == [
          "**small**, this suite",
          "small with `--use_bfloat16`, seeds 1 to 3: mean and standard "
          "deviation"]
  assert "deviation" not in " ".join(
      label for label in labels(copy) if "medium" in label)


def test_models_beyond_the_paper_have_a_table_of_seeds(copy):
  for seed in 1, 3:
    add_run(copy, f"tied-small-seed-{seed}-float32", 40)
    add_run(copy, f"tied-medium-seed-{seed}-bfloat16", 50)
  add_run(copy, "tied-medium-seed-2-bfloat16", 9)
  # Of the best epoch, which is the first.
  figures = ["52.00 ± 1.41", "82.00 ± 1.41", "70.00 ± 0.00"]
  found = rows(copy, "beyond_seeds")
  assert [row[:2] for row in found[2:]] == [
      ["tied-small, seeds 1, 3: mean and standard deviation", "40"],
      ["tied-medium with `--use_bfloat16`, seeds 1, 3: mean and standard "
       "deviation", "50"]]
  assert [row[2:] for row in found[2:]] == [figures, figures]


def test_averages_of_all_sizes(copy):
  folder = copy / "results" / "averages"
  for name in "small-10", "medium-2", "sizes":
    (folder / f"{name}.txt").write_text(AVERAGE.replace("95.507", "75.500"))
  found = rows(copy)
  assert ["average of 10 small, this suite", "", "", "99.59", "75.50"] in found
  assert ["average of 10 small, paper", "", "", "83.5", "80.0"] in found
  assert ["average of 2 medium, paper", "", "", "80.6", "77.0"] in found
  assert found[-1] == ["small, medium and large together", "", "", "99.59",
                       "75.50"]
  assert ["**average of 2 medium**", "99.59", "75.50", "80.6", "77.0"] in rows(
      copy, "averages")
  assert labels(copy, "averages")[2:] == [
      "one of 10 small (lowest to highest)", "**average of 2 small**",
      "**average of 10 small**",
      "one of 2 medium (lowest to highest)", "**average of 2 medium**",
      "**small, medium and large together**"]


def test_adaptation_shows_the_default_if_another_setting_is_better(copy):
  folder = copy / "results" / "adaptation"
  (folder / "large.txt").write_text(ADAPTATION.replace("97.822", "70.000"))
  found = rows(copy, "adaptation")[5:]
  assert found == [
      ["**large**, " + tables.DEFAULTS["dynamic"].replace(
          "dynamic", "dynamic evaluation,"),
       "103.43 (-13.1 %)", "99.09 (-12.9 %)"],
      ["**large**, cache, 1000,0.3,0.15",
       "70.00 (-41.2 %)", "94.21 (-17.2 %)"],
      ["large, " + tables.DEFAULTS["cache"].replace("cache", "cache,")
       + " (the default)", "96.14 (-19.2 %)", ""],
      ["**large**, both", "", "90.19 (-20.7 %)"]]


def test_paragraphs_are_quoted(copy):
  (copy / "results" / "paragraphs.txt").write_text(
      "$ python generate.py --save_path=runs/small-seed-1-float32\n"
      "the <unk> of $ N\nrose\n")
  assert all_tables(copy)["paragraphs"] == [
      "**small**, by `python generate.py --save_path=runs/small-seed-1-float32"
      "`:", "", "> the \\<unk\\> of \\$ N<br>\n> rose", ""]


def test_best_setting_for_all_models():
  """The lowest product of perplexities, if all models have tried it."""
  tried = [{"cache 1": 10.0, "cache 2": 20.0, "cache 3": 1.0, "dynamic 1": 1},
           {"cache 1": 40.0, "cache 2": 10.0}]
  assert scores.best(tried, "cache") == "cache 2"
  assert scores.best(tried[:1], "cache") == "cache 3"
  assert scores.best(tried, "dynamic") is None
