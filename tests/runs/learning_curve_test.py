"""The learning curve of a run."""

import pytest
from matplotlib import figure

from rnn.runs import learning_curve


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
  assert above.get_ylabel() == "perplexity"
  assert above.get_xlim() == (0.5, 3.5)  # all epochs
  learning_curve.draw(rows[:1], tmp_path / "x.png")
  assert len(drawn[1].axes[0].lines) == 2


@pytest.mark.slow
def test_the_curve_is_redrawn_after_each_epoch_with_the_published_figure(
    corpus_folder, tmp_path, call_main, monkeypatch):
  drawn = []

  def draw(rows, path, title, reference, metric):
    assert metric == "perplexity"
    drawn.append(([row["epoch"] for row in rows], title, reference))
    with open(path, "wb"):
      pass

  monkeypatch.setattr(learning_curve, "draw", draw)
  for model, reference in [
      ("small", ("Zaremba et al. 2014, small on PTB", 120.7)), ("test", None)]:
    override = "hidden_size=8,num_layers=1,max_max_epoch=3"
    assert call_main(
        f"--model={model}", f"--data_path={corpus_folder}",
        f"--save_path={tmp_path}/{model}", f"--config_override={override}") == 0
    title = f"{model} {override.replace(',', ' ')}"
    assert drawn == [(list(range(1, n + 1)), title, reference)
                     for n in (1, 2, 3)]
    drawn.clear()
