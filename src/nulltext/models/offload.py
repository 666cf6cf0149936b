"""Where the parts of a model are while they are not used."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from nulltext.models.quiet import quiet


@final
@dataclass(frozen=True)
class Offload:
    """Where a part computes.

    Attributes:
        device: There.
        low_memory: Whether it waits on the CPU while it is not used.
    """

    device: torch.device
    low_memory: bool = False

    @property
    def waiting(self) -> torch.device:
        """Where it is while it is not used."""
        return torch.device("cpu") if self.low_memory else self.device

    @contextmanager
    def in_use(self, part: nn.Module, *, stays: bool = False) -> Generator[None]:
        """A part on the device for as long as it is used, or for good where a gradient will come back through it."""
        if self.low_memory:
            part.to(self.device)
        try:
            yield
        finally:
            if self.low_memory and not stays:
                part.to(self.waiting)


def waiting(network: Any, offload: Offload) -> Any:  # noqa: ANN401  the libraries carry no types
    """A network where it waits, in float32 and frozen; it is changed in place."""
    with quiet():
        network.to(device=offload.waiting, dtype=torch.float32)
    return network.requires_grad_(requires_grad=False).eval()
