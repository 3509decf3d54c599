"""The flags that say from which parameters training starts, and which stay."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

import configs
from rnn.cli import stored_flags, text_flags, training_flags
from rnn.errors import SettingError, UserError
from rnn.runs import origin as origins
from rnn.runs.directory import RunDirectory
from rnn.runs.origin import MakeVariables, Origin
from rnn.text import word_vectors
from rnn.text.vocabulary import Choice, Vocabulary, Words

FLAGS = flags.FLAGS

# Flags by which the user chooses the words of the run.
_VOCABULARY = ("vocab_path", "vocab_size", "min_count")


def origin(tokens: str, make_variables: MakeVariables) -> Origin | None:
  """Reads the run that --init_from names; None without the flag.

  A run that resumes does not need it.

  Args:
    tokens: "words" or "characters", which the run must have.
    make_variables: see `origins.load`.

  Raises:
    UserError: it is no such run, or a flag does not go with the others.
  """
  if not FLAGS.init_from:
    for name in "init_checkpoint", "init_average_last":
      if FLAGS[name].present:
        raise UserError(f"--{name}: has no effect without --init_from; leave "
                        "it out")
    return None
  if "init_embeddings" in FLAGS and FLAGS.init_embeddings:
    raise UserError("--init_embeddings: --init_from has an embedding already; "
                    "leave out one of the two")
  chosen = tokens, FLAGS.init_checkpoint, FLAGS.init_average_last
  if FLAGS.save_path and (found := origins.recorded(
      RunDirectory(FLAGS.save_path), FLAGS.init_from, *chosen)):
    return found
  try:
    return origins.load(FLAGS.init_from, make_variables, *chosen)
  except SettingError as error:  # about checkpoint or average_last
    raise UserError(f"--init_{error}") from None


def config(base: configs.Config, origin: Origin | None
           ) -> tuple[configs.Config, dict[str, Any]]:
  """Returns the config and the changed settings, as `training_flags.config`.

  The cell and the sizes are those of the origin.

  Raises:
    ConfigError: as there; or the user sets another size, or the initial values
      of layers.
  """
  if not origin:
    return training_flags.config(base)
  settings = training_flags.named_settings(type(base))
  given = [name for name in origins.SIZES if name in settings]
  for name in given:
    if not _agrees(origin.config, name, settings[name]):
      there = name
      if name in ("hidden_size", "num_layers", "hidden_sizes"):
        there = ("hidden_sizes" if origin.config.hidden_sizes
                 or name == "hidden_sizes" else name)
      raise configs.ConfigError(
          f"{name}={configs.as_text(settings[name])}: the run in --init_from "
          f"has {there}={configs.as_text(_value(origin.config, there))}; leave "
          "it out")
  for name in "forget_bias", "layer_init":
    if name in settings:
      raise configs.ConfigError(
          f"{name}={configs.as_text(settings[name])}: has no effect, because "
          "--init_from gives the initial values of layers; leave it out")
  sizes = {name: getattr(origin.config, name) for name in origins.SIZES}
  changed, settings = training_flags.config(
      dataclasses.replace(base, **sizes), without=given)
  return dataclasses.replace(changed, **sizes), settings


def _agrees(config: configs.Config, name: str, value: Any) -> bool:
  """Returns whether a setting of size is as in the config, in effect."""
  if name == "hidden_size":
    return set(config.layer_sizes) == {value}
  if name == "num_layers":
    return len(config.layer_sizes) == value
  if name in ("hidden_sizes", "embedding_size") and not value:
    return True  # these follow other settings
  return value == _value(config, name)


def _value(config: configs.Config, name: str) -> Any:
  """Returns a setting of size as it takes effect."""
  return {"embedding_size": config.input_size,
          "hidden_sizes": config.layer_sizes}.get(name, getattr(config, name))


def model(origin: Origin | None) -> str:
  """Returns the name of the config: --model, or by default the origin's."""
  if origin and origin.model in configs.CONFIGS and not FLAGS["model"].present:
    return origin.model
  return FLAGS.model


def vocabulary_choice(origin: Origin | None,
                      kind: type[Vocabulary] = Vocabulary) -> Choice:
  """Returns the origin's words, unless there is none or the user sets words.

  Args, raises: see `text_flags.vocabulary_choice`.
  """
  if origin and not any(FLAGS[name].present for name in _VOCABULARY):
    return Choice(origin.vocabulary)
  return text_flags.vocabulary_choice(kind)


def _refuse_lowercase(when: str) -> None:
  if "lowercase_vectors" in FLAGS and FLAGS.lowercase_vectors:
    raise UserError(f"--lowercase_vectors: has no effect {when}; leave it out")


def initial_values(
    vocabulary: Words, config: configs.Config, origin: Origin | None = None,
    stored: stored_flags.Stored | None = None,
) -> tuple[Mapping[str, np.ndarray] | None, dict]:
  """Returns the initial values that the flags give.

  Args:
    stored: the run, if it resumes.

  Returns:
    values, content: a dict, variable name -> array, or None for random values;
    and their description for config.json.

  Raises:
    UserError: a file cannot be used, or has vectors of another size.
  """
  if origin:
    assert isinstance(vocabulary, Vocabulary)
    _refuse_lowercase("with --init_from")
    # Without values, training resumes and needs none.
    values = origins.initial_values(
        origin, vocabulary, config.init_scale, FLAGS.seed
        ) if origin.values else None
    return values, {"init_from": origin.description, "init_embeddings": None}
  content: dict[str, dict | None] = {
      "init_from": None, "init_embeddings": None}
  if "init_embeddings" not in FLAGS:
    return None, content
  if vectors := stored_flags.initial_embeddings(stored):
    return None, content | {"init_embeddings": vectors}
  if not FLAGS.init_embeddings:
    _refuse_lowercase("without --init_embeddings")
    return None, content
  embedding, fingerprint = word_vectors.initial(
      FLAGS.init_embeddings, vocabulary.words, config.input_size,
      config.init_scale, FLAGS.seed, FLAGS.lowercase_vectors)
  return {"Model/embedding": embedding}, content | {
      "init_embeddings": fingerprint}
