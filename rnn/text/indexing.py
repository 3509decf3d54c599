"""Turns a large text into shards of word ids, in two passes.

The first pass reads the text. It numbers the words of each piece by themselves,
and counts them. Then the counts of all pieces are added up, which gives the
vocabulary. The second pass translates the numbers to ids. So the text is read
once, and memory depends on the size of a piece and on the number of different
words, not on the size of the text.

Each result of a process is complete under its name or does not exist, so the
work goes on after a kill where it was. `shards` reads the folder.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn import files
from rnn.errors import DataError
from rnn.text import (
  piece_work,
  pieces,
  shards,
  word_arrays,
  word_counts,
  writing_systems,
)
from rnn.text.processes import alone_in, each
from rnn.text.sources import INDEX, TASK, UNFINISHED, Source
from rnn.text.splitting import SPLITS
from rnn.text.vocabulary import EOS, Choice, Vocabulary

_SAMPLE = 1 << 20  # bytes of a piece's words that show whether they are words
_CHOSEN = "shards.json"  # written at the end of the first pass

_log = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]  # stage, bytes done, bytes in total


@dataclasses.dataclass(frozen=True)
class Task:
  """What to index, and how.

  Attributes:
    output: the folder to write.
    texts: a dict, split -> Source. If it is only "train", the end of this text
      becomes valid and test.
    choice: how the vocabulary is chosen.
    held_out: the share of the text that becomes valid, and as much test.
    most: the bytes of a piece, about; so many words become a shard.
    processes: how many share the work.
  """

  output: str
  texts: Mapping[str, Source]
  choice: Choice
  held_out: float
  most: int
  processes: int

  def describe(self) -> dict[str, object]:
    """Returns what determines the result, as JSON types."""
    return {
        "choice": self.choice.describe(),
        "held_out": None if "valid" in self.texts else self.held_out,
        "most": self.most, "stamps": {
            split: [text.encoding, *map(files.stamp, map(str, text.paths))]
            for split, text in self.texts.items()}}


def index(task: Task, report: Report = lambda *_: None) -> dict:
  """Indexes a text; goes on where an earlier process ended.

  Returns:
    The content of the index, see `shards.content_of`. If the folder has it
    already, that is all.

  Raises:
    DataError: the text cannot be used, or the folder holds something else or
      cannot be written.
    UserError: another process works in the folder.
  """
  for text in task.texts.values():
    text.check_are_files()
    for path in map(str, text.paths):
      with files.path_errors(path), open(path, "rb"):  # it exists
        pass
  try:
    os.makedirs(task.output, exist_ok=True)
    with alone_in(task.output):
      return (shards.content_of(task.output) if _begin(task)
              else _index(task, report))
  except OSError as error:
    raise _unwritable(task.output, error) from None
  except files.DamagedError as error:
    raise _damaged(task.output, error) from None


def _unwritable(folder: str, error: OSError) -> DataError:
  return DataError(f"{folder}: cannot be written ({error.strerror}); fix this, "
                   "then repeat the command, which goes on from here", "output")


def _damaged(folder: str, error: files.DamagedError) -> DataError:
  return DataError(f"{error}; delete {folder}, and repeat the command")


def _begin(task: Task) -> bool:
  """Prepares the folder; returns whether it is finished.

  Raises:
    DataError: it holds something else.
    OSError, DamagedError: it cannot be written, or the plan in it is damaged.
  """
  work = os.path.join(task.output, UNFINISHED)
  description = json.loads(json.dumps(task.describe()))
  other = DataError(
      f"{task.output}: holds the index of another text, or one with other "
      "settings; delete it, or choose another folder", "output")
  if os.path.exists(os.path.join(task.output, INDEX)):
    content = shards.content_of(task.output)
    if content["task"] != files.json_digest(description):
      raise other
    with contextlib.suppress(OSError):  # the index may be read-only
      _clean_up(task.output, content)
    return True
  plan = os.path.join(work, TASK)
  if os.path.exists(plan):
    earlier = files.read_sealed(plan)
    if earlier == description:
      return False
    if _has_results(work) and (
        not _counts_for(description, earlier)
        or os.path.exists(os.path.join(work, _CHOSEN))):
      if not _corrects_encoding(description, earlier):
        raise other
      files.remove(work)
  elif not _is_free(task.output):
    raise DataError(f"{task.output}: not empty; choose another folder",
                    "output")
  os.makedirs(work, exist_ok=True)
  files.write_sealed(plan, description)
  return False


def _corrects_encoding(task: Mapping[str, Any],
                       earlier: Mapping[str, Any]) -> bool:
  """Returns whether only encodings of the texts differ, see `_counts_for`."""
  now, before = ({split: stamps[1:] for split, stamps in it["stamps"].items()}
                 for it in (task, earlier))
  return now == before and task["stamps"] != earlier["stamps"]


def _has_results(work: str) -> bool:
  """Returns whether a piece of the text has been numbered."""
  return any(name != TASK and not name.endswith(files.PARTIAL)
             for name in os.listdir(work))


def _is_free(output: str) -> bool:
  """Returns whether a folder has at most what a start that was killed left."""
  work = os.path.join(output, UNFINISHED)
  return os.listdir(output) in ([], [UNFINISHED]) and (
      not os.path.lexists(work) or os.path.isdir(work) and all(
          files.is_leftover(name, TASK) for name in os.listdir(work)))


def _counts_for(task: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
  """Returns whether a task can go on from the first pass of an earlier one.

  It can if its texts include those of the earlier one. Vocabulary and cuts may
  differ, because they are chosen after the first pass.

  Args:
    task, earlier: what `Task.describe` returns.
  """
  return task["most"] == earlier["most"] and all(
      task["stamps"].get(split) == stamps
      for split, stamps in earlier["stamps"].items())


def _index(task: Task, report: Report) -> dict:
  work = os.path.join(task.output, UNFINISHED)
  plans = {split: pieces.plan(text, task.most)
           for split, text in task.texts.items()}
  names = _count(task, work, plans, report)
  _check_unchanged(task, work)
  plan = os.path.join(work, _CHOSEN)
  if not os.path.exists(plan):
    _choose(task, work, names, plan)
  chosen = files.read_sealed(plan)
  calls = [(task.output, name, segments)
           for name, segments in chosen["parts"].items()]
  written = list(itertools.chain.from_iterable(each(
      piece_work.write_shards, calls, task.processes,
      [4 * sum(segment["stop"] - segment["start"] for segment in segments)
       for *_, segments in calls],
      lambda done, total: report("write", done, total))))
  content = {
      "format": shards.FORMAT, "task": files.json_digest(files.read_sealed(
          os.path.join(work, TASK))),
      "texts": {split: text.name for split, text in task.texts.items()},
      "choice": task.choice.describe(), **chosen["vocabulary"],
      "splits": {split: _split(split, written) for split in SPLITS}}
  files.write_sealed(os.path.join(task.output, INDEX), content)
  _clean_up(task.output, content)
  return content


def _split(split: str, written: Sequence[Mapping[str, Any]]) -> dict:
  """Returns the entry of a split in the index.

  Args:
    written: the descriptions of the shards of all splits, in order.
  """
  own = [shard for shard in written if shard["split"] == split]
  return {**{name: sum(shard[name] for shard in own)
             for name in ("tokens", "unknown", "unk")},
          "shards": [{name: shard[name]
                      for name in ("file", "tokens", "sha256")}
                     for shard in own]}


def _clean_up(output: str, content: Mapping[str, Any]) -> None:
  """Removes the work on a finished index, and what killed processes left.

  The folder may have got other files since then, which stay.

  Args:
    content: that of the index.
  """
  work = os.path.join(output, UNFINISHED)
  plan = os.path.join(work, TASK)
  with contextlib.suppress(files.DamagedError):
    if files.json_digest(files.read_sealed(plan)) == content["task"]:
      for name in os.listdir(work):
        if name != TASK:  # which goes last, since it tells whose work this is
          files.remove(os.path.join(work, name))
      files.remove(work)
  written = [INDEX, "vocab.txt", *(
      shard["file"] for split in content["splits"].values()
      for shard in split["shards"])]
  for name in os.listdir(output):
    if name.endswith(files.PARTIAL) and any(
        files.is_leftover(name, own) for own in written):
      files.remove(os.path.join(output, name))


# The first pass


def _count(task: Task, work: str, plans: Mapping[str, Sequence[pieces.Piece]],
           report: Report) -> dict[str, list[str]]:
  """Numbers the words of all pieces.

  Returns:
    A dict, split -> the names of the folders with the result, in order.
  """
  calls = [(work, f"{split}-{number:05}", piece)
           for split, plan in plans.items()
           for number, piece in enumerate(plan)]
  found = iter(each(
      piece_work.number_piece, calls, task.processes,
      [piece.size for *_, piece in calls],
      lambda done, total: report("count", done, total)))
  return {split: list(itertools.chain.from_iterable(
      itertools.islice(found, len(plan)))) for split, plan in plans.items()}


def _check_unchanged(task: Task, work: str) -> None:
  """Raises a DataError if a text changed while it was read."""
  if task.describe()["stamps"] != files.read_sealed(
      os.path.join(work, "task.json"))["stamps"]:
    names = ", ".join(text.name for text in task.texts.values())
    raise DataError(f"{names}: changed while it was read; delete "
                    f"{task.output}, and repeat the command")


# Between the passes


def _choose(task: Task, work: str, names: Mapping[str, Sequence[str]],
            plan: str) -> None:
  """Chooses the vocabulary, and what becomes which shard."""
  sizes = {name: os.path.getsize(os.path.join(work, name, "numbers")) // 4
           for split in names.values() for name in split}
  for split, text in task.texts.items():
    if sum(sizes[name] for name in names[split]) < 1:
      raise DataError(f"{text.name}: the text is empty")
  if "valid" in names:
    ends = [(split, [(name, 0, sizes[name]) for name in names[split]])
            for split in names]
  else:
    ends = _hold_out(task, work, [(name, sizes[name])
                                  for name in names["train"]])
  vocabulary, pruned = _vocabulary(task, work, dict(ends)["train"], sizes)
  with files.atomic_write(os.path.join(work, "vocabulary")) as partial:
    with open(partial, "wb") as file:
      file.write("\n".join([*vocabulary, ""]).encode())
  with files.atomic_write(os.path.join(task.output, "vocab.txt")) as partial:
    vocabulary.save(partial)
  parts: dict[str, list[dict]] = {}
  for split, segments in ends:
    number = itertools.count()
    for name, start, stop in segments:
      if start < stop:
        parts.setdefault(name, []).append(dataclasses.asdict(piece_work.Segment(
            split, f"{split}-{next(number):05}.int32", start, stop)))
  files.write_sealed(plan, {"parts": parts, "vocabulary": {
      "size": len(vocabulary), "pruned": pruned,
      "vocabulary": files.json_digest(vocabulary.words)}})


_Segments = list[tuple[str, int, int]]  # piece, start, stop


def _hold_out(task: Task, work: str, sizes: Sequence[tuple[str, int]]
              ) -> list[tuple[str, _Segments]]:
  """Cuts a text in order, after line ends: the end becomes valid and test.

  Args:
    sizes: the pieces, with the number of words in each.
  """
  total = sum(size for _, size in sizes)
  held_out = int(total * task.held_out)
  places = [_line_end(work, sizes, total - 2 * held_out),
            _line_end(work, sizes, total - held_out)]
  limits = [0, *places, total]
  if any(stop - start < 2 for start, stop in
         zip(limits, limits[1:], strict=False)):
    raise DataError(
        f"{task.texts['train'].name}: {total:,} words, of which {held_out:,} "
        "are too few to validate and to test; hold out more, or name other "
        "texts in --valid and --test", "held_out")
  result = []
  for split, first, last in zip(SPLITS, limits, limits[1:], strict=False):
    segments, begin = [], 0
    for name, size in sizes:
      segments.append((name, min(max(first - begin, 0), size),
                       min(max(last - begin, 0), size)))
      begin += size
    result.append((split, segments))
  return result


def _line_end(work: str, sizes: Sequence[tuple[str, int]], place: int) -> int:
  """Returns the first line end after a place, in words of the whole text.

  It is looked for in the piece of the place, whose end is the last resort.
  """
  begin = 0
  for name, size in sizes:
    if place < begin + size:
      eos = word_arrays.place(piece_work.words(work, name), EOS)
      with piece_work.numbers(work, name) as numbers:
        found = np.flatnonzero(numbers[place - begin:] == eos)
      return place + int(found[0]) + 1 if len(found) else begin + size
    begin += size
  return begin


def _vocabulary(task: Task, work: str, train: _Segments,
                sizes: Mapping[str, int]) -> tuple[Vocabulary, int]:
  """Returns the vocabulary of the training text, and `WordCounts.pruned`."""
  counts = word_counts.WordCounts()
  for name, start, stop in train:
    if start == stop:
      continue
    words = piece_work.words(work, name)
    if stop - start == sizes[name]:
      of_words = np.fromfile(os.path.join(work, name, "counts"), np.int64)
    else:
      with piece_work.numbers(work, name) as numbers:
        of_words = np.bincount(numbers[start:stop],
                               minlength=words.count(b"\n"))
    counts.add(words, of_words)
  _warn_if_unsegmented(task, piece_work.words(work, train[0][0]))
  vocabulary = counts.vocabulary(task.choice)
  if counts.pruned:
    _log.warning(
        "there are more than %s different words, so counts were pruned: a word "
        "may have lost occurrences while it had %s or fewer; the ranks of rare "
        "words may be off", f"{counts.most:,}", f"{counts.pruned:,}")
  return vocabulary, counts.pruned


def _warn_if_unsegmented(task: Task, words: bytes) -> None:
  sample = words[:_SAMPLE].decode("utf-8", "ignore").replace("\n", " ")
  if language := writing_systems.unsegmented(sample[:writing_systems.SAMPLE]):
    _log.warning("%s: %s text without blanks between its words; %s",
                 task.texts["train"].name, language,
                 writing_systems.advice(language))
