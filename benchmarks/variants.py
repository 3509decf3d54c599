"""A config with each setting beyond the paper off, or on, in turn."""

import configs
from configs import Config

# How to turn a setting off whose default does not do it by itself.
_OFF = {
    "keep_prob": "keep_prob=1,keep_prob_input=0,keep_prob_hidden=0,"
                 "keep_prob_output=0",
    # As in the config `small`.
    "lr_schedule": "lr_schedule=epochs,max_epoch=4,lr_decay=0.5",
    "optimizer": "optimizer=sgd"}
# How to turn a setting on: values of `awd` as far as it has the setting, except
# that a small model keeps more of its recurrent weights and that weight_decay
# is for windows of 35 words.
_ON = {
    "tie_weights": "tie_weights=true",
    "forget_bias": "forget_bias=1",
    "layer_init": "layer_init=size",
    "dropout_mask": "dropout_mask=window",
    "keep_prob_word": "keep_prob_word=0.9",
    "keep_prob_recurrent": "keep_prob_recurrent=0.8",
    "activation_penalty": "activation_penalty=2",
    "slowness_penalty": "slowness_penalty=1",
    "weight_decay": "weight_decay=4e-5",
    "optimizer": "optimizer=asgd,lr_schedule=epochs,lr_decay=1",
    "window_jitter": "window_jitter=5",
    "reset_state": "reset_state=true",
    "lr_schedule": "lr_schedule=plateau,lr_decay=0.25"}


def variants(config: Config, without: tuple[str, ...] = ()) -> dict[str, str]:
  """Returns the variants of a config: a dict, name -> settings to override.

  Settings that it has are off in "without NAME"; settings that it lacks are on
  in "with NAME". Combinations that `Config` refuses are left out.

  Args:
    without: settings that shall not be varied.
  """
  defaults = Config.defaults() | {"keep_prob": 1.0}
  found = {}
  for name in dict.fromkeys(["keep_prob", *_ON]):
    if name in without:
      continue
    if getattr(config, name) != defaults[name]:
      label, settings = f"without {name}", _OFF.get(
          name, f"{name}={configs.as_text(defaults[name])}")
    elif name in _ON:
      label, settings = f"with {name}", _ON[name]
    else:
      continue
    try:
      configs.override(config, settings)
    except configs.ConfigError:
      continue
    found[label] = settings
  return found
