"""Hyperparameters: what each one means, its range, and the published models.

The values of `small`, `medium` and `large` are those of Zaremba, Sutskever and
Vinyals 2014, "Recurrent Neural Network Regularization" (arXiv 1409.2329),
with differences that docs/numbers.md explains. Those of the tasks are in
`tasks.hyperparameters`. The vocabulary size comes from the data.

To add a hyperparameter, add one `setting` to `Config`, with a default for older
runs. CONTRIBUTING.md names other places that may need it.
"""

import dataclasses
from collections.abc import Iterable

from rnn.published import PUBLISHED, Figures
from rnn.settings import (  # noqa: F401 (also for others)
  COUNT,
  COUNT_OR_0,
  LAYERS,
  NOT_NEGATIVE,
  POSITIVE,
  SHARE,
  SHARE_OR_0,
  TRUTH,
  ConfigError,
  Settings,
  as_text,
  between,
  one_of,
  override,
  parse,
  setting,
)

# Settings of PTBModel, which scripts with models of their own refuse.
ONLY_PTB_MODEL = (
    "num_sampled", "two_biases", "dropout_mask", "keep_prob_hidden",
    "keep_prob_word", "keep_prob_recurrent", "activation_penalty",
    "slowness_penalty", "window_jitter", "reset_state")
