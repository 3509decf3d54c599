"""The definitions of the flags that scripts share.

They need no TensorFlow, so a script can parse its command line before the slow
imports, see `scripts.parse_first`. The modules next to this one read the flags.
"""

import math

from absl import flags

import configs
from rnn.options import RNN_MODES
from rnn.text import encodings

# A flag belongs to the script that calls a function of this module, and is in
# the script's --help.
flags.disclaim_key_flags()


class _JoinedFlag(flags.Flag):
  """A flag of a list with commas; its occurrences add up."""

  def parse(self, argument: str) -> None:
    """Adds an occurrence on the command line."""
    earlier = self.value if self.present else None
    super().parse(",".join(filter(None, [earlier, argument])))


def config_override(meaning: str) -> None:
  """Defines --config_override, which may be given several times."""
  flags.DEFINE_flag(_JoinedFlag(
      flags.ArgumentParser(), flags.ArgumentSerializer(), "config_override",
      "", meaning))


def training(data_help: str | None,
             record: type[configs.Settings] = configs.Config,
             layers: bool = True, mode: bool = False) -> None:
  """Defines what to train, and where to keep it.

  Args:
    data_help: describes --data_path; None if the script reads no data.
    record: the class of the settings that --config_override changes.
    layers: whether the model has recurrent layers, for which --rnn_mode chooses
      an implementation.
    mode: whether the script has --mode=eval, see `training_flags.run_to_read`.
  """
  if data_help is not None:
    flags.DEFINE_string("data_path", None, data_help)
  flags.DEFINE_string("save_path", None,
                      "The folder of the run: it keeps checkpoints and "
                      "metrics, and training resumes from there.")
  flags.DEFINE_bool("fresh", False,
                    "Refuse a --save_path that is not empty.")
  flags.DEFINE_float("save_secs", 600,
                     "Seconds between two checkpoints within an epoch. There "
                     "is one at the end of each epoch in any case.",
                     lower_bound=0)
  flags.DEFINE_integer("keep", 3,
                       "The number of newest checkpoints to keep, and of "
                       "newest ends of epochs, in addition to the best.",
                       lower_bound=1)
  flags.DEFINE_integer("seed", 1, "Determines the initial values and all other "
                       "random numbers of training.",
                       lower_bound=0, upper_bound=2**31 - 1)
  flags.DEFINE_integer("threads", None, "The number of threads that compute; "
                       "by default one per core.", lower_bound=1,
                       upper_bound=1024)
  flags.register_validator("save_path", lambda path: path != "",
                           "no name; leave out the flag to save nothing")
  flags.register_validator("save_secs", lambda seconds: not math.isnan(seconds),
                           "must be a number")
  if mode:
    flags.DEFINE_enum("mode", "train", ["train", "eval"], "Train and test, or "
                      "only evaluate the run at --save_path.")
  if layers:
    flags.DEFINE_enum("rnn_mode", None, RNN_MODES,
                      "The implementation of the recurrent layers; if none is "
                      "set, the fastest on this machine.",
                      case_sensitive=False)
  _settings(record)


def _settings(record: type[configs.Settings]) -> None:
  """Defines --config_override, and a flag for each setting that has one."""
  config_override("Settings that replace the config's, such as "
                  "hidden_size=300,init_scale=0.05")
  for flag, field in record.flags().items():
    define = flags.DEFINE_integer if field.type is int else flags.DEFINE_float
    define(flag, None, f"{field.metadata['meaning']}; short for "
           f"--config_override={field.name}=...")
    range_ = field.metadata["range"]
    flags.register_validator(
        flag, lambda value, range_=range_:
        value is None or range_.contains(value), f"must be {range_.text}")


def freeze() -> None:
  """Defines the flag of parameters that stay fixed."""
  flags.DEFINE_enum("freeze", None, ["embedding"],
                    "Keep these parameters as they start.")


def parallel() -> None:
  """Defines the devices and the machines that share each batch."""
  flags.DEFINE_integer("num_gpus", 1,
                       "The number of GPUs of each worker, which share its "
                       "streams. 1 is the CPU if TensorFlow sees no GPU, and 0 "
                       "is the CPU in any case.", lower_bound=0, upper_bound=64)
  flags.DEFINE_integer("num_replicas", 1,
                       "The number of CPU devices of each worker, which share "
                       "its streams as GPUs do. More are no faster; they show "
                       "what --num_gpus does.", lower_bound=1, upper_bound=64)
  flags.DEFINE_list("workers", None,
                    "The addresses (host:port) of all workers: processes that "
                    "train together, on this and other machines. Each one gets "
                    "the same command, except for --worker. By default those "
                    "in the variable TF_CONFIG.")
  flags.DEFINE_integer("worker", None,
                       "The index of this worker in --workers. Worker 0 writes "
                       "--save_path.", lower_bound=0)
  flags.DEFINE_bool("scale_batch", False,
                    "Give each worker batch_size streams, so that a step reads "
                    "more words. By default the workers share them.")
  flags.DEFINE_float("start_secs", 300,
                     "Seconds to wait until all workers have started. The "
                     "first step may take as long, with the reading before it.",
                     lower_bound=1, upper_bound=1e6)
  flags.DEFINE_float("step_secs", 120,
                     "Seconds to wait for other workers in a step.",
                     lower_bound=1, upper_bound=1e6)


