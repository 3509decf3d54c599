"""The hyperparameters of the tasks: values for the records of `configs`."""

import dataclasses

from configs import SMALL, Config, Word2Vec

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
