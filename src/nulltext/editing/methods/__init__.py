"""One method of editing a file."""
