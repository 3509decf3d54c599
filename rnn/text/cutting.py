"""How a config has a text cut into streams."""

from typing import Any

from rnn.text import jitter
from rnn.text.jitter import JitteredStreams
from rnn.text.sentence_streams import SentenceStreams
from rnn.text.streams import EvaluationStreams, Ids, Streams, TrainingStreams


def longest(config: Any, is_training: bool) -> int:
  """Returns the T of the windows, the longest if their lengths differ."""
  if config.window_jitter and is_training:
    return jitter.longest(config.num_steps, config.window_jitter)
  return config.num_steps


def cut(config: Any, ids: Ids, is_training: bool, seed: int = 0,
        eos: int | None = None) -> Streams:
  """Returns the streams of a text.

  Args:
    config: a `configs.Config`.
    ids: see `streams.Ids`.
    seed: determines what is random in training.
    eos: the id of `<eos>`, for reset_state.

  Raises:
    DataError: the text is too short, or has no sentences.
  """
  sizes = config.batch_size, config.num_steps
  if config.reset_state:
    return SentenceStreams(ids, *sizes, eos)
  if not is_training:
    return EvaluationStreams(ids, *sizes)
  if config.window_jitter:
    return JitteredStreams(ids, *sizes, config.window_jitter, seed)
  return TrainingStreams(ids, *sizes, seed)
