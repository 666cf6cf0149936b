"""Denoisers as they are used: moved, in their precision, and frozen."""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from nulltext.diffusion.levels import Prediction
from nulltext.models.build import Build
from nulltext.models.quiet import quiet

T = TypeVar("T", bound="FrozenNetwork")


@dataclass(frozen=True, eq=False, kw_only=True)
class FrozenNetwork:
    """A denoiser's network, which each class below it calls in its own way.

    Attributes:
        network: One of diffusers'.
        dtype: Its precision.
        layout: The memory layout of its weights and inputs, see `nulltext.models.layout`.
        prediction: What it returns.
        model: What errors call the model.
    """

    network: Any
    dtype: torch.dtype
    layout: torch.memory_format
    prediction: Prediction
    model: str

    @classmethod
    def ready(cls: type[T], network: Any, build: Build, prediction: Prediction = "flow") -> T:  # noqa: ANN401, PYI019  no types; no Self for beartype
        """Takes over a network: moves it, sets its precision, and freezes it.

        Args:
            network: See above.
            build: How the model is made; in low memory, activations are computed again for the gradient.
            prediction: See above.
        """
        with quiet():
            network.to(device=build.device, dtype=build.dtype, memory_format=build.layout)
            if build.low_memory:
                network.enable_gradient_checkpointing()
        network.requires_grad_(requires_grad=False).eval()
        return cls(network=network, dtype=build.dtype, layout=build.layout, prediction=prediction, model=build.called)
