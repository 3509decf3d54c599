"""The tutorial: it runs, and it is committed with its outputs."""

import itertools
import json
import pathlib
import re
import shutil

import nbclient
import nbformat
import pytest

from tests.helpers.calls import ROOT

NOTEBOOK = "examples/tutorial.ipynb"
CODE = ["configs.py", "reader.py", "ptb_word_lm.py", "rnn", "trained",
        "data/factbook", NOTEBOOK]


@pytest.fixture
def project(tmp_path, monkeypatch):
  """A copy of the code that the tutorial needs."""
  # Jupyter would leave files in the home folder.
  monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
  monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
  folder = tmp_path / "project"
  for name in CODE:
    source, target = pathlib.Path(ROOT, name), folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
      shutil.copytree(source, target,
                      ignore=shutil.ignore_patterns("__pycache__"))
    else:
      shutil.copy(source, target)
  return folder


def committed():
  return nbformat.read(pathlib.Path(ROOT, NOTEBOOK), as_version=4)


def execute(project, folder):
  """Runs the tutorial as if Jupyter had been started in a folder."""
  notebook = nbformat.read(project / NOTEBOOK, as_version=4)
  for cell in notebook.cells:
    cell.outputs = []
  nbclient.NotebookClient(
      notebook, timeout=300,
      resources={"metadata": {"path": str(project / folder)}}).execute()
  return notebook


def printed(notebook):
  """Returns the text that each code cell printed: a dict, cell id -> str."""
  return {cell.id: "".join(output.get("text", "") for output in cell.outputs)
          for cell in notebook.cells if cell.cell_type == "code"}


def assert_learns(notebook):
  """Asserts that the second epoch is better, and that there are two plots."""
  text = printed(notebook)
  (train_1, valid_1), (train_2, valid_2) = (
      map(float, figures) for figures in re.findall(
          r"^epoch \d: train perplexity (\S+), valid perplexity (\S+)$",
          text["train"], re.MULTILINE))
  assert train_2 < train_1 and valid_2 < valid_1
  for cell in notebook.cells:
    if cell.id in ("train", "plot-vectors"):
      # The live curve is one image, which was updated.
      images = [output for output in cell.outputs
                if "image/png" in output.get("data", {})]
      assert len(images) == 1, cell.id
  assert text["generate"].count("the government ") >= 3
  assert len(text["predict"].splitlines()) == 25


@pytest.mark.slow
def test_runs_from_the_root_on_a_short_text(project):
  for split, num_lines in ("train", 300), ("valid", 60), ("test", 60):
    path = project / "data" / "factbook" / f"{split}.txt"
    with open(path, encoding="utf-8") as file:
      lines = list(itertools.islice(file, num_lines))
    path.write_text("".join(lines), encoding="utf-8")
  assert_learns(execute(project, "."))


@pytest.mark.slow
def test_runs_from_its_folder(project):
  notebook = execute(project, "examples")
  assert_learns(notebook)
  text, before = printed(notebook), printed(committed())
  for name in "read-corpus", "batch", "build-model":
    assert text[name] == before[name]


def test_is_committed_with_outputs():
  notebook = committed()
  nbformat.validate(notebook)
  assert_learns(notebook)
  code = [cell for cell in notebook.cells if cell.cell_type == "code"]
  assert [cell.execution_count for cell in code] == list(
      range(1, len(code) + 1))
  assert all(output.output_type != "error" and output.get("name") != "stderr"
             for cell in code for output in cell.outputs)


def test_has_no_traces_of_a_machine():
  content = pathlib.Path(ROOT, NOTEBOOK).read_text(encoding="utf-8")
  assert len(content) < 400_000
  text = json.dumps(json.loads(content, object_hook=without_images))
  assert not re.findall(r"(?<![\w.`/])/\w+/|\b[A-Z]:\\|site-packages|widget",
                        text)
  assert set(committed().metadata) <= {"kernelspec", "language_info"}


def without_images(value):
  """Drops images, whose base64 code may contain anything."""
  return {key: item for key, item in value.items() if key != "image/png"}
