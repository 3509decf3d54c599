"""The flags of the devices and machines that share each batch."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence

from absl import flags

import configs
from rnn.cli.stored_flags import Stored
from rnn.errors import UserError
from rnn.layers import halves
from rnn.parallel.cluster import Cluster
from rnn.parallel.workers import Workers
from rnn.tf1 import tf

FLAGS = flags.FLAGS


def hide_gpus() -> None:
  """Leaves to TensorFlow only the GPUs that the flags say.

  Has to be called before the first session. The choice is no property of the
  run, which can resume on other devices.

  Raises:
    UserError: there are fewer.
  """
  gpus = tf.config.get_visible_devices("GPU")
  if FLAGS.num_gpus > max(1, len(gpus)):
    raise UserError(
        f"--num_gpus={FLAGS.num_gpus}: TensorFlow sees {len(gpus)} GPUs; give "
        "a smaller number, or 0 for the CPU")
  if gpus[FLAGS.num_gpus:]:
    tf.config.set_visible_devices(gpus[:FLAGS.num_gpus], "GPU")


def workers(config: configs.Config, stored: Stored | None
            ) -> tuple[configs.Config, Workers]:
  """Joins the other workers, if the flags or TF_CONFIG name them.

  Args:
    config: the config as the flags say.
    stored: the run that resumes, if any.

  Returns:
    The config, with the batch of all workers; and the workers.

  Raises:
    UserError: the flags are wrong, or the workers cannot share the batch.
    WorkersError: a worker is not there.
  """
  addresses, rank = _addresses()
  for name in "scale_batch", "start_secs", "step_secs":
    if FLAGS[name].present and FLAGS[name].value and not addresses:
      raise UserError(f"--{name}: has no effect without --workers; leave it "
                      "out")
  devices = _devices()
  if FLAGS.scale_batch:
    # The batch of a run that has begun is that of all workers already.
    config = dataclasses.replace(config, batch_size=(
        stored.config.batch_size if stored and stored.config
        else config.batch_size * max(1, len(addresses))))
  halves.set_threads(config)  # before a server computes anything
  shares = max(1, len(addresses)) * len(devices)
  if config.batch_size % shares:
    raise UserError(
        f"batch_size={config.batch_size}: {shares} workers or devices cannot "
        f"share it evenly; use a multiple of {shares}")
  if len(addresses) < 2:
    return config, Workers(devices)
  print(f"worker {rank} of {len(addresses)}: waiting for the others",
        flush=True)
  return config, Cluster(addresses, rank, devices, FLAGS.start_secs,
                         FLAGS.step_secs)


@contextlib.contextmanager
def only_the_chief_prints(workers: Workers) -> Iterator[None]:
  """A context in which the other workers print a line before and after."""
  if workers.is_chief:
    yield
    return
  name = f"worker {workers.rank} of {workers.size}"
  print(f"{name}: training; worker 0 prints the progress", flush=True)
  with (open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere)):
    yield
  print(f"{name}: finished", flush=True)


def _devices() -> Sequence[str]:
  """Returns the names of this worker's devices."""
  if FLAGS.num_replicas > 1:
    if FLAGS.num_gpus > 1:
      raise UserError("--num_replicas: is for the CPU; leave it out, or "
                      "--num_gpus")
    tf.config.set_visible_devices([], "GPU")
    return [f"/CPU:{n}" for n in range(FLAGS.num_replicas)]
  if FLAGS.num_gpus > 1:
    return [f"/GPU:{n}" for n in range(FLAGS.num_gpus)]
  return [""]


def _addresses() -> tuple[Sequence[str], int]:
  """Returns the addresses of all workers, and the index of this one."""
  if FLAGS.workers is None:
    if FLAGS.worker is not None:
      raise UserError("--worker: needs --workers, the addresses of all workers")
    addresses, rank = _tf_config()
    source = "TF_CONFIG"
  else:
    addresses, rank = FLAGS.workers, FLAGS.worker
    source = "--workers"
    if not addresses:
      raise UserError("--workers: is empty; write host:port for each worker, "
                      "or leave it out")
    if rank is None and len(addresses) > 1:
      raise UserError("--worker: give the index of this process in --workers, "
                      f"0 to {len(addresses) - 1}")
    rank = rank or 0
  for address in addresses:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2 ** 16:
      raise UserError(f"{source}: {address!r}: not an address; write host:port")
    if addresses.count(address) > 1:
      raise UserError(f"{source}: {address} is there twice; each worker needs "
                      "an address of its own")
  if addresses and not 0 <= rank < len(addresses):
    raise UserError(f"{source}: there is no worker {rank}; the last one is "
                    f"{len(addresses) - 1}")
  return addresses, rank


def _tf_config() -> tuple[Sequence[str], int]:
  """Returns the addresses and the index in the variable TF_CONFIG.

  It is TensorFlow's JSON: {"cluster": {"worker": ["host:port", ...]}, "task":
  {"type": "worker", "index": 0}}. A job "chief" comes before the workers.
  """
  text = os.environ.get("TF_CONFIG")
  if not text:
    return [], 0
  try:
    content = json.loads(text)
    cluster, task = content.get("cluster", {}), content.get("task", {})
    chief, others = list(cluster.get("chief", [])), list(
        cluster.get("worker", []))
    kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
    addresses = [str(address) for address in [*chief, *others]]
  except (ValueError, AttributeError, TypeError, OverflowError):
    raise UserError("TF_CONFIG: not as TensorFlow has it; it is JSON such as "
                    '{"cluster": {"worker": ["host:port", "host:port"]}, '
                    '"task": {"type": "worker", "index": 0}}') from None
  if unknown := sorted({*cluster, kind} - {"chief", "worker"}):
    raise UserError(f"TF_CONFIG: has a job {unknown[0]!r}; all jobs must be "
                    "workers, except for a chief")
  return addresses, index + (len(chief) if kind == "worker" else 0)
