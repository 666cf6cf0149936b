"""The recipe that made the embedded checkpoint, one stage a file."""
