"""The published hyperparameters, and settings that replace them."""

import dataclasses
import json
import re

import hypothesis
import pytest
from hypothesis import strategies

import configs
from tests.helpers.odd_input import SETTINGS


def test_the_published_values():
  table = {
      "init_scale": (0.1, 0.05, 0.04, 0.1),
      "learning_rate": (1, 1, 1, 1),
      "max_grad_norm": (5, 5, 10, 1),
      "num_layers": (2, 2, 2, 1),
      "num_steps": (20, 35, 35, 2),
      "hidden_size": (200, 650, 1500, 2),
      "max_epoch": (4, 7, 15, 1),
      "max_max_epoch": (13, 39, 55, 1),
      "keep_prob": (1, 0.5, 0.35, 1),
      "lr_decay": (1 / 2, 1 / 1.2, 1 / 1.15, 1 / 2),
      "batch_size": (20, 20, 20, 20),
  }
  for field, values in table.items():
    assert tuple(getattr(configs.CONFIGS[name], field) for name in (
        "small", "medium", "large", "test")) == values, field


def test_overrides_take_the_type_of_the_field():
  config = configs.override(configs.SMALL, "hidden_size=300,keep_prob=0.8")
  assert (config.hidden_size, config.keep_prob) == (300, 0.8)
  assert config.num_steps == 20
  for nothing in ("", ",", " , "):
    assert configs.override(configs.SMALL, nothing) == configs.SMALL
  spaced = configs.override(configs.SMALL, " keep_prob = 0.8 , ")
  assert spaced.keep_prob == 0.8
  rate = configs.override(configs.SMALL, "learning_rate=2").learning_rate
  assert isinstance(rate, float)


def test_layer_sizes_come_from_either_setting():
  assert configs.SMALL.layer_sizes == (200, 200)
  assert configs.SMALL.input_size == 200
  config = configs.override(
      configs.SMALL, "hidden_sizes=256,128,embedding_size=200,num_steps=5")
  assert (config.layer_sizes, config.input_size) == ((256, 128), 200)
  assert config.num_steps == 5
  assert configs.override(configs.SMALL, "hidden_sizes=7").layer_sizes == (7,)
  assert dataclasses.replace(
      configs.SMALL, hidden_sizes=[3, 4]).layer_sizes == (3, 4)


def test_a_projection_is_the_width_of_outputs():
  config = configs.override(
      configs.SMALL, "cell=lstmp,projection_size=7,hidden_sizes=30,20")
  assert config.sizes == ((30, 7), (20, 7))
  assert config.input_size == 7
  assert configs.SMALL.sizes == ((200, 200), (200, 200))


@pytest.mark.parametrize("setting", ["hidden_size=9", "num_layers=2"])
def test_a_size_without_effect_is_refused(setting):
  with pytest.raises(configs.ConfigError, match=(
      f"^{setting.partition('=')[0]}: has no effect, because "
      "hidden_sizes=1150,1150,400 gives the size of every layer; set only "
      "hidden_sizes, or hidden_sizes= and (hidden_size|num_layers)$")):
    configs.override(configs.AWD, setting)
  assert configs.override(
      configs.AWD, "hidden_sizes=9,8,embedding_size=8").layer_sizes == (9, 8)
  assert configs.override(
      configs.AWD, f"hidden_sizes=,{setting}").layer_sizes in (
          (9,) * 3, (1150,) * 2)


def test_a_keep_prob_that_every_place_replaces_is_refused():
  message = "^keep_prob: has no effect, because keep_prob_input, "
  with pytest.raises(configs.ConfigError, match=message):
    configs.override(configs.AWD, "keep_prob=0.9")
  own = "keep_prob=0.9,keep_prob_input=0.5,keep_prob_output=0.5"
  with pytest.raises(configs.ConfigError, match=message):
    configs.override(configs.SMALL, f"num_layers=1,{own}")  # no place between
  assert configs.override(configs.SMALL, own).keep_prob == 0.9
  with pytest.raises(configs.ConfigError, match="^dropout_mask=window: has no"):
    configs.override(dataclasses.replace(
        configs.MEDIUM, keep_prob_input=1.0, keep_prob_hidden=1.0,
        keep_prob_output=1.0), "dropout_mask=window")


