"""Command lines: flags, logging and error messages of all scripts."""
