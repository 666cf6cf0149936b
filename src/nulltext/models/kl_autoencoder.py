"""diffusers' ``AutoencoderKL``: images as latents and back (Rombach et al., arXiv 2112.10752)."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from nulltext.checks import check_finite
from nulltext.errors import ModelLoadError
from nulltext.models.gradients import clamp
from nulltext.models.offload import Offload
from nulltext.models.quiet import quiet
from nulltext.types import Latents, Pixels


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class KLAutoencoder:
    """A frozen ``AutoencoderKL``. It stays in float32: in float16 it can overflow to a black image.

    Attributes:
        network: The ``AutoencoderKL``.
        offload: Where it computes.
        layout: The memory layout of its weights and inputs, see `nulltext.models.layout`.
        where: In which model it is, and how that computes, for errors.
    """

    network: Any
    offload: Offload
    layout: torch.memory_format
    where: str

    @classmethod
    def ready(cls, network: Any, offload: Offload, layout: torch.memory_format, where: str) -> "KLAutoencoder":  # noqa: ANN401
        """Takes over a network: puts it where it waits, and freezes it."""
        with quiet():
            network.to(device=offload.waiting, dtype=torch.float32, memory_format=layout)
            if offload.low_memory:
                network.enable_tiling()
                network.enable_slicing()
        network.requires_grad_(requires_grad=False).eval()
        return cls(network=network, offload=offload, layout=layout, where=where)

    @property
    def config(self) -> Any:  # noqa: ANN401 - diffusers carries no types
        """The network's."""
        return self.network.config

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        return self.network.config.latent_channels

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell."""
        return scale_of(self.network.config)

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, H / scale, W / scale] latents of images: the posterior's mode, by the autoencoder's own scaling."""
        pixels = pixels.to(self.offload.device, torch.float32).contiguous(memory_format=self.layout)
        with torch.no_grad(), self.offload.in_use(self.network):
            latents: Tensor = self.network.encode(pixels).latent_dist.mode()
        return (latents.contiguous() - self._shift) * self.network.config.scaling_factor

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, h * scale, w * scale] images of latents, clamped to [-1, 1]; differentiable.

        Raises:
            DivergedError: The images became infinite or not-a-number.
        """
        latents = latents / self.network.config.scaling_factor + self._shift
        with self.offload.in_use(self.network, stays=latents.requires_grad):
            decoded: Tensor = self.network.decode(latents.contiguous(memory_format=self.layout)).sample
        check_finite("image", decoded, where=self.where)  # clamped, infinity is white
        return clamp(decoded, -1.0, 1.0).contiguous()

    @property
    def _shift(self) -> float:
        return float(self.network.config.shift_factor or 0.0)


def scale_of(config: Any) -> int:  # noqa: ANN401 - diffusers carries no types
    """Pixels on the side of one latent cell: an autoencoder halves once between two of its blocks."""
    return 2 ** (len(config.block_out_channels) - 1)


def side_of(config: Any, usual: int) -> int:  # noqa: ANN401
    """Pixels on a side of the images that an autoencoder was made for; the usual ones where its config does not say."""
    silent = "sample_size" in getattr(config, "_use_default_values", config.get("_use_default_values", ()))
    return usual if silent else config.sample_size


def check_scaling(config: Any, model: str) -> None:  # noqa: ANN401
    """Makes sure that an autoencoder's latents are scaled by something.

    Raises:
        ModelLoadError: They are not.
    """
    if not config.scaling_factor:
        raise ModelLoadError(f"{model}: vae/config.json has scaling_factor=0; expected a number such as 0.18215.")
