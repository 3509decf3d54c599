"""Recurrent layers, the softmax, and values drawn from a seed."""
