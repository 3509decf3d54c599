"""Hyperparameters: what each one means, its range, and the published models.

The values of `small`, `medium` and `large` are those of Zaremba, Sutskever and
Vinyals 2014, "Recurrent Neural Network Regularization" (arXiv 1409.2329). The
vocabulary size is not a hyperparameter: it comes from the data.

To add a hyperparameter, add one `setting` to `Config`. Give it a default: runs
that are older than the setting resume with it.
"""

import dataclasses
from typing import Any, TypeVar

from rnn.settings import (
  COUNT,
  COUNT_OR_0,
  KINDS,
  LAYERS,
  POSITIVE,
  SHARE,
  ConfigError,
  Settings,
  one_of,
  setting,
)

_S = TypeVar("_S", bound=Settings)

OPTIMIZER = one_of("sgd", "adagrad", "adam", "rmsprop")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
  """One model, and the way it is trained."""

  init_scale: float = setting(
      POSITIVE, "parameters start uniform in +-init_scale")
  learning_rate: float = setting(
      POSITIVE, "the step size in the first max_epoch epochs", may_change=True,
      flag="learning_rate")
  max_grad_norm: float = setting(
      POSITIVE, "the gradient is clipped to this global norm", may_change=True)
  num_layers: int = setting(
      LAYERS, "L, recurrent layers", flag="num_layers")
  num_steps: int = setting(
      COUNT, "T, words per window: the length of backpropagation",
      flag="num_steps")
  hidden_size: int = setting(
      COUNT, "H, units per layer", flag="hidden_size")
  max_epoch: int = setting(
      COUNT_OR_0, "epochs at the full learning rate", may_change=True)
  max_max_epoch: int = setting(COUNT, "epochs in total", flag="epochs")
  keep_prob: float = setting(
      SHARE, "the share of units that dropout keeps", may_change=True,
      flag="keep_prob")
  lr_decay: float = setting(
      SHARE, "factor on the learning rate in each epoch after max_epoch",
      may_change=True)
  batch_size: int = setting(
      COUNT, "B, parallel streams", 20, flag="batch_size")
  hidden_sizes: tuple = setting(
      COUNT, "units of each layer, instead of hidden_size and num_layers", ())
  embedding_size: int = setting(
      COUNT_OR_0, "E, width of the embedding; 0: that of the first layer's "
      "outputs", 0)
  cell: str = setting(
      one_of("lstm", "peephole", "lstmp", "gru", "rnn"),
      "the recurrent cell, see rnn/layers/cells.py", "lstm")
  projection_size: int = setting(
      COUNT_OR_0, "P, width of the outputs of each layer of cell=lstmp; 0: the "
      "cell has no projection", 0)
  num_sampled: int = setting(
      COUNT_OR_0, "S, candidates that stand in for all words in the softmax of "
      "a training step; 0: all words", 0)
  optimizer: str = setting(
      OPTIMIZER, "the update rule, see rnn/training/optimizers.py", "sgd")
  epoch_size: int = setting(
      COUNT_OR_0, "windows per epoch; 0: all windows of the text", 0)
  early_stop: int = setting(
      COUNT_OR_0, "training ends after this many epochs without improvement on "
      "validation; 0: never", 0, may_change=True)
  freeze: str = setting(one_of("nothing", "embedding"),
                        "parameters that stay as they start", "nothing")

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.hidden_sizes and not LAYERS.contains(len(self.hidden_sizes)):
      raise ConfigError(f"hidden_sizes: has {len(self.hidden_sizes):,} sizes; "
                        f"there must be {LAYERS.text} layers")
    if (self.cell == "lstmp") != bool(self.projection_size):
      raise ConfigError(
          f"projection_size={self.projection_size}: cell={self.cell} has no "
          "projection; set projection_size=0, or cell=lstmp"
          if self.projection_size else
          "projection_size=0: cell=lstmp has a projection; set its width, as "
          f"in projection_size={max(self.layer_sizes) // 4 or 1}")

  @property
  def layer_sizes(self) -> tuple[int, ...]:
    """Units of each layer, first to last."""
    return self.hidden_sizes or (self.hidden_size,) * self.num_layers

  @property
  def output_sizes(self) -> tuple[int, ...]:
    """Width of each layer's outputs: P with a projection, otherwise H."""
    return ((self.projection_size,) * len(self.layer_sizes)
            if self.projection_size else self.layer_sizes)

  @property
  def sizes(self) -> tuple[tuple[int, int], ...]:
    """Units and width of the outputs of each layer."""
    return tuple(zip(self.layer_sizes, self.output_sizes, strict=True))

  @property
  def input_size(self) -> int:
    """Width of the embedding, which is the input of the first layer."""
    return self.embedding_size or self.output_sizes[0]


