"""A control that looks at everything, and gives back what it was given."""

from typing import Any

from nulltext.attention.control import Attention


class Watch:
    """Notes each site and its probabilities, and gives those back as they are."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], Any] = {}

    def wants(self, site, step):
        return True

    def __call__(self, attention: Attention, site, step):
        self.seen[site.name, site.kind] = site, attention.probs()
        return attention.with_probs(attention.probs())
