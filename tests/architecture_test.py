"""The structure of the code: imports run down, files and functions are short.

A module may import from its own package, and from what its row in the table
names. A row names only rows above it, so there are no circles.
"""

import ast
import os

from tests.helpers.calls import ROOT

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

_BASE = ("rnn.errors", "rnn.published", "rnn.settings", "rnn.terminal",
         "rnn.compressed", "rnn.files", "rnn.archives",
         "rnn.text.writing_systems",
         "rnn.text.sentences", "rnn.text.splitting", "rnn.text.encodings",
         "rnn.text.sources", "rnn.text.lines", "rnn.text.corpora",
         "rnn.text.vocabulary", "rnn.text.shards", "rnn.text.numbering",
         "rnn.text.streams")
_INDEXING = ("rnn.text.word_arrays", "rnn.text.word_counts", "rnn.text.pieces",
             "rnn.text.processes", "rnn.text.piece_work")
_DATA = (*_BASE, "rnn.memory", "rnn.options", "rnn.signals", "rnn.tf1",
         "rnn.parallel", "configs", "reader")
_RNN = (*_DATA, "rnn.text", "rnn.layers", "rnn.runs", "rnn.training", "rnn.cli")
_MODELS = (*_RNN, "ptb_word_lm", "trained")

# Module or package -> the modules and packages that it may import. If several
# rows fit a module, the longest name counts.
MAY_IMPORT = {
    "rnn": (),  # the docstring of the package
    "rnn.errors": (),
    "rnn.signals": (),
    "rnn.tf1": (),
    "rnn.parallel.workers": ("rnn.errors",),
    "rnn.options": ("rnn.parallel.workers",),
    "rnn.parallel": ("rnn.errors", "rnn.signals", "rnn.tf1",
                     "rnn.parallel.workers"),
    "rnn.published": (),
    "rnn.settings": ("rnn.errors",),
    "rnn.terminal": ("rnn.errors",),
    "rnn.compressed": (),
    "rnn.files": ("rnn.compressed", "rnn.errors"),
    "rnn.archives": ("rnn.errors",),
    "rnn.memory": ("rnn.errors",),
    "rnn.text.writing_systems": (),
    "rnn.text.sentences": (),
    "rnn.text.splitting": ("rnn.errors",),
    "rnn.text.encodings": ("rnn.errors",),
    "rnn.text.sources": ("rnn.errors", "rnn.files", "rnn.text.encodings"),
    "rnn.text.lines": ("rnn.text.sources",),
    "rnn.text.corpora": ("rnn.errors", "rnn.text.sources",
                         "rnn.text.splitting"),
    "rnn.text.vocabulary": ("rnn.errors", "rnn.files", "rnn.text.sources"),
    "rnn.text.shards": ("rnn.errors", "rnn.files", "rnn.text.sources",
                        "rnn.text.vocabulary"),
    "rnn.text.streams": ("rnn.errors", "rnn.text.shards"),
    "rnn.text.numbering": _BASE,
    "rnn.text.word_arrays": _BASE,
    "rnn.text.word_counts": (*_BASE, "rnn.text.word_arrays"),
    "rnn.text.pieces": _BASE,
    "rnn.text.processes": ("rnn.errors",),
    "rnn.text.piece_work": (*_BASE, "rnn.text.word_arrays", "rnn.text.pieces"),
    "rnn.text.indexing": (*_BASE, *_INDEXING),
    "rnn.text.producer": ("rnn.errors", "rnn.tf1"),
    "configs": _BASE,
    "reader": (*_BASE, "rnn.text.producer"),
    "rnn.text": _DATA,
    "rnn.runs": (*_DATA, "rnn.text"),
    "rnn.layers": (*_DATA, "rnn.text"),
    "rnn.training": (*_DATA, "rnn.text", "rnn.layers", "rnn.runs"),
    "rnn.cli": _RNN,
    "ptb_word_lm": _RNN,
    "classic": (*_RNN, "ptb_word_lm"),
    "trained": (*_RNN, "ptb_word_lm"),
    "generate": _MODELS,
    "score": _MODELS,
    "export": _MODELS,
    "neighbors": _MODELS,
    "tasks": _MODELS,
    "data": (*_BASE, "rnn.text.indexing"),
    "benchmarks": (*_MODELS, "tasks", "data", "generate", "score", "export",
                   "neighbors"),
}
# Folders of the project. The scripts in data are started from their own folder,
# so they import each other without its name.
FOLDERS = ("rnn", "trained", "tasks", "data", "benchmarks", "examples", "tests")


