"""Writes text with a trained model.

    python generate.py --save_path=runs/small --prompt="the company said"

Words are drawn one by one and fed back, with the state that they leave.
"""

import logging
import math
import sys

import command_line

if __name__ == "__main__":
  command_line.die_of_interrupts()

import numpy as np
from absl import app, flags

import errors
import model_flags
import reader

_log = logging.getLogger(__name__)

FLAGS = flags.FLAGS
_BLOCK = 256  # samples whose words are drawn at a time, to save memory


def distribution(logits, temperature=1.0, top_k=0, top_p=1.0, banned=()):
  """The probabilities that the next word is drawn with.

  These are softmax(logits / temperature), cut to the likeliest words.

  Args:
    logits: [B, V].
    temperature: of 0, all is with the likeliest word.
    top_k: draw from this many of the likeliest words; 0 for all.
    top_p: draw from the fewest of the likeliest words that have together at
      least this probability (Holtzman et al. 2020, arXiv 1904.09751).
    banned: ids that are never drawn.

  Returns:
    [B, V], float64; each row adds up to 1.
  """
  logits = np.array(logits, np.float64)
  logits[:, list(banned)] = -np.inf
  logits -= logits.max(axis=1, keepdims=True)
  if temperature == 0:
    return np.eye(logits.shape[1])[logits.argmax(axis=1)]
  with np.errstate(over="ignore"):
    p = np.exp(logits / temperature)
  p /= p.sum(axis=1, keepdims=True)
  if top_k or top_p < 1:
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # of the likelier words
    ranked[before >= top_p] = 0
    if top_k:
      ranked[:, top_k:] = 0
    np.put_along_axis(p, order, ranked, axis=1)
    p /= p.sum(axis=1, keepdims=True)
  return p


def draw(p, u):
  """Draws a word from each row of probabilities.

  Args:
    p: [B, V], as `distribution` returns.
    u: [B], uniform in [0, 1).

  Returns:
    [B] ids.
  """
  cumulative = np.cumsum(p, axis=1)
  total = cumulative[:, -1:]
  # The first word at which it exceeds u; u * total may round up to the total.
  ids = (cumulative <= np.minimum(
      u[:, None] * total, np.nextafter(total, 0))).sum(axis=1)
  return ids.astype(np.int32)


class Writer:
  """Goes on with prompts, many samples at once, from the same words on."""

  def __init__(self, windows, vocabulary, num_samples):
    """Starts a sentence.

    Args:
      windows: a trained_model.Windows with one step.
    """
    self._windows, self._vocabulary = windows, vocabulary
    self._num_samples = num_samples
    self.read([])

  def read(self, words):
    """Reads the beginning of a sentence, or of several.

    Args:
      words: str; a word not known reads as `<unk>`.

    Returns:
      [V], the model's probabilities of the word that follows.
    """
    self._state = None
    for word in [self._vocabulary.eos, *self._vocabulary.encode(words)]:
      self._step(np.full(self._num_samples, word))
    return distribution(self._logits[:1])[0]

  def write(self, num_words, rng, stop_at_eos=False, **kwargs):
    """Draws words; each follows on those before.

    Args:
      rng: a NumPy Generator. A sample follows from it and from its place among
        the samples, not from how many there are, or how long.
      stop_at_eos: whether a sample ends with its first `<eos>`.
      kwargs: of `distribution`.

    Returns:
      A list of str, at most `num_words`, for each sample.
    """
    rngs = rng.spawn(self._num_samples)
    samples = []
    ended = np.zeros(self._num_samples, bool)
    for _ in range(num_words):
      u = np.array([sample_rng.random() for sample_rng in rngs])
      ids = np.concatenate([
          draw(distribution(self._logits[i:i + _BLOCK], **kwargs),
               u[i:i + _BLOCK])
          for i in range(0, self._num_samples, _BLOCK)])
      samples.append(ids)
      ended |= ids == self._vocabulary.eos
      if stop_at_eos and ended.all():
        break
      self._step(ids)
    texts = [self._vocabulary.decode(ids) for ids in np.transpose(samples)]
    if stop_at_eos:
      texts = [text[:text.index(reader.EOS) + 1] if reader.EOS in text else text
               for text in texts]
    return texts

  def _step(self, ids):
    found = self._windows.run(
        ["logits", "final_state"], ids[None], state=self._state)
    self._logits, self._state = found["logits"][0], found["final_state"]


