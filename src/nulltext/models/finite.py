"""Weights that are no numbers: found where they are read, so that the error names the file and not the image."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from nulltext.errors import ModelLoadError, listed

_TAKEN: Final = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_NAMED: Final = 3


def check_finite_network(network: nn.Module, where: object) -> None:
    """Makes sure that a network's weights have neither infinities nor not-a-number, see `check_finite_weights`."""
    check_finite_weights({**dict(network.named_parameters()), **dict(network.named_buffers())}, where)


@torch.no_grad()
def check_finite_weights(weights: Mapping[str, Tensor], where: object) -> None:
    """Makes sure that weights have neither infinities nor not-a-number.

    The least and the greatest of each tell, in half a second for the 1.1 billion of Stable Diffusion 1.5 on one core.

    Args:
        weights: By their names, on any device; what is not floating point is left aside.
        where: What to call their file.

    Raises:
        ModelLoadError: Some have.
    """
    found: dict[torch.device, list[tuple[str, Tensor]]] = {}
    for name, weight in weights.items():
        if weight.dtype in _TAKEN and weight.numel() and not weight.is_meta:
            ends = torch.stack(weight.detach().aminmax()).float()
            found.setdefault(weight.device, []).append((name, ends))
    bad: list[str] = []
    for ends in found.values():  # each waits for its device once
        finite = torch.stack([each for _, each in ends]).isfinite().all(1).tolist()
        bad += [name for (name, _), fine in zip(ends, finite, strict=True) if not fine]
    if bad:
        raise ModelLoadError(
            f"{where} has {len(bad)} weight{'s' * (len(bad) > 1)} with infinity or not-a-number "
            f"({listed(bad, _NAMED)}); expected finite numbers. It is damaged, or its training failed: fetch it again, "
            "or take another."
        )


def check_floating_tensors(tensors: Mapping[str, Tensor], where: object) -> None:
    """Makes sure that what is added to weights is no whole numbers, which would be taken as they are.

    Raises:
        ModelLoadError: Some are.
    """
    whole = [name for name, tensor in tensors.items() if not tensor.is_floating_point()]
    if whole:
        raise ModelLoadError(
            f"{where} has {len(whole)} tensor{'s' * (len(whole) > 1)} of whole numbers ({listed(whole, _NAMED)}); "
            "expected floating point. It is quantised: take the one that it was made of."
        )
