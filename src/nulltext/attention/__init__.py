"""Attention looked at and changed while a model samples (Hertz et al., arXiv 2208.01626)."""
