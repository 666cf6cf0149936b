"""One method of inversion a file: its settings, and its algorithm."""
