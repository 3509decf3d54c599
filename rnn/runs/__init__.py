"""The run directory: reading it, writing it, and its checkpoints."""