@pytest.mark.parametrize("setting, needed, enough", [
    ("dropout_mask=window", "a keep_prob below 1", "keep_prob_output=0.5"),
    ("keep_prob_hidden=0.5", "a second layer", "num_layers=2"),
    ("asgd_patience=3", "optimizer=asgd", "optimizer=asgd"),
    ("max_epoch=3", "lr_schedule=epochs", "lr_schedule=epochs"),
    ("plateau_epochs=3", "lr_schedule=plateau", "lr_schedule=plateau")])
def test_a_setting_that_needs_another_is_refused_without(
    setting, needed, enough):
  base = dataclasses.replace(
      configs.TEST,
      lr_schedule="epochs" if needed == "lr_schedule=plateau" else "plateau")
  with pytest.raises(configs.ConfigError, match=(
      f"^{setting}: has no effect without {needed}; leave it out$")):
    configs.override(base, setting)
  configs.override(base, f"{setting},{enough}")
  # Only settings that the user names are refused, not the config's own.
  name = setting.partition("=")[0]
  configs.override(dataclasses.replace(
      base, **configs.parse(setting, configs.Config)), "num_steps=3")
  if name in configs.Config.defaults():
    default = configs.as_text(configs.Config.defaults()[name])
    configs.override(base, f"{name}={default}")


def test_the_settings_of_merity_et_al():
  """Rates are for costs per word there, and for sums over T words here."""
  assert configs.AWD.layer_sizes == (1150, 1150, 400)
  assert configs.AWD.input_size == 400
  assert configs.AWD.learning_rate * configs.AWD.num_steps == (
      pytest.approx(30))
  assert configs.AWD.max_grad_norm / configs.AWD.num_steps == (
      pytest.approx(0.25))
  assert configs.AWD.learning_rate * configs.AWD.weight_decay == (
      pytest.approx(30 * 1.2e-6))


def test_a_run_is_compared_with_a_validation_perplexity():
  """The learning curve shows the perplexity of the first source."""
  for name, sources in configs.PUBLISHED.items():
    assert name in configs.CONFIGS
    for source, figures in sources.items():
      assert len(source) < 38  # the width of the summary's column
      assert len(figures) == 3
    assert next(iter(sources.values()))[1]


def test_a_config_is_immutable():
  with pytest.raises(AttributeError):
    configs.SMALL.hidden_size = 1


@pytest.mark.parametrize("settings, message", [
    ("keep_prob=0", r"keep_prob=0.0: must be above 0 .* and at most 1"),
    ("tie_weights=yes", "tie_weights=yes: must be true or false"),
    ("cell=gru,forget_bias=1", "forget_bias=1: cell=gru has no forget gate"),
    ("window_jitter=5,reset_state=true", "window_jitter=5: with reset_state"),
    ("learning_rate=2,weight_decay=0.5", "weight_decay=0.5: times learning"),
    ("keep_prob=1.5", "keep_prob=1.5: must be above 0"),
    ("keep_prob=nan", "keep_prob=nan: must be above 0"),
    ("hidden_size=-3", "hidden_size=-3: must be from 1"),
    ("hidden_size=2.5", "hidden_size=2.5: must be a whole number"),
    ("hidden_sizes=256,0", "hidden_sizes=0: must be"),
    ("hidden_sizes=a,b", "hidden_sizes=a,b: must be whole numbers"),
    ("num_steps=", "num_steps=: must be a whole number"),
    ("cell=gru,keep_prob", "cell=gru,keep_prob: must be one name"),
    ("num_steps=1,2", "num_steps=1,2: must be a whole number"),
    ("learning_rate=inf", "learning_rate=inf: must be above 0, .* to 1e30"),
    ("max_grad_norm=1e-60", "max_grad_norm=1e-60: must be .* from 1e-30"),
    ("keep_prob=1e-20", "keep_prob=1e-20: must be above 0 .from 1e-6"),
    ("num_layers=1000000", "num_layers=1000000: must be from 1 to 100"),
    ("hidden_sizes=" + "9," * 1000 + "9", "hidden_sizes: has 1,001 sizes; "
     "there must be from 1 to 100 layers"),
    ("hidden_size=99999999999999999999", "must be from 1 to 1,000,000"),
    ("max_epoch=99999999999999999999", "must be from 0 to 1,000,000"),
    ("embedding_size=3000000000", "must be from 0 to 1,000,000"),
    ("=", "=: has no name"), ("=3,num_steps=4", "=3: has no name"),
    ("learning_rate=fast", "learning_rate=fast: must be a number"),
    ("vocab_size=99", "vocab_size: no such setting; .*hidden_size"),
    ("hidden_size", "hidden_size: .*hidden_size=300"),
    ("keep_prob=0.5,keep_prob=0.6", "keep_prob: set twice"),
    ("hidden_sizes=8,8,num_layers=2", "num_layers: has no effect"),
    ("cell=lstmp", "projection_size=0: cell=lstmp has a projection; set its "
     "width, as in projection_size=50$"),
    ("projection_size=9", "projection_size=9: cell=lstm has no projection; set "
     "projection_size=0, or cell=lstmp$"),
    ("max_epoch=-1", "max_epoch=-1"), ("lr_decay=0", "lr_decay=0.0"),
    ("init_scale=-1", "init_scale=-1.0"), ("batch_size=0", "batch_size=0"),
    ("embedding_size=-1", "embedding_size=-1"),
])
def test_a_bad_override_is_named(settings, message):
  with pytest.raises(configs.ConfigError, match=message) as error:
    configs.override(configs.SMALL, settings)
  assert "\n" not in str(error.value)


