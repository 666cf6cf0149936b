"""The rules of guidance. A new one is a file of its own and a row here."""

from typing import Final

from nulltext.tables import Entry, Table

GUIDANCE: Final[Table] = {
    "classifier-free": Entry("nulltext.diffusion.guidance:ClassifierFree", "the same guidance scale at every step"),
    "interval": Entry(
        "nulltext.diffusion.rules.interval:IntervalGuidance", "guidance between two shares of the steps alone"
    ),
}
"""By the word that stands for each."""
