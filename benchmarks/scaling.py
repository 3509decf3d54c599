"""How the time of a step depends on the number of workers, and on the network.

    python -m benchmarks.scaling --model=small --model=medium --model=large

Each worker is a process with one thread and, as far as there are enough, a core
of its own. One line per measurement: the median time of a step; the time of the
same step without the network, which is that of a single process with the
worker's part of the batch; the difference, which is spent waiting; and the
megabytes that all workers send. --gigabits limits the network between the
workers, which needs root.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

import configs
import ptb_word_lm
from benchmarks import machine, networks, number_flags, texts
from benchmarks.transcript import last_line
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.options import Options
from rnn.parallel.cluster import Cluster
from rnn.parallel.workers import Workers
from rnn.settings import Range
from rnn.tf1 import repeatable_session, tf, use_threads

FLAGS = flags.FLAGS
_WARM_UP = 3  # steps


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_multi_enum("model", ["small"], list(configs.CONFIGS),
                          "The config; may be given several times.")
  number_flags.define("sizes", [1, 2, 4], number_flags.whole(1, 20),
                      "The numbers of workers, which share the streams of a "
                      "config: 20, or 128 for lm1b.")
  number_flags.define("gigabits", [], Range(
      lambda x: 1e-3 <= x <= 1e3, "from 0.001 to 1,000"),
      "Also at these rates in Gbit/s.")
  flags.DEFINE_multi_enum("precisions", ["float32", "bfloat16"],
                          ["float32", "bfloat16"],
                          "The precision; may be given several times.")
  flags.DEFINE_float("seconds", 12, "The time of a measurement, about.")
  flags.DEFINE_string("job", None, "For the processes of this script.")


def main(argv: Sequence[str]) -> None:
  """Measures, and prints a table."""
  with scripts.error_lines(argv[0]):
    if FLAGS.job:
      print(json.dumps(_work(json.loads(FLAGS.job))), flush=True)
      os._exit(0)  # other workers may still be reading
    machine.cores()  # fails now, not in the workers
    for model, size in itertools.product(FLAGS.model, FLAGS.sizes):
      streams = configs.CONFIGS[model].batch_size
      if streams % size:
        raise UserError(f"--sizes={size}: must divide the {streams} streams of "
                        f"{model} without remainder")
    print(machine.describe({"tensorflow": tf.version.VERSION}))
    print(f"{'model':8}{'precision':11}{'workers':>8} {'network':12}"
          f"{'words/s':>9}{'ms/step':>9}{'alone':>8}{'waiting':>9}"
          f"{'MB/step':>9}", flush=True)
    alone: dict[tuple, float] = {}
    for model in FLAGS.model:
      for precision in FLAGS.precisions:
        for size in FLAGS.sizes:
          for network in _networks(size):
            with network as connected:
              _measure(model, precision, connected, alone)


def _networks(size: int) -> list[Any]:
  """Returns contexts of the networks between so many workers."""
  limited = FLAGS.gigabits if size > 1 else []
  return [contextlib.nullcontext(networks.loopback(size)),
          *(networks.links(size, rate) for rate in limited)]


def _measure(model: str, precision: str, network: networks.Network,
             alone: dict[tuple, float]) -> None:
  """Measures with one network, and prints a line of the table."""
  size = len(network.addresses)
  part = configs.CONFIGS[model].batch_size // size
  key = model, precision, part
  if key not in alone:
    single = networks.loopback(1)
    alone[key] = _run(model, precision, single, part)["seconds"]
  result = _run(model, precision, network, part) if size > 1 else {
      "seconds": alone[key], "bytes": 0}
  config, seconds = configs.CONFIGS[model], result["seconds"]
  print(f"{model:8}{precision:11}{size:8} {network.name:12}"
        f"{config.batch_size * config.num_steps / seconds:9,.0f}"
        f"{1e3 * seconds:9.1f}{1e3 * alone[key]:8.1f}"
        f"{1e3 * (seconds - alone[key]):9.1f}{result['bytes'] / 1e6:9.1f}",
        flush=True)


def _run(model: str, precision: str, network: networks.Network,
         part: int) -> dict[str, Any]:
  """Starts the workers: the chief's seconds per step, and all bytes."""
  processes = []
  for rank, prefix in enumerate(network.prefixes):
    job = {"model": model, "precision": precision, "rank": rank,
           "addresses": network.addresses, "interface": network.interface,
           "batch_size": part * len(network.addresses),
           "seconds": FLAGS.seconds}
    processes.append(subprocess.Popen(
        [*prefix, sys.executable, "-m", "benchmarks.scaling",
         f"--job={json.dumps(job)}"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}))
  outputs = [process.communicate()[0] for process in processes]
  if any(process.returncode for process in processes):
    raise UserError("a worker has ended with an error; see above")
  results = [json.loads(last_line(output)) for output in outputs]
  # Loopback's counter has the bytes of all workers already.
  counted = results[:1] if network.interface == "lo" else results
  return {"seconds": results[0]["seconds"],
          "bytes": sum(result["bytes"] for result in counted)}


def _work(job: dict[str, Any]) -> dict[str, Any]:
  """Trains as one worker, and returns its seconds and bytes per step."""
  use_threads(1)
  cores = machine.cores()
  os.sched_setaffinity(0, {cores[job["rank"] % len(cores)]})
  size = len(job["addresses"])
  workers = (Cluster(job["addresses"], job["rank"]) if size > 1
             else Workers())
  ids, vocab_size = texts.zipf_ids()
  config = dataclasses.replace(
      configs.CONFIGS[job["model"]], batch_size=job["batch_size"])
  with tf.Graph().as_default():
    training = ptb_word_lm.stream_pass(
        "Train", config, vocab_size, ids, is_training=True,
        options=Options(precision=job["precision"], workers=workers))
    session = repeatable_session(workers.target, workers.adjust)
    session.run(tf.global_variables_initializer())
    training.load(session)
    for step in range(_WARM_UP):
      training.run(session, step)
    # All workers take as many steps as the chief has time for.
    start = time.perf_counter()
    training.run(session, _WARM_UP)
    steps = workers.exchange(max(5, round(
        job["seconds"] / (time.perf_counter() - start))))[0]
    times, sent = [], networks.sent_bytes(job["interface"])
    for step in range(_WARM_UP + 1, _WARM_UP + 1 + steps):
      start = time.perf_counter()
      training.run(session, step)
      times.append(time.perf_counter() - start)
    sent = networks.sent_bytes(job["interface"]) - sent
    workers.barrier()
    return {"seconds": statistics.median(times), "bytes": sent / steps}


if __name__ == "__main__":
  scripts.run(main, define_flags)