_RULES = ("sgd", "adagrad", "adam", "rmsprop")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
  """One model, and the way it is trained."""

  init_scale: float = setting(
      POSITIVE, "parameters start uniform in +-init_scale")
  learning_rate: float = setting(
      POSITIVE, "the step size in the first max_epoch epochs",
      may_change=True, flag="learning_rate")
  max_grad_norm: float = setting(
      POSITIVE, "the gradient is clipped to this global norm", may_change=True)
  num_layers: int = setting(LAYERS, "L, recurrent layers", flag="num_layers")
  num_steps: int = setting(COUNT, "T, words per window: the length of "
                           "backpropagation", flag="num_steps")
  hidden_size: int = setting(COUNT, "H, units per layer", flag="hidden_size")
  max_epoch: int = setting(
      COUNT_OR_0, "epochs at the full learning rate", may_change=True,
      needs="lr_schedule=epochs")
  max_max_epoch: int = setting(COUNT, "epochs in total", flag="epochs")
  keep_prob: float = setting(SHARE, "the share of units that dropout keeps",
                             may_change=True, flag="keep_prob")
  lr_decay: float = setting(SHARE, "factor on the learning rate in each epoch "
                            "after max_epoch", may_change=True)
  batch_size: int = setting(COUNT, "B, parallel streams", 20,
                            flag="batch_size")
  hidden_sizes: tuple = setting(
      COUNT, "units of each layer, instead of hidden_size and num_layers", ())
  embedding_size: int = setting(COUNT_OR_0, "E, width of the embedding; 0: "
                                "that of the first layer's outputs", 0)
  cell: str = setting(
      one_of("lstm", "peephole", "lstmp", "gru", "rnn"),
      "the recurrent cell, see rnn/layers/cells.py", "lstm")
  projection_size: int = setting(
      COUNT_OR_0, "P, width of the outputs of each layer of cell=lstmp; 0: the "
      "cell has no projection", 0)
  num_sampled: int = setting(
      COUNT_OR_0, "S, candidates that stand in for all words in the softmax of "
      "a training step; 0: all words", 0)
  optimizer: str = setting(one_of(*_RULES, "asgd"), "the update rule, see "
                           "rnn/training/optimizers.py", "sgd")
  epoch_size: int = setting(
      COUNT_OR_0, "windows per epoch; 0: all windows of the text", 0)
  early_stop: int = setting(
      COUNT_OR_0, "training ends after this many epochs without improvement on "
      "validation; 0: never", 0, may_change=True)
  freeze: str = setting(one_of("nothing", "embedding"),
                        "parameters that stay as they start", "nothing")
  # The paper's code, as cuDNN and PyTorch:
  two_biases: bool = setting(
      TRUTH, "layers add two biases: their sum learns twice as fast, and "
      "counts twice in the norm of the gradient", False, needs="cell=lstm")
  # Beyond the paper; docs/beyond.md says what each one gains and costs.
  # Press and Wolf 2017 (arXiv 1608.05859), Inan et al. 2017 (1611.01462):
  tie_weights: bool = setting(TRUTH, "the softmax weights are the embedding, "
                              "transposed", False)
  # Jozefowicz, Zaremba and Sutskever 2015:
  forget_bias: float = setting(
      between(-100, 100), "added to the initial bias of the forget gate", 0.0)
  # PyTorch's layers:
  layer_init: str = setting(
      one_of("init_scale", "size"), "where recurrent layers start: uniform in "
      "+-init_scale, or in +-1/sqrt(H)", "init_scale")
  # Gal and Ghahramani 2016 (arXiv 1512.05287); `window` is also known as
  # variational or locked dropout:
  dropout_mask: str = setting(
      one_of("word", "window"), "how long dropout keeps a mask: for one word, "
      "or for all words of a window", "word", may_change=True)
  keep_prob_input: float = setting(
      SHARE_OR_0, "as keep_prob, for the embedding; 0: keep_prob", 0.0,
      may_change=True)
  keep_prob_hidden: float = setting(
      SHARE_OR_0, "as keep_prob, between two layers; 0: keep_prob", 0.0,
      may_change=True)
  keep_prob_output: float = setting(
      SHARE_OR_0, "as keep_prob, before the softmax; 0: keep_prob", 0.0,
      may_change=True)
  keep_prob_word: float = setting(
      SHARE, "the share of the vocabulary whose vectors a window keeps; all "
      "others are zero", 1.0, may_change=True)
  # Merity, Keskar and Socher 2018 (arXiv 1708.02182):
  keep_prob_recurrent: float = setting(
      SHARE, "the share of the recurrent weights that a window keeps", 1.0,
      may_change=True)
  activation_penalty: float = setting(
      NOT_NEGATIVE, "factor on the mean square of the last layer's outputs, "
      "per word, in the cost", 0.0, may_change=True)
  slowness_penalty: float = setting(
      NOT_NEGATIVE, "factor on the mean square of the last layer's changes "
      "from word to word, per word, in the cost", 0.0, may_change=True)
  weight_decay: float = setting(
      between(0, 1), "a step multiplies the parameters by "
      "1 - learning rate x weight_decay", 0.0, may_change=True)
  window_jitter: float = setting(
      NOT_NEGATIVE, "standard deviation, in words, of the lengths of training "
      "windows: 19 of 20 are around num_steps, the others around half of it; "
      "max_grad_norm is multiplied by length / num_steps", 0.0)
  asgd_patience: int = setting(
      COUNT, "optimizer=asgd begins to average after an epoch whose validation "
      "is worse than the best one at least asgd_patience + 1 epochs earlier",
      5, may_change=True, needs="optimizer=asgd")
  # PyTorch's example word_language_model, and tf-lm (Verwimp et al. 2018):
  lr_schedule: str = setting(
      one_of("epochs", "plateau"), "when the learning rate is multiplied by "
      "lr_decay: after each epoch from max_epoch on, or when validation has "
      "not improved for plateau_epochs", "epochs", may_change=True)
  plateau_epochs: int = setting(
      COUNT, "see lr_schedule", 1, may_change=True, needs="lr_schedule=plateau")
  reset_state: bool = setting(
      TRUTH, "each sentence starts from a zero state, in training and in "
      "evaluation; a window has words of one sentence per stream", False)

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
    if self.forget_bias and self.cell in ("gru", "rnn"):
      raise ConfigError(f"forget_bias={self.forget_bias:g}: cell={self.cell} "
                        "has no forget gate; set forget_bias=0")
    if self.window_jitter and self.reset_state:
      raise ConfigError(
          f"window_jitter={self.window_jitter:g}: with reset_state=true, "
          "windows end where sentences do; leave out one of the two")
    if self.learning_rate * self.weight_decay >= 1:
      raise ConfigError(
          f"weight_decay={self.weight_decay:g}: times learning_rate="
          f"{self.learning_rate:g} must be below 1; lower one of the two")

  @property
  def has_padding(self) -> bool:
    """Whether windows of training have positions without a target."""
    return self.reset_state or self.window_jitter > 0

  def check_together(self, names: Iterable[str]) -> None:
    """Raises a ConfigError if one of the settings has no effect."""
    sizes = [name for name in names if name in ("hidden_size", "num_layers")]
    if sizes and self.hidden_sizes:
      raise ConfigError(
          f"{sizes[0]}: has no effect, because hidden_sizes="
          f"{as_text(self.hidden_sizes)} gives the size of every layer; set "
          f"only hidden_sizes, or hidden_sizes= and {sizes[0]}")
    if "keep_prob_hidden" in names and len(self.layer_sizes) == 1:
      self.refuse("keep_prob_hidden", "a second layer")
    own = (self.keep_prob_input, self.keep_prob_output,
           self.keep_prob_hidden or len(self.layer_sizes) == 1)
    if "keep_prob" in names and all(own):
      raise ConfigError("keep_prob: has no effect, because keep_prob_input, "
                        "keep_prob_output and others replace it; leave it out")
    if "dropout_mask" in names and min(
        keep_prob or self.keep_prob for keep_prob in own) == 1:
      self.refuse("dropout_mask", "a keep_prob below 1")
    super().check_together(names)

  def without_regularization(self) -> "Config":
    """Returns the config without dropout, penalties, decay and jitter."""
    defaults = self.defaults()
    return dataclasses.replace(self, keep_prob=1.0, **{
        name: defaults[name] for name in (
            "keep_prob_input", "keep_prob_hidden", "keep_prob_output",
            "keep_prob_word", "keep_prob_recurrent", "activation_penalty",
            "slowness_penalty", "weight_decay", "window_jitter")})

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
    max_epoch=7,  # docs/numbers.md#when-the-rate-falls
    max_max_epoch=39,
    keep_prob=0.5,
    lr_decay=1 / 1.2,
    two_biases=True)

