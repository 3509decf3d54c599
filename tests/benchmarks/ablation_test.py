"""The variants of a config, and the scripts that train and measure them."""

import os
import pathlib
import re

import pytest

import configs
from benchmarks import ablation, costs, training
from benchmarks.variants import variants
from rnn.errors import UserError
from tests.helpers import warm_python
from tests.helpers.calls import assert_one_line
from tests.helpers.texts import write_corpus

BEYOND = [name for name in vars(configs.SMALL)][
    [*vars(configs.SMALL)].index("tie_weights"):]
TINY = "hidden_size=3,num_layers=1,num_steps=3,batch_size=2,epoch_size=2"
NAME_OF_TINY = "-".join(sorted(TINY.split(",")))


@pytest.mark.parametrize("name", configs.CONFIGS)
def test_each_variant_changes_its_setting(name):
  config = configs.CONFIGS[name]
  for label, settings in variants(config).items():
    assert configs.override(config, settings) != config, label
    first = label.split()[1]
    assert settings.startswith(f"{first}="), label


def test_settings_are_off_where_they_are_on_and_the_reverse():
  assert variants(configs.TIED_SMALL)["without tie_weights"] == (
      "tie_weights=false")
  small, awd = variants(configs.SMALL), variants(configs.AWD)
  for name in BEYOND:
    if name.startswith(("keep_prob_in", "keep_prob_h", "keep_prob_o")) or (
        name in ("asgd_patience", "plateau_epochs")):
      continue  # they go with another setting
    # The mask of `small` would have no dropout.
    assert (f"with {name}" in small) == (name != "dropout_mask")
    assert f"with {name}" not in awd or f"without {name}" not in awd
    assert ((f"without {name}" in awd) == (
        getattr(configs.AWD, name) != configs.Config.defaults()[name]))
  assert "with dropout_mask" in variants(configs.MEDIUM)
  assert "without keep_prob" in awd and "without keep_prob" not in small
  # Config refuses the two together.
  assert "with reset_state" not in awd
  assert "with tie_weights" not in variants(configs.SMALL, ("tie_weights",))


def test_later_settings_replace_earlier_ones():
  assert ablation.merged(
      "hidden_sizes=4,3,keep_prob=0.5", "", "keep_prob=1,tie_weights=true") == (
          "hidden_sizes=4,3,keep_prob=1.0,tie_weights=true")


@pytest.fixture
def call(call_script, tmp_path, monkeypatch):
  write_corpus(tmp_path / "ptb", "a b c d e f\n" * 20, "a b c\n", "a b c\n")
  monkeypatch.chdir(tmp_path)
  return lambda *flags: call_script(
      ablation, "--output=results/beyond/ablation.txt", "--data_path=ptb",
      "--epochs=1", f"--config_override={TINY}", *flags)


def test_variants_are_trained_once_and_written(call, capsys, monkeypatch):
  """The table has those that have ended, also if a later one fails."""
  flags = ("--variant=without tie_weights",)
  calls = []
  run = training.run

  def fail_at_the_second(command, *args):
    calls.append(command)
    if len(calls) == 2:
      raise UserError("stopped")
    return run([*warm_python.command(), *command[1:]], *args)

  monkeypatch.setattr(training, "run", fail_at_the_second)
  assert call(*flags) == 1
  text = open("results/beyond/ablation.txt").read()
  assert [*ablation.read(text)] == ["tied-small"]
  metrics = pathlib.Path(
      "runs/ablation", "tied-small-seed-1-float32-" + NAME_OF_TINY,
      "metrics.csv")
  first = metrics.read_bytes()
  assert call(*flags) == 0
  assert metrics.read_bytes() == first  # it is not trained again
  text = open("results/beyond/ablation.txt").read()
  assert re.match(r"\$ python -m benchmarks.ablation.*\n# \d{4}-.* UTC, .*"
                  "tensorflow .*\n# 1 epochs, seed 1", text)
  assert os.getcwd() not in text
  found = ablation.read(text)
  assert {name: settings for name, (*_, settings) in found.items()} == {
      "tied-small": "", "without tie_weights": "tie_weights=false"}
  assert all(min(figures) > 1 for *figures, _ in found.values())
  assert "Valid Perplexity" in metrics.parent.with_suffix(".log").read_text()


@pytest.mark.parametrize("flags, message", [
    (["--epochs=1"], "has 2 epochs, more than --epochs=1; name another folder"),
    (["--epochs=2", "--data_path=other"],
     "has ended with status 1; see above")])
def test_other_runs_in_the_folder_are_no_result(
    call, capsys, monkeypatch, tmp_path, flags, message):
  write_corpus(tmp_path / "other", "a b c d e g\n" * 20, "a b c\n", "a b c\n")
  run = training.run
  monkeypatch.setattr(training, "run", lambda command, *args: run(
      [*warm_python.command(), *command[1:]], *args))
  first = "--variant=without tie_weights"
  assert call(first, "--epochs=2") == 0
  table = open("results/beyond/ablation.txt").read()
  capsys.readouterr()
  assert call(first, *flags) == 1
  assert_one_line(capsys.readouterr().err, "ablation.py", message)
  assert open("results/beyond/ablation.txt").read() == table


def test_an_unknown_variant_is_one_line(call, capsys):
  assert call("--variant=without words") == 1
  assert_one_line(capsys.readouterr().err, "ablation.py",
                  "--variant=without words: must be one of without keep_prob,")


def test_a_training_that_fails_is_named(tmp_path, capfd):
  script = tmp_path / "script.sh"
  script.write_text("echo it; exit 3")
  with open(tmp_path / "log", "w") as log, pytest.raises(UserError, match=(
      "script.sh --x has ended with status 3; see above, then give the same "
      "command again$")):
    training.run(["sh", str(script), "--x"], log)
  assert capfd.readouterr().out == (tmp_path / "log").read_text() == "it\n"


def test_a_training_is_stopped_with_the_script(tmp_path):
  """SIGTERM goes on to the process, which ends as it would by itself."""
  script = tmp_path / "script.sh"
  script.write_text("trap 'echo saved; exit 143' TERM\nkill -TERM $PPID\n"
                    "while :; do sleep 0.05; done")
  with open(tmp_path / "log", "w") as log, pytest.raises(
      UserError, match="has ended with status 143"):
    training.run(["sh", str(script)], log)
  assert (tmp_path / "log").read_text() == "saved\n"


@pytest.mark.slow
def test_costs_of_a_tiny_model(call_script, tmp_path):
  output = tmp_path / "costs.txt"
  assert call_script(
      costs, "--model=small", "--config_override=hidden_size=4,num_layers=1",
      "--rounds=2", "--seconds=0.05", f"--output={output}") == 0
  measured = costs.read(output.read_text())["small"]
  assert [*measured] == ["small", *variants(configs.SMALL, (
      "lr_schedule", "reset_state"))]
  assert measured["small"][1] == 1
  assert all(min(figures) > 0 for figures in measured.values())
