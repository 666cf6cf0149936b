"""A network as it is written, in place of its compiled form."""

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn


@contextmanager
def uncompiled(network: nn.Module) -> Generator[None]:
    """Lets a network run as it is written for a while: compiled, it would not see that its parts have changed.

    Args:
        network: Compiled, it has a ``forward`` of its own beside its class's; any other network stays as it is.
    """
    own = network.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if own is not None:
            network.__dict__["forward"] = own