def test_settings_with_a_default_may_be_missing_in_older_records():
  record = dataclasses.asdict(configs.SMALL)
  older = {name: value for name, value in record.items()
           if name not in configs.Config.defaults()}
  assert configs.Config(**older) == configs.SMALL
  # JSON turns the tuples of a record into lists.
  assert configs.Config(**json.loads(json.dumps(record))) == configs.SMALL


def test_no_published_model_stops_early():
  assert {config.early_stop for config in configs.CONFIGS.values()} == {0}


@hypothesis.settings(max_examples=500)
@hypothesis.given(SETTINGS)
def test_any_settings_are_accepted_or_refused(text):
  try:
    config = configs.override(configs.SMALL, text)
  except configs.ConfigError as error:
    assert str(error).isprintable() and str(error)
    return
  changed = {name for name, value in vars(config).items()
             if value != getattr(configs.SMALL, name)}
  assert changed <= set(re.findall(r"\w+", text))


NUMBERS = {
    "num_layers": strategies.integers(1, 100),
    "max_epoch": strategies.integers(0, 10**6),
    "learning_rate": strategies.floats(1e-30, 1e30),
    "keep_prob": strategies.floats(1e-6, 1),
    "batch_size": strategies.integers(1, 10**6)}
SIZES = {"hidden_sizes": strategies.lists(
    strategies.integers(1, 10**6), min_size=1, max_size=5).map(tuple)}


def test_a_resumed_run_may_change_the_schedule_but_no_size():
  schedule = configs.Config.changeable()
  assert {"learning_rate", "max_grad_norm", "max_epoch", "keep_prob",
          "lr_decay", "early_stop", "weight_decay"} <= {*schedule}
  assert not {*schedule} & {
      "hidden_size", "num_steps", "batch_size", "optimizer", "tie_weights",
      "forget_bias", "window_jitter", "reset_state"}
  assert configs.Word2Vec.changeable() == [
      "learning_rate", "max_grad_norm", "max_epoch", "lr_decay"]


def test_an_error_says_what_the_setting_means():
  with pytest.raises(configs.ConfigError, match=(
      r"^hidden_size=0: must be from 1 to 1,000,000 \(H, units per layer\)$")):
    configs.override(configs.SMALL, "hidden_size=0")


@hypothesis.given(
    strategies.fixed_dictionaries({}, optional=NUMBERS)
    | strategies.fixed_dictionaries({}, optional={
        name: NUMBERS[name] for name in ("max_epoch", "keep_prob")} | SIZES),
    strategies.sampled_from([",", " ,\n ", ",,"]), strategies.randoms())
def test_settings_in_range_are_accepted_unchanged(values, comma, random):
  names = list(values)
  random.shuffle(names)
  text = comma.join(
      f"{name}={','.join(map(str, value))}" if isinstance(value, tuple)
      else f"{name}={value!r}" for name in names for value in [values[name]])
  assert configs.parse(text, configs.Config) == values
  config = configs.override(configs.SMALL, text)
  assert {name: getattr(config, name) for name in values} == values
