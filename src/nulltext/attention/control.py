"""What an attention control is, and how several become one."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from nulltext.attention.sites import Site
from nulltext.types import Probs

Share = float | tuple[float, float]
"""A share of the sampling steps, 0 to 1: from the first step to there, or (start, end)."""


@runtime_checkable
class Control(Protocol):
    """A change of attention probabilities. It sees the captioned half of a batch; the null half stays as it is."""

    def wants(self, site: Site, step: int) -> bool:
        """Whether it has anything to do at a site in a step. Sites that nobody wants keep their fused kernel."""
        ...

    def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
        """The probabilities that shall be used instead; `probs` stays as it is.

        Args:
            probs: [P, heads, queries, keys], prompt 0 the source.
            site: Where.
            step: 0 for the first sampling step.
        """
        ...


@final
@dataclass(frozen=True)
class Chain:
    """Several controls, each given what the one before it made."""

    controls: tuple[Control, ...]

    def wants(self, site: Site, step: int) -> bool:
        """Whether any of them does."""
        return any(control.wants(site, step) for control in self.controls)

    def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
        """All that want the site, in order."""
        for control in self.controls:
            if control.wants(site, step):
                probs = control(probs, site, step)
        return probs


def steps_of(share: Share, steps: int) -> range:
    """The sampling steps of a share.

    Args:
        share: From 0 to 1: the end, or (start, end).
        steps: T.
    """
    start, end = share if isinstance(share, tuple) else (0.0, share)
    return range(round(start * steps), round(end * steps))