def words_of(prompt, vocabulary):
  """The words of a prompt; a warning names those that are not known."""
  words = vocabulary.split(prompt)
  for word in dict.fromkeys(words):
    if word not in vocabulary:
      _log.warning("%s is not in the vocabulary; read as %s", word, reader.UNK)
  return words


def define_flags():
  """The flags of this script; `main` alone reads them."""
  model_flags.define()
  flags.adopt_module_key_flags(model_flags)  # for --help
  flags.DEFINE_string("prompt", "", "The words to go on from; without any, a "
                      "sentence begins.")
  flags.DEFINE_bool("interactive", False,
                    "Read prompts from the terminal, and show the likeliest "
                    "next words too.")
  flags.DEFINE_integer("num_words", 60, "Words to write, with every <eos>.",
                       lower_bound=1, upper_bound=10**9)
  flags.DEFINE_integer("num_samples", 1, "Texts to write.", lower_bound=1,
                       upper_bound=10**6)
  flags.DEFINE_float("temperature", 1.0,
                     "Below 1, likely words become likelier; 0 takes the "
                     "likeliest.", lower_bound=0)
  flags.DEFINE_integer("top_k", 0, "Draw from this many of the likeliest "
                       "words; 0 for all.", lower_bound=0)
  flags.DEFINE_float("top_p", 1.0,
                     "Draw from the fewest likeliest words that have together "
                     "this probability.")
  flags.DEFINE_integer("seed", 1, "Of the draws.", lower_bound=0)
  flags.DEFINE_bool("no_unk", False, "Never write <unk>.")
  flags.DEFINE_bool("stop_at_eos", False, "End with the sentence.")
  flags.register_validator("temperature", math.isfinite, "must be a number")
  flags.register_validator("top_p", lambda p: 0 < p <= 1,
                           "must be above 0 and at most 1")


def main(argv):
  """Writes as the flags say."""
  with command_line.complaints(argv[0], out_of_memory=(
      "out of memory; lower num_samples or num_words")):
    if FLAGS.interactive and FLAGS["prompt"].present:
      raise errors.UserError("--prompt: --interactive asks for it; leave it "
                             "out")
    trained = model_flags.load()
    rng = np.random.default_rng(FLAGS.seed)
    with trained.open(num_steps=1) as windows:
      writer = Writer(windows, trained.vocabulary, FLAGS.num_samples)
      for prompt in _asked() if FLAGS.interactive else [FLAGS.prompt]:
        words = words_of(prompt, trained.vocabulary)
        p = writer.read(words)
        if FLAGS.interactive:
          print("next: " + ", ".join(
              f"{trained.vocabulary.words[i]} {p[i]:.1%}"
              for i in np.argsort(-p, kind="stable")[:5]))
        _write(writer, words, rng, trained.vocabulary)


def _asked():
  """The prompts that are typed in, until the end of the input."""
  if not sys.stdin:  # it was closed
    return
  sys.stdin.reconfigure(errors="surrogateescape")
  while True:
    try:
      yield input("> " if sys.stdin.isatty() else "")
    except EOFError:
      return


def _write(writer, prompt, rng, vocabulary):
  """Goes on with the words that the writer has read, and prints it all."""
  samples = writer.write(
      FLAGS.num_words, rng, FLAGS.stop_at_eos, temperature=FLAGS.temperature,
      top_k=FLAGS.top_k, top_p=FLAGS.top_p,
      banned=[vocabulary.unk] if FLAGS.no_unk else [])
  for number, sample in enumerate(samples, 1):
    if len(samples) > 1:
      print(f"--- {number} of {len(samples)} ---")
    print(vocabulary.join(prompt + sample), flush=True)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=command_line.parse_flags)
