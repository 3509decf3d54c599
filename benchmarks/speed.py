"""Words per second of training, beside peers and the machine's limit.

    python -m benchmarks.speed --model=small --model=medium --output=DIR

Each contender is a process of its own (see `benchmarks.contender`). In a round,
every one takes steps for some seconds while the others wait, so that the
machine's ups and downs hit all alike. Prints, for each config:

- words per second, the median of the rounds, and the lowest and the highest;
- how many times as fast the first contender is, the median over the rounds;
- the most memory held, and the time from the process's start to the end of its
  first step;
- the share of the machine's limit: the work of the GEMMs, 6 floating-point
  operations a weight and word, at the best rate of any shape of them, measured
  within the run; and, for the recurrent ones are bound by memory and not by
  arithmetic, at the best rate of each shape by itself;
- how much of the machine other processes took meanwhile, and which contenders
  were left out and why.
"""

import contextlib
import csv
import dataclasses
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

import cells
import command_line
import configs
import errors
import lstm
import mixed_precision
import reader
import recurrent
from benchmarks import gemms, machine

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VOCAB_SIZE = 10_000
ZIPF = 1 / np.arange(1, VOCAB_SIZE + 1)  # how frequent the words of a text are
OURS = {  # name -> settings
    layer if precision == "float32" else f"{layer}-{precision}":
    {"rnn_mode": layer, "precision": precision}
    for layer in lstm.LAYERS for precision in mixed_precision.PRECISIONS}
PEERS = {  # name -> module, settings
    "classic": ("peer_classic", {}),
    "classic-no-onednn": ("peer_classic", {"onednn": False}),
    "keras": ("peer_keras", {}),
    "torch": ("peer_torch", {}),
    "torch-foreach": ("peer_torch", {"sgd": {"foreach": True}}),
    "torch-fused": ("peer_torch", {"sgd": {"fused": True}}),
    "torch-no-onednn": ("peer_torch", {"onednn": False}),
    "torch-compile": ("peer_torch", {"compile": True}),
    "torch-bfloat16": ("peer_torch", {"bfloat16": True}),
}
EAGER_TORCH = ("torch", "torch-foreach", "torch-fused", "torch-no-onednn")
LOADED = 0.05  # share of the machine that others take above which to warn


class Contender:
  """A process that takes training steps when it is told to."""

  def __init__(self, module, spec, cores, python=sys.executable):
    """Starts it; it is ready when its first step is done.

    Raises:
      errors.UserError: it cannot be started.
    """
    self._log = tempfile.TemporaryFile()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)  # each as it is by default
    if not spec["settings"].get("onednn", True):
      environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
    # A compiler's cache of an earlier run would shorten the first step.
    environment["TORCHINDUCTOR_CACHE_DIR"] = os.path.dirname(spec["ids"])
    start = time.perf_counter()
    self._process = subprocess.Popen(
        [python, "-m", f"benchmarks.{module}", json.dumps(spec)], cwd=ROOT,
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=self._log, env=environment,
        # What it has from its start on holds for every framework alike.
        preexec_fn=lambda: os.sched_setaffinity(0, cores))
    self.versions = self._answer()
    self.first_step = time.perf_counter() - start

  def ask(self, command, number):
    """Gives a command of `benchmarks.contender`: the answer."""
    with contextlib.suppress(BrokenPipeError):  # it has ended: see the answer
      print(command, number, file=self._process.stdin, flush=True)
    return self._answer()

  def close(self):
    """Ends the process."""
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    self._process.wait()

  def _answer(self):
    line = self._process.stdout.readline()
    if line:
      return json.loads(line)
    status = self._process.wait()
    self._log.seek(0)
    *_, why = (f"exit status {status}",
               *self._log.read().decode(errors="replace").strip().splitlines())
    if status < 0:  # as by Linux when memory runs out
      why = f"killed by {signal.Signals(-status).name}"
    raise errors.UserError(
        f"{' '.join(self._process.args[:3])} has ended: {why}")


@dataclasses.dataclass
class Result:
  """What a contender came to; a rate a round, in words per second."""

  name: str
  first_step: float  # seconds
  peak: int = 0  # kB
  rates: list = dataclasses.field(default_factory=list)
  # How many times as fast the first contender was, a number a round.
  ratios: list = dataclasses.field(default_factory=list)

  @property
  def rate(self):
    """The median."""
    return statistics.median(self.rates)

  @property
  def ratio(self):
    """The median."""
    return statistics.median(self.ratios)


