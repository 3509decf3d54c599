"""The training loop, and what happens in one step of it."""
