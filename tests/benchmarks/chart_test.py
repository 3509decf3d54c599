"""The chart of `benchmarks.speed`: its bars, its labels and its figures."""

import os
import re

import pytest

from benchmarks import chart
from benchmarks.comparison import Result
from tests.helpers.calls import ROOT, assert_one_line

FIGURES = [os.path.join(ROOT, "results/speed/intel-xeon-amx", name)
           for name in ("speed.csv", "small/speed.csv")]


def write(path, **rates):
  """Writes figures, by title with `_` in place of blanks and commas."""
  chart.write_figures(str(path), {
      re.sub("_", ", ", title, count=1).replace("_", " "): [
          Result(name.replace("_", "-"), 0, rates=numbers)
          for name, numbers in contenders.items()]
      for title, contenders in rates.items()})
  return str(path)


def test_panels_have_the_most_cores_and_the_fastest_pytorch(tmp_path):
  path = write(
      tmp_path / "speed.csv",
      small_1_core={"cudnn": [7.0]},
      small_2_cores={
          "cudnn": [10.0, 12.0, 30.0], "block": [9.0], "torch": [4.0, 5.0, 6.0],
          "torch_fused": [6.0, 6.0, 6.0], "cudnn_bfloat16": [20.0],
          "torch_compile": [99.0]},
      large_2_cores={"fused": [2.0], "keras": [1.0]})
  assert chart.panels(chart.read_figures(path)) == {
      "small, 2 cores": {
          "this suite, bfloat16": 20, "this suite": 12, "PyTorch": 6},
      "large, 2 cores": {"this suite": 2, "Keras 3": 1}}


def test_bars_are_labeled_from_the_top_down():
  figure = chart.draw({"small, 2 cores": {"this suite": 13278, "Keras 3": 6.6},
                       "large, 2 cores": {"this suite": 838}}, "Fast")
  small, large = figure.axes
  assert [text.get_text() for text in small.texts] == ["7", "13,278"]
  assert [bar.get_width() for bar in small.patches] == [6.6, 13278]
  assert [label.get_text() for label in small.get_yticklabels()] == [
      "Keras 3", "this suite"]
  assert [text.get_text() for text in large.texts] == ["838"]
  assert [ax.get_title(loc="left") for ax in (small, large)] == [
      "small, 2 cores", "large, 2 cores"]
  assert figure.get_suptitle() == "Fast"


def test_a_later_file_replaces_a_panel(call_script, capsys, monkeypatch,
                                       tmp_path):
  first = write(tmp_path / "1.csv", small_2_cores={"fused": [1.0]},
                large_2_cores={"fused": [2.0]})
  second = write(tmp_path / "2.csv", small_2_cores={"fused": [3.0]})
  drawn = []
  monkeypatch.setattr(chart, "save", lambda *args: drawn.append(args))
  assert not call_script(chart, f"--figures={first},{second}", "--output=x.png",
                         "--title=Fast")
  assert drawn == [("x.png", {"small, 2 cores": {"this suite": 3.0},
                              "large, 2 cores": {"this suite": 2.0}}, "Fast")]
  assert capsys.readouterr().out == "x.png: written\n"


@pytest.mark.parametrize("text, message", [
    ("a,b\n", "speed.csv: the columns are not config"),
    ("config,contender,round,words_per_second\n", "speed.csv: has no figures"),
    ("config,contender,round,words_per_second\nsmall,fused,1,2.0\n",
     "speed.csv, line 2: not a figure"),
    ("config,contender,round,words_per_second\n\"small, 2 cores\",fused,1\n",
     "speed.csv, line 2: not a figure"),
    (None, "speed.csv: No such file")])
def test_complains_in_one_line(call_script, capsys, tmp_path, text, message):
  path = tmp_path / "speed.csv"
  if text is not None:
    path.write_text(text)
  assert call_script(chart, f"--figures={path}", "--output=x.png") == 1
  assert_one_line(capsys.readouterr().err, "chart.py", message)


def test_an_output_that_cannot_be_written(call_script, capsys, tmp_path):
  path = write(tmp_path / "speed.csv", small_2_cores={"fused": [1.0]})
  assert call_script(chart, f"--figures={path}",
                     f"--output={tmp_path}/absent/x.png") == 1
  assert_one_line(capsys.readouterr().err, "chart.py", "absent/x.png: No such")


@pytest.mark.parametrize("paths", [FIGURES, [os.path.join(
    ROOT, "results/speed/amd-epyc-family-26-model-2/speed.csv")]])
def test_the_table_has_the_figures_of_the_chart(paths):
  figures = {title: rates for path in paths
             for title, rates in chart.read_figures(path).items()}
  bars = chart.panels(figures).values()
  with open(os.path.join(ROOT, "docs/speed.md"), encoding="utf-8") as file:
    table = file.read()
  for label, row in {
      "this suite": "**`fused`**, the default on a CPU",
      "this suite, bfloat16": "`fused` with `--use_bfloat16`",
      "PyTorch": "PyTorch's `nn.LSTM`, eager, at its best",
      "PyTorch, bfloat16": "the same with autocast to bfloat16",
      "Keras 3": "Keras 3 on TensorFlow",
      "classic script": "the graph of the classic script"}.items():
    cells = " | ".join(f"{panel[label]:,.0f}" for panel in bars)
    assert f"| {row} | {cells} |" in table
