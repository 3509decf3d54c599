"""The tables in the documents, made from the files in results/ and `configs`.

A table has a row for each result that exists. A run that has not reached its
last epoch is shown as partial, as long as its model has no finished run.
"""

import itertools
import os
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence

import configs
from benchmarks import beyond, logbook, records, settings
from benchmarks.markdown import header, row
from benchmarks.records import Record
from benchmarks.scores import (
  Scores,
  best,
  by_method,
  read_scores,
  read_settings,
)
from rnn.errors import UserError
from trained import adaptation

# Valid and test perplexity of averages of models: table 1 of the paper, by
# config and number of models.
PUBLISHED_AVERAGES = {
    ("small", 2): (100.4, 96.1),
    ("small", 5): (87.9, 84.1),
    ("small", 10): (83.5, 80.0),
    ("medium", 2): (80.6, 77.0),
}
# The defaults of `score.py`, as `adaptation` writes settings.
DEFAULTS = {"dynamic": f"dynamic {adaptation.DYNAMIC:g}",
            "cache": "cache " + ",".join(
                f"{value:g}" for value in adaptation.CACHE)}
_AVERAGE = "average of "
SIZES = "sizes"  # the name of the average of small, medium and large


class Results:
  """The files in results/.

  Attributes:
    runs: the runs of results/ptb/.
    averages: by the name of the file in results/averages/.
    adaptation: the text of a file in results/adaptation/, by model.
    beyond: the texts of results/beyond/, by the name of the file.
    paragraphs: the text of results/paragraphs.txt; empty if there is none.
  """

  def __init__(self, folder: str) -> None:
    """Reads them.

    Raises:
      UserError: one of them cannot be read.
    """
    self.runs = records.read_all(os.path.join(folder, "ptb"))
    self.averages = {
        name: _scores_of_average(name, text) for name, text
        in _texts(os.path.join(folder, "averages")).items()}
    self.adaptation = _texts(os.path.join(folder, "adaptation"))
    self.beyond = _texts(os.path.join(folder, "beyond"))
    self.paragraphs = records.read_log(os.path.join(folder, "paragraphs.txt"))


def _texts(folder: str) -> dict[str, str]:
  """Returns the texts in a folder, by the names of their files."""
  if not os.path.isdir(folder):
    return {}
  return {name.removesuffix(".txt"):
          records.read_log(os.path.join(folder, name))
          for name in sorted(os.listdir(folder))}


def _scores_of_average(name: str, text: str) -> Scores:
  """Returns the scores in a file, which must have both texts."""
  scores = read_scores(text)
  for split in "valid", "test":
    if not any(label.startswith(_AVERAGE) for label in scores.get(split, ())):
      raise UserError(f"results/averages/{name}.txt: has no average on the "
                      f"{split} text; write it again")
  return scores


def tables(results: Results) -> dict[str, list[str]]:
  """Returns the lines of all tables, by name."""
  return {
      "models": [*header("", "epochs", "train", "valid", "test"),
                 *_models(results)],
      "averages": [*header("", "valid", "test", "valid, paper", "test, paper"),
                   *_averages(results)],
      "adaptation": [*header("", "valid", "test"), *_adaptation(results)],
      "beyond_seeds": [*header("", "epochs", "train", "valid", "test"),
                       *_seeds(run for run in results.runs
                               if run.model in beyond.MODELS
                               and run.is_of_the_table)],
      "runs": [*header("folder", "command", "epochs", "hours", "peak memory",
                       "starts"), *_runs(results)],
      "paragraphs": list(_paragraphs(results)),
      **beyond.tables(results.runs, results.beyond),
      **settings.tables(),
  }


def _figure(figure: float | None) -> str:
  """Returns a perplexity as a cell.

  Some figures come from older logs, with three digits. If the last one is a 5
  it is rounded up, as it was in these logs.
  """
  return "" if figure is None else f"{figure + 1e-9:.2f}"


def _models(results: Results) -> Iterator[str]:
  for model in records.PAPER:
    published = configs.PUBLISHED[model]
    runs = [run for run in results.runs
            if run.model == model and run.is_of_the_table]
    runs = [run for run in runs if run.is_finished] or runs
    yield from _runs_of_a_model(runs)
    epochs = str(configs.CONFIGS[model].max_max_epoch)
    for name, figures in zip(("paper", "classic script"), published.values(),
                             strict=True):
      yield row(f"{model}, {name}", epochs, *(
          "" if figure is None else f"{figure:g}" for figure in figures))
    yield from _seeds(runs)
    for (of, number), paper in PUBLISHED_AVERAGES.items():
      if of == model and (scores := results.averages.get(f"{of}-{number}")):
        yield row(f"average of {number} {model}, this suite", "", "",
                  *_average(scores))
        yield row(f"average of {number} {model}, paper", "", "",
                  *map(str, paper))
  if scores := results.averages.get(SIZES):
    yield row("small, medium and large together", "", "", *_average(scores))


def _runs_of_a_model(runs: Sequence[Record]) -> Iterator[str]:
  """Generates a row for each precision, with the lowest seed.

  Other precisions than the first have none if `_seeds` has a row for them.
  """
  first = True
  for _, group in itertools.groupby(runs, lambda run: run.config["precision"]):
    run, *others = group
    if others and run.is_finished and not first:
      continue
    label = _with_flags(
        f"**{run.model}**, this suite" if first else run.model, run.config)
    epochs = len(run.rows)
    yield row(label + ("" if run.is_finished else ": partial"),
              f"{epochs} of {run.epochs_in_total}",
              *map(_figure, run.figures(epochs)))
    if first and run.is_finished and run.best_epoch in run.tests and (
        run.best_epoch < epochs):
      yield row("its best epoch by validation", str(run.best_epoch),
                *map(_figure, run.figures(run.best_epoch)))
    first = False


