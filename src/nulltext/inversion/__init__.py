"""Inversion: from a photograph and its prompt to what a model needs to reconstruct it."""