LARGE = Config(
    init_scale=0.04,
    learning_rate=1.0,
    max_grad_norm=10,
    num_layers=2,
    num_steps=35,
    hidden_size=1500,
    max_epoch=15,  # as for medium
    max_max_epoch=55,
    keep_prob=0.35,
    lr_decay=1 / 1.15,
    two_biases=True)

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

# The settings beyond the paper; docs/beyond.md has their sources. Sizes are of
# PyTorch's example and of Inan et al. 2017 (arXiv 1611.01462). All costs here
# are sums over the T words of a window; for a cost per word, as PyTorch's, the
# rate is T times as high, and max_grad_norm and weight_decay are 1/T.
TIED_SMALL = dataclasses.replace(
    SMALL,
    num_steps=35,
    max_epoch=8,
    max_max_epoch=40,
    keep_prob=0.75,
    lr_decay=0.87,
    tie_weights=True,
    dropout_mask="window",
    keep_prob_word=0.95,
    keep_prob_recurrent=0.8)

TIED_MEDIUM = dataclasses.replace(
    MEDIUM,
    max_epoch=14,
    max_max_epoch=50,
    keep_prob=0.55,
    lr_decay=0.88,
    two_biases=False,
    tie_weights=True,
    dropout_mask="window",
    keep_prob_word=0.9,
    keep_prob_recurrent=0.75)

# The Penn Treebank's command in the README of github.com/salesforce/awd-lstm-lm
# by Merity, Keskar and Socher 2018 (arXiv 1708.02182), without fine-tuning.
AWD = Config(
    init_scale=0.1,
    learning_rate=30 / 70,
    max_grad_norm=0.25 * 70,
    num_layers=3,
    num_steps=70,
    hidden_size=1150,
    hidden_sizes=(1150, 1150, 400),
    embedding_size=400,
    max_epoch=500,
    max_max_epoch=500,
    keep_prob=0.6,
    lr_decay=1.0,
    optimizer="asgd",
    tie_weights=True,
    layer_init="size",
    dropout_mask="window",
    keep_prob_input=0.6,
    keep_prob_hidden=0.75,
    keep_prob_output=0.6,
    keep_prob_word=0.9,
    keep_prob_recurrent=0.5,
    activation_penalty=2.0,
    slowness_penalty=1.0,
    weight_decay=1.2e-6 * 70,
    window_jitter=5.0,
    asgd_patience=5)

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
      POSITIVE, "the step size in the first max_epoch epochs",
      may_change=True, flag="learning_rate")
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
  lr_decay: float = setting(SHARE, "factor on the learning rate in each epoch "
                            "after max_epoch", may_change=True)
  optimizer: str = setting(
      one_of(*_RULES), "the update rule, see rnn/training/optimizers.py")
  epoch_size: int = setting(
      COUNT_OR_0, "steps per epoch; 0: as many as the text has", 0)


RECORDS = (Config, Word2Vec)

CONFIGS = {"small": SMALL, "medium": MEDIUM, "large": LARGE, "lm1b": LM1B,
           "tied-small": TIED_SMALL, "tied-medium": TIED_MEDIUM, "awd": AWD,
           "test": TEST}


def published(model: str, config: Config) -> dict[str, Figures]:
  """Returns the entry of PUBLISHED for a config, if it is as published."""
  return PUBLISHED.get(model, {}) if config == CONFIGS[model] else {}
