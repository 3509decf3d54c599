"""Trained models: loading, sampling, scoring and adapting them."""
