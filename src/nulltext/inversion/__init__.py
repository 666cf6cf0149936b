"""Inversion: from a photograph and its caption to what a model needs to draw it again."""
