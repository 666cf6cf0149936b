"""Models: the protocol that the rest of the package sees, and one adapter for each family of checkpoints."""
