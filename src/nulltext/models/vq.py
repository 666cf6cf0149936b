"""An autoencoder with a codebook: diffusers' ``VQModel`` (Esser et al., arXiv 2012.09841)."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
from torch import Tensor

from nulltext.checks import check_finite
from nulltext.errors import ModelNotFoundError, SettingError
from nulltext.models.gradients import clamp
from nulltext.models.networks import read_network
from nulltext.types import Latents, Pixels

_NAMES: Final = ("vqvae", "vq_model")
"""What checkpoints call it."""


@final
@dataclass(frozen=True, eq=False)
class VQAutoencoder:
    """A frozen ``VQModel``. Latents are what its encoder says; decoding replaces each cell by its nearest code.

    Attributes:
        network: The ``VQModel``.
    """

    network: Any = field(repr=False)  # diffusers carries no types; it has thousands of characters

    @classmethod
    def load(cls, folder: str | Path, *, device: str | torch.device = "cpu") -> "VQAutoencoder":
        """A ``VQModel`` as diffusers saves it.

        Raises:
            ModelNotFoundError: The folder holds no ``VQModel``.
            ModelLoadError: It does, but damaged or incomplete.
        """
        if not _is_vq(Path(folder)):
            raise ModelNotFoundError(
                f"{folder} holds no VQModel; expected a folder with its config.json and weights, as diffusers saves it."
            )
        network = read_network(diffusers.VQModel, Path(folder))
        return cls(network.to(device=device, dtype=torch.float32).requires_grad_(requires_grad=False).eval())

    @classmethod
    def beside(cls, folder: Path, *, device: torch.device) -> "VQAutoencoder | None":
        """The one that lies in a checkpoint's folder as ``vqvae`` or ``vq_model``, if one does."""
        found = [folder / name for name in _NAMES if _is_vq(folder / name)]
        return cls.load(found[0], device=device) if found else None

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, h, w] what the encoder says of images, before it is quantised.

        Raises:
            SettingError: Height or width is no multiple of a cell's.
        """
        scale = 2 ** (len(self.network.config.block_out_channels) - 1)
        if pixels.shape[-2] % scale or pixels.shape[-1] % scale:
            raise SettingError(
                f"got an image of {pixels.shape[-1]} x {pixels.shape[-2]}; this VQModel takes multiples of {scale}. "
                "Open the photograph with such a size, open_image(..., size=(height, width))."
            )
        with torch.no_grad():
            return self.network.encode(pixels.to(self.network.device, torch.float32)).latents

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, H, W] images of the codes nearest to latents, clamped to [-1, 1].

        Differentiable straight through the quantisation (Bengio et al., arXiv 1308.3432): the gradient of a code is
        taken for that of the latent it stands for.

        Raises:
            DivergedError: The images became infinite or not-a-number.
        """
        pixels: Tensor = self.network.decode(latents).sample
        check_finite("image", pixels)
        return clamp(pixels, -1.0, 1.0)


def _is_vq(folder: Path) -> bool:
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("_class_name") == diffusers.VQModel.__name__