def source_files(with_tests=False):
  """Returns the paths of all Python files, relative to the root."""
  paths = [name for name in os.listdir(ROOT) if name.endswith(".py")]
  for folder in FOLDERS:
    if folder != "tests" or with_tests:
      paths += [os.path.relpath(os.path.join(parent, name), ROOT)
                for parent, _, names in os.walk(os.path.join(ROOT, folder))
                for name in names if name.endswith(".py")]
  return sorted(paths)


def read(path):
  """Returns the text of a file."""
  with open(os.path.join(ROOT, path), encoding="utf-8") as file:
    return file.read()


def module_name(path):
  """Returns the name of a module or package: "rnn/files.py" -> "rnn.files"."""
  return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(path, modules):
  """Returns the modules of the project that a file imports, with the lines.

  Imports in functions count, too. Both `from rnn import files` and
  `from rnn.files import remove` import rnn.files.

  Args:
    modules: the names of all modules of the project.
  """
  imports = []
  for node in ast.walk(ast.parse(read(path), path)):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}:{node.lineno}: a relative import"
      names = [f"{node.module}.{alias.name}" for alias in node.names]
      names = [name if name in modules else node.module for name in names]
    else:
      continue
    if path.startswith("data/"):
      names = [f"data.{name}" if f"data.{name}" in modules else name
               for name in names]
    imports += [(node.lineno, name) for name in names if name in modules]
  return imports


def is_in(module, package):
  """Returns whether a module is the package or belongs to it."""
  return f"{module}.".startswith(f"{package}.")


def row_of(module):
  """Returns the name of a module's row in the table; None if it has no row."""
  return max((name for name in MAY_IMPORT if is_in(module, name)),
             key=len, default=None)


def all_imports():
  """Returns path -> `imports_of`, for all files except the tests."""
  modules = set(map(module_name, source_files()))
  return {path: imports_of(path, modules) for path in source_files()}


def test_every_module_has_a_row_in_the_table():
  assert [path for path in source_files() if not row_of(module_name(path))
          ] == []


def test_imports_only_run_down():
  wrong = []
  for path, imports in all_imports().items():
    row = row_of(module_name(path))
    for line, name in imports:
      # The package's own modules may be in rows of their own, further down.
      if row_of(name) != row and not any(
          is_in(name, package) for package in MAY_IMPORT[row]):
        wrong.append(f"{path}:{line}: {row} may not import {name}")
  assert not wrong, "\n" + "\n".join(wrong)


def test_rows_of_the_table_only_name_rows_above_them():
  names = list(MAY_IMPORT)
  for number, name in enumerate(names, 1):
    assert set(MAY_IMPORT[name]) <= set(names[:number]), name


def test_modules_do_not_import_each_other_in_a_circle():
  imports = {module_name(path): {name for _, name in names}
             for path, names in all_imports().items()}
  while True:  # remove modules that import no remaining one
    leaves = {name for name, others in imports.items()
              if not others & imports.keys()}
    if not leaves:
      break
    imports = {name: others for name, others in imports.items()
               if name not in leaves}
  assert not imports, sorted(imports)


def test_files_are_short():
  too_long = [f"{path}: {lines} lines" for path in source_files(with_tests=True)
              if (lines := len(read(path).splitlines())) > MAX_FILE_LINES]
  assert not too_long, "\n" + "\n".join(too_long)


def test_functions_are_short():
  too_long = []
  for path in source_files():
    for node in ast.walk(ast.parse(read(path), path)):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        lines = node.end_lineno - node.lineno + 1
        if lines > MAX_FUNCTION_LINES:
          too_long.append(f"{path}:{node.lineno}: {node.name}, {lines} lines")
  assert not too_long, "\n" + "\n".join(too_long)