def _with_flags(label: str, config: dict) -> str:
  """Returns a label with the flags that affect the result."""
  flags = records.flags(config | {"overrides": ""})
  return f"{label} with `{' '.join(flags)}`" if flags else label


def _seeds(runs: Iterable[Record]) -> Iterator[str]:
  """Generates a row for each model and precision with several seeds."""
  for _, group in itertools.groupby(
      runs, lambda run: (run.model, run.config["precision"])):
    finished = [run for run in group if run.is_finished]
    if len(finished) < 2:
      continue
    seeds = [run.config["seed"] for run in finished]
    label = _with_flags(finished[0].model, finished[0].config | {"seed": 1})
    columns = zip(*(run.figures(run.judged_epoch) for run in finished),
                  strict=True)
    yield row(
        f"{label}, seeds {_numbers(seeds)}: mean and standard deviation",
        str(finished[0].epochs_in_total), *(
            f"{statistics.mean(column):.2f} ± {statistics.stdev(column):.2f}"
            for column in columns))


def _numbers(numbers: Sequence[int]) -> str:
  """Returns [1, 2, 3] as "1 to 3", and [1, 3] as "1, 3"."""
  if len(numbers) > 2 and [*numbers] == [*range(numbers[0], numbers[-1] + 1)]:
    return f"{numbers[0]} to {numbers[-1]}"
  return ", ".join(map(str, numbers))


def _average(scores: Scores) -> list[str]:
  """Returns the cells of an average: valid and test."""
  return [_figure(figure) for split in ("valid", "test")
          for label, figure in scores[split].items()
          if label.startswith(_AVERAGE)]


def _averages(results: Results) -> Iterator[str]:
  for model in configs.CONFIGS:
    numbers = [number for of, number in PUBLISHED_AVERAGES
               if of == model and f"{of}-{number}" in results.averages]
    if not numbers:
      continue
    members = results.averages[f"{model}-{max(numbers)}"]
    yield row(
        f"one of {max(numbers)} {model} (lowest to highest)",
        *(_range([figure for label, figure in members[split].items()
                  if not label.startswith(_AVERAGE)])
          for split in ("valid", "test")),
        *(f"{figure:g}" for figure in [*configs.PUBLISHED[model].values()][0][
            1:]))
    for number in numbers:
      yield row(f"**average of {number} {model}**",
                *_average(results.averages[f"{model}-{number}"]),
                *map(str, PUBLISHED_AVERAGES[model, number]))
  if SIZES in results.averages:
    yield row("**small, medium and large together**",
              *_average(results.averages[SIZES]), "", "")


def _range(figures: Sequence[float]) -> str:
  return f"{_figure(min(figures))} to {_figure(max(figures))}"


def _adaptation(results: Results) -> Iterator[str]:
  """Generates rows by model: the best settings, and the defaults.

  They show the perplexity, and its change by the method.
  """
  for model in filter(results.adaptation.__contains__, configs.CONFIGS):
    text = results.adaptation[model]
    tried = read_settings(text)
    tested = by_method(read_scores(text).get("test", {}))
    for method, default in DEFAULTS.items():
      setting = best([tried], method)
      if setting:
        yield row(f"**{model}**, {_setting_in_words(setting)}",
                  _change(tried[setting], tried["static"]),
                  _change(tested.get(method), tested.get("")))
      if default != setting and default in tried:
        yield row(f"{model}, {_setting_in_words(default)} (the default)",
                  _change(tried[default], tried["static"]), "")
    if "dynamic and cache" in tested:
      yield row(f"**{model}**, both", "",
                _change(tested["dynamic and cache"], tested.get("")))


def _change(figure: float | None, before: float | None) -> str:
  """Returns a perplexity as a cell, such as "99.09 (-12.9 %)"."""
  if figure is None or before is None:
    return ""
  return f"{_figure(figure)} ({100 * (figure / before - 1):+.1f} %)"


def _setting_in_words(setting: str) -> str:
  method, _, values = setting.partition(" ")
  name = {"dynamic": "dynamic evaluation", "cache": "cache"}[method]
  return f"{name}, {values}"


def _runs(results: Results) -> Iterator[str]:
  for run in results.runs:
    peak = logbook.peak_memory(run.log)
    yield row(
        f"`{os.path.basename(run.path)}/`",
        f"`{records.command(run.config)}`",
        f"{len(run.rows)} of {run.epochs_in_total}", f"{run.hours:.2f}",
        f"{peak:,} kB" if peak else "",
        "; ".join(map(str, logbook.starts(run.log))))


def _paragraphs(results: Results) -> Iterator[str]:
  """Generates the paragraphs as quotations, each with its command."""
  for part in results.paragraphs.split("$ python ")[1:]:
    command, *lines = part.splitlines()
    model = re.search(r"--save_path=runs/([\w-]+?)-seed-", command)
    yield f"**{model[1] if model else 'A model'}**, by `python {command}`:"
    yield ""
    escaped = (re.sub(r"([\\`*_$<>~#\[\]])", r"\\\1", line) for line in lines)
    yield "> " + "<br>\n> ".join(escaped)
    yield ""
