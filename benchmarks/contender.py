"""The common part of all contenders of `speed.py`: training steps on command.

A contender is a process of its own. Its argument is a JSON object, the spec:

    config        the fields of a configs.Config
    vocab_size    V
    ids           the path of an .npy file with word ids, the text
    parameters    the path of an .npz file with the initial parameters, by their
                  names in the suite's checkpoints; null: they start at random
    settings      settings of this contender

It builds its model, takes one step, and writes the versions of its frameworks
to standard output, a JSON object. Then it answers each line of its standard
input with one line of JSON:

    rate SECONDS  trains for this long. Answers an object: "rate", in words per
                  second; "cpu", the seconds of all cores that the process used;
                  "peak", its peak memory so far in kB.
    costs N       trains until N steps are done. Answers the list of their
                  costs, in nats summed over T and averaged over B.
    report N      depends on the contender

This module imports only NumPy and the standard library, because peers run in
environments of their own.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# A function that takes a training step and returns its cost, or something that
# float() turns into the cost.
Step = Callable[[], Any]


def windows(ids: Any, batch_size: int,
            num_steps: int) -> Iterator[tuple[Any, Any]]:
  """Generates the windows of a text without end: inputs and targets, [T, B].

  Args:
    ids: 1-D, an array or a tensor of PyTorch.
  """
  length = len(ids) // batch_size
  streams = ids[:batch_size * length].reshape(batch_size, length).T
  while True:
    for start in range(0, length - num_steps, num_steps):
      yield (streams[start:start + num_steps],
             streams[start + 1:start + num_steps + 1])


def serve(make: Callable[[dict[str, Any]], tuple]) -> None:
  """Runs a contender until its standard input ends.

  Args:
    make: a function of the spec, in which the paths are replaced by the arrays.
      Returns a `Step`; the versions of the frameworks, a dict, name -> text;
      possibly a function of N, which answers `report`; and possibly a function
      that returns the words of all steps so far, if it is not T*B per step.
  """
  answers = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # a library that prints must not disturb the answers
  spec = json.loads(sys.argv[1])
  spec["ids"] = np.load(spec["ids"])
  if spec["parameters"]:
    spec["parameters"] = dict(np.load(spec["parameters"]))
  step, versions, *others = make(spec)
  report, count = [*others, None, None][:2]
  costs = [float(step())]
  print(json.dumps(versions), file=answers, flush=True)
  for line in sys.stdin:
    command, number = line.split()
    answer: Any
    if command == "rate":
      cpu = time.process_time()
      rate = words_per_second(step, float(number), spec["config"], count)
      answer = {"rate": rate, "cpu": time.process_time() - cpu,
                "peak": peak_memory()}
    elif command == "costs":
      costs += [float(step()) for _ in range(int(number) - len(costs))]
      answer = costs
    else:
      answer = report(int(number))
    print(json.dumps(answer), file=answers, flush=True)


def peak_memory() -> int:
  """Returns the peak memory of this process in kB."""
  try:
    with open("/proc/self/status") as file:
      return next(int(line.split()[1]) for line in file
                  if line.startswith("VmHWM:"))
  except OSError:  # not Linux
    # On Linux this figure would begin with the peak of the parent process.
    import resource  # Windows has no such module
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def words_per_second(step: Step, seconds: float, config: dict[str, Any],
                     count: Callable[[], int] | None = None) -> float:
  """Takes steps for some seconds; returns their speed.

  Args:
    config: the fields of a configs.Config.
    count: returns the words of all steps so far; by default they are T*B each.
  """
  before = count() if count else 0
  start, steps = time.perf_counter(), 0
  while time.perf_counter() - start < seconds:
    cost = step()
    steps += 1
  float(cost)  # waits for a GPU, which runs asynchronously
  words = (count() - before if count else
           steps * config["batch_size"] * config["num_steps"])
  return words / (time.perf_counter() - start)
