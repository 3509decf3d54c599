"""Perplexity of a model that adapts to the text it reads, by setting.

    python -m benchmarks.adaptation --save_path=RUN --text=ptb.valid.txt
        --test_text=ptb.test.txt --output=results/adaptation/medium.txt

Tries each learning rate of dynamic evaluation, and the cache with each
combination of the given sizes, thetas and lambdas. Then `score.py` reads the
other text with the best settings.

The defaults in `trained/adaptation.py` are the best settings for all models in
the folder of --output, by this rule: among the settings that were tried with
all models, the one with the lowest mean logarithm of perplexity.
"""

import glob
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import flags

import reader
from benchmarks import number_flags, records, scores, transcript
from rnn import files
from rnn.cli import scripts
from rnn.errors import UserError
from rnn.settings import Range
from rnn.training.metrics import perplexity
from trained import adaptation
from trained import model as trained_model
from trained.model import TrainedModel

FLAGS = flags.FLAGS

Numbers = Mapping[str, Sequence[float]]  # by the name of a flag

_CACHE = ("size", "theta", "lambda")


def dynamic_log_probs(model: TrainedModel, ids: np.ndarray,
                      rate: float) -> np.ndarray:
  """Returns log-probabilities [N] of all words except the first."""
  with adaptation.Stream(model, dynamic=rate) as stream:
    return np.concatenate(
        [stream.read(ids)[1], stream.read(None)[1]])


