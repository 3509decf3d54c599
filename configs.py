"""Hyperparameters of the published models, as frozen records.

The values are those of Zaremba, Sutskever and Vinyals 2014, "Recurrent Neural
Network Regularization" (arXiv 1409.2329). The size of the vocabulary is not
among them: it comes from the data.
"""

import dataclasses

import errors


class ConfigError(errors.UserError):
  """A setting that cannot be used, said in one line fit for the user."""


@dataclasses.dataclass(frozen=True)
class Settings:
  """What all records of hyperparameters are: fields within their ranges.

  Raises:
    ConfigError: a value is out of its range.
  """

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.type is tuple:
        object.__setattr__(self, field.name, tuple(value))
      holds, range_ = _RANGES[field.name]
      for item in value if field.type is tuple else (value,):
        if not holds(item):
          raise ConfigError(f"{field.name}={item}: must be {range_}")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
  """One model and the way it is trained."""

  init_scale: float  # parameters start uniform in +-init_scale
  learning_rate: float
  max_grad_norm: float  # of all gradients together; above it they are scaled
  num_layers: int
  num_steps: int  # T, unrolled steps: the length of backpropagation in words
  hidden_size: int  # H, units of a layer
  max_epoch: int  # epochs at the full learning rate
  max_max_epoch: int  # epochs in all
  keep_prob: float  # share of units that dropout keeps
  lr_decay: float  # factor on the rate in each epoch after max_epoch
  batch_size: int = 20  # B, parallel streams
  hidden_sizes: tuple = ()  # one size a layer, in place of hidden_size
  embedding_size: int = 0  # 0: as wide as the first layer
  cell: str = "lstm"  # or another of cells.CELLS
  optimizer: str = "sgd"  # or another of optimizers.OPTIMIZERS
  epoch_size: int = 0  # windows in an epoch; 0: as many as the text has

  @property
  def layer_sizes(self):
    """Units of each layer, first to last."""
    return self.hidden_sizes or (self.hidden_size,) * self.num_layers

  @property
  def input_size(self):
    """Width of the embedding, the input of the first layer."""
    return self.embedding_size or self.layer_sizes[0]


_COUNT = (lambda x: 1 <= x <= 10**6, "from 1 to 1,000,000")
_COUNT_OR_0 = (lambda x: 0 <= x <= 10**6, "from 0 to 1,000,000")
_POSITIVE = (lambda x: 1e-30 <= x <= 1e30, "above 0, from 1e-30 to 1e30")
_SHARE = (lambda x: 1e-6 <= x <= 1, "above 0 (from 1e-6) and at most 1")


def _one_of(*names):
  return (lambda x: x in names), "one of " + ", ".join(names)


_RANGES = {
    "init_scale": _POSITIVE,
    "learning_rate": _POSITIVE,
    "max_grad_norm": _POSITIVE,
    "num_layers": _COUNT,
    "num_steps": _COUNT,
    "hidden_size": _COUNT,
    "max_epoch": _COUNT_OR_0,
    "max_max_epoch": _COUNT,
    "keep_prob": _SHARE,
    "lr_decay": _SHARE,
    "batch_size": _COUNT,
    "hidden_sizes": _COUNT,
    "embedding_size": _COUNT_OR_0,
    "cell": _one_of("lstm", "peephole", "gru", "rnn"),
    "optimizer": _one_of("sgd", "adagrad", "adam", "rmsprop"),
    "epoch_size": _COUNT_OR_0,
    "num_noise": _COUNT,
}

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

TEST = Config(  # runs in seconds, learns little
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
  """How word vectors are trained; settings that a Config has mean the same."""

  learning_rate: float
  max_grad_norm: float
  embedding_size: int  # D, numbers of a vector
  batch_size: int  # words of a step, each with its contexts
  num_noise: int  # S, words of noise a step, for all of its pairs
  max_epoch: int
  max_max_epoch: int
  lr_decay: float
  optimizer: str
  epoch_size: int = 0

  def __post_init__(self):
    super().__post_init__()
    if not self.embedding_size:
      raise ConfigError("embedding_size=0: must be " + _COUNT[1])


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

# Of tasks/: as a chapter of Abrahams et al. 2016, "TensorFlow for Machine
# Intelligence", has them, where it says.
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
    num_steps=400,  # the most words of a review
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
    num_steps=14,  # the most letters of a word
    hidden_size=300,
    max_epoch=3,
    max_max_epoch=5,
    keep_prob=0.5,
    lr_decay=0.5,
    batch_size=10,
    cell="gru",
    optimizer="rmsprop")

CONFIGS = {"small": SMALL, "medium": MEDIUM, "large": LARGE, "test": TEST}

# Train, valid and test perplexity on the Penn Treebank: table 1 of the paper,
# and the table at the head of the classic TensorFlow script.
PUBLISHED = {
    "small": {"Zaremba et al. 2014, small on PTB": (None, 120.7, 114.5),
              "classic script, small on PTB": (37.99, 121.39, 115.91)},
    "medium": {"Zaremba et al. 2014, medium on PTB": (None, 86.2, 82.7),
               "classic script, medium on PTB": (48.45, 86.16, 82.07)},
    "large": {"Zaremba et al. 2014, large on PTB": (None, 82.2, 78.4),
              "classic script, large on PTB": (37.87, 82.62, 78.29)},
}


# What may change in the midst of a training: the sizes stay.
SCHEDULE = ("learning_rate", "lr_decay", "max_epoch", "max_grad_norm",
            "keep_prob")


def parse(settings, record=Config):
  """Reads settings, each as the type of the one it takes the place of.

  Args:
    settings: "hidden_size=300,keep_prob=0.8"; a list goes on over commas, as
      in "hidden_sizes=256,128".
    record: whose fields they are.

  Returns:
    A dict, name -> value, for `override`.

  Raises:
    ConfigError: an unknown name, a name twice, or a value of another type.
  """
  texts = {}
  for setting in filter(None, map(str.strip, settings.split(","))):
    name, equals, text = (part.strip() for part in setting.partition("="))
    if not name:
      raise ConfigError(f"{setting}: has no name; write hidden_size=300")
    if not equals and texts:
      texts[next(reversed(texts))].append(name)
    elif not equals:
      raise ConfigError(f"{name}: has no value; write hidden_size=300")
    elif name in texts:
      raise ConfigError(f"{name}: set twice")
    else:
      texts[name] = [text]
  return {name: _parse(name, text, record) for name, text in texts.items()}


def override(config, settings):
  """A config with some values replaced.

  Args:
    settings: a dict, name -> value, or the text that `parse` reads.

  Raises:
    ConfigError: as `parse`; a value out of its range, or a size given in two
      ways.
  """
  values = (parse(settings, type(config)) if isinstance(settings, str)
            else settings)
  if "hidden_sizes" in values and {"hidden_size", "num_layers"} & set(values):
    raise ConfigError("hidden_sizes gives the size of every layer: leave out "
                      "hidden_size and num_layers")
  return dataclasses.replace(config, **values)


def _parse(name, texts, record):
  """The value of a setting, typed as the field's default is."""
  types = {field.name: field.type for field in dataclasses.fields(record)}
  if name not in types:
    raise ConfigError(f"{name}: no such setting; there are "
                      + ", ".join(types))
  type_ = types[name]
  try:
    if type_ is tuple:
      return tuple(int(text) for text in texts)
    (text,) = texts
    return type_(text)
  except ValueError:
    kind = {int: "a whole number", float: "a number", str: "one name",
            tuple: "whole numbers, with commas between"}[type_]
    raise ConfigError(f"{name}={','.join(texts)}: must be {kind}") from None
