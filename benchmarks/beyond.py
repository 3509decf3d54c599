"""The tables of models and settings beyond the paper.

They are made from results/ptb/, from the published figures, and from the files
in results/beyond/, which `ablation.py`, `costs.py` and `awd.py` write. Without
a file its table is empty.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import configs
from benchmarks import ablation, awd, costs, records, settings
from benchmarks.markdown import header, row
from benchmarks.records import Record

MODELS = ("tied-small", "tied-medium", "awd")
_VOCAB_SIZE = 10_000  # of the Penn Treebank


def tables(runs: Sequence[Record],
           texts: Mapping[str, str]) -> dict[str, list[str]]:
  """Returns the lines of the tables, by name.

  Args:
    runs: those of results/ptb/.
    texts: the texts of results/beyond/, by the name of the file.
  """
  return {
      "beyond": list(_models(runs)),
      "beyond_sources": list(_sources()),
      "beyond_settings": list(_settings()),
      "ablation": list(_ablation(texts.get("ablation", ""))),
      "costs": list(_costs(texts.get("costs", ""))),
      "awd": list(_awd(texts.get("awd", ""))),
      "awd_400": list(_awd(texts.get("awd-400", ""))),
  }


def _models(runs: Sequence[Record]) -> Iterator[str]:
  """Generates a row per model and precision, and the paper's large."""
  yield from header("", "parameters", "epochs", "hours", "words/s", "valid",
                    "test")
  for model in (*MODELS, "large"):
    of_model = [run for run in runs if run.model == model
                and run.is_of_the_table]
    finished = [run for run in of_model if run.is_finished]
    # A partial run of large has its row in the other table.
    shown = finished or (of_model if model in MODELS else [])
    for _, group in itertools.groupby(
        shown, lambda run: run.config["precision"]):
      yield _model(next(group))
  valid, test = next(iter(configs.PUBLISHED["large"].values()))[1:]
  yield row("large, paper", _millions(_size(configs.LARGE)),
            str(configs.LARGE.max_max_epoch), "", "", f"{valid:g}",
            f"{test:g}")


def _model(run: Record) -> str:
  """Returns the row of a run."""
  flags = " ".join(records.flags(run.config | {"overrides": ""}))
  _, valid, test = run.figures(run.judged_epoch)
  return row(
      f"**{run.model}**" + f" with `{flags}`" * bool(flags)
      + ": partial" * (not run.is_finished),
      _millions(int(run.parameters.replace(",", ""))) if run.parameters else "",
      f"{len(run.rows)} of {run.epochs_in_total}", f"{run.hours:.1f}",
      f"{run.words_per_second:,.0f}", f"{valid:.2f}",
      "" if test is None else f"{test:.2f}")


def _size(config: configs.Config) -> int:
  """Returns the parameters of a model without tied weights."""
  number = _VOCAB_SIZE * (config.input_size + config.output_sizes[-1] + 1)
  width = config.input_size
  for size in config.layer_sizes:
    number += 4 * size * (width + size + 1)
    width = size
  return number


def _millions(number: int) -> str:
  return f"{number / 1e6:.1f} M"


def _sources() -> Iterator[str]:
  """Generates the published figures of the models."""
  yield from header("", "source", "train", "valid", "test")
  for model in MODELS:
    for source, figures in configs.PUBLISHED[model].items():
      yield row(f"`{model}`", source, *(
          "" if figure is None else f"{figure:g}" for figure in figures))


def _settings() -> Iterator[str]:
  """Generates the values that are not defaults."""
  yield from header("setting", *(f"`{name}`" for name in MODELS))
  models = [configs.CONFIGS[name] for name in MODELS]
  defaults = configs.Config.defaults()
  for name in vars(models[0]):
    values = [getattr(model, name) for model in models]
    if any(name not in defaults or value != defaults[name]
           for value in values):
      yield row(f"`{name}`", *map(settings.text, values))


def _ablation(text: str) -> Iterator[str]:
  variants = ablation.read(text)
  if not variants:
    return
  yield from header("", "settings", "valid", "test", "change of test")
  (_, whole, *_), *_ = variants.values()
  for name, (valid, test, changes) in variants.items():
    change = f"{test - whole:+.2f}" if changes else ""
    yield row(name if changes else f"**{name}**",
              f"`{changes}`" if changes else "", f"{valid:.2f}", f"{test:.2f}",
              change)


def _costs(text: str) -> Iterator[str]:
  measured = costs.read(text)
  if not measured:
    return
  yield from header("", "words/s", "speed", "peak memory, MB")
  for model, variants in measured.items():
    for name, (speed, ratio, peak) in variants.items():
      yield row(f"**{model}**" if name == model else f"{model} {name}",
                f"{speed:,.0f}", "" if name == model else f"{ratio:.2f}",
                f"{peak:,.0f}")


def _awd(text: str) -> Iterator[str]:
  """Generates the first epochs, every fifth, and those around changes."""
  lines = awd.read(text)
  if not lines:
    return
  yield from header("epoch", "train", "PyTorch", "valid", "PyTorch",
                    "difference", "")
  notes = [", ".join(line.notes) for line in lines]
  for number, line in enumerate(lines, 1):
    around = set(notes[max(number - 2, 0):number + 1])
    if number <= 3 or number % 5 == 0 or len(around) > 1 or (
        number == len(lines)):
      yield row(str(number), *line.figures, line.difference, notes[number - 1])