def precision() -> None:
  """Defines the flags of the precision."""
  flags.DEFINE_bool("use_fp16", False,
                    "Compute in float16, with parameters in float32.")
  flags.DEFINE_bool("use_bfloat16", False,
                    "Compute in bfloat16, with parameters in float32.")
  flags.mark_bool_flags_as_mutual_exclusive(["use_fp16", "use_bfloat16"])


def encoding() -> None:
  """Defines the flag of the encoding of the text."""
  flags.DEFINE_string("encoding", None, encodings.HELP)


def vocabulary() -> None:
  """Defines the flags that choose the words of a run."""
  flags.DEFINE_string("vocab_path", None,
                      "The vocabulary: a list with one word (or character) per "
                      "line, such as another run's vocab.txt. By default it is "
                      "that of the training text.")
  flags.DEFINE_integer("vocab_size", None,
                       "The size of the vocabulary, <unk> and <eos> included. "
                       "Rarer words of the training text become <unk>.",
                       lower_bound=3)
  flags.DEFINE_integer("min_count", 1,
                       "How often a word must occur in the training text. "
                       "Rarer ones become <unk>.", lower_bound=1)


def embeddings() -> None:
  """Defines the flags of initial word vectors."""
  flags.DEFINE_string("init_embeddings", None,
                      "Word vectors to start the embedding with: a .npy file, "
                      "a text of GloVe or word2vec, or word2vec's binary "
                      "format; each may be compressed. embedding_size follows "
                      "the file, unless it is set.")
  flags.DEFINE_bool("lowercase_vectors", False,
                    "A word without a vector in --init_embeddings takes that "
                    "of a word that is the same in lower case.")
  freeze()


def origin() -> None:
  """Defines the flags of another run to start from."""
  flags.DEFINE_string("init_from", None,
                      "The folder of a run whose parameters training starts "
                      "from, with the sizes and the words of that run.")
  flags.DEFINE_enum("init_checkpoint", "last", ["last", "best"],
                    "The checkpoint of --init_from: the last one, or the best "
                    "by validation.")
  flags.DEFINE_integer("init_average_last", 1,
                       "Start from the average of this many of the last "
                       "epochs of --init_from.", lower_bound=1)


def language_model() -> None:
  """Defines the flags of ptb_word_lm.py."""
  flags.DEFINE_enum("model", "small", list(configs.CONFIGS),
                    "The config to train.")
  training(
      "A folder with train.txt, valid.txt and test.txt; or one text (a file, a "
      "folder, a pattern), which is split in order, 80/10/10; or a folder that "
      "data/index.py made of a large text. By default the bundled corpus. "
      "--mode=eval reads one text as a whole; by default the texts that "
      "the run was trained on.", mode=True)
  encoding()
  vocabulary()
  embeddings()
  origin()
  precision()
  parallel()


def trained_model(several: bool = False) -> None:
  """Defines which trained model to use; see `trained.model_flags`.

  Args:
    several: whether the script can use more than one.
  """
  flags.DEFINE_string(
      "save_path", None, "The folder of the run, or one of its checkpoints, "
      "RUN/checkpoints/step-..." + (
          ". If there are several folders, separated by commas, the models' "
          "probabilities are averaged" if several else "")
      + ". It may also hold checkpoints of the classic script; then give "
      "--model, and --vocab_path or --data_path, too.")
  flags.DEFINE_enum("checkpoint", "last", ["last", "best"],
                    "The checkpoint to use: the last one, or the best by "
                    "validation.")
  flags.DEFINE_integer("average_last", 1,
                       "Average the parameters at the ends of this many of the "
                       "run's last epochs.", lower_bound=1)
  flags.DEFINE_enum("model", None, list(configs.CONFIGS),
                    "The config of a classic checkpoint.")
  config_override("Settings to change in the config of a classic checkpoint.")
  flags.DEFINE_string("vocab_path", None,
                      "The vocabulary of a classic checkpoint: a file with one "
                      "word per line, in order of id.")
  flags.DEFINE_string("data_path", None,
                      "Instead of --vocab_path, the text that a classic "
                      "checkpoint was trained on, or its folder.")


def normalize() -> None:
  """Defines the flag of ordinary English, see `Preparation.normalize`."""
  flags.DEFINE_bool("normalize", False,
                    "The text is ordinary English; prepare it as the run's "
                    "corpus was prepared: case, punctuation, numbers.")
