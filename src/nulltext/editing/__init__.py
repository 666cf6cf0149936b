"""Editing: from an inversion and new prompts to new images."""
