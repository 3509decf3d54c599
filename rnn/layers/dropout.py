"""Dropout: random masks on units, on words and on recurrent weights.

A mask holds 0 and 1 / p, where p is the share that is kept, so that a product
with it has the same mean as without. All masks follow from seed and step; see
`seeded` for their keys.

  sites    the embedding and the outputs of each layer, L + 1 in all; never the
           recurrent connections. Each word of a window has a mask of its own
           (Zaremba et al. 2014, arXiv 1409.2329), or all of them share one
           (Gal and Ghahramani 2016, arXiv 1512.05287).
  words    rows of the embedding: a window reads some words as zeros wherever
           they occur, in all streams (Gal and Ghahramani; Merity et al. 2018,
           arXiv 1708.02182). The softmax keeps all words.
  kernels  recurrent weights: a window runs without some of them (DropConnect,
           Wan et al. 2013; for LSTMs, Merity et al. 2018).
"""

import math
from collections.abc import Sequence

import configs
from rnn.layers import seeded
from rnn.options import Options
from rnn.tf1 import tf


def masks(config: configs.Config, inputs: tf.Tensor, vocab_size: int,
          step: tf.Tensor | None, options: Options) -> dict[int, tf.Tensor]:
  """Returns the masks of the sites, by site; none where all units are kept.

  Site 0 is the embedding, and site i is the outputs of layer i, counted from 1.
  A mask is [T, B, size], or [1, B, size] with dropout_mask=window. With
  keep_prob_word, the mask of site 0 also drops words: it is [T, B, size], or
  [T, B, 1] if no units are dropped there. The masks of several workers are
  parts of the masks that a single one would have.

  Args:
    inputs: [T, B], the words of this worker.
    step: scalar int64; by default the global step.
  """
  keep_probs, workers = site_keep_probs(config), options.workers
  if min(*keep_probs, config.keep_prob_word) == 1:
    return {}
  shape, step = tf.shape(inputs), seeded.step_or_global(step)
  if config.dropout_mask == "window":
    shape = tf.stack([1, shape[1]])
  if workers.size > 1:
    shape *= [1, workers.size]
  of_sites = {
      site: workers.share(mask, axis=1) for site, mask in enumerate(site_masks(
          shape, (config.input_size, *config.output_sizes), keep_probs,
          options.seed, step)) if mask is not None}
  if config.keep_prob_word < 1:
    of_words = tf.gather(
        word_mask(vocab_size, config.keep_prob_word, options.seed, step),
        tf.maximum(inputs, 0))[..., None]  # (T, B, 1)
    of_sites[0] = of_words * of_sites[0] if 0 in of_sites else of_words
  return of_sites


def site_keep_probs(config: configs.Config) -> tuple[float, ...]:
  """Returns the share that each of the L + 1 sites keeps, first to last."""
  return tuple(own or config.keep_prob for own in (
      config.keep_prob_input,
      *[config.keep_prob_hidden] * (len(config.layer_sizes) - 1),
      config.keep_prob_output))


def site_masks(shape: tf.Tensor, sizes: Sequence[int],
               keep_probs: Sequence[float], seed: int, step: tf.Tensor
               ) -> list[tf.Tensor | None]:
  """Returns the masks of a step, [*shape, size]; None where all is kept.

  Args:
    shape: the leading dimensions as a tensor, such as T and B.
    sizes: the last dimension of each mask.
    keep_probs: the share that each site keeps.
    step: scalar int64.
  """
  keys = [seeded.key(seed, step, site, len(sizes)) if keep_prob < 1 else None
          for site, keep_prob in enumerate(keep_probs)]
  return [
      None if key is None else tf.nn.experimental.stateless_dropout(
          tf.ones(tf.concat([shape, [size]], axis=0)), rate=1 - keep_prob,
          seed=key)
      for size, keep_prob, key in zip(sizes, keep_probs, keys, strict=True)]


def word_mask(vocab_size: int, keep_prob: float, seed: int,
              step: tf.Tensor) -> tf.Tensor:
  """Returns the mask of the words at a step, [V]."""
  return _mask([vocab_size], keep_prob,
               seeded.key(seed, step, first=seeded.WORD_MASKS))


def drop_weights(config: configs.Config, layer: int,
                 weights: Sequence[tf.Tensor], seed: int,
                 step: tf.Tensor | None) -> Sequence[tf.Tensor]:
  """Returns the weights of a layer, without some of the recurrent ones.

  The mask is a factor of the kernel. So all implementations of all cells work
  as they are, and a dropped weight has a gradient of 0.

  Args:
    layer: counted from 0.
    weights: the kernel, and the others of `cells.Cell.shapes`; in float32,
      because 16 bits would round 1 / p.
    step: scalar int64; by default the global step.
  """
  if config.keep_prob_recurrent == 1:
    return weights
  (kernel, *others), rows = weights, config.output_sizes[layer]
  mask = kernel_mask(config, layer, kernel.shape[1], seed,
                     seeded.step_or_global(step))
  # The rows of the input get a factor of 1. One product is as fast as to cut
  # them off and to join them again, and so is its gradient.
  return kernel * tf.pad(mask, [[kernel.shape[0] - rows, 0], [0, 0]],
                         constant_values=1), *others


def kernel_mask(config: configs.Config, layer: int, columns: int, seed: int,
                step: tf.Tensor) -> tf.Tensor:
  """Returns the mask of a layer's recurrent weights at a step, [H, columns]."""
  return _mask(
      [config.output_sizes[layer], columns], config.keep_prob_recurrent,
      seeded.key(seed, step, layer, len(config.layer_sizes),
                 first=seeded.KERNEL_MASKS))


def _mask(shape: Sequence[int], keep_prob: float,
          key: tf.Tensor) -> tf.Tensor:
  """Returns a mask of 0 and 1 / p, float32.

  p is the multiple of 2^-16 that is nearest to keep_prob, but not 0. Random
  numbers are the cost, so each one of 32 bits serves as two of 16 bits.
  """
  kept = max(round(keep_prob * 2 ** 16), 1)
  size = math.prod(shape)
  pairs = tf.random.stateless_uniform(
      [-(-size // 2)], key, minval=None, maxval=None, dtype=tf.uint32)
  numbers = tf.reshape(tf.bitcast(pairs, tf.int16), [-1])[:size]
  is_kept = numbers <= kept - 1 - 2 ** 15  # they start at -2^15
  return tf.reshape(tf.cast(is_kept, tf.float32) * (2 ** 16 / kept), shape)


def apply(mask: tf.Tensor | None, x: tf.Tensor) -> tf.Tensor:
  """Returns x times a mask, or x if there is none."""
  if mask is None:
    return x
  # In float32, because 16 bits would round 1 / p.
  return tf.cast(tf.cast(x, tf.float32) * mask, x.dtype)