def zipf_ids():
  """A made text: word ids, and the size of its vocabulary."""
  ids = np.random.default_rng(0).choice(
      VOCAB_SIZE, size=200_000, p=ZIPF / ZIPF.sum())
  return ids.astype(np.int32), VOCAB_SIZE


def make_spec(config, ids, vocab_size, settings):
  """The argument of a contender."""
  return {"config": dataclasses.asdict(config), "vocab_size": vocab_size,
          "ids": ids, "parameters": None, "settings": settings}


def command_of(name):
  """The module of a contender, its settings, and its Python; None: missing."""
  if name in OURS:
    return "suite", OURS[name], sys.executable
  module, settings = PEERS[name]
  python = sys.executable
  if module == "peer_torch":
    python = FLAGS.peers_python
    if not os.path.exists(python):
      return None
  return module, settings, python


class Comparison:
  """Contenders that are measured in turn, without those that fail.

  Attributes:
    results: name -> Result, in order.
    failed: name -> why it was left out.
    versions: name -> text, of frameworks.
    others: a machine.Others, of the turns.
    gemm_rates: several of `gemms.rates`.
  """

  def __init__(self, config, ids, vocab_size, cores):
    self._config, self._ids, self._vocab_size = config, ids, vocab_size
    self._cores = cores
    self._running = {}  # name -> Contender, in order
    self.results, self.failed, self.versions = {}, {}, {}
    self.others, self.gemm_rates = machine.Others(), []

  def measure(self, names):
    """Goes through the rounds with as many as memory holds, two at least.

    Args:
      names: in order; all are compared with the first.

    Returns:
      The names of those that are left for another time.

    Raises:
      errors.UserError: all of them fail.
    """
    waiting = list(names)
    with contextlib.ExitStack() as stack:
      self._running = {}
      while waiting and (len(self._running) < 2 or machine.has_memory()):
        self._attempt([waiting.pop(0)], lambda name: self._enter(name, stack))
      if not self._running:
        raise errors.UserError(self.failed[names[0]])
      gemm = self._start(stack, "gemms", {}, sys.executable)
      self._attempt(self._running, self._warm_up)
      for round_ in range(FLAGS.rounds):
        if round_ in (0, FLAGS.rounds // 2, FLAGS.rounds - 1):
          self._measure_gemms(gemm)
        self._round()
    return waiting

  def _round(self):
    """A turn of each.

    Raises:
      errors.UserError: the last of them has failed.
    """
    self._attempt(self._running, self._turn)
    if not self._running:
      raise errors.UserError(next(iter(self.failed.values())))
    results = [self.results[name] for name in self._running]
    for result in results:
      result.ratios.append(results[0].rates[-1] / result.rates[-1])

  def _attempt(self, names, method):
    """Calls a method with each of the names, and drops those that fail."""
    for name in list(names):
      try:
        method(name)
      except errors.UserError as error:
        self.failed[name] = error
        self._running.pop(name, None)
        self.results.pop(name, None)

  def _start(self, stack, module, settings, python):
    """A Contender, once its first step is done."""
    contender = Contender(module, make_spec(
        self._config, self._ids, self._vocab_size, settings), self._cores,
                          python)
    stack.callback(contender.close)
    self.versions |= contender.versions
    return contender

  def _enter(self, name, stack):
    """Starts a contender that there will be a result of."""
    contender = self._start(stack, *command_of(name))
    self._running[name] = contender
    self.results.setdefault(name, Result(name, contender.first_step))

  def _warm_up(self, name):
    """A turn that does not count."""
    self._running[name].ask("rate", FLAGS.seconds)

  def _turn(self, name):
    answer = self.others.during(
        lambda: self._running[name].ask("rate", FLAGS.seconds))
    self.results[name].rates.append(answer["rate"])
    self.results[name].peak = answer["peak"]

  def _measure_gemms(self, contender):
    """Adds to `gemm_rates`: TensorFlow's, and PyTorch's where it takes part."""
    measuring = [contender] + [
        self._running[name] for name in self._running if name == "torch"]
    self.gemm_rates += [c.ask("report", 20) for c in measuring]


def compare(config, names, ids, vocab_size, cores):
  """Measures contenders in turn: a Comparison.

  Where memory does not hold all of them at once, the first takes part with each
  group of the others, for these to be compared with.

  Raises:
    errors.UserError: all of them fail.
  """
  comparison = Comparison(config, ids, vocab_size, cores)
  waiting = comparison.measure(names)
  while waiting:
    waiting = comparison.measure([names[0], *waiting])
  return comparison


def limits(config, vocab_size, found):
  """Words per second of GEMMs alone, from several `gemms.rates`."""
  shapes = gemms.shapes(dataclasses.asdict(config), vocab_size)
  best = [max(of_shape) for of_shape in zip(*found, strict=True)]
  work = [gemms.flops(shape) * number for shape, number in shapes]
  words = config.batch_size * config.num_steps
  return {"rate": max(best), "limit": words * max(best) / sum(work),
          "by shape": words / sum(
              w / rate for w, rate in zip(work, best, strict=True))}


def table(results, limit):
  """Lines: a contender each, then the ratios that matter."""
  first = results[0]
  yield (f"{'':<18}{'words/s':>9}{'lowest':>9}{'highest':>9}"
         f"{first.name + ' is':>12}{'peak MB':>9}{'first step':>12}"
         f"{'of limit':>10}{'by shape':>10}")
  for result in results:
    yield (f"{result.name:<18}{result.rate:>9.0f}{min(result.rates):>9.0f}"
           f"{max(result.rates):>9.0f}{result.ratio:>11.2f}x"
           f"{result.peak / 1024:>9.0f}{result.first_step:>10.1f} s"
           f"{result.rate / limit['limit']:>10.2f}"
           f"{result.rate / limit['by shape']:>10.2f}")
  yield (f"limit: {limit['limit']:.0f} words/s at {limit['rate'] / 1e9:.0f} "
         f"GFLOP/s, {limit['by shape']:.0f} by shape")
  eager = [result for result in results if result.name in EAGER_TORCH]
  if eager:
    best = min(eager, key=lambda result: result.ratio)
    yield (f"{first.name} is {best.ratio:.2f} times as fast as eager "
           f"PyTorch at its best ({best.name})")


def remarks(comparison):
  """Lines: what to know of a comparison before it is believed."""
  for name, error in comparison.failed.items():
    yield f"{name} is left out: {error}"
  share = comparison.others.share
  if share is not None:
    yield f"other processes took {share:.0%} of the machine meanwhile" + (
        "; that slows some far more than others, PyTorch above all, and "
        "the limit is of its best moments: measure again on a machine at rest"
        if share > LOADED else "")


def breakdown(name, config, ids, vocab_size, cores):
  """Lines: where the time of a step goes."""
  module, settings, python = command_of(name)
  contender = Contender(
      module, make_spec(config, ids, vocab_size, settings), cores, python)
  with contextlib.closing(contender):
    contender.ask("rate", FLAGS.seconds)
    found = contender.ask("report", 10)
  wall, busy = found["wall"], found["busy"]
  yield (f"{name}: {wall:.1f} ms a step, traced; {busy:.1f} ms in ops on "
         f"{len(cores)} cores, {1 - busy / wall / len(cores):.0%} idle "
         f"({1 - found['cpu'] / wall / len(cores):.0%} as the system sees it, "
         "to which an op may be several threads, or one that waits)")
  for kind, (milliseconds, number) in sorted(
      found["ops"].items(), key=lambda item: -item[1][0])[:20]:
    yield (f"{milliseconds:>9.2f} ms {milliseconds / busy:>6.1%} "
           f"{number:>6.0f}  {kind}")


def draw(path, by_config, columns):
  """Bar charts, in so many columns: the contenders' words per second."""
  import matplotlib
  matplotlib.use("Agg")
  from matplotlib import pyplot

  rows = len(by_config) // columns
  figure, axes = pyplot.subplots(
      rows, columns, figsize=(4 * columns, 3.6 * rows), squeeze=False)
  for ax, (title, results) in zip(axes.flat, by_config.items(), strict=True):
    names = [result.name for result in results][::-1]
    rates = [result.rate for result in results][::-1]
    bars = ax.barh(names, rates, color=[
        "0.7" if name in PEERS else "lightsteelblue" for name in names])
    bars[-1].set_color("tab:blue")
    ax.bar_label(bars, [f" {rate:,.0f}" for rate in rates], fontsize=8)
    ax.set_title(title)
    ax.set_xlim(0, max(rates) * 1.2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.set_xlabel("words per second of training", fontsize=8)
  figure.tight_layout()
  figure.savefig(path, dpi=120)


def main(_):
  """Measures and prints."""
  with command_line.complaints("speed", out_of_memory="out of memory"):
    _measure_as_flags_say()


def _measure_as_flags_say():
  for mode in FLAGS.rnn_mode:
    if not recurrent.runs_here(OURS[mode]["rnn_mode"]):
      raise errors.UserError(f"--rnn_mode={mode}: {recurrent.NEEDS_GPU}")
  peers = [name for name in FLAGS.peer if name != "none"]
  missing = [name for name in peers if not command_of(name)]
  names = [*FLAGS.rnn_mode, *(name for name in peers if name not in missing)]
  by_config, lines = {}, []
  if FLAGS.output:
    _make_folder(FLAGS.output)  # not to fail at the very end

  def say(*new):
    print(*new, sep="\n", flush=True)
    lines.extend(new)

  say("python -m benchmarks.speed " + " ".join(sys.argv[1:]))
  if missing and not FLAGS.profile:
    say(f"{', '.join(missing)}: not installed; `make peers` sets them up")
  with tempfile.TemporaryDirectory() as folder:
    text = _text(folder)
    for (title, cores), model in itertools.product(_cores(), FLAGS.model):
      config, title = configs.CONFIGS[model], f"{model}, {title}"
      if FLAGS.profile:
        for name in FLAGS.rnn_mode:
          say("", title, *breakdown(name, config, *text, cores))
        continue
      comparison = compare(config, names, *text, cores)
      results = list(comparison.results.values())
      say("", f"{title}: {FLAGS.rounds} rounds of {FLAGS.seconds:g} s",
          machine.describe(comparison.versions),
          *table(results, limits(config, text[1], comparison.gemm_rates)),
          *remarks(comparison))
      by_config[title] = results
  if FLAGS.output:
    _keep(FLAGS.output, lines, by_config)


def _text(folder):
  """Writes the words to train on to a file: its path, and V."""
  ids, vocab_size = zipf_ids()
  if FLAGS.data_path:
    ids, _, _, vocabulary = reader.ptb_raw_data(FLAGS.data_path)
    vocab_size = len(vocabulary)
  path = os.path.join(folder, "ids.npy")
  np.save(path, ids)
  return path, vocab_size


def _cores():
  """Generates a title and the cores to use, for each of --threads.

  Raises:
    errors.UserError: there are not so many.
  """
  cores = sorted(os.sched_getaffinity(0))
  for number in FLAGS.threads or [len(cores)]:
    if number > len(cores):
      raise errors.UserError(
          f"--threads={number}: there are {len(cores)} cores; lower it")
    yield f"{number} core" + "s" * (number > 1), cores[:number]


def _make_folder(path):
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as error:
    raise errors.UserError(
        f"--output={path}: {error.strerror}; name a folder") from None


def _keep(folder, lines, by_config):
  """Writes speed.txt, speed.csv and speed.png; of a profile, profile.txt."""
  name = "speed" if by_config else "profile"
  with open(os.path.join(folder, f"{name}.txt"), "w") as file:
    file.writelines(line + "\n" for line in lines)
  if not by_config:
    return
  with open(os.path.join(folder, "speed.csv"), "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["config", "contender", "round", "words_per_second"])
    for title, results in by_config.items():
      for result in results:
        writer.writerows([title, result.name, number, f"{rate:.1f}"]
                         for number, rate in enumerate(result.rates, 1))
  draw(os.path.join(folder, "speed.png"), by_config, len({*FLAGS.model}))


def define_flags():
  """The flags of this script."""
  flags.DEFINE_multi_enum("model", ["small"], list(configs.CONFIGS),
                          "The configs.")
  fastest = cells.CELLS["lstm"].default_layer()
  flags.DEFINE_multi_enum(
      "rnn_mode",
      list(dict.fromkeys([fastest, "fused", "block", "basic",
                          f"{fastest}-bfloat16"])), list(OURS),
      "The layers, with `-bfloat16` or `-float16` if it is what to compute in; "
      "the first one is what all others are compared with.")
  flags.DEFINE_multi_enum("peer", list(PEERS), ["none", *PEERS],
                          "The peers; `none` for none.")
  flags.DEFINE_multi_integer("threads", None, "How many cores to use; all "
                             "without it.", 1)
  flags.DEFINE_integer("rounds", 9, "Turns of each contender.", 1)
  flags.DEFINE_float("seconds", 4, "Length of a turn.", 0.01)
  flags.DEFINE_string("data_path", None, "The folder of a text; without it, "
                      "one is made of words as frequent as in real ones.")
  flags.DEFINE_string("output", None, "A folder for table, figures and chart.")
  flags.DEFINE_bool("profile", False, "Instead, print where the time of a step "
                    "goes.")
  flags.DEFINE_string("peers_python", ".venv-peers/bin/python",
                      "The interpreter that has PyTorch.")


FLAGS = flags.FLAGS

if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
