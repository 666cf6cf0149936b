"""Figures, measured afresh."""