def hidden_states(model: TrainedModel,
                  ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Runs a model over a text, which is the costly part of all cache settings.

  Returns:
    log_probs, hidden: [N] and [N, H], of all words except the first: natural
    logarithms of their probabilities, and the hidden states before them.
  """
  num_steps = model.config.num_steps
  rows = reader.EvaluationStreams(ids, 1, num_steps).rows()
  log_probs, hidden, state = [], [], None
  with model.open(num_steps) as session:
    for start in range(0, len(rows) - 1, num_steps):
      window = rows[start:start + num_steps + 1]
      result = session.run(["losses", "outputs", "final_state"], window[:-1],
                           window[1:], state)
      state = result["final_state"]
      log_probs.append(-result["losses"][:, 0].astype(np.float64))
      hidden.append(result["outputs"][:, 0])
  size = len(ids) - 1  # the last window may be filled up
  return np.concatenate(log_probs)[:size], np.concatenate(hidden)[:size]


def cache_log_probs(settings: adaptation.Cache, ids: np.ndarray,
                    log_probs: np.ndarray, hidden: np.ndarray,
                    num_steps: int) -> np.ndarray:
  """Returns log-probabilities [N] of all words except the first.

  Args:
    ids: [N + 1].
    log_probs, hidden: see `hidden_states`.
  """
  cache = adaptation.NeuralCache(settings, hidden.shape[1], num_steps)
  return np.concatenate([
      cache.mix(log_probs[start:start + num_steps],
                hidden[start:start + num_steps],
                ids[start + 1:start + num_steps + 1])
      for start in range(0, len(log_probs), num_steps)])


def try_settings(model: TrainedModel, text: str,
                 numbers: Numbers) -> Iterator[str]:
  """Generates a line for each setting, with the perplexity of a text.

  Raises:
    UserError: the text cannot be read, or has no word to score; or the model
      has reset_state, so that its state does not pass from line to line.
  """
  def line(setting: str, log_probs: np.ndarray) -> str:
    return f"{setting:<32} {perplexity(-log_probs.sum(), len(log_probs)):8.3f}"

  if model.config.reset_state:
    raise UserError("--save_path: a model with reset_state scores each line "
                    "anew, so this script cannot measure it; name another run")
  ids = model.vocabulary.encode(
      itertools.chain.from_iterable(
          [*words, reader.EOS] for words in reader.read_lines(text)))
  if len(ids) < 2:
    raise UserError(f"--text={text}: has no word to score; name another text")
  log_probs, hidden = hidden_states(model, ids)
  yield line("static", log_probs)
  for size, theta, lambda_ in itertools.product(
      *(numbers[name] for name in _CACHE)):
    cache = adaptation.Cache(int(size), theta, lambda_)
    yield line(f"cache {','.join(f'{x:g}' for x in cache)}", cache_log_probs(
        cache, ids, log_probs, hidden, model.config.num_steps))
  for rate in numbers["rate"]:
    yield line(f"dynamic {rate:g}", dynamic_log_probs(model, ids, rate))


def edges(setting: str, numbers: Numbers) -> Iterator[str]:
  """Generates a line for each number of a setting that may go further.

  It is the lowest or the highest of several that were tried.

  Args:
    setting: such as "cache 700,0.4,0.15".
    numbers: the numbers that were tried, by the name of their flag.
  """
  method, _, values = setting.partition(" ")
  names = _CACHE if method == "cache" else ("rate",)
  for name, value in zip(names, map(float, values.split(",")), strict=True):
    tried = numbers[name]
    if len(tried) > 1 and value in (min(tried), max(tried)):
      yield (f"{name}={value:g} is the "
             f"{'lowest' if value == min(tried) else 'highest'} that was "
             "tried: try further ones")


def define_flags() -> None:
  """Defines the flags of this script."""
  flags.DEFINE_string("save_path", None, "The folder of the run.")
  flags.DEFINE_string("text", None, "The text to choose the settings on, one "
                      "sentence per line.")
  flags.DEFINE_string("test_text", None,
                      "A text to read with the best settings.")
  flags.DEFINE_string("output", None, "A file for all that is printed.")
  number_flags.define("rate", [0.05, 0.07, 0.1, 0.14, 0.2],
                      Range(lambda x: 0 < x <= 1e6, "above 0 and at most 1e6"),
                      "Learning rates of dynamic evaluation.")
  number_flags.define("size", [300, 500, 700, 1000],
                      number_flags.whole(1, 100_000), "Sizes of the cache.")
  number_flags.define("theta", [0.3, 0.4, 0.5, 0.6],
                      Range(lambda x: 0 <= x <= 1e6, "from 0 to 1e6"),
                      "Thetas of the cache.")
  number_flags.define("lambda", [0.07, 0.1, 0.15],
                      Range(lambda x: 0 <= x < 1, "from 0 to below 1"),
                      "Lambdas of the cache.")
  flags.mark_flags_as_required(["save_path", "text"])


def main(argv: Sequence[str]) -> None:
  """Prints one perplexity per setting, and the best settings."""
  with scripts.error_lines(argv[0]):
    # "lambda" is a keyword of Python, so it cannot be an attribute of FLAGS.
    numbers = {name: FLAGS.get_flag_value(name, None)
               for name in ("rate", *_CACHE)}
    shown = {FLAGS.save_path: records.shown_path(FLAGS.save_path),
             **records.shown_text(FLAGS.text)}
    output = transcript.Output(FLAGS.output, shown)
    output.add(transcript.this_command("adaptation"))
    if FLAGS.test_text:
      next(reader.read_lines(FLAGS.test_text))  # fails now, not in the end
    model = trained_model.load(FLAGS.save_path)
    lines = []
    for line in try_settings(model, FLAGS.text, numbers):
      output.add(line)
      lines.append(line)
    tried = scores.read_settings("\n".join(lines))
    best = {method: setting for method in ("dynamic", "cache")
            if (setting := scores.best([tried], method))}
    for setting in best.values():
      output.add(f"best: {setting}", *edges(setting, numbers))
    output.save()
    if FLAGS.test_text:
      output.add(_test(best))
      output.save()
    if FLAGS.output:
      print(*_over_all(os.path.dirname(FLAGS.output)), sep="\n", flush=True)


def _test(best: Mapping[str, str]) -> str:
  """Returns the transcript of a score of the other text."""
  return transcript.run(
      ["score.py", f"--save_path={FLAGS.save_path}",
       f"--text={FLAGS.test_text}", "--state=carry",
       *(f"--{method}={setting.partition(' ')[2]}"
         for method, setting in best.items())], shows="stderr")


def _over_all(folder: str) -> Iterator[str]:
  """Generates a line for each method: the best setting for all models."""
  tried = []
  for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.txt"))):
    with files.open_text(path) as file:
      tried.append(scores.read_settings(file.read()))
  for method in "dynamic", "cache":
    setting = scores.best(tried, method)
    yield f"{method}: best for all {len(tried)} models in {folder}: " + (
        setting or "none was tried with all of them")


if __name__ == "__main__":
  scripts.run(main, define_flags)
