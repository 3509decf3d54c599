"""The learning curve of a run."""

import hashlib
import os
import pathlib

import pytest
from matplotlib import figure

import configs
import reader
from rnn.runs import learning_curve
from rnn.text import corpora


def test_the_picture_has_all_curves(tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(
      figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
  rows = [{"epoch": n, "train_perplexity": 400 / n, "valid_perplexity": 300 / n,
           "learning_rate": 1 / n} for n in (1, 2, 3)]
  learning_curve.draw(rows, tmp_path / "x.png", "small", ("the paper", 120.7))
  above, below = drawn[0].axes
  assert above.get_yscale() == "log" and above.get_title("left") == "small"
  train, valid, reference = above.lines
  assert train.get_ydata() == pytest.approx([400, 200, 400 / 3])
  assert valid.get_ydata() == pytest.approx([300, 150, 100])
  assert reference.get_linestyle() == "--"
  assert list(reference.get_ydata()) == [120.7, 120.7]
  assert [text.get_text() for text in above.get_legend().get_texts()] == [
      "train, 133.3 after epoch 3", "valid, 100.0 after epoch 3",
      "the paper, valid 120.7"]
  assert below.lines[0].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
  assert below.get_yscale() == "log"
  assert above.get_ylabel() == "perplexity"
  assert above.get_xlim() == (0.5, 3.5)  # all epochs
  learning_curve.draw(rows[:1], tmp_path / "x.png")
  assert len(drawn[1].axes[0].lines) == 2


@pytest.mark.filterwarnings("error")
def test_a_title_of_many_settings_has_lines_that_fit(tmp_path, monkeypatch):
  """Otherwise matplotlib makes the axes as small as a point, and warns."""
  drawn = []
  save = figure.Figure.savefig
  monkeypatch.setattr(figure.Figure, "savefig", lambda self, *args, **kwargs: (
      drawn.append(self), save(self, *args, **kwargs)))
  title = "test on data " + " ".join(
      f"keep_prob_recurrent_{n}=0.123456789" for n in range(20))
  learning_curve.draw([{"epoch": 1, "train_perplexity": 9.0,
                        "learning_rate": 1.0}], tmp_path / "x.png", title)
  above, _ = drawn[0].axes
  assert above.get_title("left").replace("\n", " ") == title
  assert above.get_window_extent().height > 200
  width, _ = drawn[0].canvas.get_width_height()
  assert above._left_title.get_window_extent().x1 < width


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("title", ["small on a$_$b", "small on 语料"])
def test_a_folder_may_have_any_name(tmp_path, title):
  path = tmp_path / "x.png"
  learning_curve.draw([{"epoch": 1, "train_perplexity": 9.0,
                        "learning_rate": 1.0}], path, title)
  assert path.stat().st_size > 1000


@pytest.mark.slow
def test_the_curve_is_redrawn_after_each_epoch(
    corpus_folder, tmp_path, call_main, monkeypatch):
  drawn = []

  def draw(rows, path, title, reference, metric):
    assert metric == "perplexity"
    drawn.append(([row["epoch"] for row in rows], title, reference))
    with open(path, "wb"):
      pass

  monkeypatch.setattr(learning_curve, "draw", draw)
  override = "hidden_size=8,num_layers=1,max_max_epoch=3"
  assert call_main(
      "--model=test", f"--data_path={corpus_folder}",
      f"--save_path={tmp_path}/run", f"--config_override={override}") == 0
  title = (f"test on {os.path.basename(corpus_folder)} "
           f"{override.replace(',', ' ')}")
  assert drawn == [(list(range(1, n + 1)), title, None) for n in (1, 2, 3)]


@pytest.mark.slow
def test_published_figures_are_those_of_one_text_and_config(
    corpus_folder, tmp_path, call_main, monkeypatch, capsys):
  """In the summary and in the curve; a small text stands in for PTB."""
  references = []

  def draw(rows, path, title, reference, metric):
    references.append((title, reference))
    with open(path, "wb"):
      pass

  monkeypatch.setattr(learning_curve, "draw", draw)
  monkeypatch.setitem(configs.CONFIGS, "small", configs.TEST)
  paper = "Zaremba et al. 2014, small on PTB"
  for number, (digests, flags, title, is_comparable) in enumerate([
      (False, [], f"small on {os.path.basename(corpus_folder)}", False),
      (True, [], "small on the Penn Treebank", True),
      (True, ["--keep_prob=1"], "small on the Penn Treebank keep_prob=1.0",
       True),
      (True, ["--hidden_size=3"], "small on the Penn Treebank hidden_size=3",
       False),
      (True, ["--vocab_size=5"], "small on the Penn Treebank", False)]):
    if digests:
      monkeypatch.setattr(corpora, "PTB", {
          split: hashlib.sha256(
              (pathlib.Path(corpus_folder) / f"{split}.txt").read_bytes()
              ).hexdigest() for split in reader.SPLITS})
    assert call_main(f"--data_path={corpus_folder}", *flags,
                     f"--save_path={tmp_path}/{number}") == 0
    reference = (paper, 120.7) if is_comparable else None
    assert references.pop() == (title, reference)
    assert (f"{paper} " in capsys.readouterr().out) == is_comparable
