"""The metric without unknown words, if training never saw any.

Then `<unk>` is a class that is never a target in training, so each unknown word
of valid or test costs far more than any other. The figure on the other words
tells what the model has learned.
"""

from collections.abc import Callable, Mapping
from typing import Any

import reader
from rnn.text.vocabulary import EOS, Words
from rnn.tf1 import tf
from rnn.training import passes
from rnn.training.metrics import PERPLEXITY, Metric
from rnn.training.passes import StreamPass


class _KnownTargets:
  """A language model whose counts leave a target out."""

  def __init__(self, model: Any, targets: tf.Tensor, unk: int) -> None:
    self.variables, self.final_state = model.variables, model.final_state
    known = tf.logical_and(tf.not_equal(targets, unk),
                           tf.not_equal(targets, reader.NO_TARGET))
    self.counts = {
        "nats": tf.reduce_sum(
            tf.where(known, model.losses, tf.zeros_like(model.losses))),
        "targets": tf.math.count_nonzero(known)}


class KnownWords:
  """Measures a language model on valid and test without unknown words.

  Attributes:
    figures: a dict, "valid" and "test" -> metric, after `measure`. It is None
      if all words are unknown.
  """

  def __init__(self, texts: Mapping[str, reader.Text], vocabulary: Words,
               metric: Metric = PERPLEXITY) -> None:
    """Adds nothing to a graph yet.

    Args:
      texts, vocabulary: see `reader.read_corpus`. If training has unknown
        words, or valid and test have none, nothing will be measured.
      metric: the metric.
    """
    self.figures: dict[str, float | None] = {}
    self._is_needed = bool(reader.unlearned(texts, vocabulary))
    self._unk, self._metric = vocabulary.ids[reader.UNK], metric
    self._eos = vocabulary.ids.get(EOS)
    self._passes: dict[str, StreamPass] = {}

  def add_passes(self, make_model: Callable[..., Any],
                 splits: Mapping[str, tuple[Any, reader.Ids]]) -> None:
    """Adds a pass for each split to the default graph, if it is needed.

    Args:
      make_model: see `StreamPass`; a model with `losses`.
      splits: a dict, name -> (config, ids).
    """
    def make(inputs: tf.Tensor, targets: tf.Tensor, **kwargs: Any) -> Any:
      return _KnownTargets(
          make_model(inputs, targets, **kwargs), targets, self._unk)

    self._passes = {
        name: StreamPass(f"Known{name.capitalize()}", config, ids, make,
                         eos=self._eos)
        for name, (config, ids) in splits.items() if self._is_needed}

  def measure(self, session: tf.Session, _: Any,
              check_stop: Callable[[], None] = lambda: None) -> None:
    """Measures the model in the session; a hook of `loop.run_training`.

    Args:
      check_stop: called after each window; may raise `signals.Stopped`.
    """
    for name, split_pass in self._passes.items():
      split_pass.load(session)
      sums = passes.run_pass(
          session, split_pass, lambda *_: check_stop()).sums
      self.figures[name] = (
          self._metric.compute(sums) if sums["targets"] else None)

  def rows(self) -> dict[str, tuple[float | None, ...]]:
    """Returns the row for `progress.table`: train, valid, test. Or none."""
    return {"this run, without unknown words": (
        None, self.figures["valid"], self.figures["test"])
            } if self.figures else {}
