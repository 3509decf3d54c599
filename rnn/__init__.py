"""Recurrent networks in TensorFlow 1.x: layers, training, run directories."""