SMALL = Config(
    init_scale=0.1,
    learning_rate=1.0,
    max_grad_norm=5,
    num_layers=2,
    num_steps=20,
    hidden_size=200,
    max_epoch=4,
    max_max_epoch=13,
    keep_prob=1.0,
    lr_decay=0.5)

MEDIUM = Config(
    init_scale=0.05,
    learning_rate=1.0,
    max_grad_norm=5,
    num_layers=2,
    num_steps=35,
    hidden_size=650,
    max_epoch=6,
    max_max_epoch=39,
    keep_prob=0.5,
    lr_decay=1 / 1.2)

LARGE = Config(
    init_scale=0.04,
    learning_rate=1.0,
    max_grad_norm=10,
    num_layers=2,
    num_steps=35,
    hidden_size=1500,
    max_epoch=14,
    max_max_epoch=55,
    keep_prob=0.35,
    lr_decay=1 / 1.15)

# LSTM-2048-512 of Jozefowicz et al. 2016, "Exploring the Limits of Language
# Modeling" (arXiv 1602.02410), which reached a perplexity of 43.7 on the test
# text of the One Billion Word benchmark with 793,471 words. The paper has the
# sizes, T, B, S, the optimizer with its rate, 10 % dropout, and a forget bias
# of 1 (see `cells`). It clips the gradients of the LSTM, for a cost per word,
# at 1, and initial values are not in it: these three are ours.
LM1B = Config(
    init_scale=0.05,
    learning_rate=0.2,
    max_grad_norm=10,
    num_layers=1,
    num_steps=20,
    hidden_size=2048,
    max_epoch=10,
    max_max_epoch=10,
    keep_prob=0.9,
    lr_decay=0.5,
    batch_size=128,
    cell="lstmp",
    projection_size=512,
    num_sampled=8192,
    optimizer="adagrad")

TEST = Config(  # runs in seconds and learns little
    init_scale=0.1,
    learning_rate=1.0,
    max_grad_norm=1,
    num_layers=1,
    num_steps=2,
    hidden_size=2,
    max_epoch=1,
    max_max_epoch=1,
    keep_prob=1.0,
    lr_decay=0.5)


@dataclasses.dataclass(frozen=True)
class Word2Vec(Settings):
  """How word vectors are trained."""

  learning_rate: float = setting(
      POSITIVE, "the step size in the first max_epoch epochs", may_change=True,
      flag="learning_rate")
  max_grad_norm: float = setting(
      POSITIVE, "the gradient is clipped to this global norm", may_change=True)
  embedding_size: int = setting(COUNT, "D, numbers per vector")
  batch_size: int = setting(
      COUNT, "words per step, each with its contexts", flag="batch_size")
  num_noise: int = setting(
      COUNT, "S, noise words per step, shared by all of its pairs")
  max_epoch: int = setting(
      COUNT_OR_0, "epochs at the full learning rate", may_change=True)
  max_max_epoch: int = setting(COUNT, "epochs in total", flag="epochs")
  lr_decay: float = setting(
      SHARE, "factor on the learning rate in each epoch after max_epoch",
      may_change=True)
  optimizer: str = setting(
      OPTIMIZER, "the update rule, see rnn/training/optimizers.py")
  epoch_size: int = setting(
      COUNT_OR_0, "steps per epoch; 0: as many as the text has", 0)


RECORDS = (Config, Word2Vec)

WORD2VEC = Word2Vec(
    learning_rate=0.1,
    max_grad_norm=1e9,
    embedding_size=100,
    batch_size=1000,
    num_noise=256,
    max_epoch=5,
    max_max_epoch=5,
    lr_decay=0.5,
    optimizer="adagrad")

# The tasks follow a chapter of Abrahams et al. 2016, "TensorFlow for Machine
# Intelligence", as far as it gives values.
CHAR_LM = Config(
    init_scale=0.1,
    learning_rate=0.002,
    max_grad_norm=5,
    num_layers=2,
    num_steps=50,
    hidden_size=200,
    max_epoch=20,
    max_max_epoch=20,
    keep_prob=1.0,
    lr_decay=0.9,
    batch_size=100,
    cell="gru",
    optimizer="adam",
    epoch_size=200)

