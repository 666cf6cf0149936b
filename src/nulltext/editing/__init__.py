"""Editing: from an inversion and new captions to new pictures."""