SENTIMENT = Config(
    init_scale=0.08,
    learning_rate=0.002,
    max_grad_norm=5,
    num_layers=1,
    num_steps=400,  # the most words per review
    hidden_size=128,
    embedding_size=128,
    max_epoch=3,
    max_max_epoch=5,
    keep_prob=0.5,
    lr_decay=0.5,
    batch_size=32,
    cell="gru",
    optimizer="rmsprop")

OCR = Config(
    init_scale=0.08,
    learning_rate=0.002,
    max_grad_norm=5,
    num_layers=1,
    num_steps=14,  # the most letters per word
    hidden_size=300,
    max_epoch=3,
    max_max_epoch=5,
    keep_prob=0.5,
    lr_decay=0.5,
    batch_size=10,
    cell="gru",
    optimizer="rmsprop")

ECHO = dataclasses.replace(
    SMALL, init_scale=0.3, learning_rate=0.01, num_layers=3, num_steps=15,
    hidden_size=16, max_max_epoch=3, batch_size=5, optimizer="adam")

CONFIGS = {"small": SMALL, "medium": MEDIUM, "large": LARGE, "lm1b": LM1B,
           "test": TEST}

# Train, valid and test perplexity on the Penn Treebank: table 1 of the paper,
# and the table at the top of the classic TensorFlow script.
PUBLISHED = {
    "small": {"Zaremba et al. 2014, small on PTB": (None, 120.7, 114.5),
              "classic script, small on PTB": (37.99, 121.39, 115.91)},
    "medium": {"Zaremba et al. 2014, medium on PTB": (None, 86.2, 82.7),
               "classic script, medium on PTB": (48.45, 86.16, 82.07)},
    "large": {"Zaremba et al. 2014, large on PTB": (None, 82.2, 78.4),
              "classic script, large on PTB": (37.87, 82.62, 78.29)},
}


def published(model: str, config: Config) -> dict[
    str, tuple[float | None, float, float]]:
  """Returns the entry of PUBLISHED for a config, if it is as published."""
  return PUBLISHED.get(model, {}) if config == CONFIGS[model] else {}


def parse(settings: str, record: type[Settings] = Config) -> dict[str, Any]:
  """Parses settings into the types of their fields.

  Args:
    settings: "hidden_size=300,keep_prob=0.8". A list continues after a comma,
      as in "hidden_sizes=256,128".
    record: the class whose fields may be set.

  Returns:
    A dict, name -> value, for `override`.

  Raises:
    ConfigError: an unknown name, a name given twice, or a value of another
      type.
  """
  texts: dict[str, list[str]] = {}
  for part in filter(None, map(str.strip, settings.split(","))):
    name, equals, text = (piece.strip() for piece in part.partition("="))
    if not name:
      raise ConfigError(f"{part}: has no name; write hidden_size=300")
    if not equals and texts:
      texts[next(reversed(texts))].append(name)
    elif not equals:
      raise ConfigError(f"{name}: has no value; write hidden_size=300")
    elif name in texts:
      raise ConfigError(f"{name}: set twice")
    else:
      texts[name] = [text]
  return {name: _parse_value(name, text, record)
          for name, text in texts.items()}


def as_text(value: Any) -> str:
  """Returns a value of a setting as the user writes it, for `parse`."""
  return (",".join(map(str, value)) if isinstance(value, tuple)
          else str(value))


def override(config: _S, settings: dict[str, Any] | str) -> _S:
  """Returns a config with some values replaced.

  Args:
    settings: a dict, name -> value, or the text that `parse` reads.

  Raises:
    ConfigError: as in `parse`; a value out of its range, or a size given in two
      ways.
  """
  values = (parse(settings, type(config)) if isinstance(settings, str)
            else settings)
  if "hidden_sizes" in values and {"hidden_size", "num_layers"} & set(values):
    raise ConfigError("hidden_sizes gives the size of every layer: leave out "
                      "hidden_size and num_layers")
  return dataclasses.replace(config, **values)


def _parse_value(name: str, texts: list[str], record: type[Settings]) -> Any:
  """Returns the value of a setting, in the type of its field."""
  types: dict[str, Any] = {
      field.name: field.type for field in dataclasses.fields(record)}
  if name not in types:
    raise ConfigError(f"{name}: no such setting; the settings are "
                      + ", ".join(types))
  type_ = types[name]
  try:
    if type_ is tuple:
      return tuple(int(text) for text in texts)
    (text,) = texts
    return type_(text)
  except ValueError:
    raise ConfigError(
        f"{name}={','.join(texts)}: must be {KINDS[type_]}") from None
